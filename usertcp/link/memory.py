"""Two links joined to each other, inside one process: no kernel, no privileges, and on a virtual clock no waiting."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import NoReturn

import trio

from usertcp.compiled import mypyc_attr
from usertcp.errors import HostUnreachable
from usertcp.link import Buffer, Deed, Direction, Link, Watcher, canonical
from usertcp.link.path import Agenda, Path
from usertcp.link.virtual_time import VIRTUAL_TIME, VirtualTime

MOST_UNDER_WAY = 100_000
"""Packets on their way to one end. More would mean that nobody receives there: then the newest are dropped."""


@mypyc_attr(allow_interpreted_subclasses=True)
class MemoryLink(Link):
    """One end of the pair that `memory_links` makes. Time is Trio's, virtual or real."""

    def __init__(self, addresses: Sequence[str], path: Path, mtu: int = 1500) -> None:
        """
        Args:
          addresses: of this end, the preferred one of each family first.
          path: what happens to the packets that leave here.
        """
        self.addresses = tuple(canonical(address) for address in addresses)
        self.mtu = mtu
        self.path = path
        self.peer = self
        """The other end; until `memory_links` joins it to one, its own."""
        self._inbox: Agenda[bytes] = Agenda()
        self._counts: defaultdict[str, int] = defaultdict(int)
        self._watchers: list[Watcher] = []
        self._closed = False
        self._under_way = 0
        """Packets that will come out here."""
        self._virtual_time: VirtualTime | None = None
        """What they come in, if there is one: while `deliver` waits, ..."""
        self._take: Callable[[Sequence[Buffer]], None] | None = None
        """... and whom to hand them then, at once."""
        self._failure: Exception | None = None
        """What that raised."""

    def send(self, packet: bytes) -> None:
        if self._closed or len(packet) > self.mtu:
            self._counts["closed" if self._closed else "larger_than_mtu"] += 1
            return
        self._counts["sent"] += 1
        now = trio.current_time()
        arrivals, deeds = self.path.carry(packet, now)
        if deeds:
            self._tell(packet, "out", deeds)
            self.peer._tell(packet, "in", deeds)
        for time, octets in arrivals:
            self.peer._expect(octets, time, now)

    async def receive(self) -> Sequence[bytes]:
        while not self._closed:
            with self._inbox.alarm():
                await trio.sleep_forever()
            if self._failure is not None:
                raise self._failure
            packets = self._inbox.take(trio.current_time())
            if packets:
                self._under_way -= len(packets)
                self._counts["received"] += len(packets)
                return packets
        raise trio.ClosedResourceError("the link was closed")

    async def deliver(self, take: Callable[[Sequence[Buffer]], None]) -> NoReturn:
        self._take, self._virtual_time = take, VIRTUAL_TIME.get()
        try:
            await super().deliver(take)
        finally:
            self._take = self._virtual_time = None

    def source_address(self, remote: str) -> str:
        for address in self.addresses:
            if (":" in address) == (":" in remote):
                return address
        raise HostUnreachable(f"no address of the family of {remote} at this end")

    def is_local(self, address: str) -> bool:
        return address in self.addresses

    def watch(self, watcher: Watcher) -> None:
        self._watchers.append(watcher)

    def close(self) -> None:
        self._closed = True
        self._inbox.ring()

    def counters(self) -> dict[str, int]:
        return dict(self._counts)

    def _expect(self, packet: bytes, time: float, now: float) -> None:
        """A packet will come out here."""
        if self._closed:
            return
        if self._under_way >= MOST_UNDER_WAY:
            self._counts["receive_queue_full"] += 1
            return
        self._under_way += 1
        if time > now and self._virtual_time is not None:
            self._virtual_time.happens(time, self._arrive, packet)
        else:
            self._inbox.add(time, packet)

    def _arrive(self, packets: list[bytes]) -> None:
        """In virtual time packets come to whoever waits for them, not to a task that wakes up."""
        if self._take is None or self._closed or self._failure:
            for packet in packets:
                self._inbox.add(trio.current_time(), packet)
            return
        self._under_way -= len(packets)
        self._counts["received"] += len(packets)
        try:
            self._take(packets)
        except Exception as error:
            self._failure = error
            self._inbox.ring()

    def _tell(self, packet: bytes, direction: Direction, deeds: Sequence[tuple[Deed, str]]) -> None:
        for deed, detail in deeds:
            for watcher in self._watchers:
                watcher(packet, direction, deed, detail)


def memory_links(
    a: str | Iterable[str] = ("192.0.2.1", "2001:db8::1"),
    b: str | Iterable[str] = ("192.0.2.2", "2001:db8::2"),
    *,
    path: Path | None = None,
    back: Path | None = None,
    mtu: int = 1500,
) -> tuple[MemoryLink, MemoryLink]:
    """Two links whose packets come out at each other's end.

    Args:
      a: the address or addresses of the first end, of either family.
      b: the same of the second.
      path: from the first to the second; by default a perfect one.
      back: from the second to the first; by default with the properties of *path*, and the next seed.
      mtu: of both, octets.

    What happens depends on the paths, their seeds and the packets only.
    """
    path = path or Path()
    ends = [
        MemoryLink((addresses,) if isinstance(addresses, str) else tuple(addresses), way, mtu)
        for addresses, way in ((a, path), (b, back or path.another()))
    ]
    ends[0].peer, ends[1].peer = ends[1], ends[0]
    return ends[0], ends[1]
