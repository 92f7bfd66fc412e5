"""A filter in the kernel for packet sockets, so that traffic which cannot be ours never wakes this process.

Classic BPF, the language of tcpdump: an instruction is an operation, two relative jumps and a constant.
"""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Iterable

Instruction = tuple[int, int, int, int]

LOAD_WORD, LOAD_HALF, LOAD_OCTET, JUMP_IF_EQUAL, RETURN = 0x20, 0x28, 0x30, 0x15, 0x06
NETWORK_HEADER = 0x1_0000_0000 - 0x10_0000
"""Offsets from here count from the IP header, whatever link header stands in front."""
ETHERTYPE = 0x1_0000_0000 - 0x1000
"""What the link header says is in the packet."""
PACKET_TYPE = ETHERTYPE + 4
HARDWARE_TYPE = ETHERTYPE + 28
ARPHRD_ETHER = 1
PACKET_HOST = 0
WHOLE = 0x40000
SO_ATTACH_FILTER = 26

NOTHING: list[Instruction] = [(RETURN, 0, 0, 0)]

ARP, IP, IPV6_TYPE = 0x0806, 0x0800, 0x86DD
TCP, ICMP, ICMPV6 = socket.IPPROTO_TCP, socket.IPPROTO_ICMP, socket.IPPROTO_ICMPV6
EXTENSION_HEADERS = (socket.IPPROTO_HOPOPTS, socket.IPPROTO_ROUTING, socket.IPPROTO_FRAGMENT, socket.IPPROTO_DSTOPTS)
SOLICITATION, ADVERTISEMENT = 135, 136
"""Of neighbours: types of ICMPv6."""

TO_THIS_HOST = [(LOAD_WORD, 0, 0, PACKET_TYPE), (JUMP_IF_EQUAL, 1, 0, PACKET_HOST), *NOTHING]
"""Go on with packets addressed to this host.

Not with those that leave (on loopback each packet is seen leaving, then arriving), and not with other hosts', which a
promiscuous interface shows.
"""


ON_ETHERNET = [(LOAD_WORD, 0, 0, HARDWARE_TYPE), (JUMP_IF_EQUAL, 1, 0, ARPHRD_ETHER), *NOTHING]
"""Go on with what comes by an Ethernet."""
ELSEWHERE = [(LOAD_WORD, 0, 0, HARDWARE_TYPE), (JUMP_IF_EQUAL, 0, 1, ARPHRD_ETHER), *NOTHING]
"""Go on with all else."""


def one_of(at: int, values: Iterable[int], load: int = LOAD_OCTET) -> list[Instruction]:
    """Take packets that have one of *values* in the IP header's octet *at*, or the word that begins there."""
    accepted = list(values)
    last = len(accepted)
    return [
        (load, 0, 0, NETWORK_HEADER + at),
        *((JUMP_IF_EQUAL, last - index, 0, value) for index, value in enumerate(accepted)),
        *NOTHING,
        (RETURN, 0, 0, WHOLE),
    ]


def by_type(kind: int, program: list[Instruction], ipv6: list[Instruction]) -> list[Instruction]:
    """Go on with a program for packets of this type, or with one for IPv6."""
    return [
        (LOAD_WORD, 0, 0, ETHERTYPE),
        (JUMP_IF_EQUAL, 0, len(program), kind),
        *program,
        (JUMP_IF_EQUAL, 1, 0, IPV6_TYPE),
        *NOTHING,
        *ipv6,
    ]


SEGMENTS = one_of(9, (TCP, ICMP))
"""Fragments have their protocol in every one."""
SEGMENTS6 = one_of(6, (TCP, ICMPV6, *EXTENSION_HEADERS))
EITHER = by_type(IP, SEGMENTS, SEGMENTS6)

IPV4 = [*TO_THIS_HOST, *SEGMENTS]
IPV6 = [*TO_THIS_HOST, *SEGMENTS6]
BOTH = [*TO_THIS_HOST, *EITHER]
"""For sockets that see both families."""


def to(hardware_address: bytes) -> list[Instruction]:
    """As `BOTH`, of frames to an Ethernet address that need not be this host's."""
    high, low = int.from_bytes(hardware_address[:4], "big"), int.from_bytes(hardware_address[4:], "big")
    high_fits = [(LOAD_WORD, 0, 0, 0), (JUMP_IF_EQUAL, 1, 0, high), *NOTHING]
    return [*high_fits, (LOAD_HALF, 0, 0, 4), (JUMP_IF_EQUAL, 1, 0, low), *NOTHING, *EITHER]


def resolution(addresses: Iterable[bytes]) -> list[Instruction]:
    """Take ARP about these IPv4 addresses, and Neighbour Discovery about any, to whomever it is addressed."""
    about = one_of(24, (int.from_bytes(address, "big") for address in addresses if len(address) == 4), LOAD_WORD)
    kinds = one_of(40, (SOLICITATION, ADVERTISEMENT))
    is_icmp = [(LOAD_OCTET, 0, 0, NETWORK_HEADER + 6), (JUMP_IF_EQUAL, 1, 0, ICMPV6), *NOTHING]
    return by_type(ARP, about, [*is_icmp, *kinds])


def attach(sock: socket.socket, program: list[Instruction]) -> None:
    """Put a filter on a non-blocking socket, in place of the one it had, and throw away what was queued before."""
    for instructions in (NOTHING, program):
        code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *each) for each in instructions))
        fprog = struct.pack("HP", len(instructions), ctypes.addressof(code))
        sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, fprog)
        if instructions is NOTHING:
            drain(sock)


def drain(sock: socket.socket) -> None:
    """Read until nothing is left."""
    while True:
        try:
            sock.recv(64)  # With a virtio-net header, no less than that is an error.
        except BlockingIOError:
            return
        except OSError:
            continue  # A packet for which there is no such header.
