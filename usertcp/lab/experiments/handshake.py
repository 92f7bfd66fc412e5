"""A whole connection: three segments open it, data goes both ways, four close it.

What it showed: before any data, each end chose a number to count its octets from, and each had the other's number
acknowledged. SYN and FIN take up one number each, so that they can be acknowledged and sent again like data. Each end
closes its own direction: the peer's program read our end of the stream, and closed when it had finished too.

How to read it: time runs downwards; our states are on the left, those of the peer's kernel on the right, and numbers
are counted from each side's first. The kernel shows SYN-RECEIVED for as long as our ACK takes to arrive. We finished
first, so TIME-WAIT is ours. RFC 9293, 3.5 (Figure 6) and 3.6 (Figure 12).
"""

from usertcp.lab import Lab
from usertcp.tcp.segment import FIN, SYN


async def run(lab: Lab) -> None:
    listener = lab.peer.listen(7)
    stream = await lab.connect(7)
    server = await lab.peer.accept(listener)

    await stream.send_all(b"hello")
    await server.send_all(await server.receive_some())
    answer = await stream.receive_some()
    await stream.send_eof()
    await lab.until(lambda: str(stream.state) == "FIN-WAIT-2")
    await server.aclose()
    end = await stream.receive_some()
    await stream.wait_closed()

    lab.check("the peer's program sent back what we sent, then finished", (answer, end) == (b"hello", b""))
    lab.check("one SYN and one FIN each", [len(lab.sent(stream.flow, f)) for f in (SYN, FIN)] == [1, 1])
    lab.check_states(
        stream.flow,
        ours="CLOSED SYN-SENT ESTABLISHED FIN-WAIT-1 FIN-WAIT-2 TIME-WAIT CLOSED",
        peer="LISTEN SYN-RECEIVED ESTABLISHED CLOSE-WAIT LAST-ACK CLOSED",
    )
