"""Segments that prove who has sent them, by one of two options (RFC 2385, RFC 5925), and what becomes of those that do
not. A codec knows the octets that are signed: the core gives it what signs them, and verifies those that came."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from usertcp.tcp import ao, md5
from usertcp.tcp.segment import Flow, Segment

if TYPE_CHECKING:
    from usertcp.tcp.config import Config
    from usertcp.tcp.tcb import Tcb


class Authentication(Protocol):
    """Signs and verifies the segments of one pair of sockets."""

    @property
    def octets(self) -> int:
        """What the option takes in every segment, with padding."""

    def sign(self, seg: Segment, tcb: Tcb | None) -> None:
        """Have a segment of ours signed: the codec asks for the digest when the octets are known. None: it belongs to
        no connection."""

    def objection(self, seg: Segment, tcb: Tcb | None) -> str | None:
        """Why a segment of the peer's does not count, be it signed or not; None if it is the peer's indeed."""


def of(flow: Flow, config: Config) -> Authentication | None:
    """What signs for a pair of sockets; None without a key for the peer. The newer way is the stronger one, and the two
    are not used together (RFC 5925, 2.2)."""
    if config.ao_keys and (signer := ao.of(flow, config.ao_keys)) is not None:
        return signer
    return md5.of(flow, config.md5_keys) if config.md5_keys else None


def objection(authentication: Authentication | None, seg: Segment, tcb: Tcb | None, config: Config) -> str | None:
    """Why a segment does not count, be there a key for its sender or not. It is dropped, and nothing answers it (RFC
    2385, 2.0; RFC 5925, 7.3)."""
    if authentication is not None:
        return authentication.objection(seg, tcb)
    signature = seg.options.signature
    if signature is None or (signature.key_ids is not None and config.unknown_ao == "accept"):
        return None
    return f"{'MD5 signature' if signature.key_ids is None else 'TCP-AO'}, but we have no key for this peer"
