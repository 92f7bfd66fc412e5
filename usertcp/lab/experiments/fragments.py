"""Segments in several IP packets: in fragments, out and in.

What it showed: IP may cut a packet that is too large for a link, and puts it together again at the other end. TCP sees
none of it, but the loss of one fragment is the loss of the whole segment: that is why segments are made to fit.

How to read it: the ladder has whole segments. In the capture (--pcap) each of the peer's is three packets with the same
identification, an offset, and "more fragments" in all but the last; only the first has a TCP header. RFC 791, 3.2;
RFC 9293, 3.7.1 and 3.7.2.
"""

from scapy.layers.inet import IP

from usertcp.lab import Lab
from usertcp.lab.peer import pattern
from usertcp.tcp.events import PathEvent

REQUEST, ANSWER = pattern(1_000), pattern(10_000)
SIZE = 600


async def run(lab: Lab) -> None:
    lab.link.fragment_size = SIZE
    lab.peer.fragment(SIZE)
    listener = lab.peer.listen(80)
    stream = await lab.connect(80)
    server = await lab.peer.accept(listener)

    await stream.send_all(REQUEST)
    heard = b""
    while len(heard) < len(REQUEST):
        heard += await server.receive_some()
    await server.send_all(ANSWER)
    answer = b""
    while len(answer) < len(ANSWER):
        answer += await stream.receive_some()

    cut = [record.detail for record in lab.trace if isinstance(record, PathEvent)]
    pieces = [packet for packet in lab.packets("in") if packet[IP].frag or packet[IP].flags.MF]
    lab.check("our segment went out in fragments", cut == ["cut into 2 fragments"])
    lab.check("the kernel put it together", heard == REQUEST)
    lab.check("the kernel's segments came in fragments", len(pieces) > 2)
    lab.check(f"none of them had more than {SIZE} octets", max(len(packet) for packet in pieces) <= SIZE)
    lab.check("we put them together", answer == ANSWER)
