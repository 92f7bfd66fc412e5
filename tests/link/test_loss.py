"""Patterns of loss on a path."""

from __future__ import annotations

from itertools import groupby

import pytest

from usertcp.link.loss import Burst, EveryNth, LossPattern, Numbered
from usertcp.link.path import Path

PACKET = bytes(100)


def lost(pattern: LossPattern, packets: int, seed: int = 3) -> list[int]:
    """The numbers of those that a path with this pattern loses, from 1."""
    path = Path(loss=pattern, seed=seed)
    return [number for number in range(1, packets + 1) if path.carry(PACKET, 0).deeds == [("dropped", "lost")]]


def test_packets_with_these_numbers_are_lost() -> None:
    assert lost(Numbered((3, 7)), 1000) == [3, 7]


def test_every_nth_packet_is_lost() -> None:
    assert lost(EveryNth(4), 15) == [4, 8, 12]


def test_bursts_are_as_frequent_and_as_long_as_asked() -> None:
    gone = set(lost(Burst(0.01, 0.25), 100_000))
    runs = [len(list(group)) for bad, group in groupby(range(1, 100_001), gone.__contains__) if bad]
    assert 800 < len(runs) < 1200
    assert 3.5 < sum(runs) / len(runs) < 4.5


def test_equal_seeds_lose_the_same() -> None:
    assert lost(Burst(0.1, 0.5), 1000) == lost(Burst(0.1, 0.5), 1000) != lost(Burst(0.1, 0.5), 1000, seed=4)


def test_the_way_back_has_the_same_pattern_from_its_beginning() -> None:
    path = Path(loss=Numbered((1,)))
    assert path.carry(PACKET, 0).arrivals == []
    assert path.another().carry(PACKET, 0).arrivals == []


@pytest.mark.parametrize(
    "make", [lambda: Burst(1.1, 0.5), lambda: Burst(0.1, 0), lambda: EveryNth(0), lambda: Numbered((0,))]
)
def test_impossible_patterns_are_refused(make: type[LossPattern]) -> None:
    with pytest.raises(ValueError, match=r"packet|probabilities"):
        make()
