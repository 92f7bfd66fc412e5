"""We give the connection up: a RST, and nothing more.

What it showed: ABORT is not CLOSE. What was under way is lost, the peer's program gets an error instead of an end of
file, and nobody waits in TIME-WAIT.

How to read it: the last segment is our RST, with the number that the peer expects next, or it would not be believed
(RFC 5961). Nothing answers it. RFC 9293, 3.10.5 and 3.5.2.
"""

import trio

from usertcp.lab import Lab
from usertcp.tcp.segment import RST


async def run(lab: Lab) -> None:
    listener = lab.peer.listen(80)
    stream = await lab.connect(80)
    server = await lab.peer.accept(listener)
    await stream.send_all(b"never mind")
    await server.receive_some()

    stream.abort()
    try:
        await server.receive_some()
        reset = False
    except trio.BrokenResourceError:
        reset = True

    lab.check("the program of the peer got ECONNRESET", reset)
    lab.check("we sent one RST", len(lab.sent(stream.flow, RST)) == 1)
    lab.check_states(
        stream.flow, ours="CLOSED SYN-SENT ESTABLISHED CLOSED", peer="LISTEN SYN-RECEIVED ESTABLISHED CLOSED"
    )
