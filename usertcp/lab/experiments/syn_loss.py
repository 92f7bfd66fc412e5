"""The network loses our SYN twice: each time we wait twice as long.

What it showed: nothing but the missing answer tells that a segment was lost. So it goes out again when its timeout has
passed, and the timeout doubles each time: if the network is overloaded, repeating quickly would make it worse.

How to read it: the same SYN, with the same number, after 1 s and after 2 more. Had no answer come, it would have gone
on for three minutes. RFC 6298, 2.1, 5.4 to 5.6; RFC 9293, 3.8.3.
"""

from itertools import pairwise

from scapy.layers.inet import TCP
from scapy.packet import Packet

from usertcp.lab import Lab
from usertcp.link import Direction
from usertcp.tcp.segment import SYN

LOSSES = 2


async def run(lab: Lab) -> None:
    lost: list[Packet] = []

    def lose_syns(packet: Packet, direction: Direction) -> Packet | None:
        if direction == "out" and packet[TCP].flags == "S" and len(lost) < LOSSES:
            lost.append(packet)
            return None
        return packet

    lab.peer.listen(80)
    lab.rewrite(lose_syns)
    stream = await lab.connect(80)
    await lab.peer.reaches(stream.flow, "ESTABLISHED")

    syns = lab.sent(stream.flow, SYN)
    gaps = [later.time - earlier.time for earlier, later in pairwise(syns)]
    lab.check("the third SYN came through", len(lost) == LOSSES and len(syns) == LOSSES + 1)
    lab.check("all of them have the same number", len({record.seg.seq for record in syns}) == 1)
    lab.check("they were 1 s and 2 s apart", [int(gap) for gap in gaps] == [1, 2])
    lab.check_states(stream.flow, ours="CLOSED SYN-SENT ESTABLISHED", peer="LISTEN SYN-RECEIVED ESTABLISHED")
