"""An old segment turns up: harmless in TIME-WAIT, without it taken for new data.

What it showed: a network may hold a copy of a segment back and deliver it late. TIME-WAIT knew it for something that
was acknowledged long ago, and kept the pair of sockets from being used again meanwhile. Once it was gone, a new
connection had the pair, and the copy passed for its data: the kernel's program read what this connection never sent,
our own data was dropped as a repetition of it, and all of it was acknowledged. Nobody noticed.

How to read it: first an old segment of the peer's comes in again. TIME-WAIT answers it, and withstands the RST that the
peer, which has closed, has for that answer (RFC 1337). Then we leave TIME-WAIT by ABORT and connect once more. The copy
of our old segment overtakes the new one, with numbers that fit: as they would if they had come round in the meantime,
which takes minutes to hours, and is what TIME-WAIT is for. Timestamps would tell the two apart (RFC 7323, 5), so both
ends do without here. RFC 9293, 3.4.2, 3.4.3 and 3.6.1.
"""

from dataclasses import replace

from scapy.layers.inet import TCP
from scapy.packet import Packet

from usertcp.errors import TcpError
from usertcp.lab import Lab
from usertcp.link import Direction
from usertcp.tcp.segment import RST

PORT = 5000
OLD, NEW = b"the OLD words", b"the NEW words"


async def run(lab: Lab) -> None:
    config = replace(lab.config, timestamps=False)
    listener = lab.peer.listen(80)
    stream = await lab.connect(80, local_port=PORT, config=config)
    server = await lab.peer.accept(listener)
    await stream.send_all(OLD)
    await server.receive_some()
    await server.send_all(b"an answer")
    await stream.receive_some()
    await stream.send_eof()
    await lab.peer.reaches(stream.flow, "CLOSE-WAIT")
    await server.aclose()
    await lab.until(lambda: str(stream.state) == "TIME-WAIT")
    await lab.peer.reaches(stream.flow, "CLOSED")
    ours, theirs = (next(p for p in lab.packets(way) if p[TCP].payload) for way in ("out", "in"))

    sent = len(lab.sent(stream.flow))
    lab.link.inject(theirs, "in")
    await lab.until(lambda: lab.received(stream.flow, RST))
    lab.check("the peer's old segment got an ACK for an answer", len(lab.sent(stream.flow)) == sent + 1)
    lab.check("TIME-WAIT went on, in spite of the RST that came of it", str(stream.state) == "TIME-WAIT")
    try:
        await lab.connect(80, local_port=PORT, config=config)
    except TcpError as error:
        lab.check(f"TIME-WAIT kept the pair of sockets: {error.strerror}", True)

    def old_copy_overtakes(packet: Packet, direction: Direction) -> list[Packet]:
        if direction == "in" or not packet[TCP].payload:
            return [packet]
        ours[TCP].seq, ours[TCP].ack = packet[TCP].seq, packet[TCP].ack
        del ours[TCP].chksum
        return [ours, packet]

    stream.abort()
    stream = await lab.connect(80, local_port=PORT, config=config)
    server = await lab.peer.accept(listener)
    lab.rewrite(old_copy_overtakes)
    await stream.send_all(NEW)
    read = await server.receive_some()
    await lab.until(lambda: stream.status().flight_size == 0)
    lab.check("without TIME-WAIT, the kernel's program read the old words", read == OLD)
    lab.check("and our new words were acknowledged", stream.status().unsent == 0)
