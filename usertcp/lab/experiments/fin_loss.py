"""The network loses our FIN: it is sent again like data.

What it showed: a FIN takes up a number, so its loss shows by the missing acknowledgment. Nothing that comes behind it
can tell: after the time that a delayed ACK may take, a probe sends it again, before its timeout. The peer's program
reads the end of the stream once the second one has come, and not before.

How to read it: we stay in FIN-WAIT-1, and the kernel in ESTABLISHED, until the retransmission. RFC 9293, 3.6 and 3.8.1;
RFC 8985, 7.
"""

from scapy.layers.inet import TCP
from scapy.packet import Packet

from usertcp.lab import Lab
from usertcp.lab.peer import discard
from usertcp.link import Direction
from usertcp.tcp.segment import FIN


async def run(lab: Lab) -> None:
    lost: list[Packet] = []

    def lose_first_fin(packet: Packet, direction: Direction) -> Packet | None:
        if direction == "out" and packet[TCP].flags.F and not lost:
            lost.append(packet)
            return None
        return packet

    await lab.serve(discard, 9)
    lab.rewrite(lose_first_fin)
    stream = await lab.connect(9)
    await stream.send_all(b"that is all")
    await stream.send_eof()
    await stream.receive_some()
    await stream.wait_closed()

    first, second = lab.sent(stream.flow, FIN)
    lab.check("the FIN was sent again, with the same number", second.seg.seq + len(second.seg.data) == lost[0][TCP].seq)
    lab.check("by a probe, before its timeout", second.time - first.time < lab.config.rto_min)
    lab.check_states(
        stream.flow,
        ours="CLOSED SYN-SENT ESTABLISHED FIN-WAIT-1 (FIN-WAIT-2) TIME-WAIT CLOSED",
        peer="LISTEN SYN-RECEIVED ESTABLISHED (CLOSE-WAIT) LAST-ACK CLOSED",
    )
