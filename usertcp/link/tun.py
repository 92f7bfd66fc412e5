"""A TUN device with the virtio-net header: a cable of our own into the kernel.

The kernel is the host at its other end, and the router to all others. Our addresses are ours alone, so nothing keeps a
port for us and nobody resets what is ours. Packets of up to 64 kB with unfinished checksums go both ways, and the order
is kept.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from ipaddress import ip_interface
from typing import Final

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from usertcp.errors import HostUnreachable, SetupError
from usertcp.link import Buffer, canonical, interfaces, vnet
from usertcp.link.reading import ReadingLink

TUNSETIFF, TUNSETOFFLOAD, TUNSETVNETHDRSZ = 0x400454CA, 0x400454D0, 0x400454D8
IFF_TUN, IFF_NO_PI, IFF_VNET_HDR = 0x0001, 0x1000, 0x4000
TUN_F_CSUM, TUN_F_TSO4, TUN_F_TSO6 = 1, 2, 4
IFNAMSIZ: Final = 16
BATCH: Final = 32
LARGEST_FRAME: Final = vnet.SIZE + 65535
DEVICE: Final = "/dev/net/tun"


class TunLink(ReadingLink):
    """One end of a TUN device. It goes away with the link, unless it was there before and persists.

    To make a device or to give the kernel addresses needs CAP_NET_ADMIN; to attach to one that belongs to this user
    (`ip tuntap add NAME mode tun user NAME vnet_hdr`) does not.
    """

    unfinished_checksums = True
    offloads = True
    attends = True

    def __init__(self, *addresses: str, name: str = "usertcp%d", kernel: Sequence[str] = ()) -> None:
        """
        Args:
          addresses: ours, at most one of each family is spoken from.
          name: of the device; "%d" stands for the next number that is free.
          kernel: addresses with their prefixes, "198.51.100.1/24", for the kernel's end, which is also switched on.

        Raises:
          SetupError: no TUN devices for us; the message says what to do.
        """
        self.addresses = [canonical(address) for address in addresses]
        super().__init__()
        self._device = open_device()
        self.name = attach(self._device, name)
        self._frames = [memoryview(bytearray(LARGEST_FRAME)) for _ in range(BATCH)]
        if kernel:
            set_up(self.name, kernel)
        self.mtu = interfaces.mtu(self.name)
        self._watch({self._device: self._receive})

    def send(self, packet: bytes) -> None:
        if len(packet) > self.mtu:  # The driver would take it.
            self._counts["larger_than_mtu"] += 1
        else:
            self._write([vnet.NOTHING, packet])

    def send_unfinished(self, packets: Sequence[tuple[bytes, Buffer]], segment_size: int) -> bool:
        for parts in vnet.unfinished(packets, segment_size):
            self._write(parts)
        return True

    def _write(self, parts: list[Buffer]) -> None:
        try:
            os.writev(self._device, parts)
            self._counts["sent"] += 1
        except OSError as error:  # EIO: it is switched off
            self._counts[errno.errorcode.get(error.errno or 0, "error").lower()] += 1

    def _receive(self) -> list[memoryview]:
        packets = []
        for frame in self._frames:
            try:
                length = os.readv(self._device, [frame])
            except BlockingIOError:
                break
            packets.append(frame[vnet.SIZE : length])
        self._counts["received"] += len(packets)
        return packets

    def _on_a_wire(self, packet: Buffer) -> Iterator[bytes]:
        return vnet.segments(packet)

    def source_address(self, remote: str) -> str:
        for address in self.addresses:
            if (":" in address) == (":" in remote):
                return address
        raise HostUnreachable(f"no address of the family of {remote} at this end of {self.name}")

    def _release(self) -> None:
        os.close(self._device)

    def __repr__(self) -> str:
        return f"<TunLink {self.name}>"


def open_device() -> int:
    """A descriptor of the TUN driver. Raises SetupError."""
    try:
        return os.open(DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise SetupError(
            f"{DEVICE}: {os.strerror(error.errno or 0)}. It has to be there, and open to this user:\n"
            f"  sudo mknod {DEVICE} c 10 200 && sudo chmod 666 {DEVICE}"
        ) from error


def attach(fd: int, name: str) -> str:
    """Make or take a device, and say its name. Raises SetupError; *fd* is closed then."""
    flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR
    try:
        reply = fcntl.ioctl(fd, TUNSETIFF, struct.pack(f"{IFNAMSIZ}sH22x", name.encode(), flags))
        fcntl.ioctl(fd, TUNSETVNETHDRSZ, struct.pack("i", vnet.SIZE))
        fcntl.ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6)
    except OSError as error:
        os.close(fd)
        raise SetupError(
            f"TUN device {name}: {os.strerror(error.errno or 0)}. To make one needs CAP_NET_ADMIN; to have one:\n"
            f"  sudo ip tuntap add tun0 mode tun user $USER vnet_hdr"
        ) from error
    return reply[:IFNAMSIZ].rstrip(b"\0").decode()


def set_up(name: str, addresses: Sequence[str]) -> None:
    """Give the kernel's end its addresses, and switch it on. Raises SetupError."""
    try:
        with IPRoute() as ipr:
            index = socket.if_nametoindex(name)
            ipr.link("set", index=index, state="up")
            for address in map(ip_interface, addresses):
                ipr.addr("add", index=index, address=str(address.ip), prefixlen=address.network.prefixlen)
    except (OSError, NetlinkError) as error:
        raise SetupError(f"cannot set up {name}: {error}") from error
