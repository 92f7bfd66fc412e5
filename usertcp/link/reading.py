"""What links have in common that read packets from the kernel: to wait for them, and to be closed meanwhile."""

from __future__ import annotations

import select
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import NoReturn

import trio

from usertcp.link import Buffer, Link

Reader = Callable[[], Sequence[Buffer]]
"""Reads the packets at hand, if any, without waiting. The next call may use their buffers again."""


class ReadingLink(Link):
    """Waits until descriptors are readable, then reads what is there.

    What is left for a subclass: to call `_watch`; `_release`, `send` and `source_address`.
    """

    def __init__(self) -> None:
        self._counts: defaultdict[str, int] = defaultdict(int, sent=0, received=0)
        self._readable = -1
        """The descriptor to wait for, that of `_news`; -1 when the link is closed."""
        self._news = select.epoll()
        self._readers: dict[int, Reader] = {}
        self._first = -1
        self._attended = False

    def _watch(self, readers: dict[int, Reader]) -> None:
        """Wait for all these descriptors, and be ready to `attend` to the first alone."""
        self._readers = readers
        self._first = next(iter(readers))
        for descriptor in readers:
            self._news.register(descriptor, select.EPOLLIN)
        self._readable = self._news.fileno()

    def _read(self) -> Sequence[Buffer]:
        """The packets at hand, if any, without waiting."""
        packets: list[Buffer] = []
        for descriptor, _ in self._news.poll(0):
            packets += self._readers[descriptor]()
        return packets

    @abstractmethod
    def _release(self) -> None:
        """Close what the link holds. Called once."""

    def _on_a_wire(self, packet: Buffer) -> Iterator[bytes]:
        """What a packet that was read is to somebody who is to see each segment."""
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

    async def attend(self) -> Sequence[Buffer]:
        if self._readable < 0:
            raise trio.ClosedResourceError("the link was closed")
        if not self._attended:
            self._news.modify(self._first, 0)
            self._attended = True
        try:
            await trio.lowlevel.wait_readable(self._first)
        except trio.ClosedResourceError:
            if self._readable < 0:
                raise
            return ()
        return self.at_hand()

    def at_hand(self) -> Sequence[Buffer]:
        return self._readers[self._first]() if self._readable >= 0 else ()

    def leave(self) -> None:
        if self._attended and self._readable >= 0:
            self._news.modify(self._first, select.EPOLLIN)
        self._attended = False

    def dismiss(self) -> None:
        trio.lowlevel.notify_closing(self._first)

    async def _wait(self) -> None:
        if self._readable < 0:
            raise trio.ClosedResourceError("the link was closed")
        await trio.lowlevel.wait_readable(self._readable)

    def close(self) -> None:
        if self._readable < 0:
            return
        with suppress(RuntimeError):  # Outside Trio nobody can be waiting.
            trio.lowlevel.notify_closing(self._readable)
            if self.attends:
                self.dismiss()
        self._news.close()
        self._release()
        self._readable = -1

    def counters(self) -> dict[str, int]:
        return dict(self._counts)
