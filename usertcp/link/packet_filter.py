"""A filter in the kernel for packet sockets, so that traffic which cannot be ours never wakes this process.

Classic BPF, the language of tcpdump: an instruction is an operation, two relative jumps and a constant.
"""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Iterable

Instruction = tuple[int, int, int, int]

LOAD_WORD, LOAD_OCTET, JUMP_IF_EQUAL, RETURN = 0x20, 0x30, 0x15, 0x06
NETWORK_HEADER = 0x1_0000_0000 - 0x10_0000
"""Offsets from here count from the IP header, whatever link header stands in front."""
PACKET_TYPE = 0x1_0000_0000 - 0x1000 + 4
PACKET_HOST = 0
WHOLE = 0x40000
SO_ATTACH_FILTER = 26

NOTHING: list[Instruction] = [(RETURN, 0, 0, 0)]

TCP, ICMP, ICMPV6 = socket.IPPROTO_TCP, socket.IPPROTO_ICMP, socket.IPPROTO_ICMPV6
EXTENSION_HEADERS = (socket.IPPROTO_HOPOPTS, socket.IPPROTO_ROUTING, socket.IPPROTO_FRAGMENT, socket.IPPROTO_DSTOPTS)


def arriving(protocol_at: int, protocols: Iterable[int]) -> list[Instruction]:
    """Take packets addressed to this host whose octet *protocol_at* of the IP header is one of *protocols*.

    Not those that leave (on loopback each packet is seen leaving, then arriving), and not other hosts', which a
    promiscuous interface shows.
    """
    accepted = list(protocols)
    last = len(accepted)
    return [
        (LOAD_WORD, 0, 0, PACKET_TYPE),
        (JUMP_IF_EQUAL, 0, last + 1, PACKET_HOST),
        (LOAD_OCTET, 0, 0, NETWORK_HEADER + protocol_at),
        *((JUMP_IF_EQUAL, last - index, 0, protocol) for index, protocol in enumerate(accepted)),
        (RETURN, 0, 0, 0),
        (RETURN, 0, 0, WHOLE),
    ]


IPV4 = arriving(9, (TCP, ICMP))
"""Fragments have their protocol in every one."""
IPV6 = arriving(6, (TCP, ICMPV6, *EXTENSION_HEADERS))

ETHERTYPE = 0x1_0000_0000 - 0x1000
"""What the link header says is in the packet."""
BOTH = [
    (LOAD_WORD, 0, 0, ETHERTYPE),
    (JUMP_IF_EQUAL, 0, len(IPV4), 0x0800),
    *IPV4,
    (JUMP_IF_EQUAL, 1, 0, 0x86DD),
    (RETURN, 0, 0, 0),
    *IPV6,
]
"""For sockets that see both families."""


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
            sock.recv(1)
        except BlockingIOError:
            return
