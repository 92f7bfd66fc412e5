"""The far end of a cable, where a test sees and sends each packet by itself."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import suppress

import trio

from usertcp.link import Link

ETH_P_IP, PACKET_OUTGOING = 0x0800, 4


class FarEnd(Link):
    """The IPv4 packets of one interface in the namespace where it is made. The kernel there sees them too."""

    def __init__(self, interface: str, neighbour: bytes = b"") -> None:
        """*neighbour*: the Ethernet address that packets go to, if the interface has such."""
        self._to = (interface, ETH_P_IP, 0, 0, neighbour)
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_IP))
        self._socket.setblocking(False)
        self._socket.bind((interface, ETH_P_IP))

    def send(self, packet: bytes) -> None:
        with suppress(OSError):
            self._socket.sendto(packet, self._to)

    async def receive(self) -> Sequence[bytes]:
        while True:
            await trio.lowlevel.wait_readable(self._socket)
            with suppress(OSError):  # A TUN device goes away with its link.
                packet, (_, _, kind, *_) = self._socket.recvfrom(1 << 17)
                if kind != PACKET_OUTGOING:
                    return [packet]

    def source_address(self, remote: str) -> str:
        raise NotImplementedError

    def close(self) -> None:
        self._socket.close()


def hardware_address(interface: str) -> bytes:
    """The Ethernet address of an interface of the namespace that we are in."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM) as sock:
        sock.bind((interface, 0))
        address: bytes = sock.getsockname()[4]
        return address
