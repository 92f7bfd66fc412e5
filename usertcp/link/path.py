"""A model of a path through a network: one direction, one bottleneck with a queue, a seeded source of misfortune."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from heapq import heappop, heappush
from itertools import count, repeat
from math import inf
from random import Random
from typing import Generic, NamedTuple, TypeVar

import trio

from usertcp.link import Deed
from usertcp.link.loss import LossPattern

T = TypeVar("T")


class Passage(NamedTuple):
    """What becomes of one packet."""

    arrivals: list[tuple[float, bytes]]
    """When which octets come out at the far end."""
    deeds: list[tuple[Deed, str]]
    """What was done to it on the way that is out of the ordinary, and details."""


@dataclass(slots=True, kw_only=True)
class Path:
    """What happens to packets that go one way. Equal paths do the same to the same packets at the same times.

    A packet waits until the transmitter is free, takes its time there (`rate`), then travels (`delay`). Probabilities
    are 0 to 1 and independent of each other. The default is a perfect path: everything arrives at once.
    """

    rate: float = inf
    """Bits per second, IP headers counted."""
    delay: float = 0.0
    """Of every packet, seconds, one way."""
    queue_packets: float = 1000
    """How many may wait for the transmitter; one more is dropped."""
    queue_octets: float = inf
    """The same in octets."""
    mark_packets: float = inf
    """If more than so many wait, itself counted, a packet that is ECT (RFC 3168) gets CE: a step, as in the switches
    that DCTCP is made for (RFC 8257, 3.1)."""
    mark_octets: float = inf
    """The same in octets."""
    mtu: float = inf
    """Larger packets vanish, and nobody says so: octets, IP header included."""
    loss: float | LossPattern = 0.0
    """Probability that a packet is lost on its way, or which ones are: see `usertcp.link.loss`."""
    reordering: float = 0.0
    """Probability that a packet is held back, so that later ones overtake it ..."""
    reordering_delay: float = 0.01
    """... by so many seconds."""
    duplication: float = 0.0
    """Probability that a packet arrives twice."""
    corruption: float = 0.0
    """Probability that one bit of a packet is flipped."""
    seed: int = 0
    _random: Random = field(init=False, repr=False, compare=False)
    _fates: Iterator[bool] = field(init=False, repr=False, compare=False)
    _free_at: float = field(default=-inf, init=False, repr=False, compare=False)
    _waiting: deque[tuple[float, int]] = field(default_factory=deque, init=False, repr=False, compare=False)
    """When it begins to be transmitted, and octets, of each packet in the queue."""
    _waiting_octets: int = field(default=0, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        chances = [self.reordering, self.duplication, self.corruption]
        self._random = Random(self.seed)
        if isinstance(self.loss, int | float):
            chances.append(self.loss)
            self._fates = self._by_chance(self.loss)
        else:
            self._fates = self.loss.fates(self._random)
        if not all(0 <= chance <= 1 for chance in chances):
            raise ValueError("probabilities are 0 to 1")
        if self.rate <= 0 or self.delay < 0 or self.reordering_delay < 0:
            raise ValueError("rate must be positive, delays not negative")

    def another(self) -> Path:
        """A fresh path with the same properties and the next seed: for the way back."""
        return replace(self, seed=self.seed + 1)

    def carry(self, packet: bytes, now: float, *, unfinished_checksum: bool = False) -> Passage:
        """Send a packet in at one end. `now` never decreases.

        Args:
          unfinished_checksum: the TCP checksum covers the pseudo-header only. Corruption then hits the addresses, since
            anywhere else nobody could notice, as on no real path.
        """
        octets = len(packet)
        if octets > self.mtu:
            return Passage([], [("dropped", f"larger than {self.mtu:.0f} octets")])
        at = self._transmitted(octets, now)
        if at is None:
            return Passage([], [("dropped", "queue full")])
        deeds: list[tuple[Deed, str]] = []
        queue_is_long = len(self._waiting) > self.mark_packets or self._waiting_octets > self.mark_octets
        if queue_is_long and (ce := marked(packet)) is not None:
            deeds.append(("marked", "CE"))
            packet = ce
        if next(self._fates):
            deeds.append(("dropped", "lost"))
            return Passage([], deeds)
        at += self.delay
        copies = 1
        if self.duplication and self._happens(self.duplication):
            deeds.append(("duplicated", ""))
            copies = 2
        if self.reordering and self._happens(self.reordering):
            deeds.append(("delayed", f"{self.reordering_delay:g} s"))
            at += self.reordering_delay
        if self.corruption and self._happens(self.corruption):
            deeds.append(("corrupted", ""))
            packet = self._corrupted(packet, unfinished_checksum)
        return Passage([(at, packet)] * copies, deeds)

    def _by_chance(self, probability: float) -> Iterator[bool]:
        return iter(partial(self._happens, probability), None) if probability else repeat(False)

    def _happens(self, probability: float) -> bool:
        return self._random.random() < probability

    def _transmitted(self, octets: int, now: float) -> float | None:
        """When the last bit has left, or None if the queue has no room."""
        if self.rate == inf:
            return now
        waiting, begins = self._waiting, self._free_at
        while waiting and waiting[0][0] <= now:
            self._waiting_octets -= waiting.popleft()[1]
        if begins > now:
            if len(waiting) >= self.queue_packets or self._waiting_octets + octets > self.queue_octets:
                return None
            waiting.append((begins, octets))
            self._waiting_octets += octets
        else:
            begins = now
        free_at = self._free_at = begins + octets * 8 / self.rate
        return free_at

    def _corrupted(self, packet: bytes, unfinished_checksum: bool) -> bytes:
        first, end = 0, len(packet)
        if unfinished_checksum:
            first, end = (12, 20) if packet[0] >> 4 == 4 else (8, 40)
        bit = self._random.randrange(first * 8, end * 8)
        octets = bytearray(packet)
        octets[bit // 8] ^= 1 << bit % 8
        return bytes(octets)


def marked(packet: bytes) -> bytes | None:
    """The IP packet with CE, its IPv4 checksum adapted (RFC 1624, equation 3); None if it is not ECT."""
    version = packet[0] >> 4 if len(packet) >= 20 else 0
    first = int.from_bytes(packet[:2], "big")
    shift = {4: 0, 6: 4}.get(version)
    if shift is None or first >> shift & 3 not in (1, 2):
        return None
    ce = first | 3 << shift
    if version == 6:
        return ce.to_bytes(2, "big") + packet[2:]
    own = (int.from_bytes(packet[10:12], "big") + first - ce) % 0xFFFF
    return ce.to_bytes(2, "big") + packet[2:10] + own.to_bytes(2, "big") + packet[12:]


class Agenda(Generic[T]):
    """Things that are due at some time each; those due at one time keep their order. One task at a time may wait."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, T]] = []
        self._order = count()
        self._alarm = trio.CancelScope()

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, time: float, thing: T) -> None:
        heappush(self._heap, (time, next(self._order), thing))
        if time < self._alarm.deadline:
            self._alarm.deadline = time

    def take(self, now: float) -> list[T]:
        """Remove what is due at *now*, in order."""
        due = []
        while self._heap and self._heap[0][0] <= now:
            due.append(heappop(self._heap)[2])
        return due

    def alarm(self) -> trio.CancelScope:
        """A new scope that is cancelled as soon as something is due, even what is added later."""
        self._alarm = trio.CancelScope(deadline=self._heap[0][0] if self._heap else inf)
        return self._alarm

    def ring(self) -> None:
        """Cancel the present alarm ahead of time."""
        self._alarm.cancel()
