"""The last segment is lost: nothing behind it tells, but a probe finds out before the timeout.

What it showed: a lost segment shows by what arrives behind it, and behind the last one nothing does. Instead of waiting
for the retransmission timeout, a second at least, we sent the last segment once more as soon as an answer was overdue
by the round-trip time: a tail loss probe. It filled the hole itself. On a connection that has RACK-TLP off the same
loss took the timeout.

How to read it: the timer that expires is the one of the loss probe, a fraction of a second after the last ACK; on the
second connection it is the retransmission timer. RFC 8985, 7; RFC 6298, 2.4.
"""

from dataclasses import replace

from scapy.layers.inet import TCP
from scapy.packet import Packet

from usertcp.lab import Lab
from usertcp.lab.peer import pattern
from usertcp.link import Direction
from usertcp.tcp.config import Config
from usertcp.tcp.events import TimerExpired
from usertcp.tcp.segment import Flow

DATA = pattern(12_000) + b"the end"


async def run(lab: Lab) -> None:
    flow, intact = await transfer(lab, 80, replace(lab.config, rack=True))
    (resent,) = (record.seg for record in lab.sent(flow) if record.retransmission)
    lab.check("every octet arrived in its place", intact)
    lab.check("the timer of the loss probe expired, not that for retransmission", timers(lab, flow) == ["loss_probe"])
    lab.check("what was sent again was the end of the data, and nothing else", resent.data == DATA[-len(resent.data) :])

    flow, intact = await transfer(lab, 81, replace(lab.config, rack=False))
    lab.check("without probes every octet arrived as well", intact)
    lab.check("but only after the retransmission timeout", timers(lab, flow) == ["retransmit"])


async def transfer(lab: Lab, port: int, config: Config) -> tuple[Flow, bool]:
    """Send the data and lose its last segment once. Says whether it arrived intact."""
    lost: list[Packet] = []

    def lose_the_last(packet: Packet, direction: Direction) -> Packet | None:
        if direction == "out" and bytes(packet[TCP].payload).endswith(b"the end") and not lost:
            lost.append(packet)
            return None
        return packet

    listener = lab.peer.listen(port)
    lab.rewrite(lose_the_last)
    stream = await lab.connect(port, config=config)
    server = await lab.peer.accept(listener)
    await stream.send_all(DATA)
    read = b""
    while len(read) < len(DATA):
        read += await server.receive_some()
    await lab.until(lambda: stream.status().snd_una == stream.status().snd_nxt)
    return stream.flow, read == DATA


def timers(lab: Lab, flow: Flow) -> list[str]:
    """The timers of what was not acknowledged that expired."""
    expired = [record.timer for record in lab.trace if isinstance(record, TimerExpired) and record.flow == flow]
    return [timer for timer in expired if timer in ("loss_probe", "retransmit")]
