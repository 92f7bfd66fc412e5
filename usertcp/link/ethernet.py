"""A host of our own on an Ethernet: addresses that no interface has, answered for by us alone.

It shares an interface with the kernel, but nothing else: it has a hardware address of its own, so the kernel takes what
comes for it as somebody else's, answers none of it and forwards none of it. No guard against its RSTs is needed, and no
port is to be reserved. What a kernel does for its addresses is done here: `usertcp.link.resolution`.

This machine's own kernel is the one host that cannot be reached so: what leaves by an interface does not come in by it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Interface, IPv6Interface, ip_address, ip_interface

import trio

from usertcp.errors import HostUnreachable, SetupError
from usertcp.link import Buffer, interfaces, packet_filter, vnet
from usertcp.link.packet_sockets import LARGEST_PACKET, PacketSockets
from usertcp.link.reading import ReadingLink
from usertcp.link.resolution import Resolver


class EthernetLink(ReadingLink):
    """Needs CAP_NET_RAW, and CAP_NET_ADMIN for a large receive buffer.

        EthernetLink("eth0", "10.0.0.9/24", "fd00::9/64", gateways=["10.0.0.1"])

    It answers for its addresses by ARP and Neighbour Discovery, and nothing but TCP: no ping.
    """

    unfinished_checksums = True
    offloads = True
    attends = True

    def __init__(self, interface: str, *addresses: str, gateways: Sequence[str] = ()) -> None:
        """
        Args:
          addresses: ours, with the lengths of their prefixes: whatever has the same prefix is reached directly.
          gateways: by which all else is reached, at most one of each family.

        Raises:
          SetupError: packet sockets are not for us, or there is no such Ethernet; the message says what to do.
          ValueError: something is no address, or a gateway has none of our prefixes.
        """
        super().__init__()
        self.interface = interface
        self.addresses = [ip_interface(address) for address in addresses]
        self._networks = [network_of(address) for address in self.addresses]
        self._gateways: dict[int, bytes] = {}
        for gateway in map(ip_address, gateways):
            if self._via(gateway.packed) is None:
                raise ValueError(f"{gateway} is not on the link")
            self._gateways[len(gateway.packed)] = gateway.packed
        try:
            self.hardware_address = own_hardware_address(interface, self.addresses)
            self.mtu = min(interfaces.mtu(interface), LARGEST_PACKET)
        except OSError as error:
            raise SetupError(f"interface {interface}: {error.strerror}") from error
        self._sockets = PacketSockets(interface, packet_filter.to(self.hardware_address), self._counts)
        try:
            self._resolver = Resolver(interface, self.hardware_address, self.addresses, self._send_frame, self._counts)
        except SetupError:
            self._sockets.close()
            raise
        self.receive_queue = self._sockets.receive_queue
        self._watch({self._sockets.fileno(): self._sockets.receive, self._resolver.fileno(): self._resolve})

    def __repr__(self) -> str:
        return f"<EthernetLink {self.interface}: {', '.join(map(str, self.addresses))}>"

    @property
    def neighbours(self) -> dict[str, str]:
        """The hosts on the link that are known, and their hardware addresses."""
        return self._resolver.known()

    def send(self, packet: bytes) -> None:
        via = self._via(packet[16:20] if packet[0] >> 4 == 4 else packet[24:40])
        header = None if via is None else self._resolver.header(via)
        if header is not None:
            self._send_frame(header, packet)
        elif via is not None:
            self._resolver.resolve(via, packet, trio.current_time())
        else:
            self._counts["no_route"] += 1

    def send_unfinished(self, packets: Sequence[tuple[bytes, Buffer]], segment_size: int) -> bool:
        headers = packets[0][0]
        via = self._via(headers[16:20] if headers[0] >> 4 == 4 else headers[24:40])
        header = None if via is None else self._resolver.header(via)
        if header is None:
            return False
        self._sockets.send(self.interface, vnet.unfinished(packets, segment_size, header))
        return True

    def _send_frame(self, header: bytes, packet: bytes) -> None:
        self._sockets.send(self.interface, [[vnet.NOTHING, header, packet]])

    def _via(self, destination: bytes) -> bytes | None:
        """Who a packet to an address is handed to; None if nobody is known."""
        for octets, network, mask in self._networks:
            if len(destination) == octets and int.from_bytes(destination, "big") & mask == network:
                return destination
        return self._gateways.get(len(destination))

    def _resolve(self) -> list[memoryview]:
        self._resolver.read()
        return []

    def _on_a_wire(self, packet: Buffer) -> Iterator[bytes]:
        return vnet.segments(packet)

    def source_address(self, remote: str) -> str:
        address = ip_address(remote.partition("%")[0])
        own = [each for each in self.addresses if each.version == address.version]
        for each in own:
            if address in each.network:
                return str(each.ip)
        if not own or len(address.packed) not in self._gateways:
            raise HostUnreachable(f"{remote}: not on the link of {self!r}, and there is no gateway")
        return str(own[0].ip)

    def is_local(self, address: str) -> bool:
        return any(address == str(own.ip) for own in self.addresses)

    def advise(self, remote: str) -> None:
        via = self._via(ip_address(remote).packed)
        if via is not None:
            self._resolver.forget(via)

    def _release(self) -> None:
        self._resolver.close()
        self._sockets.close()

    def counters(self) -> dict[str, int]:
        if self._readable >= 0:
            self._sockets.count_lost()
        return super().counters()


def network_of(address: IPv4Interface | IPv6Interface) -> tuple[int, int, int]:
    """Octets of an address, and prefix and mask as numbers."""
    network = address.network
    return len(address.packed), int(network.network_address), int(network.netmask)


def own_hardware_address(interface: str, addresses: Sequence[IPv4Interface | IPv6Interface]) -> bytes:
    """One that is nobody else's, and the same the next time, so that neighbours who remember it are not misled.

    Raises:
      OSError: no such interface, or it is no Ethernet.
    """
    told = " ".join([interfaces.hardware_address(interface).hex(), *map(str, addresses)])
    first, *rest = hashlib.sha256(told.encode()).digest()[:6]
    return bytes([first & ~0x01 | 0x02, *rest])  # of a single host, administered locally
