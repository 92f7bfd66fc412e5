"""What links have in common that share the addresses of this machine with its kernel."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from time import monotonic

from usertcp.link.interfaces import local_addresses, scope_id, smallest_mtu
from usertcp.link.packet_sockets import LARGEST_PACKET, why_dropped
from usertcp.link.reading import ReadingLink
from usertcp.link.reservation import Reservations
from usertcp.link.routes import Route, route
from usertcp.link.rst_guard import Claim, Guard, open_guard

CHANGES_LAST = 1e-4
"""Seconds in which the kernel need not be asked twice whether something has changed: who could change it meanwhile
takes longer. Opening a connection asks three times."""
CHANGES = 0x1 | 0x10 | 0x100 | 0x40 | 0x400 | 0x80 | 0x40000
"""Netlink groups: links; of IPv4 and IPv6 each: addresses, routes, rules of routing."""
ROUTES_LAST = 1.0
"""Seconds after which the kernel is asked again even if it has told nothing: what it learns of a path's MTU it does not
tell."""


class BesideKernel(ReadingLink):
    """Addresses, routes and ports are the kernel's: it says which are ours, and is kept away from the ports we claim.

    What is left for a subclass: `send`, by `_send_raw` or otherwise, to call `_watch`, and to add to `_release`.
    """

    unfinished_checksums = True
    beside_kernel = True
    before_netfilter = False
    """What arrives is read before netfilter drops something."""

    def __init__(self) -> None:
        super().__init__()
        self._raw: dict[int, socket.socket] = {}
        """Raw IP sockets that take the header from us (IP_HDRINCL), by family."""
        self._changes = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK)
        self._changes.bind((0, CHANGES))
        self._changes_asked = 0.0
        self._addresses: frozenset[str] = frozenset()
        self._routes: dict[str, Route] = {}
        """What was said since `_routes_asked`."""
        self._routes_asked = 0.0
        self._reservations = Reservations()
        self._guard: Guard | None = None
        self.mtu = min(smallest_mtu(), LARGEST_PACKET)

    def _send_raw(self, packet: bytes) -> None:
        """Have the kernel route a packet, find the neighbour, and pass it through netfilter."""
        try:
            if packet[0] >> 4 == 4:
                self._raw[socket.AF_INET].sendto(packet, (socket.inet_ntop(socket.AF_INET, packet[16:20]), 0))
            else:
                self._raw[socket.AF_INET6].sendto(packet, destination6(packet))
            self._counts["sent"] += 1
        except KeyError:
            self._counts["no_route"] += 1
        except OSError as error:
            self._counts[why_dropped(error)] += 1

    def source_address(self, remote: str) -> str:
        return self._route(remote).source_address

    def mtu_to(self, remote: str) -> int:
        return min(self._route(remote).mtu, LARGEST_PACKET)

    def _route(self, remote: str) -> Route:
        """The way to a host. Every connection asks twice, which takes seven system calls; to hear that nothing has
        changed takes one."""
        now = self._forget_changes()
        if now >= self._routes_asked + ROUTES_LAST:
            self._routes.clear()
            self._routes_asked = now
        try:
            return self._routes[remote]
        except KeyError:
            found = self._routes[remote] = route(remote)
            return found

    def _forget_changes(self) -> float:
        """Ask the kernel anew for whatever may have changed. Returns the time."""
        now = monotonic()
        if now >= self._changes_asked + CHANGES_LAST:
            self._changes_asked = now
            if forget_changes(self._changes):
                self._addresses = frozenset()
                self._routes.clear()
        return now

    def is_local(self, address: str) -> bool:
        self._forget_changes()
        if not self._addresses:
            self._addresses = local_addresses()
        return address in self._addresses or address.startswith("127.")

    @contextmanager
    def claim(self, local: str, port: int, remote: str = "") -> Iterator[None]:
        guard = self._open_guard()
        with self._reservations.hold(local, port), guard.suppress(port, local=local, peer=remote):
            yield

    def claim_block(self, first: int, most: int) -> AbstractContextManager[range] | None:
        guard = self._open_guard()
        return self._claim_block(guard, first, most) if guard.takes_many else None

    @contextmanager
    def _claim_block(self, guard: Guard, first: int, most: int) -> Iterator[range]:
        with ExitStack() as held:
            ports = held.enter_context(self._reservations.hold_block(first, most))
            held.enter_context(guard.suppress_all([Claim("", port, "") for port in ports]))
            yield ports

    def _open_guard(self) -> Guard:
        if self._guard is None:
            self._guard = open_guard(inbound=self.before_netfilter)
        return self._guard

    def _release(self) -> None:
        for sock in self._raw.values():
            sock.close()
        self._changes.close()
        if self._guard is not None:
            self._guard.close()


def forget_changes(netlink: socket.socket) -> bool:
    """Read all that a non-blocking netlink socket has to tell; say whether there was anything."""
    changed = False
    while True:
        try:
            netlink.recv(1 << 16)
        except BlockingIOError:
            return changed
        except OSError as error:
            if error.errno != errno.ENOBUFS:  # So many changes that some were lost.
                raise
        changed = True


def destination6(packet: bytes) -> tuple[str, int, int, int]:
    """Where an IPv6 packet goes, as `sendto` wants it: with the interface, if the address is link-local."""
    scope = 0
    if packet[24] == 0xFE and packet[25] & 0xC0 == 0x80:
        scope = scope_id(socket.inet_ntop(socket.AF_INET6, packet[8:24]))
    return socket.inet_ntop(socket.AF_INET6, packet[24:40]), 0, 0, scope
