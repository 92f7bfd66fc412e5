"""A sender whose peer reports what it has by SACK blocks."""

from __future__ import annotations

from dataclasses import replace

from tests.tcp.builders import CONFIG, MSS, Bench
from tests.tcp.pairs import shaken, spans
from usertcp.tcp.config import Config
from usertcp.tcp.options import Options
from usertcp.tcp.segment import ACK
from usertcp.tcp.sequence import wrap

SACK = Options(mss=MSS, sack_permitted=True)
WIDE = 65_535
COUNTING = replace(CONFIG, rack=False)
"""Losses are found by counting what arrived behind a hole (RFC 6675)."""


def at(segment: int) -> int:
    """Where the segment with this number begins, relative; the first is 0."""
    return 1 + segment * MSS


def in_flight(iss: int, irs: int, segments: int, *, text: int = 40, config: Config = COUNTING) -> Bench:
    """So many full segments are sent, of a *text* of so many, and nothing is acknowledged."""
    bench = shaken(iss, irs, replace(config, initial_window=segments * MSS), SACK, wnd=WIDE)
    bench.send(bytes(text * MSS))
    assert spans(bench) == [(at(n), MSS) for n in range(segments)]
    return bench


def sacks(bench: Bench, ack: int, *blocks: tuple[int, int]) -> list[tuple[int, int]]:
    """The peer has everything before *ack* and these blocks, in numbers of segments; what goes out because of it."""
    return sacks_octets(bench, at(ack), *((at(left), at(right)) for left, right in blocks))


def sacks_octets(bench: Bench, ack: int, *blocks: tuple[int, int]) -> list[tuple[int, int]]:
    """The same in relative numbers."""
    wire = tuple((wrap(bench.iss + left), wrap(bench.iss + right)) for left, right in blocks)
    bench.arrives(ACK, 1, ack, wnd=WIDE, options=Options(sack=wire))
    return spans(bench)
