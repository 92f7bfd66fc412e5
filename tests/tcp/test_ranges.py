"""Ranges of positions, held against a plain set."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from usertcp.tcp.recovery.ranges import Ranges

spans = st.tuples(st.integers(0, 40), st.integers(0, 12)).map(lambda span: (span[0], span[0] + span[1]))


def positions(pairs: list[tuple[int, int]]) -> list[int]:
    return [position for left, right in pairs for position in range(left, right)]


@given(st.lists(st.tuples(st.booleans(), spans), max_size=30))
def test_ranges_are_a_set(steps: list[tuple[bool, tuple[int, int]]]) -> None:
    ranges, model = Ranges(), set[int]()
    for adds, (left, right) in steps:
        span = set(range(left, right))
        assert positions(ranges.gaps(left, right)) == sorted(span - model)
        if adds:
            assert positions(ranges.add(left, right)) == sorted(span - model)
            model |= span
        else:
            ranges.remove(left, right)
            model -= span
        have = [ranges[i] for i in range(len(ranges))]
        assert positions(have) == sorted(model)
        assert all(a[1] < b[0] for a, b in pairwise(have))
        assert ranges.octets == len(model)
    ranges.clear()
    assert (len(ranges), ranges.octets) == (0, 0)
