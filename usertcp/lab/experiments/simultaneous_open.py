"""Both ends call at the same time, and one connection comes of it, not two.

What it showed: each SYN arrived at an end that had sent one itself. Both went from SYN-SENT to SYN-RECEIVED,
acknowledged what they had got, and met in ESTABLISHED. Nobody listened anywhere. Linux really does it.

How to read it: our SYN takes 0.2 s to the peer, and the peer's as long to us, so that they cross. The
second SYN of each end has the number of its first: it repeats it, with the ACK. RFC 9293, 3.5, Figure 7.
"""

from scapy.packet import Packet

from usertcp.lab import Lab
from usertcp.link import Direction
from usertcp.link.rewrite import Delayed
from usertcp.tcp.segment import ACK, SYN

OURS, THEIRS = 5001, 5002


def long_path(packet: Packet, direction: Direction) -> Delayed:
    return Delayed(packet, 0.2)


async def run(lab: Lab) -> None:
    async def peer_calls() -> None:
        await lab.until(lambda: lab.trace)  # Our SYN is under way.
        await lab.peer.connect(OURS, local_port=THEIRS)

    lab.rewrite(long_path)
    lab.start(peer_calls)
    stream = await lab.connect(THEIRS, local_port=OURS)
    await lab.peer.reaches(stream.flow, "ESTABLISHED")

    first, second = lab.sent(stream.flow, SYN)
    lab.check("the peer's first segment was a SYN without ACK", not lab.received(stream.flow, SYN)[0].seg.flags & ACK)
    lab.check("we repeated our SYN with an ACK", (second.seg.seq, second.seg.flags) == (first.seg.seq, SYN | ACK))
    lab.check_states(
        stream.flow, ours="CLOSED SYN-SENT SYN-RECEIVED ESTABLISHED", peer="SYN-SENT SYN-RECEIVED ESTABLISHED"
    )
