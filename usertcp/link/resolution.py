"""Who has an address, asked and answered by ourselves: ARP (RFC 826) and IPv6 Neighbour Discovery (RFC 4861, 7.2).

There are no timers. Who is not known is asked for when something is to be sent there, at most once a second (RFC 1122,
2.3.2.1). Who is known stays so until he says something else, or until TCP hears nothing from him any more (the same,
(4)); which is also what Neighbour Unreachability Detection goes by (RFC 4861, 7.3.1). What strangers may fill is
bounded. The messages are few, so Scapy reads and writes them.
"""

from __future__ import annotations

import os
import socket
import struct
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from ipaddress import IPv4Interface, IPv6Interface, ip_address
from typing import NamedTuple

from scapy.layers.inet6 import (
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
    in6_chksum,
    in6_getnsma,
    in6_getnsmac,
)
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet

from usertcp.errors import SetupError
from usertcp.link import packet_filter
from usertcp.link.packet_sockets import ETH_P_ALL, PACKET_IGNORE_OUTGOING, SOL_PACKET, no_raw_sockets

ETHERTYPE = {4: b"\x08\x00", 16: b"\x86\xdd"}
"""By the length of an address."""
PACKET_ADD_MEMBERSHIP, PACKET_MR_MULTICAST, PACKET_MR_UNICAST = 1, 0, 3
WHO_HAS, IS_AT = 1, 2
BROADCAST, ALL_NODES, ALL_NODES_MAC = "ff:ff:ff:ff:ff:ff", "ff02::1", "33:33:00:00:00:01"
NEIGHBOURS = 1024
"""To remember; one more, and the one that has been known for longest is forgotten."""
UNRESOLVED, KEPT = 64, 32
"""Addresses to wait for, and packets to keep for each: the newest. No more are asked for in a second."""
RETRANS_TIMER = 1.0
"""Seconds between questions for one address."""
BATCH = 16
"""Messages that are read before packets get their turn."""


class Question(NamedTuple):
    """An address that is asked for."""

    asked: float
    packets: deque[bytes]
    """To be sent when it is known."""


class Resolver:
    """Answers for our addresses, and finds out who has others. Addresses are octets, 4 or 16.

    Raises:
      SetupError: packet sockets are not for us, or not on this interface.
    """

    def __init__(
        self,
        interface: str,
        hardware_address: bytes,
        addresses: Sequence[IPv4Interface | IPv6Interface],
        send: Callable[[bytes, bytes], None],
        counts: defaultdict[str, int],
    ) -> None:
        """*send*: takes an Ethernet header and a packet. *counts*: where to count what was not heeded."""
        self._mac, self._hardware_address = hardware_address.hex(":"), hardware_address
        self._own = [address.ip for address in addresses]
        self._send = send
        self._counts = counts
        self._headers: OrderedDict[bytes, bytes] = OrderedDict()
        self._questions: OrderedDict[bytes, Question] = OrderedDict()
        """In the order of time."""
        groups = [in6_getnsma(own.packed) for own in self._own if own.version == 6]
        try:
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
        except PermissionError:
            raise SetupError(no_raw_sockets()) from None
        try:
            self._socket.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
            packet_filter.attach(self._socket, packet_filter.resolution([own.packed for own in self._own]))
            self._socket.bind((interface, ETH_P_ALL))
            self._listen(interface, PACKET_MR_UNICAST, hardware_address)
            for group in groups:
                self._listen(interface, PACKET_MR_MULTICAST, bytes.fromhex(in6_getnsmac(group).replace(":", "")))
        except OSError as error:
            self._socket.close()
            raise SetupError(f"interface {interface}: {os.strerror(error.errno or 0)}") from error
        self._member = member(interface, groups)
        self._announce()

    def fileno(self) -> int:
        """Readable when there is something for `read`."""
        return self._socket.fileno()

    def known(self) -> dict[str, str]:
        """Addresses and hardware addresses as text."""
        return {str(ip_address(address)): header[:6].hex(":") for address, header in self._headers.items()}

    def header(self, address: bytes) -> bytes | None:
        """The Ethernet header of packets to an address on the link; None if it is not known (yet)."""
        return self._headers.get(address)

    def resolve(self, address: bytes, packet: bytes, now: float) -> None:
        """Ask who has an address, and keep a packet until it is known."""
        question = self._questions.get(address)
        if question is None or now - question.asked >= RETRANS_TIMER:
            if question is None and len(self._questions) >= UNRESOLVED:
                if now - next(iter(self._questions.values())).asked < RETRANS_TIMER:
                    self._counts["too_many_unresolved"] += 1
                    return
                self._questions.popitem(last=False)
            question = Question(now, deque(maxlen=KEPT) if question is None else question.packets)
            self._questions[address] = question
            self._questions.move_to_end(address)
            self._ask(address)
        question.packets.append(packet)

    def forget(self, address: bytes) -> None:
        """Nothing comes from there: ask again."""
        self._headers.pop(address, None)

    def read(self) -> None:
        """Take the messages at hand."""
        for _ in range(BATCH):
            try:
                frame = self._socket.recv(2048)
            except BlockingIOError:
                return
            except OSError:  # the interface went down
                continue
            try:
                self._take(Ether(frame))
            except Exception:  # Scapy's readers raise what they like.
                self._counts["resolution_malformed"] += 1

    def close(self) -> None:
        """From now on nobody is known, and nobody is asked for."""
        self._headers.clear()
        self._socket.close()
        for sock in self._member:
            sock.close()

    def _listen(self, interface: str, kind: int, hardware_address: bytes) -> None:
        """Have the interface pick up frames to an address, for as long as the socket is open."""
        request = struct.pack("iHH8s", socket.if_nametoindex(interface), kind, 6, hardware_address)
        self._socket.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, request)

    # What comes

    def _take(self, frame: Packet) -> None:
        if ARP in frame:
            self._arp_arrives(frame[ARP])
        elif IPv6 in frame and valid(frame[IPv6]):
            if ICMPv6ND_NS in frame:
                self._solicitation_arrives(frame[IPv6], frame[ICMPv6ND_NS])
            elif ICMPv6ND_NA in frame:
                self._advertisement_arrives(frame[ICMPv6ND_NA])

    def _arp_arrives(self, arp: Packet) -> None:
        """RFC 826, "Packet Reception"."""
        if (arp.hwtype, arp.ptype, arp.hwlen, arp.plen) != (1, 0x0800, 6, 4) or not self._is_own(arp.pdst):
            return
        asks = arp.op == WHO_HAS
        self._learn(arp.psrc, arp.hwsrc, stranger=asks)
        if asks:
            answer = ARP(op=IS_AT, hwsrc=self._mac, psrc=arp.pdst, hwdst=arp.hwsrc, pdst=arp.psrc)
            self._transmit(Ether(src=self._mac, dst=arp.hwsrc) / answer)

    def _solicitation_arrives(self, ip: Packet, solicitation: Packet) -> None:
        """RFC 4861, 7.2.3 and 7.2.4. From "::" it comes from one who would have our address (RFC 4862, 5.4.3)."""
        if not self._is_own(solicitation.tgt):
            return
        source = ICMPv6NDOptSrcLLAddr in solicitation and solicitation[ICMPv6NDOptSrcLLAddr].lladdr
        if ip.src == "::":
            self._advertise(solicitation.tgt, ALL_NODES, ALL_NODES_MAC)
        elif source:
            self._learn(ip.src, source, stranger=True)
            self._advertise(solicitation.tgt, ip.src, source)
        elif (header := self._headers.get(ip_address(ip.src).packed)) is not None:
            self._advertise(solicitation.tgt, ip.src, header[:6].hex(":"))

    def _advertisement_arrives(self, advertisement: Packet) -> None:
        """RFC 4861, 7.2.5."""
        if ICMPv6NDOptDstLLAddr in advertisement:
            known = ip_address(advertisement.tgt).packed in self._headers
            if advertisement.O or not known:
                self._learn(advertisement.tgt, advertisement[ICMPv6NDOptDstLLAddr].lladdr, stranger=False)

    def _learn(self, address: str, mac: str, *, stranger: bool) -> None:
        """Somebody has said who he is. *stranger*: heed him though we have not asked for him."""
        octets, hardware_address = ip_address(address).packed, bytes.fromhex(mac.replace(":", ""))
        if self._is_own(address):
            self._counts["address_conflicts"] += hardware_address != self._hardware_address
            return
        if not any(octets) or hardware_address[0] & 1:
            return
        question = self._questions.pop(octets, None)
        if question is None and octets not in self._headers and not stranger:
            return
        if octets not in self._headers and len(self._headers) >= NEIGHBOURS:
            self._headers.popitem(last=False)
        header = self._headers[octets] = hardware_address + self._hardware_address + ETHERTYPE[len(octets)]
        for packet in question.packets if question else ():
            self._send(header, packet)

    def _is_own(self, address: str) -> bool:
        return ip_address(address) in self._own

    # What goes out

    def _ask(self, address: bytes) -> None:
        wanted = ip_address(address)
        own = str(next(own for own in self._own if own.version == wanted.version))
        if wanted.version == 4:
            question = ARP(op=WHO_HAS, hwsrc=self._mac, psrc=own, pdst=str(wanted))
            self._transmit(Ether(src=self._mac, dst=BROADCAST) / question)
        else:
            group = in6_getnsma(address)
            ip = IPv6(src=own, dst=socket.inet_ntop(socket.AF_INET6, group), hlim=255)
            question = ICMPv6ND_NS(tgt=str(wanted)) / ICMPv6NDOptSrcLLAddr(lladdr=self._mac)
            self._transmit(Ether(src=self._mac, dst=in6_getnsmac(group)) / ip / question)

    def _advertise(self, own: str, to: str, mac: str) -> None:
        flags = {"R": 0, "S": int(to != ALL_NODES), "O": 1}
        answer = ICMPv6ND_NA(tgt=own, **flags) / ICMPv6NDOptDstLLAddr(lladdr=self._mac)
        self._transmit(Ether(src=self._mac, dst=mac) / IPv6(src=own, dst=to, hlim=255) / answer)

    def _announce(self) -> None:
        """Tell those who remember another one (RFC 5227, 3; RFC 4861, 7.2.6), and the switches."""
        for own in map(str, self._own):
            if ":" in own:
                self._advertise(own, ALL_NODES, ALL_NODES_MAC)
            else:
                announcement = ARP(op=WHO_HAS, hwsrc=self._mac, psrc=own, pdst=own)
                self._transmit(Ether(src=self._mac, dst=BROADCAST) / announcement)

    def _transmit(self, frame: Packet) -> None:
        with suppress(OSError):  # what is lost is asked for again
            self._socket.send(bytes(frame))


def valid(ip: Packet) -> bool:
    """Neighbour Discovery that comes from this link (RFC 4861, 7.1)."""
    message = ip.payload
    return bool(ip.hlim == 255 and message.code == 0 and in6_chksum(socket.IPPROTO_ICMPV6, ip, bytes(message)) == 0)


def member(interface: str, groups: Sequence[bytes]) -> list[socket.socket]:
    """Have the kernel join multicast groups, so that switches which look for members let us have what is sent to them
    (RFC 4861, 7.2.1; RFC 3810)."""
    sockets = []
    with suppress(OSError):  # no IPv6 on this interface: then whoever asks for us is heard by what `_listen` does
        for group in groups:
            sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
            sockets.append(sock)
            sock.setsockopt(
                socket.IPPROTO_IPV6,
                socket.IPV6_JOIN_GROUP,
                group + struct.pack("@I", socket.if_nametoindex(interface)),
            )
    return sockets
