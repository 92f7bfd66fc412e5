"""Both ends close at the same time: the FINs cross, and both ends wait.

What it showed: each end got a FIN where it waited for the acknowledgment of its own, went to CLOSING, and from there,
once that had come, to TIME-WAIT. Both have it, for neither knows that its last ACK has arrived.

How to read it: what the peer sends takes 0.2 s to us, so that our FIN leaves before the peer's arrives.
CLOSING shows on both sides. RFC 9293, 3.6, Figure 13.
"""

from scapy.packet import Packet

from usertcp.lab import Lab
from usertcp.link import Direction
from usertcp.link.rewrite import Delayed


def long_way_back(packet: Packet, direction: Direction) -> Packet | Delayed:
    return Delayed(packet, 0.2) if direction == "in" else packet


async def run(lab: Lab) -> None:
    listener = lab.peer.listen(80)
    lab.rewrite(long_way_back)
    stream = await lab.connect(80)
    server = await lab.peer.accept(listener)

    await server.send_all(b"that is all")
    await stream.receive_some()
    await server.send_eof()
    await stream.send_eof()
    await stream.wait_closed()

    lab.check_states(
        stream.flow,
        ours="CLOSED SYN-SENT ESTABLISHED FIN-WAIT-1 CLOSING TIME-WAIT CLOSED",
        peer="LISTEN SYN-RECEIVED ESTABLISHED FIN-WAIT-1 CLOSING TIME-WAIT",
    )
