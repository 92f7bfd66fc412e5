"""What both sides of every comparison share: what is sent, and how it is timed."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from time import perf_counter, process_time
from typing import Literal, NamedTuple

from usertcp.link import Link
from usertcp.runtime.opening import LinkName

BenchLink = LinkName | Literal["tun"]
"""What usertcp can run over."""
Sample = dict[str, float]
"""What one run of a work gave, by name: octets, seconds ... as the work says."""

FIRST_SLICE, LARGEST_SLICE = 1 << 16, 1 << 24
LONG_ENOUGH, LOOKS = 0.02, 2
"""Seconds that a slice takes, or else the next one is larger; it is, unless so many in a row have taken as long: one
alone may have been held up."""
SHIFTS = 65521
TEXT = memoryview(Random(1).randbytes(LARGEST_SLICE + SHIFTS))
"""What bulk transfers consist of: each slice begins at another octet of it."""
MESSAGE = Random(2).randbytes(64)
"""What is sent there and back."""

SLICE = struct.Struct("!cIII")
"""What a bulk transfer is asked for with: SINK or SOURCE, octets, octets of each write, where in TEXT it begins."""
SINK, SOURCE = b"<", b">"
TAKEN = b"."
"""A sink's answer to the last octet of a slice. Its digest follows, which is not in the time that counts."""
DIGEST_SIZE = 32


class Setting(NamedTuple):
    """What a program is told."""

    open_link: Callable[[], Link]
    """Makes what usertcp runs over."""
    seconds: float
    """How long to measure."""
    channel: Connection
    """To the peer process: where somebody listens is said here."""
    tell: Callable[[str], None]
    """To be called with what has been done so far, by what takes long before it measures."""


class WrongOctets(Exception):
    """Something else came out than was put in."""

    def __init__(self, what: str) -> None:
        super().__init__(f"wrong octets: {what}")


def digest(octets: memoryview | bytearray) -> bytes:
    """DIGEST_SIZE octets that tell whether two slices are equal."""
    return hashlib.sha256(octets).digest()


class Slices:
    """A bulk transfer in slices, so that each can be checked before the next one begins, with the clock stopped.

    The first ones only find out how large a slice takes some time (and let congestion windows open). Then the clock
    counts.

        for text in slices:
            with slices.timed():
                ...
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.octets = 0
        self.timed_seconds = 0.0
        self.cpu = 0.0
        self._size = FIRST_SLICE
        self._number = 0
        self._long = 0
        """How many in a row have been long enough."""

    def __iter__(self) -> Iterator[tuple[int, memoryview]]:
        """Where in TEXT the next slice begins, and the slice."""
        while self.timed_seconds < self.seconds:
            self._number += 1
            shift = self._number * 4099 % SHIFTS
            yield shift, TEXT[shift : shift + self._size]

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Around the transfer of a slice."""
        began, cpu = perf_counter(), process_time()
        yield
        seconds, cpu = perf_counter() - began, process_time() - cpu
        if self._long == LOOKS:
            self.octets += self._size
            self.timed_seconds += seconds
            self.cpu += cpu
        elif seconds < LONG_ENOUGH and self._size < LARGEST_SLICE:
            self._size *= 4
            self._long = 0
        else:
            self._long += 1

    def sample(self) -> Sample:
        return {"octets": self.octets, "seconds": self.timed_seconds, "cpu": self.cpu}


class Meter:
    """Counts what is done until the time is over."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.count = 0
        self._cpu = process_time()
        self._began = perf_counter()
        self._end = self._began + seconds

    def over(self) -> bool:
        return perf_counter() >= self._end

    def sample(self) -> Sample:
        """At the end."""
        return {"count": self.count, "seconds": perf_counter() - self._began, "cpu": process_time() - self._cpu}


def meters(seconds: float) -> Iterator[Meter]:
    """One to warm up with, then the one that counts."""
    yield Meter(seconds / 10)
    yield Meter(seconds)


def resident() -> int:
    """Octets of memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def kernel_memory() -> int:
    """Octets of memory that the kernel has for its own objects, sockets among them."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, number, *_ = line.split()
        if name == "Slab:":
            return int(number) * 1024
    return 0
