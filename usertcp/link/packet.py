"""Packet sockets with the virtio-net header: beside a live kernel, as fast as the kernel.

Out go Ethernet frames of up to 64 kB with the checksum left open: the interface, or the kernel on its behalf, cuts
them into segments and finishes them; a peer on the same machine gets them whole. In comes what the kernel at the other
end, or the interface, has put together (GRO). What is not reached by Ethernet, loopback above all, and what has no
known neighbour yet, goes through raw IP sockets as `RawLink`'s does: the kernel finds the neighbour by it.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NoReturn

import trio

from usertcp.errors import SetupError
from usertcp.link import Buffer, packet_filter, vnet
from usertcp.link.beside_kernel import (
    LARGEST_PACKET,
    SO_RCVBUFFORCE,
    SO_SNDBUFFORCE,
    BesideKernel,
    no_raw_sockets,
    set_buffer,
    why_dropped,
)
from usertcp.link.neighbours import Hop, Neighbours
from usertcp.link.rst_guard import MARK

ETH_P_ALL = 3
SOL_PACKET, PACKET_STATISTICS, PACKET_AUXDATA, PACKET_VNET_HDR, PACKET_IGNORE_OUTGOING = 263, 6, 8, 15, 23
AUXDATA = struct.Struct("IIIHHHH")
"""struct tpacket_auxdata; its fifth field is where the network header begins."""
RECEIVE_BUFFER = 16 << 20
"""Octets that the kernel may queue for us. Its default of 208 kB holds three super-segments."""
SEND_BUFFER = 4 << 20
BATCH = 16
"""Packets per wake-up: a megabyte of super-segments, which is still in the cache when it is copied once more."""
LARGEST_FRAME = vnet.SIZE + 256 + LARGEST_PACKET
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
        try:
            kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK
            self._socket = socket.socket(socket.AF_PACKET, kind, socket.htons(ETH_P_ALL))
        except PermissionError:
            raise SetupError(no_raw_sockets()) from None
        super().__init__()
        self._interface = interface
        try:
            self._socket.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
            self._socket.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
            self._socket.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
            set_buffer(self._socket, SO_RCVBUFFORCE, socket.SO_RCVBUF, RECEIVE_BUFFER)
            if interface is not None:
                self._socket.bind((interface, ETH_P_ALL))
            packet_filter.attach(self._socket, packet_filter.BOTH)
        except OSError as error:
            self._socket.close()
            super().close()
            what = "packet sockets" if interface is None else f"interface {interface}"
            raise SetupError(f"{what}: {os.strerror(error.errno or 0)}") from error
        self._raw = raw_outs()
        self._outs: dict[str, socket.socket] = {}
        self._neighbours = Neighbours(interface)
        self._readable = select.epoll()
        self._readable.register(self._socket, select.EPOLLIN)
        self._readable.register(self._neighbours, select.EPOLLIN)
        self._frames = [memoryview(bytearray(LARGEST_FRAME)) for _ in range(BATCH)]

    def __repr__(self) -> str:
        return f"<PacketLink {self._interface or 'of every interface'}>"

    def send(self, packet: bytes) -> None:
        hop = self._neighbours.hop(packet[16:20] if packet[0] >> 4 == 4 else packet[24:40])
        if hop is None:
            self._send_raw(packet)
        else:
            self._send_frame([vnet.NOTHING, hop.header, packet], hop)

    def send_unfinished(self, headers: Buffer, text: Buffer, segment_size: int) -> bool:
        hop = self._neighbours.hop(bytes(headers[16:20] if headers[0] >> 4 == 4 else headers[24:40]))
        if hop is None:
            return False
        self._send_frame([vnet.unfinished(headers, ETHERNET_HEADER, segment_size), hop.header, headers, text], hop)
        return True

    def _send_frame(self, parts: list[Buffer], hop: Hop) -> None:
        try:
            out = self._outs.get(hop.interface) or self._open_out(hop.interface)
            out.sendmsg(parts)
            self._counts["sent"] += 1
        except OSError as error:
            self._counts[why_dropped(error)] += 1

    def _open_out(self, interface: str) -> socket.socket:
        """A socket that is bound to an interface, and receives nothing: to name the interface each time costs more."""
        out = self._outs[interface] = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
        out.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        set_buffer(out, SO_SNDBUFFORCE, socket.SO_SNDBUF, SEND_BUFFER)
        out.bind((interface, 0))
        return out

    async def receive(self) -> Sequence[bytes]:
        while True:
            await self._wait()
            if packets := [bytes(packet) for packet in self._read()]:
                return packets

    async def deliver(self, take: Callable[[Sequence[Buffer]], None]) -> NoReturn:
        while True:
            await self._wait()
            if packets := self._read():
                take(packets)

    async def _wait(self) -> None:
        if self._readable.closed:
            raise trio.ClosedResourceError("the link was closed")
        await trio.lowlevel.wait_readable(self._readable.fileno())

    def _read(self) -> list[memoryview]:
        """The packets at hand, in buffers that the next call uses again."""
        packets = []
        receive, space, unpack = self._socket.recvmsg_into, socket.CMSG_SPACE(AUXDATA.size), AUXDATA.unpack
        for frame in self._frames:
            try:
                length, ancillary, flags, _ = receive([frame], space)
            except BlockingIOError:
                break
            except OSError as error:  # an interface went down; others may be up
                self._counts[why_dropped(error)] += 1
                continue
            if flags & socket.MSG_TRUNC:
                self._counts["truncated"] += 1
                continue
            # Link headers differ (14 octets, none on a tunnel): the kernel says where the IP header begins.
            packets.append(frame[vnet.SIZE + unpack(ancillary[0][2])[4] : length])
        self._counts["received"] += len(packets)
        if not packets:
            self._neighbours.forget()
        return packets

    def advise(self, remote: str) -> None:
        self._neighbours.doubt(remote)

    def close(self) -> None:
        if self._readable.closed:
            return
        with suppress(RuntimeError):  # Outside Trio nobody can be waiting.
            trio.lowlevel.notify_closing(self._readable.fileno())
        self._readable.close()
        self._neighbours.close()
        for sock in (self._socket, *self._outs.values(), *self._raw.values()):
            sock.close()
        super().close()

    def counters(self) -> dict[str, int]:
        if not self._readable.closed:
            _, lost = struct.unpack("II", self._socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
            self._counts["receive_queue_full"] += lost
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
        set_buffer(out, SO_SNDBUFFORCE, socket.SO_SNDBUF, SEND_BUFFER)
        with suppress(PermissionError):  # Without it, a guard drops our own RSTs as well.
            out.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, MARK)
        outs[int(family)] = out
    return outs
