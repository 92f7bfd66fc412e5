"""A set of positions, kept as ranges."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from usertcp.compiled import mypyc_attr
from usertcp.tcp.recovery import Span


@mypyc_attr(acyclic=True)
class Ranges:
    """Ranges [left, right), ascending, that neither overlap nor touch.

    Found by bisection: what an operation costs grows with the ranges it touches, not with those there are. A range
    that is touched by `add` or `remove` is merged or gone, so over time each costs a constant.
    """

    __slots__ = ("_lefts", "_rights", "octets")

    def __init__(self) -> None:
        self._lefts: list[int] = []
        self._rights: list[int] = []
        self.octets = 0
        """How many positions are in the set."""

    def __len__(self) -> int:
        """How many ranges."""
        return len(self._lefts)

    def __getitem__(self, index: int) -> Span:
        """A range by its rank; -1 is the last."""
        return self._lefts[index], self._rights[index]

    def gaps(self, left: int, right: int) -> list[Span]:
        """The parts of [left, right) that are not in the set."""
        gaps = []
        at = left
        for i in range(bisect_right(self._rights, left), len(self._lefts)):
            if self._lefts[i] >= right:
                break
            if at < self._lefts[i]:
                gaps.append((at, self._lefts[i]))
            at = self._rights[i]
        if at < right:
            gaps.append((at, right))
        return gaps

    def add(self, left: int, right: int) -> list[Span]:
        """Put [left, right) in.

        Returns:
          The parts that were not in before.
        """
        new = self.gaps(left, right)
        if new:
            first, last = bisect_left(self._rights, left), bisect_right(self._lefts, right)
            if first < last:
                left, right = min(left, self._lefts[first]), max(right, self._rights[last - 1])
            self._lefts[first:last] = [left]
            self._rights[first:last] = [right]
            self.octets += sum(end - begin for begin, end in new)
        return new

    def remove(self, left: int, right: int) -> None:
        """Take [left, right) out, as far as it is in."""
        first, last = bisect_right(self._rights, left), bisect_left(self._lefts, right)
        if first >= last or left >= right:
            return
        ends = [(self._lefts[first], left), (right, self._rights[last - 1])]
        keep = [(begin, end) for begin, end in ends if begin < end]
        self.octets -= sum(self._rights[i] - self._lefts[i] for i in range(first, last))
        self.octets += sum(end - begin for begin, end in keep)
        self._lefts[first:last] = [begin for begin, _ in keep]
        self._rights[first:last] = [end for _, end in keep]

    def clear(self) -> None:
        self._lefts.clear()
        self._rights.clear()
        self.octets = 0
