"""Everything is late for once, and nothing is lost: the timeout was wrong, and is taken back.

What it showed: for most of a second nothing of ours arrived, and our retransmission timer expired. All that was in
flight came after all. A sender that takes its timeout at its word sends everything again, and begins with a window of
one segment. We sent the first segment again, and then found out. With timestamps the acknowledgment said by its echo
that it answered the original (Eifel). Without them we sent two new segments in place of old ones, and the
acknowledgments that followed were of what we had not sent again (F-RTO). Both times the window was given back.

How to read it: three connections. On the first two the first segment goes out again after the timeout, and hardly
another (the cable may swap some); on the third, where both means are off, many do. RACK is off on all of them, for its
probe would come before the timeout. RFC 3522; RFC 4015; RFC 5682.
"""

from dataclasses import replace
from typing import NamedTuple

import trio
from scapy.layers.inet import TCP
from scapy.packet import Packet

from usertcp.lab import Lab
from usertcp.lab.peer import pattern
from usertcp.link import Direction
from usertcp.link.rewrite import Delayed
from usertcp.tcp.config import Config
from usertcp.tcp.events import CwndChanged, SegmentOut, TimerExpired

DATA = pattern(300_000)
DELAY = 0.02
"""Seconds each way, before and after."""
HELD_FROM = 30
"""Which segment with text is the first that is held back ..."""
HELD = 0.7
""" ... for so many seconds; those behind it come out behind it ..."""
GAP = 0.004
""" ... by so many seconds each."""
FEW = 5
"""Segments, of a flight of thirty or more."""


class Transfer(NamedTuple):
    """What became of the data."""

    intact: bool
    again: list[SegmentOut]
    """What was sent again after the first timeout."""
    before: int
    """The congestion window when the timer expired, octets."""
    windows: list[CwndChanged]
    """How it went on."""


async def run(lab: Lab) -> None:
    config = replace(lab.config, rto_min=0.2, rack=False)
    means = {
        "timestamps (Eifel)": config,
        "new segments (F-RTO)": replace(config, timestamps=False),
    }
    for port, (name, choice) in enumerate(means.items(), 80):
        transfer = await send(lab, port, choice)
        undone = [change.cwnd for change in transfer.windows if change.why == "undone"]
        lab.check(f"{name}: every octet arrived in its place", transfer.intact)
        lab.check(f"{name}: after the timeout hardly anything was sent again", 1 <= len(transfer.again) <= FEW)
        lab.check(f"{name}: the window is what it was", undone and undone[0] >= 0.9 * transfer.before)

    transfer = await send(lab, 90, replace(config, undo=False, frto=False))
    lab.check("without both every octet arrived as well", transfer.intact)
    lab.check("but more segments were sent again for nothing", len(transfer.again) > FEW)
    lab.check("and the window began anew from one segment", min(c.cwnd for c in transfer.windows) < 2 * 1460)


async def send(lab: Lab, port: int, config: Config) -> Transfer:
    """Send the data. The way to the peer stands still in the middle of it."""
    seen: list[float] = []

    def hold(packet: Packet, direction: Direction) -> Delayed:
        if direction == "out" and packet[TCP].dport == port:
            if packet[TCP].payload:
                seen.append(trio.current_time())
            if len(seen) >= HELD_FROM:
                released = seen[HELD_FROM - 1] + HELD + (len(seen) - HELD_FROM) * GAP
                return Delayed(packet, max(released - trio.current_time(), DELAY))
        return Delayed(packet, DELAY)

    listener = lab.peer.listen(port)
    lab.rewrite(hold)
    stream = await lab.connect(port, config=config)
    server = await lab.peer.accept(listener)
    read = b""

    async def read_all() -> None:
        nonlocal read
        while len(read) < len(DATA):
            read += await server.receive_some()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read_all)
        await stream.send_all(DATA)
    await lab.until(lambda: stream.status().snd_una == stream.status().snd_nxt)
    records = [record for record in lab.trace if getattr(record, "flow", None) == stream.flow]
    (timeout, *_) = [n for n, r in enumerate(records) if isinstance(r, TimerExpired) and r.timer == "retransmit"]
    before, after = records[:timeout], records[timeout:]
    return Transfer(
        read == DATA,
        [r for r in after if isinstance(r, SegmentOut) and r.retransmission],
        [r.cwnd for r in before if isinstance(r, CwndChanged)][-1],
        [r for r in after if isinstance(r, CwndChanged)],
    )
