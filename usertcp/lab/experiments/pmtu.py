"""A router's link takes smaller packets, and it says so: they are sent again smaller.

What it showed: our packets may not be cut on the way. A router whose next link takes no more than 1300 octets drops
larger ones, and an ICMP error says what it takes. What was in flight goes out again at once in segments that fit, and
the congestion window stays: this loss was not congestion. In IPv6 it is the same, by another message.

How to read it: the handshake agrees on mss=1460, or 1440 over IPv6. Behind the first segments comes "ICMP:
fragmentation needed" or "packet too big", then the same octets in smaller segments. The router is a function between us
and the cable. RFC 1191, 4 and 6.4; RFC 8201, 4; RFC 9293, 3.7.5.
"""

from scapy.packet import Packet

from usertcp.ip.icmp import FRAGMENTATION_NEEDED, PACKET_TOO_BIG_V6, UNREACHABLE, build_error
from usertcp.lab import Lab
from usertcp.lab.peer import pattern
from usertcp.link import Direction
from usertcp.tcp.events import CwndChanged, IcmpIn

MTU = 1300
ROUTER, ROUTER6 = "203.0.113.9", "2001:db8:ffff::9"
DATA = pattern(30_000)


async def run(lab: Lab) -> None:
    def route(packet: Packet, direction: Direction) -> Packet | None:
        if direction == "in" or len(packet) <= MTU:
            return packet
        if packet.version == 4:
            error = build_error(ROUTER, UNREACHABLE, FRAGMENTATION_NEEDED, bytes(packet), MTU)
        else:
            error = build_error(ROUTER6, PACKET_TOO_BIG_V6, 0, bytes(packet), MTU)
        lab.link.inject(error, "in")
        return None

    lab.rewrite(route)
    await transfer(lab, lab.peer.address, MTU - 40)
    await transfer(lab, lab.peer.address6, MTU - 60)


async def transfer(lab: Lab, host: str, mss: int) -> None:
    listener = lab.peer.listen(80, host=host)
    stream = await lab.connect(80, host=host)
    server = await lab.peer.accept(listener)
    await stream.send_all(DATA)
    read = b""
    while len(read) < len(DATA):
        read += await server.receive_some()

    told = next(r for r in lab.trace if isinstance(r, IcmpIn) and r.flow == stream.flow)
    later = [r.seg for r in lab.sent(stream.flow) if r.time > told.time]
    reduced = [r for r in lab.trace if isinstance(r, CwndChanged) and r.flow == stream.flow and r.why == "loss"]
    status = stream.status()
    lab.check(f"{host} got every octet", read == DATA)
    lab.check("after the error no segment was too large", all((s.mss or len(s.data)) <= mss - 12 for s in later))
    lab.check("no timer was needed", "retransmission timeouts" not in status.counters)
    lab.check("the congestion window was not reduced", not reduced)
    lab.check(f"the path MTU is known to be {MTU}", status.path_mtu == MTU)
