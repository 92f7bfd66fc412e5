"""What SEND queued and the peer has not yet acknowledged (RFC 9293, 3.10.2 and 3.8.1)."""

from __future__ import annotations


class SendBuffer:
    """The octets from SND.UNA to the last SEND, indexed by position.

    One bytearray. CPython takes octets off its front by moving a pointer and gives memory back as it shrinks, so an
    octet costs a constant whatever the window; an idle connection holds none.
    """

    __slots__ = ("_octets", "limit", "start")

    def __init__(self, start: int, limit: int) -> None:
        """*start*: position of the first octet to come. *limit*: octets to hold at most; may be changed at any time."""
        self.start = start
        self.limit = limit
        self._octets = bytearray()

    def __len__(self) -> int:
        return len(self._octets)

    @property
    def end(self) -> int:
        """The position after the last octet."""
        return self.start + len(self._octets)

    @property
    def free(self) -> int:
        """How many octets `append` would take now."""
        return max(0, self.limit - len(self._octets))

    def append(self, data: bytes | bytearray | memoryview) -> int:
        """Take a copy of as many octets of *data* as there is room for, and say how many."""
        taken = min(len(data), self.free)
        self._octets += data if taken == len(data) else memoryview(data)[:taken]
        return taken

    def peek(self, position: int, n: int) -> bytes:
        """Up to *n* octets from *position* on; less, or none, where the buffer ends. *position* is not before
        `start`."""
        offset = position - self.start
        return bytes(memoryview(self._octets)[offset : offset + n])

    def release(self, position: int) -> None:
        """Everything before *position* is acknowledged: forget it. What lies before `start` was forgotten already."""
        if position > self.start:
            del self._octets[: position - self.start]
            self.start = position
