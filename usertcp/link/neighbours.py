"""Where an IP packet goes at the link layer: the kernel's routes and neighbours, asked once and remembered."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any, Final, NamedTuple

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from usertcp.link.beside_kernel import forget_changes

CHANGES: Final = 0x1 | 0x4 | 0x40 | 0x400 | 0x80 | 0x40000
"""Netlink groups: links; neighbours; of IPv4 and IPv6 each: routes, rules of routing."""
USABLE: Final = 0x02 | 0x04 | 0x08 | 0x10 | 0x40 | 0x80
"""NUD_REACHABLE, STALE, DELAY, PROBE, NOARP and PERMANENT."""
ETHERNET: Final = 1
MOST = 1 << 14
"""Destinations to remember; strangers choose them, when they call us."""
ETHERTYPE: Final = {4: b"\x08\x00", 6: b"\x86\xdd"}


class Hop(NamedTuple):
    """The first step on the way to a destination."""

    interface: str
    header: bytes
    """The Ethernet header of packets that go there."""


class Neighbours:
    """Answers by what address of the link layer a destination is reached.

    It never asks the network. An address that is not known becomes known when the kernel sends something there itself,
    and it is the kernel that finds out when a neighbour has moved. All it changes is told by netlink, and the answers
    are forgotten.
    """

    def __init__(self, only: str | None = None) -> None:
        """*only*: know no destination behind another interface."""
        self._only = only
        self._hops: dict[bytes, Hop | None] = {}
        self._changes = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK)
        self._changes.bind((0, CHANGES))
        self._kernel: Any = None
        self._closed = False

    def __len__(self) -> int:
        """How many answers are remembered."""
        return len(self._hops)

    def fileno(self) -> int:
        """Readable when answers have become void: call `forget`."""
        return self._changes.fileno()

    def forget(self) -> None:
        """Ask anew for whatever may have changed."""
        if forget_changes(self._changes):
            self._hops.clear()

    def hop(self, destination: bytes) -> Hop | None:
        """How to reach an address, 4 or 16 octets. None: not by Ethernet, or the neighbour is not known (yet)."""
        try:
            return self._hops[destination]
        except KeyError:
            if len(self._hops) >= MOST:
                self._hops.clear()
            hop = self._hops[destination] = self._ask(destination)
            return hop

    def doubt(self, remote: str) -> None:
        """Nothing comes from there: have the kernel look for it again, by way of what is sent next."""
        with suppress(OSError):
            family = socket.AF_INET6 if ":" in remote else socket.AF_INET
            self._hops[socket.inet_pton(family, remote)] = None

    def close(self) -> None:
        """From now on no destination is known."""
        self._closed = True
        self._hops.clear()
        self._changes.close()
        if self._kernel is not None:
            self._kernel.close()

    def _ask(self, destination: bytes) -> Hop | None:
        if self._closed:
            return None
        if self._kernel is None:
            self._kernel = IPRoute()
        family = socket.AF_INET if len(destination) == 4 else socket.AF_INET6
        text = socket.inet_ntop(family, destination)
        if text.startswith("fe80:"):
            return None  # it says nothing of the interface
        with suppress(NetlinkError):
            route = self._kernel.route("get", family=family, dst=text)[0]
            index, gateway = route.get("oif"), route.get("gateway") or text
            link = self._kernel.link("get", index=index)[0]
            name = str(link.get("ifname"))
            if (self._only is not None and name != self._only) or link["ifi_type"] != ETHERNET:
                return None
            own = octets(link.get("address"))
            for neighbour in self._kernel.get_neighbours(family=family, ifindex=index, dst=gateway):
                if neighbour["state"] & USABLE and neighbour.get("lladdr"):
                    version = 4 if family == socket.AF_INET else 6
                    return Hop(name, octets(neighbour.get("lladdr")) + own + ETHERTYPE[version])
        return None


def octets(address: str) -> bytes:
    """An Ethernet address as on the wire."""
    return bytes.fromhex(address.replace(":", ""))
