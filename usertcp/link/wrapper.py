"""What links have in common that stand between a stack and another link."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager

import trio

from usertcp.link import Deed, Direction, Link, Watcher
from usertcp.link.path import Agenda


class Wrapper(Link):
    """A link around another: packets of both directions go through `handle`, all else is the inner link's. It leaves
    nothing to be offloaded: where the inner link would, each packet is a single segment with its checksum all the same.

    It has no task of its own: what was put off goes on while somebody waits in `receive`, as a stack always does.
    """

    def __init__(self, link: Link) -> None:
        self.link = link
        self.mtu = link.mtu
        self.receive_queue = link.receive_queue
        self.unfinished_checksums = link.unfinished_checksums
        self.beside_kernel = link.beside_kernel
        self._later: Agenda[tuple[Direction, bytes]] = Agenda()
        self._counts: Counter[str] = Counter()
        self._watchers: list[Watcher] = []

    @abstractmethod
    def handle(self, packet: bytes, direction: Direction, now: float) -> None:
        """Decide on a packet: call `forward` for whatever is to go on in its place."""

    def forward(self, packet: bytes, direction: Direction, time: float) -> None:
        """Let a packet go on at *time*, at once if that has come: out to the inner link, or in to whoever receives."""
        if direction == "out" and time <= trio.current_time():
            self.link.send(packet)
        else:
            self._later.add(time, (direction, packet))

    def did(self, packet: bytes, direction: Direction, deed: Deed, detail: str = "") -> None:
        """Count a deed and tell the watchers."""
        self._counts[f"{direction}_{deed}"] += 1
        for watcher in self._watchers:
            watcher(packet, direction, deed, detail)

    def send(self, packet: bytes) -> None:
        self.handle(packet, "out", trio.current_time())

    async def receive(self) -> Sequence[bytes]:
        while True:
            with self._later.alarm():
                packets = await self.link.receive()
                now = trio.current_time()
                for packet in packets:
                    self.handle(packet, "in", now)
            arrived = []
            for direction, packet in self._later.take(trio.current_time()):
                if direction == "out":
                    self.link.send(packet)
                else:
                    arrived.append(packet)
            if arrived:
                return arrived

    def source_address(self, remote: str) -> str:
        return self.link.source_address(remote)

    def mtu_to(self, remote: str) -> int:
        return self.link.mtu_to(remote)

    def is_local(self, address: str) -> bool:
        return self.link.is_local(address)

    def advise(self, remote: str) -> None:
        self.link.advise(remote)

    def claim(self, local: str, port: int, remote: str = "") -> AbstractContextManager[None]:
        return self.link.claim(local, port, remote)

    def watch(self, watcher: Watcher) -> None:
        self._watchers.append(watcher)
        self.link.watch(watcher)

    def close(self) -> None:
        """What was to go out later goes out at once: the last segments of connections that end with their stack."""
        for direction, packet in self._later.take(float("inf")):
            if direction == "out":
                self.link.send(packet)
        self.link.close()

    def counters(self) -> dict[str, int]:
        return dict(Counter(self.link.counters()) + self._counts)
