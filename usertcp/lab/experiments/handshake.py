"""A whole connection: handshake, data both ways, teardown.

What it showed: before any data, each end chose a number to count its octets from, and each had the other's number
acknowledged. SYN and FIN take up one number each, so that they can be acknowledged and sent again like data.

How to read it: time runs downwards; our states are on the left, those of the peer's kernel on the right, and numbers
are counted from each side's first. The kernel shows SYN-RECEIVED for as long as our ACK takes to arrive. We finished
first, so TIME-WAIT is ours. RFC 9293, 3.5 (Figure 6) and 3.6 (Figure 12).
"""

from usertcp.lab import Lab
from usertcp.lab.peer import echo
from usertcp.tcp.segment import FIN, SYN


async def run(lab: Lab) -> None:
    await lab.serve(echo, 7)
    stream = await lab.connect(7)
    await stream.send_all(b"hello")
    answer = await stream.receive_some()
    await stream.send_eof()
    end = await stream.receive_some()
    await stream.wait_closed()

    lab.check("the kernel's echo service sent back what we sent, then finished", (answer, end) == (b"hello", b""))
    lab.check("one SYN and one FIN each", [len(lab.sent(stream.flow, f)) for f in (SYN, FIN)] == [1, 1])
    lab.check_states(
        stream.flow,
        ours="CLOSED SYN-SENT ESTABLISHED FIN-WAIT-1 (FIN-WAIT-2) TIME-WAIT CLOSED",
        peer="LISTEN SYN-RECEIVED ESTABLISHED (CLOSE-WAIT) LAST-ACK CLOSED",
    )
