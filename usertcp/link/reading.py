"""What links have in common that read packets from the kernel: to wait for them, and to be closed meanwhile."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import NoReturn

import trio

from usertcp.link import Buffer, Link


class ReadingLink(Link):
    """Waits until a descriptor is readable, then reads what is there.

    What is left for a subclass: `_read`, `_release`, `send` and `source_address`.
    """

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter(sent=0, received=0)
        self._readable = -1
        """The descriptor to wait for; -1 when the link is closed."""

    @abstractmethod
    def _read(self) -> Sequence[Buffer]:
        """The packets at hand, if any, without waiting. The next call may use their buffers again."""

    @abstractmethod
    def _release(self) -> None:
        """Close what the link holds. Called once."""

    def _on_a_wire(self, packet: Buffer) -> Iterator[bytes]:
        """What a packet of `_read` is to somebody who is to see each segment."""
        yield bytes(packet)

    async def receive(self) -> Sequence[bytes]:
        while True:
            await self._wait()
            # From here to the return nothing waits, so that a cancellation loses no packet.
            if packets := [each for packet in self._read() for each in self._on_a_wire(packet)]:
                return packets

    async def deliver(self, take: Callable[[Sequence[Buffer]], None]) -> NoReturn:
        while True:
            await self._wait()
            if packets := self._read():
                take(packets)

    async def _wait(self) -> None:
        if self._readable < 0:
            raise trio.ClosedResourceError("the link was closed")
        await trio.lowlevel.wait_readable(self._readable)

    def close(self) -> None:
        if self._readable < 0:
            return
        with suppress(RuntimeError):  # Outside Trio nobody can be waiting.
            trio.lowlevel.notify_closing(self._readable)
        self._release()
        self._readable = -1

    def counters(self) -> dict[str, int]:
        return dict(self._counts)
