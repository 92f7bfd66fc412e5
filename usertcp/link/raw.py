"""Scapy's raw sockets beside a live kernel: the lab's default link, for any destination that the routing table knows.

Out go packets through raw IP sockets that take the header from us (IP_HDRINCL). The kernel routes them, finds the
neighbour, and passes them through netfilter, so that connection tracking knows our connections; and it works on
loopback, where packet sockets do not. In come packets through packet sockets, which see them on every interface
before netfilter or the reverse-path filter can drop them.

What arrives from a kernel on the same machine (loopback, veth, a container) is not what would be on a wire:
super-segments of up to 64 kB, and TCP checksums left for an interface to finish (`unfinished_checksums`).
"""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import trio
from scapy.layers.inet6 import L3RawSocket6
from scapy.supersocket import L3RawSocket, SuperSocket

from usertcp.errors import SetupError
from usertcp.link import Link, packet_filter, routes
from usertcp.link.interfaces import local_addresses, scope_id, smallest_mtu
from usertcp.link.reservation import Reservations
from usertcp.link.rst_guard import MARK, Guard, open_guard

RECEIVE_BUFFER = 16 << 20
"""Octets that the kernel may queue for us, per family. Its default of 208 kB holds three super-segments."""
SEND_BUFFER = 4 << 20
LARGEST_PACKET = 65535
LARGEST_LINK_HEADER = 256
BATCH = 128
"""Packets of a family per `receive`: enough to spread the cost of a wake-up, few enough to let other tasks run."""

SOL_PACKET, PACKET_STATISTICS, PACKET_AUXDATA = 263, 6, 8
SO_SNDBUFFORCE, SO_RCVBUFFORCE, SO_TIMESTAMPNS = 32, 33, 35
AUXDATA = struct.Struct("IIIHHHH")
"""struct tpacket_auxdata; its fifth field is where the network header begins."""
ADDRESS_CHANGES = 0x10 | 0x100
"""Netlink groups: addresses of IPv4 and IPv6."""

WHY_DROPPED = {
    errno.EAGAIN: "send_queue_full",
    errno.ENOBUFS: "send_queue_full",
    errno.EMSGSIZE: "larger_than_mtu",
    errno.EPERM: "forbidden_by_netfilter",
    errno.ENETUNREACH: "no_route",
    errno.EHOSTUNREACH: "no_route",
    errno.ENETDOWN: "no_route",
}
"""What a packet that did not go out is counted as; other errors by their own name."""


class RawLink(Link):
    """Every interface of this machine, shared with its kernel. Needs CAP_NET_RAW, and CAP_NET_ADMIN for a quiet kernel.

    `mtu` is the smallest of all interfaces in use; `mtu_to` knows better.

    Raises:
      SetupError: raw sockets are not for us; the message says what to do.
    """

    unfinished_checksums = True
    beside_kernel = True

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter(sent=0, received=0)
        self._buffer = memoryview(bytearray(LARGEST_LINK_HEADER + LARGEST_PACKET))
        self._sockets = list(raw_sockets())
        self._outs = {sock.outs.family: sock.outs for sock in self._sockets}
        self._ins = [sock.ins for sock in self._sockets]
        self._readable = select.epoll()
        for sock in self._ins:
            self._readable.register(sock, select.EPOLLIN)
        self._address_changes = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK)
        self._address_changes.bind((0, ADDRESS_CHANGES))
        self._addresses: frozenset[str] = frozenset()
        self._reservations = Reservations()
        self._guard: Guard | None = None
        self.mtu = min(smallest_mtu(), LARGEST_PACKET)

    def send(self, packet: bytes) -> None:
        try:
            if packet[0] >> 4 == 4:
                self._outs[socket.AF_INET].sendto(packet, (socket.inet_ntop(socket.AF_INET, packet[16:20]), 0))
            else:
                self._outs[socket.AF_INET6].sendto(packet, destination6(packet))
            self._counts["sent"] += 1
        except KeyError:
            self._counts["no_route"] += 1
        except OSError as error:
            self._counts[why_dropped(error)] += 1

    async def receive(self) -> Sequence[bytes]:
        while True:
            if self._readable.closed:
                raise trio.ClosedResourceError("the link was closed")
            # From here to the return nothing waits, so that a cancellation loses no packet.
            await trio.lowlevel.wait_readable(self._readable.fileno())
            packets = [packet for sock in self._ins for packet in self._read(sock)]
            if packets:
                self._counts["received"] += len(packets)
                return packets

    def _read(self, sock: socket.socket) -> Iterator[bytes]:
        for _ in range(BATCH):
            try:
                length, ancillary, flags, _ = sock.recvmsg_into([self._buffer], socket.CMSG_SPACE(AUXDATA.size))
            except BlockingIOError:
                return
            if flags & socket.MSG_TRUNC:
                self._counts["truncated"] += 1
                continue
            # Link headers differ (14 octets, none on a tunnel): the kernel says where the IP header begins.
            [(_, _, auxdata)] = ancillary
            yield bytes(self._buffer[AUXDATA.unpack(auxdata)[4] : length])

    def source_address(self, remote: str) -> str:
        return routes.source_address(remote)

    def mtu_to(self, remote: str) -> int:
        return min(routes.mtu(remote), LARGEST_PACKET)

    def is_local(self, address: str) -> bool:
        self._forget_addresses_that_changed()
        if not self._addresses:
            self._addresses = local_addresses()
        return address in self._addresses or address.startswith("127.")

    def _forget_addresses_that_changed(self) -> None:
        while True:
            try:
                self._address_changes.recv(1 << 16)
            except BlockingIOError:
                return
            except OSError:
                pass  # ENOBUFS: so many changes that some were lost.
            self._addresses = frozenset()

    @contextmanager
    def claim(self, local: str, port: int, remote: str = "") -> Iterator[None]:
        if self._guard is None:
            self._guard = open_guard()
        with self._reservations.hold(local, port), self._guard.suppress(port, local=local, peer=remote):
            yield

    def close(self) -> None:
        if self._readable.closed:
            return
        with suppress(RuntimeError):  # Outside Trio nobody can be waiting.
            trio.lowlevel.notify_closing(self._readable.fileno())
        self._readable.close()
        self._address_changes.close()
        for sock in self._sockets:
            sock.close()
        if self._guard is not None:
            self._guard.close()

    def counters(self) -> dict[str, int]:
        if not self._readable.closed:
            for sock in self._ins:
                _, lost = struct.unpack("II", sock.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
                self._counts["receive_queue_full"] += lost
        return dict(self._counts)


def raw_sockets() -> Iterator[SuperSocket]:
    """Scapy's sockets, IPv4 and, where the kernel has it, IPv6: non-blocking, filtered, with large buffers."""
    for kind, program in ((L3RawSocket, packet_filter.IPV4), (L3RawSocket6, packet_filter.IPV6)):
        try:
            sock = kind()
        except PermissionError:
            raise SetupError(no_raw_sockets()) from None
        except OSError as error:
            if kind is L3RawSocket6 and error.errno == errno.EAFNOSUPPORT:
                return
            raise
        sock.ins.setblocking(False)
        sock.outs.setblocking(False)
        packet_filter.attach(sock.ins, program)
        sock.ins.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        sock.ins.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 0)
        set_buffer(sock.ins, SO_RCVBUFFORCE, socket.SO_RCVBUF, RECEIVE_BUFFER)
        set_buffer(sock.outs, SO_SNDBUFFORCE, socket.SO_SNDBUF, SEND_BUFFER)
        with suppress(PermissionError):  # Without it, a guard drops our own RSTs as well.
            sock.outs.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, MARK)
        yield sock


def set_buffer(sock: socket.socket, force: int, ask: int, octets: int) -> None:
    """Set the size of a buffer, above the system's limit where we may (CAP_NET_ADMIN)."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, force, octets)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, ask, octets)


def no_raw_sockets() -> str:
    """What to do without CAP_NET_RAW."""
    python = os.path.realpath(sys.executable)
    return f"""\
raw sockets need the capability NET_RAW, which this process does not have. One of these helps:
  sudo {sys.executable} ...                                    (run as root)
  sudo setcap cap_net_raw,cap_net_admin+ep {python}    (for every program of this interpreter)
  docker run --cap-add NET_RAW --cap-add NET_ADMIN ...         (in a container)
  usertcp lab                                                  (namespaces of its own, no root needed)"""


def destination6(packet: bytes) -> tuple[str, int, int, int]:
    """Where an IPv6 packet goes, as `sendto` wants it: with the interface, if the address is link-local."""
    scope = 0
    if packet[24] == 0xFE and packet[25] & 0xC0 == 0x80:
        scope = scope_id(socket.inet_ntop(socket.AF_INET6, packet[8:24]))
    return socket.inet_ntop(socket.AF_INET6, packet[24:40]), 0, 0, scope


def why_dropped(error: OSError) -> str:
    """The name of the counter for a packet that the kernel did not take."""
    code = error.errno or errno.EINVAL
    return WHY_DROPPED.get(code, errno.errorcode[code].lower())
