"""Segments overtake each other: what is early waits for what is missing.

What it showed: the peer's second segment arrived after its third and fourth. These were kept, our ACKs went on asking
for the gap and named what lay beyond it, and our program read everything in order, when the gap was filled.

How to read it: the ACK that stands still carries a SACK block: "I have this already". The kernel may take the gap for a
loss and send the late segment a second time; whichever comes second is known for a repetition. RFC 9293, 3.10.7.4,
seventh; RFC 2018.
"""

from scapy.layers.inet import TCP
from scapy.packet import Packet

from usertcp.lab import Lab
from usertcp.lab.peer import pattern
from usertcp.link import Direction
from usertcp.link.rewrite import Delayed

DATA = pattern(5_000)


async def run(lab: Lab) -> None:
    segments: list[Packet] = []

    def delay_the_second(packet: Packet, direction: Direction) -> Packet | Delayed:
        if direction == "in" and packet[TCP].payload:
            segments.append(packet)
            if len(segments) == 2:
                return Delayed(packet, 0.1)
        return packet

    listener = lab.peer.listen(80)
    lab.rewrite(delay_the_second)
    stream = await lab.connect(80)
    server = await lab.peer.accept(listener)
    await server.send_all(DATA)
    read = b""
    while len(read) < len(DATA):
        read += await stream.receive_some()

    gap = segments[1][TCP].seq
    numbers = [record.seg.seq for record in lab.received(stream.flow) if record.seg.data]
    asked = [record for record in lab.sent(stream.flow) if record.seg.ack == gap and record.seg.options.sack]
    lab.check("the segments arrived out of order", numbers != sorted(numbers))
    lab.check("we asked for the gap, and said what we had beyond it", asked)
    lab.check("our program read every octet in its place", read == DATA)
