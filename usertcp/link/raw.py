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
import socket
from collections.abc import Iterator
from contextlib import suppress
from functools import partial

from scapy.layers.inet6 import L3RawSocket6
from scapy.supersocket import L3RawSocket, SuperSocket

from usertcp.errors import SetupError
from usertcp.link import packet_filter
from usertcp.link.beside_kernel import BesideKernel
from usertcp.link.packet_sockets import (
    AUXDATA,
    LARGEST_LINK_HEADER,
    LARGEST_PACKET,
    PACKET_AUXDATA,
    SOL_PACKET,
    lost,
    no_raw_sockets,
    receive_queue,
    set_buffers,
)
from usertcp.link.rst_guard import MARK

BATCH = 128
"""Packets of a family per wake-up: enough to spread its cost, few enough to let other tasks run."""
SO_TIMESTAMPNS = 35


class RawLink(BesideKernel):
    """Every interface of this machine, shared with its kernel. Needs CAP_NET_RAW, and CAP_NET_ADMIN for a quiet kernel.

    `mtu` is the smallest of all interfaces in use; `mtu_to` knows better.

    Raises:
      SetupError: raw sockets are not for us; the message says what to do.
    """

    def __init__(self) -> None:
        self._sockets = list(raw_sockets())
        super().__init__()
        self._buffer = memoryview(bytearray(LARGEST_LINK_HEADER + LARGEST_PACKET))
        self._raw = {sock.outs.family: sock.outs for sock in self._sockets}
        self._ins = [sock.ins for sock in self._sockets]
        self.receive_queue = min(map(receive_queue, self._ins))
        self._watch({sock.fileno(): partial(self._receive, sock) for sock in self._ins})

    def send(self, packet: bytes) -> None:
        self._send_raw(packet)

    def _receive(self, sock: socket.socket) -> list[bytes]:
        packets = list(self._read_from(sock))
        self._counts["received"] += len(packets)
        return packets

    def _read_from(self, sock: socket.socket) -> Iterator[bytes]:
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

    def _release(self) -> None:
        for sock in self._sockets:
            sock.close()
        super()._release()

    def counters(self) -> dict[str, int]:
        if self._readable >= 0:
            self._counts["receive_queue_full"] += sum(map(lost, self._ins))
        return super().counters()


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
        set_buffers(sock.ins)
        set_buffers(sock.outs)
        with suppress(PermissionError):  # Without it, a guard drops our own RSTs as well.
            sock.outs.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, MARK)
        yield sock
