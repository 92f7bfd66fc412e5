"""The TCP MD5 Signature option: every segment proves that its sender has the key (RFC 2385)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from functools import partial
from hmac import compare_digest
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING

from usertcp.tcp.options import Signature
from usertcp.tcp.segment import Flow, Segment

if TYPE_CHECKING:
    from usertcp.tcp.config import Config

LONGEST_KEY = 80
"""Octets, as Linux has it (RFC 2385, 4.5: at least that must be possible)."""
OCTETS = 20
"""The option with its padding."""
ZEROS = bytes(16)
PROTOCOL = 6


@dataclass(slots=True, frozen=True)
class Md5Key:
    """What we and some peers know, and nobody else."""

    peer: str
    """An address, or a prefix: "192.0.2.2", "2001:db8::/32". The longest prefix that fits a peer decides."""
    key: bytes = field(repr=False)
    """1 to 80 octets."""
    port: int | None = None
    """The peer's. None: any. Of two keys for the same prefix the one that names the port decides."""
    network: IPv4Network | IPv6Network = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not 1 <= len(self.key) <= LONGEST_KEY:
            raise ValueError(f"an MD5 key has 1 to {LONGEST_KEY} octets")
        if self.port is not None and not 0 < self.port < 65536:
            raise ValueError("the port of an MD5 key is 1 to 65535, or None")
        object.__setattr__(self, "network", ip_network(self.peer, strict=False))

    def fits(self, flow: Flow) -> bool:
        return self.port in (None, flow.remote_port) and ip_address(flow.remote) in self.network


class Md5:
    """Signs and verifies the segments of one pair of sockets."""

    __slots__ = ("_incoming", "_key", "_outgoing")

    def __init__(self, flow: Flow, key: bytes) -> None:
        local, remote = ip_address(flow.local).packed, ip_address(flow.remote).packed
        self._outgoing, self._incoming = local + remote, remote + local
        self._key = key

    def sign(self, seg: Segment) -> None:
        """Have a segment of ours signed. The codec asks for the digest when its octets are known."""
        signature = Signature(ZEROS, sign=partial(digest, self._outgoing, self._key))
        seg.options = replace(seg.options, signature=signature)

    def objection(self, seg: Segment) -> str | None:
        """Why a segment of the peer's does not count; None if it is the peer's indeed."""
        signature = seg.options.signature
        if signature is None:
            return "no MD5 signature, though we have a key for this peer"
        if not compare_digest(signature.digest, digest(self._incoming, self._key, signature.header, seg.data)):
            return "wrong MD5 signature"
        return None


def of(flow: Flow, config: Config) -> Md5 | None:
    """What signs for a pair of sockets; None without a key for the peer."""
    if not config.md5_keys or not flow.remote:
        return None
    keys = [key for key in config.md5_keys if key.fits(flow)]
    if not keys:
        return None
    return Md5(flow, max(keys, key=lambda key: (key.network.prefixlen, key.port is not None)).key)


def objection(md5: Md5 | None, seg: Segment) -> str | None:
    """Why a segment does not count, be there a key for its sender or not. It is dropped, and nothing answers it (RFC
    2385, 2.0)."""
    if md5 is not None:
        return md5.objection(seg)
    return None if seg.options.signature is None else "MD5 signature, but we have no key for this peer"


def digest(addresses: bytes, key: bytes, header: bytes, data: bytes) -> bytes:
    """RFC 2385, 2.0: of the pseudo-header, the header without options and with a checksum of zero, the text, the key.

    Args:
      addresses: the sender's and the receiver's, 8 or 32 octets. For IPv6 the pseudo-header is that of RFC 8200, 8.1.
      header: with its options, for they count for the lengths.
    """
    length = len(header) + len(data)
    if len(addresses) == 8:
        pseudo = addresses + PROTOCOL.to_bytes(2, "big") + length.to_bytes(2, "big")
    else:
        pseudo = addresses + length.to_bytes(4, "big") + PROTOCOL.to_bytes(4, "big")
    octets = b"".join((pseudo, header[:16], b"\0\0", header[18:20], data, key))
    return hashlib.md5(octets, usedforsecurity=False).digest()
