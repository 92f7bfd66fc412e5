"""The TCP MD5 Signature option: every segment proves that its sender has the key (RFC 2385)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from functools import partial
from hmac import compare_digest
from typing import TYPE_CHECKING, Final

from usertcp.tcp.options import Signature
from usertcp.tcp.peer_keys import Peers, addresses, closest, pseudo_header
from usertcp.tcp.segment import Flow, Segment

if TYPE_CHECKING:
    from usertcp.tcp.tcb import Tcb

LONGEST_KEY: Final = 80
"""Octets, as Linux has it (RFC 2385, 4.5: at least that must be possible)."""
ZEROS: Final = bytes(16)


@dataclass(slots=True, frozen=True)
class Md5Key(Peers):
    """What we and some peers know, and nobody else."""

    key: bytes = field(repr=False)
    """1 to 80 octets."""

    def __post_init__(self) -> None:
        Peers.__post_init__(self)
        if not 1 <= len(self.key) <= LONGEST_KEY:
            raise ValueError(f"an MD5 key has 1 to {LONGEST_KEY} octets")


class Md5:
    """See `Authentication`."""

    __slots__ = ("_incoming", "_key", "_outgoing")

    octets = 20

    def __init__(self, flow: Flow, key: bytes) -> None:
        self._outgoing, self._incoming = addresses(flow), addresses(flow.reversed)
        self._key = key

    def sign(self, seg: Segment, tcb: Tcb | None) -> None:
        signature = Signature(ZEROS, sign=partial(digest, self._outgoing, self._key))
        seg.options = replace(seg.options, signature=signature)

    def objection(self, seg: Segment, tcb: Tcb | None) -> str | None:
        signature = seg.options.signature
        if signature is None or signature.key_ids is not None:
            return "no MD5 signature, though we have a key for this peer"
        if not compare_digest(signature.digest, digest(self._incoming, self._key, signature.header, seg.data)):
            return "wrong MD5 signature"
        return None


def of(flow: Flow, keys: tuple[Md5Key, ...]) -> Md5 | None:
    """What signs for a pair of sockets; None without a key for the peer."""
    fitting = closest(keys, flow)
    return Md5(flow, fitting[0].key) if fitting else None


def digest(addresses: bytes, key: bytes, header: bytes, data: bytes | memoryview) -> bytes:
    """RFC 2385, 2.0: of the pseudo-header, the header without options and with a checksum of zero, the text, the key.

    Args:
      addresses: the sender's and the receiver's.
      header: with its options, for they count for the lengths.
    """
    pseudo = pseudo_header(addresses, len(header) + len(data))
    octets = b"".join((pseudo, header[:16], b"\0\0", header[18:20], data, key))
    return hashlib.md5(octets, usedforsecurity=False).digest()
