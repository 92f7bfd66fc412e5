"""A box in the middle of a second cable: kernels' packets go through a path that loses and delays, as ours do in an
`ImpairedLink`.

    with middle_box(peer.namespace, Path(loss=0.01, delay=0.02), Path(loss=0.01, delay=0.02)):
        ...  # our own kernel, at OURS, and the peer's, at PEER, reach each other

Each end of the cable is a TUN device, so every packet is one segment with its checksum complete. A process of its own
carries them, so that it takes no time from the two ends.
"""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import select
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from heapq import heappop, heappush
from itertools import count

from pyroute2 import IPRoute

from usertcp.errors import SetupError
from usertcp.lab.namespaces import Namespace
from usertcp.link.path import Path

OURS, PEER = "198.51.100.1", "198.51.100.2"
"""Addresses that are set aside for documentation too (RFC 5737)."""
INTERFACE = "box"
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
MTU = 1500
BATCH = 64
"""Packets that are read from one end before the other gets its turn."""


@contextmanager
def middle_box(peer: Namespace, out: Path, back: Path) -> Iterator[None]:
    """Lay the cable between the namespace of this process and the peer's, for the length of a block.

    Args:
      out: what happens to packets that go to the peer, and *back*: to those that come from it.

    Raises:
      SetupError: this system gives us no TUN devices.
    """
    ends = []
    alive, ours = os.pipe()
    try:
        ends = [tun(Namespace(), OURS), tun(peer, PEER)]
        context = multiprocessing.get_context("fork")
        process = context.Process(target=carry, args=(ends, [out, back], alive, ours), daemon=True)
        process.start()
        yield
        process.terminate()
        process.join()
    finally:
        for fd in (*ends, alive, ours):
            os.close(fd)


def tun(namespace: Namespace, address: str) -> int:
    """A TUN device in a namespace, and a descriptor that reads and writes its packets."""
    with namespace.inside():
        try:
            fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise SetupError(f"/dev/net/tun: {error.strerror}. Be root, or let this user open it.") from error
        fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", INTERFACE.encode(), IFF_TUN | IFF_NO_PI))
        with IPRoute() as ipr:
            (index,) = ipr.link_lookup(ifname=INTERFACE)
            ipr.addr("add", index=index, address=address, prefixlen=24)
            ipr.link("set", index=index, mtu=MTU, state="up")
    return fd


def carry(ends: list[int], paths: list[Path], alive: int, parents: int) -> None:
    """Carry packets from each end to the other, until the process that has the other end of *alive* is gone."""
    os.close(parents)
    order = count()
    agenda: list[tuple[float, int, int, bytes]] = []
    while True:
        wait = max(agenda[0][0] - time.monotonic(), 0) if agenda else None
        readable, _, _ = select.select([*ends, alive], [], [], wait)
        if alive in readable:
            return
        for here, there, path in zip(ends, reversed(ends), paths, strict=True):
            if here in readable:
                for packet in waiting(here):
                    now = time.monotonic()
                    for at, octets in path.carry(packet, now).arrivals:
                        heappush(agenda, (at, next(order), there, octets))
        while agenda and agenda[0][0] <= time.monotonic():
            _, _, there, octets = heappop(agenda)
            os.write(there, octets)


def waiting(end: int) -> Iterator[bytes]:
    """Packets that an end has ready, but only so many."""
    for _ in range(BATCH):
        try:
            yield os.read(end, MTU)
        except BlockingIOError:
            return
