"""Large packets vanish, and nobody says so: after some silence, smaller ones are tried.

What it showed: somewhere packets of more than 1200 octets are dropped, and the ICMP errors that should say so do not
come: a firewall takes them for dangerous. The handshake succeeds, since its segments are small, and then nothing large
arrives. When the same segment has gone unanswered R1 times, it is sent in smaller pieces, and the transfer goes on.
Without that it would end in a time-out.

How to read it: the first segment is resent, in vain, each time after twice the wait; then "packets of at most 1024
octets", and ACKs. R1 is 2 here, so that less has to be waited for; it is 3 otherwise. The small segment before all that
arrived at once: it is not the cable. RFC 4821, 7.7; RFC 2923, 2.1; RFC 9293, 3.8.3.
"""

from dataclasses import replace

from scapy.packet import Packet

from usertcp.lab import Lab
from usertcp.lab.peer import pattern
from usertcp.link import Direction
from usertcp.tcp.events import PathMtuChanged

MTU = 1200
SMALL, DATA = pattern(100), pattern(30_000)


async def run(lab: Lab) -> None:
    def swallow(packet: Packet, direction: Direction) -> Packet | None:
        return None if direction == "out" and len(packet) > MTU else packet

    lab.rewrite(swallow)
    listener = lab.peer.listen(80)
    stream = await lab.connect(80, config=replace(lab.config, r1=2))
    server = await lab.peer.accept(listener)
    await stream.send_all(SMALL)
    read = b""
    while len(read) < len(SMALL):
        read += await server.receive_some()
    lab.check("a small segment arrives at once", read == SMALL)

    await stream.send_all(DATA)
    while len(read) < len(SMALL + DATA):
        read += await server.receive_some()

    status = stream.status()
    changes = [r.mtu for r in lab.trace if isinstance(r, PathMtuChanged)]
    lab.check("every octet arrived in the end", read == SMALL + DATA)
    lab.check("it took two timeouts", status.counters["retransmission timeouts"] == 2)
    lab.check("packets have at most 1024 octets since", changes == [1024] and status.path_mtu == 1024)
