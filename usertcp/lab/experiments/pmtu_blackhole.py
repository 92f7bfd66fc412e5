"""Large packets vanish, and nobody says so: after some silence smaller ones are tried, and then what size arrives.

What it showed: somewhere packets of more than 1200 octets are dropped, and the ICMP errors that should say so do not
come: a firewall takes them for dangerous. The handshake succeeds, since its segments are small, and then nothing large
arrives. When the same segment has gone unanswered R1 times, it is sent in smaller pieces, and the transfer goes on.
Without that it would end in a time-out. Then single larger segments tried the sizes between: those that vanished were
sent again in smaller pieces, and the congestion window stayed; from those that arrived we learned what the path takes.

How to read it: the first segment is resent, in vain, each time after twice the wait; then "packets of at most 1024
octets", and ACKs. R1 is 2 here, so that less has to be waited for; it is 3 otherwise. The small segment before all that
arrived at once: it is not the cable. Later "a probe has arrived", each time nearer to 1200. RFC 4821, 7; RFC 8899, 5;
RFC 2923, 2.1; RFC 9293, 3.8.3.
"""

from dataclasses import replace

from scapy.packet import Packet

from usertcp.lab import Lab
from usertcp.lab.peer import pattern
from usertcp.link import Direction
from usertcp.tcp.events import CwndChanged, PathMtuChanged

MTU = 1200
SMALL, DATA = pattern(100), pattern(300_000)


def reduced(record: object) -> bool:
    """The congestion window was made smaller because of a loss."""
    return isinstance(record, CwndChanged) and record.why == "loss"


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

    lab.start(stream.send_all, DATA)
    while len(read) < len(SMALL + DATA):
        read += await server.receive_some()

    status = stream.status()
    changes = [r.mtu for r in lab.trace if isinstance(r, PathMtuChanged)]
    lab.check("every octet arrived in the end", read == SMALL + DATA)
    lab.check("it took two timeouts", status.counters["retransmission timeouts"] == 2)
    lab.check("packets had at most 1024 octets then", changes[0] == 1024)
    lab.check("probes found what the path takes, to 16 octets", MTU - 16 < status.path_mtu <= MTU)
    lab.check("the loss of a probe cost no window", not [r for r in lab.trace if reduced(r)])
