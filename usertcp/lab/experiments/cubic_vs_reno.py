"""The same loss to CUBIC and to Reno: how their congestion windows fall, and how they come back.

What it showed: both connections doubled their windows each round trip, until a segment was lost. Reno halved its
window, and then added a segment per round trip, of 200 ms here. CUBIC fell to seven tenths, and came back along a curve
that depends on the time alone: steep at first, and flat near the window at which the loss had been. It was there first.
On longer paths, and with larger windows, the difference grows.

How to read it: the chart under the claims has the time from left to right and the window from below, a letter for each:
C for CUBIC, R for Reno, * for both. RFC 9438, 4; RFC 5681, 3.1.
"""

from dataclasses import replace
from itertools import pairwise
from math import inf

import trio
from scapy.layers.inet import TCP
from scapy.packet import Packet

from usertcp.lab import Lab
from usertcp.lab.peer import discard, pattern
from usertcp.link import Direction
from usertcp.link.rewrite import Delayed
from usertcp.tcp.events import CwndChanged, SegmentIn, SegmentOut
from usertcp.trace.chart import chart

DELAY = 0.1
"""Seconds each way."""
LOST = 40
"""Which segment with text is lost."""
LOOKS = 200
"""Tenths of a second until the window should be back."""
GOOD = 0.95
"""How much of the window before the loss is as good as all of it."""


async def run(lab: Lab) -> None:
    histories = {}
    for port, name, beta in ((80, "cubic", 0.7), (81, "reno", 0.5)):
        histories[name] = await transfer(lab, port, name)
        in_flight, window = around_loss(lab, histories[name])
        lab.check(f"{name} fell to {beta:g} of what was in flight", abs(window / in_flight - beta) < 0.05)
    lab.check("cubic was back first", seconds_to_regain(histories["cubic"]) < seconds_to_regain(histories["reno"]))
    lab.show(chart({name[0].upper(): curve(history) for name, history in histories.items()}, "s", "octets"))


async def transfer(lab: Lab, port: int, congestion: str) -> list[CwndChanged]:
    """Send without pause, and lose one segment, until the window is what it was. Returns its history."""
    segments: list[Packet] = []

    def delay_and_lose_one(packet: Packet, direction: Direction) -> Delayed | None:
        if direction == "out" and packet[TCP].payload and packet[TCP].dport == port:
            segments.append(packet)
            if len(segments) == LOST:
                return None
        return Delayed(packet, DELAY)

    async def serve() -> None:
        await discard(await lab.peer.accept(listener))

    async def send() -> None:
        while True:
            await stream.send_all(pattern(64 * 1024))

    def history() -> list[CwndChanged]:
        return [record for record in lab.trace if isinstance(record, CwndChanged) and record.flow == stream.flow]

    listener = lab.peer.listen(port)
    lab.rewrite(delay_and_lose_one)
    stream = await lab.connect(port, config=replace(lab.config, congestion=congestion))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        nursery.start_soon(send)
        for _ in range(LOOKS):
            if seconds_to_regain(history()) < inf:
                break
            await trio.sleep(0.1)
        nursery.cancel_scope.cancel()
    stream.abort()
    return history()


def curve(history: list[CwndChanged]) -> list[tuple[float, float]]:
    """Seconds since the first change, and the window."""
    return [(record.time - history[0].time, record.cwnd) for record in history]


def around_loss(lab: Lab, history: list[CwndChanged]) -> tuple[int, int]:
    """What was in flight when the loss was noticed, at most a window, and the window that came of it."""
    before, after = next((old, new) for old, new in pairwise(history) if new.why == "loss")
    earlier = [r for r in lab.trace[: lab.trace.index(after)] if isinstance(r, SegmentOut | SegmentIn)]
    acked = next(r.seg.ack for r in reversed(earlier) if isinstance(r, SegmentIn) and r.flow == after.flow)
    last = next(
        r.seg for r in reversed(earlier) if isinstance(r, SegmentOut) and not r.retransmission and r.flow == after.flow
    )
    in_flight = (last.seq + len(last.data) - acked) % 2**32
    return min(in_flight, before.cwnd), after.cwnd


def seconds_to_regain(history: list[CwndChanged]) -> float:
    """From the loss until the window is as good as before it; infinite if it is not yet."""
    for before, loss in pairwise(history):
        if loss.why == "loss":
            enough = GOOD * before.cwnd
            return next((r.time - loss.time for r in history if r.time > loss.time and r.cwnd >= enough), inf)
    return inf
