"""Packet sockets (packet(7)): the frames of network interfaces, with the virtio-net header in front."""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from usertcp.errors import SetupError
from usertcp.link import Buffer, packet_filter, vnet

ETH_P_ALL: Final = 3
SOL_PACKET, PACKET_STATISTICS, PACKET_AUXDATA, PACKET_VNET_HDR, PACKET_IGNORE_OUTGOING = 263, 6, 8, 15, 23
AUXDATA: Final = struct.Struct("IIIHHHH")
"""struct tpacket_auxdata; its fifth field is where the network header begins."""
SO_SNDBUFFORCE, SO_RCVBUFFORCE = 32, 33
MSG_TRUNC: Final = int(socket.MSG_TRUNC)
"""A plain number: a test with a member of an enumeration would take a microsecond more for each packet."""
SEND_BUFFER, RECEIVE_BUFFER = 4 << 20, 16 << 20
"""Octets that the kernel may queue for us. Its default of 208 kB holds three super-segments."""
SELDOM: Final = 8
BATCH: Final = 16
"""Packets per wake-up: a megabyte of super-segments, which is still in the cache when it is copied once more."""
LARGEST_PACKET: Final = 65535
LARGEST_LINK_HEADER: Final = 256
ETHERNET_HEADER: Final = 14
BEGIN: Final = vnet.SIZE + ETHERNET_HEADER
"""Of the packet, in what is received by Ethernet."""

WHY_DROPPED: Final = {
    errno.EAGAIN: "send_queue_full",
    errno.ENOBUFS: "send_queue_full",
    errno.EMSGSIZE: "larger_than_mtu",
    errno.EPERM: "forbidden_by_netfilter",
    errno.ENETUNREACH: "no_route",
    errno.EHOSTUNREACH: "no_route",
    errno.ENETDOWN: "no_route",
}
"""What a packet that did not go out is counted as; other errors by their own name."""


class PacketSockets:
    """One socket for what comes by Ethernet, of one interface or of all, and one for each interface by which something
    leaves.

    Raises:
      SetupError: packet sockets are not for us; the message says what to do.
    """

    def __init__(
        self, interface: str | None, program: list[packet_filter.Instruction], counts: defaultdict[str, int]
    ) -> None:
        """
        Args:
          interface: receive from this one only.
          program: what to receive, see `usertcp.link.packet_filter`.
          counts: where to count what is sent, received and dropped.
        """
        self._in = open_in(interface, [*packet_filter.ON_ETHERNET, *program])
        self._outs: dict[str, int] = {}
        """Descriptors of the sockets to send by: to write to one takes less than `sendmsg`."""
        self._counts = counts
        self._alone = 0
        """How many times in a row there was one packet only."""
        self._frames = [memoryview(bytearray(BEGIN + LARGEST_PACKET)) for _ in range(BATCH)]

    def fileno(self) -> int:
        """Readable when packets are at hand."""
        return self._in.fileno()

    def receive(self) -> list[memoryview]:
        """The packets at hand, in buffers that begin with the virtio-net header. The next call uses them again."""
        packets: list[memoryview] = []
        # Whoever asks and answers gets one at a time, and would look for a second one in vain. Should there be one, it
        # keeps the socket readable, and now and then it is looked for.
        most = BATCH if self._alone % SELDOM == 0 else 1
        receive_into = self._in.recv_into
        for frame in self._frames[:most]:
            try:
                length = receive_into(frame, 0, MSG_TRUNC)
            except BlockingIOError:
                break
            except OSError as error:  # an interface went down; others may be up
                self._counts[why_dropped(error)] += 1
                continue
            if length > len(frame):
                self._counts["truncated"] += 1
                continue
            packets.append(frame[BEGIN:length])
        self._alone = self._alone + 1 if len(packets) == 1 else 0
        self._counts["received"] += len(packets)
        return packets

    def send(self, interface: str, frames: Sequence[list[Buffer]]) -> None:
        """Send frames, each in parts: the virtio-net header, the link's, the packet. What does not leave is counted."""
        for parts in frames:
            try:
                os.writev(self._outs.get(interface) or self._open_out(interface), parts)
                self._counts["sent"] += 1
            except OSError as error:
                self._counts[why_dropped(error)] += 1

    def _open_out(self, interface: str) -> int:
        """A socket that is bound to an interface, and receives nothing: to name the interface each time costs more."""
        out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
        try:
            out.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
            set_buffers(out)
            out.bind((interface, 0))
        except OSError:
            out.close()
            raise
        descriptor = self._outs[interface] = out.detach()
        return descriptor

    @property
    def receive_queue(self) -> int:
        """Octets that may wait for `receive`."""
        return receive_queue(self._in)

    def count_lost(self) -> None:
        """Count what found the queue full since the last time."""
        self._counts["receive_queue_full"] += lost(self._in)

    def close(self) -> None:
        self._in.close()
        while self._outs:
            os.close(self._outs.popitem()[1])


class OtherPackets:
    """What comes by anything but Ethernet: loopback, tunnels. Link headers differ there, or there is none: the kernel
    says of each packet where its IP header begins, which takes longer.

    Raises:
      SetupError: packet sockets are not for us; the message says what to do.
    """

    def __init__(
        self, interface: str | None, program: list[packet_filter.Instruction], counts: defaultdict[str, int]
    ) -> None:
        """As for `PacketSockets`."""
        self._in = open_in(interface, [*packet_filter.ELSEWHERE, *program])
        self._in.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        self._counts = counts
        self._frame = memoryview(bytearray(vnet.SIZE + LARGEST_LINK_HEADER + LARGEST_PACKET))

    def fileno(self) -> int:
        """Readable when packets are at hand."""
        return self._in.fileno()

    def receive(self) -> list[memoryview]:
        """The packets at hand, each in a buffer of its own that begins with the virtio-net header."""
        packets: list[memoryview] = []
        while len(packets) < BATCH:
            try:
                length, ancillary, flags, _ = self._in.recvmsg_into([self._frame], socket.CMSG_SPACE(AUXDATA.size))
            except BlockingIOError:
                break
            except OSError as error:
                self._counts[why_dropped(error)] += 1
                continue
            if flags & MSG_TRUNC:
                self._counts["truncated"] += 1
                continue
            frame = memoryview(bytes(self._frame[:length]))
            packets.append(frame[vnet.SIZE + AUXDATA.unpack(ancillary[0][2])[4] :])
        self._counts["received"] += len(packets)
        return packets

    def count_lost(self) -> None:
        """Count what found the queue full since the last time."""
        self._counts["receive_queue_full"] += lost(self._in)

    def close(self) -> None:
        self._in.close()


def open_in(interface: str | None, program: list[packet_filter.Instruction]) -> socket.socket:
    """A packet socket to receive by, of one interface or of all. Raises SetupError."""
    try:
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.htons(ETH_P_ALL))
    except PermissionError:
        raise SetupError(no_raw_sockets()) from None
    try:
        for option in PACKET_VNET_HDR, PACKET_IGNORE_OUTGOING:
            sock.setsockopt(SOL_PACKET, option, 1)
        set_buffers(sock)
        if interface is not None:
            sock.bind((interface, ETH_P_ALL))
        packet_filter.attach(sock, program)
    except OSError as error:
        sock.close()
        what = "packet sockets" if interface is None else f"interface {interface}"
        raise SetupError(f"{what}: {os.strerror(error.errno or 0)}") from error
    return sock


def lost(sock: socket.socket) -> int:
    """How many packets a packet socket had no room for since this was asked before."""
    _, dropped = struct.unpack("II", sock.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
    return int(dropped)


def receive_queue(sock: socket.socket) -> int:
    """Octets of packets that may wait in a socket. The kernel has doubled what was asked for, to keep its books in."""
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2


def set_buffers(sock: socket.socket) -> None:
    """Set the sizes of a socket's buffers, above the system's limits where we may (CAP_NET_ADMIN)."""
    for force, ask, octets in (
        (SO_SNDBUFFORCE, socket.SO_SNDBUF, SEND_BUFFER),
        (SO_RCVBUFFORCE, socket.SO_RCVBUF, RECEIVE_BUFFER),
    ):
        try:
            sock.setsockopt(socket.SOL_SOCKET, force, octets)
        except PermissionError:
            sock.setsockopt(socket.SOL_SOCKET, ask, octets)


def why_dropped(error: OSError) -> str:
    """The name of the counter for a packet that the kernel did not take."""
    code = error.errno or errno.EINVAL
    return WHY_DROPPED.get(code, errno.errorcode[code].lower())


def no_raw_sockets() -> str:
    """What to do without CAP_NET_RAW."""
    python = os.path.realpath(sys.executable)
    return f"""\
raw sockets need the capability NET_RAW, which this process does not have. One of these helps:
  sudo {sys.executable} ...                                    (run as root)
  sudo setcap cap_net_raw,cap_net_admin+ep {python}    (for every program of this interpreter)
  docker run --cap-add NET_RAW --cap-add NET_ADMIN ...         (in a container)
  usertcp lab                                                  (namespaces of its own, no root needed)"""
