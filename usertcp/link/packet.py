"""Packet sockets with the virtio-net header: beside a live kernel, as fast as the kernel.

Out go Ethernet frames of up to 64 kB with the checksum left open: the interface, or the kernel on its behalf, cuts
them into segments and finishes them; a peer on the same machine gets them whole. In comes what the kernel at the other
end, or the interface, has put together (GRO). What is not reached by Ethernet, loopback above all, and what has no
known neighbour yet, goes through raw IP sockets as `RawLink`'s does: the kernel finds the neighbour by it.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress

from usertcp.link import Buffer, packet_filter, vnet
from usertcp.link.beside_kernel import BesideKernel
from usertcp.link.neighbours import Neighbours
from usertcp.link.packet_sockets import OtherPackets, PacketSockets, set_buffers
from usertcp.link.rst_guard import MARK

IPV6_HDRINCL = 36


class PacketLink(BesideKernel):
    """Every interface of this machine, or one, shared with its kernel. Needs CAP_NET_RAW, and CAP_NET_ADMIN for a quiet
    kernel and for a large receive buffer.

    Raises:
      SetupError: packet sockets are not for us; the message says what to do.
    """

    offloads = True
    attends = True
    before_netfilter = True

    def __init__(self, interface: str | None = None) -> None:
        """*interface*: receive from this one only, and send through no other."""
        super().__init__()
        self._interface = interface
        with ExitStack() as undo:
            undo.callback(super()._release)
            self._sockets = PacketSockets(interface, packet_filter.BOTH, self._counts)
            undo.callback(self._sockets.close)
            self._others = OtherPackets(interface, packet_filter.BOTH, self._counts)
            undo.pop_all()
        self.receive_queue = self._sockets.receive_queue
        self._raw = raw_outs()
        self._neighbours = Neighbours(interface)
        self._watch(
            {
                self._sockets.fileno(): self._sockets.receive,
                self._others.fileno(): self._others.receive,
                self._neighbours.fileno(): self._forget_neighbours,
            }
        )

    def __repr__(self) -> str:
        return f"<PacketLink {self._interface or 'of every interface'}>"

    def send(self, packet: bytes) -> None:
        hop = self._neighbours.hop(packet[16:20] if packet[0] >> 4 == 4 else packet[24:40])
        if hop is None:
            self._send_raw(packet)
        else:
            self._sockets.send(hop.interface, [[vnet.NOTHING, hop.header, packet]])

    def send_unfinished(self, packets: Sequence[tuple[bytes, Buffer]], segment_size: int) -> bool:
        headers = packets[0][0]
        hop = self._neighbours.hop(headers[16:20] if headers[0] >> 4 == 4 else headers[24:40])
        if hop is None:
            return False
        self._sockets.send(hop.interface, vnet.unfinished(packets, segment_size, hop.header))
        return True

    def _forget_neighbours(self) -> list[memoryview]:
        self._neighbours.forget()
        return []

    def _on_a_wire(self, packet: Buffer) -> Iterator[bytes]:
        return vnet.segments(packet)

    def advise(self, remote: str) -> None:
        self._neighbours.doubt(remote)

    def _release(self) -> None:
        self._neighbours.close()
        self._sockets.close()
        self._others.close()
        super()._release()

    def counters(self) -> dict[str, int]:
        if self._readable >= 0:
            self._sockets.count_lost()
            self._others.count_lost()
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
