"""A data segment is lost: repeated ACKs bring it back long before its timeout.

What it showed: each segment that arrives beyond a gap makes the peer say again what it is waiting for. Three such ACKs
are taken for a loss, and the one segment that is missing is sent again, within a round trip. The peer's program got
every octet in its place.

How to read it: after the lost segment the peer's ACKs stand still, with SACK blocks that grow; then comes the segment
marked "resent", and the next ACK jumps over everything. RFC 5681, 3.2; RFC 2018.
"""

from scapy.layers.inet import TCP
from scapy.packet import Packet

from usertcp.lab import Lab
from usertcp.lab.peer import pattern
from usertcp.link import Direction

DATA = pattern(12_000)


async def run(lab: Lab) -> None:
    segments: list[Packet] = []

    def lose_the_third(packet: Packet, direction: Direction) -> Packet | None:
        if direction == "out" and packet[TCP].payload:
            segments.append(packet)
            if len(segments) == 3:
                return None
        return packet

    listener = lab.peer.listen(80)
    lab.rewrite(lose_the_third)
    stream = await lab.connect(80)
    server = await lab.peer.accept(listener)
    await stream.send_all(DATA)
    read = b""
    while len(read) < len(DATA):
        read += await server.receive_some()

    (resent,) = (record for record in lab.sent(stream.flow) if record.retransmission)
    lost = next(record for record in lab.sent(stream.flow) if record.seg.seq == segments[2][TCP].seq)
    duplicates = [r for r in lab.received(stream.flow) if r.seg.ack == lost.seg.seq and r.seg.options.sack]
    lab.check("every octet arrived in its place", read == DATA)
    lab.check("one segment was sent again: the one that was lost", resent.seg.seq == lost.seg.seq)
    lab.check("at least three ACKs had asked for it", len(duplicates) >= 3)
    lab.check("it was sent before its timeout", resent.time - lost.time < lab.config.rto_min)
