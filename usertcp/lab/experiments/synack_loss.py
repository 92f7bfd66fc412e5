"""The network loses the peer's SYN-ACK: sent again, it is still one connection.

What it showed: we cannot tell whether our SYN was lost or its answer, and need not. The peer knew our second SYN for
the same one by its number, and answered with the number that it had chosen the first time.

How to read it: the kernel is in SYN-RECEIVED from the first SYN on, and stays there. Either end may be the first to try
again; both begin with a second. RFC 9293, 3.10.7.4, first and fourth check; RFC 6298, 2.1.
"""

from scapy.layers.inet import TCP
from scapy.packet import Packet

from usertcp.lab import Lab
from usertcp.link import Direction
from usertcp.tcp.segment import SYN


async def run(lab: Lab) -> None:
    lost: list[Packet] = []

    def lose_first_syn_ack(packet: Packet, direction: Direction) -> Packet | None:
        if direction == "in" and packet[TCP].flags == "SA" and not lost:
            lost.append(packet)
            return None
        return packet

    listener = lab.peer.listen(80)
    lab.rewrite(lose_first_syn_ack)
    stream = await lab.connect(80)
    server = await lab.peer.accept(listener)
    await stream.send_all(b"hello")

    lab.check("the peer's program has one connection, and it works", await server.receive_some() == b"hello")
    numbers = {record.seg.seq for record in lab.received(stream.flow, SYN)}
    lab.check("the peer kept the number of the SYN-ACK that was lost", numbers == {lost[0][TCP].seq})
    lab.check_states(stream.flow, ours="CLOSED SYN-SENT ESTABLISHED", peer="LISTEN SYN-RECEIVED ESTABLISHED")
