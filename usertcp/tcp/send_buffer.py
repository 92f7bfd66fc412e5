"""What SEND queued and the peer has not yet acknowledged (RFC 9293, 3.10.2 and 3.8.1)."""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

from usertcp.compiled import mypyc_attr

LARGE: Final = 1 << 12
"""Octets that are worth a piece of their own, and a view instead of a copy."""
PIECE: Final = 1 << 16
"""Smaller writes are gathered up to this."""

Piece = bytes | bytearray | memoryview


@mypyc_attr(acyclic=True)
class SendBuffer:
    """The octets from SND.UNA to the last SEND, indexed by position.

    Pieces, each as the user wrote it: a large `bytes`, which nobody can change, is kept and not copied; what is small
    or may change is copied, small writes into one piece. A piece is given back when its last octet is acknowledged; an
    idle connection holds none.
    """

    __slots__ = ("_lefts", "_pieces", "end", "limit", "start")

    def __init__(self, start: int, limit: int) -> None:
        """*start*: position of the first octet to come. *limit*: octets to hold at most; may be changed at any time."""
        self.start = start
        self.end = start
        """The position after the last octet."""
        self.limit = limit
        self._pieces: list[Piece] = []
        self._lefts: list[int] = []
        """Where each piece begins, ascending."""

    def __len__(self) -> int:
        return self.end - self.start

    @property
    def free(self) -> int:
        """How many octets `append` would take now."""
        return max(0, self.limit - (self.end - self.start))

    def append(self, data: Piece) -> int:
        """Take as many octets of *data* as there is room for, and say how many. Of `bytes`, or of a view of such, large
        pieces are not copied."""
        taken = min(len(data), self.free)
        if not taken:
            return 0
        whole = data if taken == len(data) else memoryview(data)[:taken]
        tail = self._pieces[-1] if self._pieces else None
        if taken >= LARGE:
            unchanging = isinstance(data.obj if isinstance(data, memoryview) else data, bytes)
            self._add(whole if unchanging else bytes(whole))
        elif isinstance(tail, bytearray) and len(tail) < PIECE:
            tail += whole
        elif isinstance(tail, bytes) and len(tail) < LARGE:
            self._pieces[-1] = bytearray(tail) + whole
        else:
            self._add(bytes(whole))
        self.end += taken
        return taken

    def _add(self, piece: Piece) -> None:
        self._lefts.append(self.end)
        self._pieces.append(piece)

    def peek(self, position: int, n: int) -> bytes | memoryview:
        """Up to *n* octets from *position* on; less, or none, where the buffer ends, and, of more than `PIECE`, where a
        piece ends. *position* is not before `start`. A view only of what never changes."""
        if n > self.end - position:
            n = self.end - position
        if n <= 0:
            return b""
        index = bisect_right(self._lefts, position) - 1
        offset, piece = position - self._lefts[index], self._pieces[index]
        if n > len(piece) - offset:
            n = min(n, max(PIECE, len(piece) - offset))  # what is joined is copied
        if offset + n <= len(piece):
            if n < LARGE and isinstance(piece, bytes):
                return piece[offset : offset + n]
            view = memoryview(piece)[offset : offset + n]
            return bytes(view) if n < LARGE or isinstance(piece, bytearray) else view
        last = bisect_right(self._lefts, position + n - 1)
        rest = position + n - self._lefts[last - 1]
        parts = [memoryview(piece)[offset:], *self._pieces[index + 1 : last - 1]]
        return b"".join([*parts, memoryview(self._pieces[last - 1])[:rest]])

    def release(self, position: int) -> None:
        """Everything before *position* is acknowledged: forget it. What lies before `start` was forgotten already."""
        if position > self.start:
            self.start = position
            if position >= self.end:
                self.start = self.end
                self._pieces.clear()
                self._lefts.clear()
            elif gone := bisect_right(self._lefts, position) - 1:
                del self._lefts[:gone], self._pieces[:gone]
