"""We close first: four segments, and TIME-WAIT is ours.

What it showed: the two directions close one by one. Our FIN was acknowledged while the peer's program had not decided
yet; its own FIN came when it had. Whoever closes first waits out 2 MSL, since nobody acknowledges the last ACK.

How to read it: FIN and ACK, FIN and ACK. Between the two pairs the connection is half closed: FIN-WAIT-2 here,
CLOSE-WAIT there. The last line is the end of TIME-WAIT (2 s in this lab). RFC 9293, 3.6, Figure 12, and 3.6.1.
"""

import trio

from usertcp.lab import Lab
from usertcp.tcp.segment import FIN


async def run(lab: Lab) -> None:
    listener = lab.peer.listen(80)
    stream = await lab.connect(80)
    server = await lab.peer.accept(listener)

    await stream.send_eof()
    await lab.until(lambda: str(stream.state) == "FIN-WAIT-2")
    await server.aclose()
    end = await stream.receive_some()
    await lab.until(lambda: str(stream.state) == "TIME-WAIT")
    began = trio.current_time()
    await stream.wait_closed()
    lasted = trio.current_time() - began

    lab.check("we read the end of the stream", end == b"")
    lab.check("each end sent one FIN", len(lab.sent(stream.flow, FIN)) == len(lab.received(stream.flow, FIN)) == 1)
    lab.check("TIME-WAIT lasted 2 MSL", abs(lasted - 2 * lab.config.msl) < 0.5)
    lab.check_states(
        stream.flow,
        ours="CLOSED SYN-SENT ESTABLISHED FIN-WAIT-1 FIN-WAIT-2 TIME-WAIT CLOSED",
        peer="LISTEN SYN-RECEIVED ESTABLISHED CLOSE-WAIT LAST-ACK CLOSED",
    )
