"""ICMP errors as TCP sees them (RFC 9293, 3.9.2.2; RFC 5461)."""

from __future__ import annotations

from typing import Final, Protocol

from usertcp.tcp.segment import Flow


class Message(Protocol):
    """What the core reads of an ICMP or ICMPv6 error; `usertcp.wire.IcmpError` is one."""

    @property
    def source(self) -> str: ...
    @property
    def flow(self) -> Flow: ...
    @property
    def seq(self) -> int: ...
    @property
    def version(self) -> int: ...
    @property
    def type(self) -> int: ...
    @property
    def code(self) -> int: ...
    @property
    def mtu(self) -> int: ...


SOURCE_QUENCH: Final = (4, 4)
"""(IP version, type): always discarded (RFC 9293, 3.9.2.2, MUST-55; RFC 6633)."""

HARD: Final = {(4, 3, 2), (4, 3, 3), (4, 3, 9), (4, 3, 10), (4, 3, 13), (6, 1, 1), (6, 1, 4)}
"""(IP version, type, code): protocol and port unreachable, and prohibited. "Fragmentation needed" is about the path's
MTU, not about the connection."""

PORT_UNREACHABLE: Final = {(4, 3, 3), (6, 1, 4)}

NAMES: Final = {
    (4, 3, 0): "network unreachable",
    (4, 3, 1): "host unreachable",
    (4, 3, 2): "protocol unreachable",
    (4, 3, 3): "port unreachable",
    (4, 3, 4): "fragmentation needed",
    (4, 3, 5): "source route failed",
    (4, 3, 9): "network administratively prohibited",
    (4, 3, 10): "host administratively prohibited",
    (4, 3, 13): "administratively prohibited",
    (4, 11, 0): "time to live exceeded",
    (4, 11, 1): "fragment reassembly time exceeded",
    (6, 1, 0): "no route to destination",
    (6, 1, 1): "administratively prohibited",
    (6, 1, 3): "address unreachable",
    (6, 1, 4): "port unreachable",
    (6, 2, 0): "packet too big",
    (6, 3, 0): "hop limit exceeded",
    (6, 3, 1): "fragment reassembly time exceeded",
}


def is_too_big(message: Message) -> bool:
    """Is it about the size of a packet (RFC 1191, 4; RFC 4443, 3.2)?"""
    return (message.version, message.type, message.code) == (4, 3, 4) or (message.version, message.type) == (6, 2)


def is_hard(message: Message) -> bool:
    """May it end a connection? Only one that is not yet synchronized: after that the error may be passing, or forged
    (RFC 5461, 4.1; RFC 5927, 5.2)."""
    return (message.version, message.type, message.code) in HARD


def refuses(message: Message) -> bool:
    """Is it the port that nobody has? Packet filters say so where a host would send a RST."""
    return (message.version, message.type, message.code) in PORT_UNREACHABLE


def describe(message: Message) -> str:
    """The error in words, and who reported it."""
    name = NAMES.get((message.version, message.type, message.code), f"ICMP type {message.type} code {message.code}")
    return f"{name}, says {message.source}"
