"""A router marks packets instead of dropping them: the sender slows down, and nothing is lost.

What it showed: both ends agreed in their SYNs to use ECN. Then a packet of ours was marked on its way, as a router does
whose queue grows. The kernel echoed it on every ACK until we had halved our congestion window and said so; nothing had
to be sent again. In the other direction it was the same with the roles exchanged: we echoed, the kernel slowed down.

How to read it: ECT(0) on text says that it may be marked; CE is the mark. ECE in an ACK is the echo, CWR ends it. In
the handshake the same two bits ask (both) and agree (ECE alone). An acknowledgment is never ECT. RFC 3168, 6.1.
At the end we ask for accurate ECN, by AE as well, twice: a kernel that does not speak it takes that for the classic
question, or refuses both. RFC 9768, 3.1.2.
"""

from dataclasses import replace

from scapy.layers.inet import IP
from scapy.packet import Packet

from usertcp.lab import Lab
from usertcp.lab.peer import pattern
from usertcp.link import Direction
from usertcp.tcp.events import CwndChanged
from usertcp.tcp.segment import ACE, ACK, CE, CWR, ECE, ECN_BITS, ECT0, SYN

DATA = pattern(100_000)


async def run(lab: Lab) -> None:
    lab.peer.sysctl("net.ipv4.tcp_ecn", 2)  # The kernel's default: it agrees if asked.
    capable: list[Direction] = []

    def mark_the_fifth_each_way(packet: Packet, direction: Direction) -> Packet:
        if packet[IP].tos & ECN_BITS == ECT0:
            capable.append(direction)
            if capable.count(direction) == 5:
                packet[IP].tos |= CE
        return packet

    listener = lab.peer.listen(80)
    lab.rewrite(mark_the_fifth_each_way)
    stream = await lab.connect(80, config=replace(lab.config, ecn="on", congestion="reno"))
    server = await lab.peer.accept(listener)
    await stream.send_all(DATA)
    read = b""
    while len(read) < len(DATA):
        read += await server.receive_some()
    await lab.until(lambda: stream.status().flight_size == 0)
    there = stream.status()

    await server.send_all(DATA)
    back = b""
    while len(back) < len(DATA):
        back += await stream.receive_some()

    (syn,), (syn_ack,) = lab.sent(stream.flow, SYN), lab.received(stream.flow, SYN)
    at = next(index for index, r in enumerate(lab.trace) if isinstance(r, CwndChanged) and r.why == "ECN")
    before, after = [r.cwnd for r in lab.trace[: at + 1] if isinstance(r, CwndChanged)][-2:]
    answered = [r for r in lab.sent(stream.flow, CWR) if r.seg.data]
    echoes, ours = lab.received(stream.flow, ACK | ECE), lab.sent(stream.flow, ACK | ECE)
    lab.check("our SYN asked, and the kernel agreed", (syn.seg.flags & (ECE | CWR), there.ecn) == (ECE | CWR, True))
    lab.check("by ECE alone", syn_ack.seg.flags & (ECE | CWR) == ECE)
    lab.check("a packet was marked in each direction", min(capable.count("in"), capable.count("out")) >= 5)
    lab.check("the kernel echoed the mark", len(echoes) > 1)
    lab.check("we reduced our congestion window, once", there.counters["reductions by ECN"] == 1)
    lab.check("to half", after == before // 2)
    lab.check("we said so, once", len(answered) == 1)
    lab.check("we echoed the kernel's mark", len(ours) > 0)
    lab.check("and the kernel said that it had slowed down", len(lab.received(stream.flow, CWR)) > 0)
    lab.check("nothing was lost", (read, back) == (DATA, DATA) and "segments retransmitted" not in there.counters)

    for mode, agreed in (2, True), (0, False):
        lab.peer.sysctl("net.ipv4.tcp_ecn", mode)
        stream = await lab.connect(80, config=replace(lab.config, ecn="accurate"))
        (syn,), (answer,) = lab.sent(stream.flow, SYN), lab.received(stream.flow, SYN)
        lab.check("our SYN asked for accurate ECN", syn.seg.flags & ACE == ACE)
        what = "agreed to the classic one, which is what it knows" if agreed else "refused, having been told to"
        lab.check(f"the kernel {what}", answer.seg.flags & ACE == (ECE if agreed else 0))
        status = stream.status()
        lab.check("and so did we", (status.ecn, status.ecn_in) == (agreed, None))
