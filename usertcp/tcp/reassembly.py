"""What arrived and RECEIVE has not yet taken (RFC 9293, 3.10.3 and 3.10.7.4, seventh; RFC 2018 for its SACK blocks)."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import islice
from typing import Final

from usertcp.compiled import mypyc_attr

MAX_RANGES: Final = 1024
"""Separate out-of-order ranges to keep: who sends every second octet shall not make us keep books on all of them."""


LARGE: Final = 1 << 12
"""Octets that are worth a piece of their own."""
PIECE: Final = 1 << 16
"""Smaller ones are gathered up to this."""


@mypyc_attr(acyclic=True)
class ReceiveBuffer:
    """The octets from the first unread position on, in any order of arrival.

    Those in order are pieces as they arrived, large ones not copied again before they are read. Those beyond the first
    hole are in one bytearray addressed by position, its holes filled with zeros, with the ranges beside it. There are
    no fragments to walk or to merge, so a segment costs its own length wherever it falls (compare CVE-2018-5390).
    Memory is bounded by the window, to which the caller has trimmed what it writes.

    The first copy of an octet wins. It may have been read, acknowledged or reported in a SACK block before a later
    copy comes; what the user sees must not depend on whether it was, and nobody who injects a second copy can change
    the first.
    """

    __slots__ = ("_beyond", "_lefts", "_pieces", "_rights", "holes", "nxt", "unread")

    def __init__(self, start: int) -> None:
        self.unread = start
        """Position of the first octet that nobody has read."""
        self.nxt = start
        """Position after the last in-order octet: RCV.NXT, as far as text goes."""
        self.holes = 0
        """How many holes there are: one before each out-of-order range."""
        self._pieces: list[bytes | bytearray | memoryview] = []
        """From `unread` to `nxt`."""
        self._beyond = bytearray()
        """From `nxt` on, while there are ranges."""
        self._lefts: list[int] = []
        """Left edges of the ranges, ascending. Ranges neither overlap nor touch, and lie beyond `nxt`."""
        self._rights: dict[int, int] = {}
        """Right edge by left edge, the range of the latest arrival last."""

    @property
    def readable(self) -> int:
        """How many octets are in order and unread."""
        return self.nxt - self.unread

    @property
    def ranges(self) -> list[tuple[int, int]]:
        """The out-of-order ranges (left edge, right edge), ascending."""
        return [(left, self._rights[left]) for left in self._lefts]

    def __len__(self) -> int:
        """Octets of memory held: from the first unread one to the last that arrived, holes included."""
        return self.nxt - self.unread + len(self._beyond)

    def sack_blocks(self, n: int) -> tuple[tuple[int, int], ...]:
        """The first *n* ranges to report (RFC 2018, 4): that of the latest arrival first, then backwards in time."""
        return tuple(islice(reversed(self._rights.items()), n))

    def overlap(self, left: int, right: int) -> tuple[tuple[int, int], tuple[int, int]] | None:
        """The first part of [left, right) that is here already and out of order, and the range it is in."""
        first = max(bisect_right(self._lefts, left) - 1, 0)
        for begin in self._lefts[first : first + 2]:
            end = self._rights[begin]
            if max(left, begin) < min(right, end):
                return (max(left, begin), min(right, end)), (begin, end)
        return None

    def write(self, position: int, data: bytes | memoryview) -> bool:
        """Store *data*, whose first octet has this position.

        Returns:
          Whether it was stored, or was all there before. False: it would have begun one range more than `MAX_RANGES`,
          and nothing was done; in-order octets are never refused.
        """
        if position < self.nxt:
            data = data[self.nxt - position :]
            position = self.nxt
        if not data:
            return True
        if position == self.nxt and not self._lefts:
            self._append(data)
            return True
        return self._write_beside_ranges(position, data)

    def _append(self, data: bytes | bytearray | memoryview) -> None:
        """These are in order."""
        self.nxt += len(data)
        tail = self._pieces[-1] if self._pieces else None
        if len(data) >= LARGE:
            self._pieces.append(data)
        elif isinstance(tail, bytearray) and len(tail) < PIECE:
            tail += data
        elif isinstance(tail, bytes) and len(tail) < LARGE:
            self._pieces[-1] = bytearray(tail) + data
        else:
            self._pieces.append(bytes(data))

    def read(self, max_octets: int) -> bytes:
        """Take up to *max_octets* in-order octets, or less, where a large piece ends. b"" when there are none."""
        taken, n = [], 0
        for piece in self._pieces:
            if n + len(piece) > max_octets:
                break
            taken.append(piece)
            n += len(piece)
        del self._pieces[: len(taken)]
        if self._pieces and not taken:
            first = memoryview(self._pieces[0])
            taken.append(first[:max_octets])
            self._pieces[0] = first[max_octets:]
            n = max_octets
        self.unread += n
        return bytes(taken[0]) if len(taken) == 1 else b"".join(taken)

    def drop_out_of_order(self) -> None:
        """Forget the out-of-order octets, though they may have been reported in SACK blocks (RFC 2018, 8)."""
        self.holes = 0
        self._beyond.clear()
        self._lefts.clear()
        self._rights.clear()

    def clear(self) -> None:
        """Forget all octets, unread and out-of-order ones. `nxt` stays."""
        self.unread = self.nxt
        self._pieces.clear()
        self.drop_out_of_order()

    def _write_beside_ranges(self, position: int, data: bytes | memoryview) -> bool:
        end = position + len(data)
        first = bisect_left(self._lefts, position)
        if first > 0 and self._rights[self._lefts[first - 1]] >= position:
            first -= 1
        last = bisect_right(self._lefts, end)
        if first == last and len(self._lefts) >= MAX_RANGES and position > self.nxt:
            return False

        merged = [(left, self._rights.pop(left)) for left in self._lefts[first:last]]
        at = position
        for left, right in merged:
            if at < left:
                self._put(at, data[at - position : left - position])
            at = max(at, right)
        if at < end:
            self._put(at, data[at - position :])

        left = min(position, merged[0][0]) if merged else position
        right = max(at, end)
        if left == self.nxt:
            del self._lefts[first:last]
            n = right - left
            self._append(bytes(memoryview(self._beyond)[:n]))
            del self._beyond[:n]
        else:
            self._lefts[first:last] = [left]
            self._rights[left] = right
        self.holes = len(self._lefts)
        return True

    def _put(self, position: int, data: bytes | memoryview) -> None:
        """Copy octets to where there are none yet."""
        offset = position - self.nxt
        hole = offset - len(self._beyond)
        if hole > 0:
            self._beyond += bytes(hole)
        self._beyond[offset : offset + len(data)] = data
