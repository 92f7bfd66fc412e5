"""Packet sockets with the virtio-net header: beside a live kernel, as fast as the kernel.

Out go Ethernet frames of up to 64 kB with the checksum left open: the interface, or the kernel on its behalf, cuts
them into segments and finishes them; a peer on the same machine gets them whole. In comes what the kernel at the other
end, or the interface, has put together (GRO). What is not reached by Ethernet, loopback above all, and what has no
known neighbour yet, goes through raw IP sockets as `RawLink`'s does: the kernel finds the neighbour by it.
"""

from __future__ import annotations

import errno
import select
import socket
from collections.abc import Iterator
from contextlib import suppress

from usertcp.errors import SetupError
from usertcp.link import Buffer, packet_filter, vnet
from usertcp.link.beside_kernel import BesideKernel
from usertcp.link.neighbours import Neighbours
from usertcp.link.packet_sockets import PacketSockets, set_buffers
from usertcp.link.rst_guard import MARK

ETHERNET_HEADER = 14
IPV6_HDRINCL = 36


class PacketLink(BesideKernel):
    """Every interface of this machine, or one, shared with its kernel. Needs CAP_NET_RAW, and CAP_NET_ADMIN for a quiet
    kernel and for a large receive buffer.

    Raises:
      SetupError: packet sockets are not for us; the message says what to do.
    """

    offloads = True

    def __init__(self, interface: str | None = None) -> None:
        """*interface*: receive from this one only, and send through no other."""
        super().__init__()
        self._interface = interface
        try:
            self._sockets = PacketSockets(interface, packet_filter.BOTH, self._counts)
        except SetupError:
            super()._release()
            raise
        self.receive_queue = self._sockets.receive_queue
        self._raw = raw_outs()
        self._neighbours = Neighbours(interface)
        self._news = select.epoll()
        self._news.register(self._sockets, select.EPOLLIN)
        self._news.register(self._neighbours, select.EPOLLIN)
        self._readable = self._news.fileno()

    def __repr__(self) -> str:
        return f"<PacketLink {self._interface or 'of every interface'}>"

    def send(self, packet: bytes) -> None:
        hop = self._neighbours.hop(packet[16:20] if packet[0] >> 4 == 4 else packet[24:40])
        if hop is None:
            self._send_raw(packet)
        else:
            self._sockets.send(hop.interface, [vnet.NOTHING, hop.header, packet])

    def send_unfinished(self, headers: Buffer, text: Buffer, segment_size: int) -> bool:
        hop = self._neighbours.hop(bytes(headers[16:20] if headers[0] >> 4 == 4 else headers[24:40]))
        if hop is None:
            return False
        unfinished = vnet.unfinished(headers, ETHERNET_HEADER, segment_size)
        self._sockets.send(hop.interface, [unfinished, hop.header, headers, text])
        return True

    def _read(self) -> list[memoryview]:
        packets = self._sockets.receive()
        if not packets:
            self._neighbours.forget()
        return packets

    def _on_a_wire(self, packet: Buffer) -> Iterator[bytes]:
        return vnet.segments(packet)

    def advise(self, remote: str) -> None:
        self._neighbours.doubt(remote)

    def _release(self) -> None:
        self._news.close()
        self._neighbours.close()
        self._sockets.close()
        super()._release()

    def counters(self) -> dict[str, int]:
        if self._readable >= 0:
            self._sockets.count_lost()
        return super().counters()


def raw_outs() -> dict[int, socket.socket]:
    """Raw IP sockets to send by, for the families that the kernel has."""
    outs = {}
    for family, level, option in (
        (socket.AF_INET, socket.IPPROTO_IP, socket.IP_HDRINCL),
        (socket.AF_INET6, socket.IPPROTO_IPV6, IPV6_HDRINCL),
    ):
        try:
            out = socket.socket(family, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.IPPROTO_RAW)
        except OSError as error:
            if error.errno == errno.EAFNOSUPPORT:
                continue
            raise
        out.setsockopt(level, option, 1)
        set_buffers(out)
        with suppress(PermissionError):  # Without it, a guard drops our own RSTs as well.
            out.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, MARK)
        outs[int(family)] = out
    return outs
