"""The TCP Authentication Option: every segment proves that its sender has a key that was made for this connection, and
keys can change while it lives (RFC 5925)."""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from usertcp.tcp.options import Signature
from usertcp.tcp.peer_keys import Peers, addresses, closest, pseudo_header
from usertcp.tcp.segment import ACK, SYN, Flow, Segment
from usertcp.tcp.sequence import MASK, unwrap
from usertcp.tcp.state import SYNCHRONIZED, State

if TYPE_CHECKING:
    from usertcp.tcp.config import Config
    from usertcp.tcp.icmp import Message
    from usertcp.tcp.tcb import Tcb

KIND, END, NOP = 29, 0, 1
HEADER: Final = 20
PORTS, ISNS = Struct("!HH"), Struct("!II")
NO_PEER_YET: Final = (State.CLOSED, State.LISTEN, State.SYN_SENT)
"""States in which the peer's first number is not known."""
DISTRUSTED: Final = {(4, 3, 2), (4, 3, 3), (4, 3, 4), (6, 1, 1), (6, 1, 4)}
"""ICMP errors (IP version, type, code): see `ignores`."""


class Algorithm(Protocol):
    """A function that derives keys and a MAC, which go together (RFC 5926, 3)."""

    octets: int
    """Of a MAC."""

    def derive(self, master_key: bytes, context: bytes) -> bytes:
        """The traffic key for a context (RFC 5926, 3.1.1)."""

    def mac(self, traffic_key: bytes, message: bytes) -> bytes:
        """RFC 5926, 3.2."""


class HmacSha1:
    """KDF_HMAC_SHA1 and HMAC-SHA-1-96 (RFC 5926, 3.1.1.1 and 3.2.1)."""

    octets = 12

    def derive(self, master_key: bytes, context: bytes) -> bytes:
        return hmac.digest(master_key, kdf_input(context, 160), "sha1")

    def mac(self, traffic_key: bytes, message: bytes) -> bytes:
        return hmac.digest(traffic_key, message, "sha1")[: self.octets]

    def __repr__(self) -> str:
        return "HMAC_SHA_1_96"


HMAC_SHA_1_96: Final = HmacSha1()


def kdf_input(context: bytes, bits: int) -> bytes:
    """What a key of so many bits is derived from, in one round of the function (RFC 5926, 3.1.1)."""
    return b"\1TCP-AO" + context + bits.to_bytes(2, "big")


@dataclass(slots=True, frozen=True)
class MasterKey(Peers):
    """A master key tuple (RFC 5925, 3.1). Both ends have the same, but for the two numbers, which are crossed."""

    secret: bytes = field(repr=False)
    """The master key, at least 1 octet."""
    send_id: int
    """SendID, 0 to 255: by this number the peer knows the key. What we send with it, has it as KeyID."""
    receive_id: int
    """RecvID: the peer's number for it. No two keys for one peer have the same, nor the same `send_id`."""
    algorithm: Algorithm = field(default=HMAC_SHA_1_96, kw_only=True)
    """Or `usertcp.aes.AES_128_CMAC_96`."""
    covers_options: bool = field(default=True, kw_only=True)
    """The other TCP options are signed as well. False: a box on the path may change them."""

    def __post_init__(self) -> None:
        Peers.__post_init__(self)
        if not self.secret:
            raise ValueError("a master key has at least 1 octet")
        if not 0 <= self.send_id <= 255 or not 0 <= self.receive_id <= 255:
            raise ValueError("send_id and receive_id are 0 to 255")


class AoStatus(NamedTuple):
    """What of TCP-AO is to be seen of a connection (RFC 5925, 7.1)."""

    current_key: tuple[int, int]
    """(SendID, RecvID) of the key that we sign with."""
    rnext_key: tuple[int, int]
    """Of the one that we ask the peer to sign with."""
    keys: tuple[tuple[int, int], ...]
    """Of all."""
    received: tuple[int, int] | None
    """(KeyID, RNextKeyID) of the last segment that counted."""


class Ao:
    """See `Authentication`. The sequence number extension that tells numbers apart which have wrapped is the upper half
    of a position (RFC 5925, 6.2)."""

    __slots__ = ("_incoming", "_outgoing", "_traffic_keys", "current", "keys", "received", "rnext")

    def __init__(self, flow: Flow, keys: list[MasterKey]) -> None:
        self.keys = keys
        self.current = self.rnext = keys[0]
        """Current_key and rnext_key (RFC 5925, 4)."""
        self.received: tuple[int, int] | None = None
        self._outgoing, self._incoming = sockets(flow), sockets(flow.reversed)
        self._traffic_keys: dict[tuple[MasterKey, bytes], bytes] = {}
        """Those for which both first numbers are known: two for each master key."""

    def configure(self, keys: list[MasterKey]) -> None:
        """Go on with these keys; the first is the one that the peer is asked to use. We change when it asks us (RFC
        5925, 6.1), or at once if ours is gone."""
        self.keys, self.rnext = keys, keys[0]
        if self.current not in keys:
            self.current = keys[0]
        self._traffic_keys.clear()

    @property
    def octets(self) -> int:
        return max(padded(4 + key.algorithm.octets) for key in self.keys)

    @property
    def status(self) -> AoStatus:
        current, rnext, *names = [(key.send_id, key.receive_id) for key in (self.current, self.rnext, *self.keys)]
        return AoStatus(current, rnext, tuple(names), self.received)

    def sign(self, seg: Segment, tcb: Tcb | None) -> None:
        """RFC 5925, 7.4. Without a connection there is nothing to sign with (5.2)."""
        if tcb is None:
            return
        key, snd = self.current, tcb.snd
        isns = (snd.iss, 0 if is_first(seg) else tcb.rcv.irs)
        traffic_key = self._traffic_key(key, self._outgoing, isns, keep=tcb.state not in NO_PEER_YET)
        extension = unwrap(seg.seq, snd.nxt) >> 32
        signature = Signature(
            bytes(key.algorithm.octets),
            (key.send_id, self.rnext.receive_id),
            sign=partial(mac, key, traffic_key, self._outgoing, extension),
        )
        seg.options = replace(seg.options, signature=signature)

    def objection(self, seg: Segment, tcb: Tcb | None) -> str | None:
        """RFC 5925, 7.5."""
        signature = seg.options.signature
        if signature is None or signature.key_ids is None:
            return "no TCP-AO, though we have a key for this peer"
        if tcb is None or (tcb.state in NO_PEER_YET and not seg.flags & SYN):
            return "TCP-AO, and no connection that its key could be of"
        key_id, rnext_key_id = signature.key_ids
        key = next((key for key in self.keys if key.receive_id == key_id), None)
        if key is None:
            return "TCP-AO with an unknown KeyID"
        if len(signature.digest) != key.algorithm.octets:
            return "TCP-AO with a MAC of another length"
        known = tcb.state not in NO_PEER_YET and not is_first(seg)
        isns = (tcb.rcv.irs if known else seg.seq, 0 if is_first(seg) else tcb.snd.iss)
        traffic_key = self._traffic_key(key, self._incoming, isns, keep=known)
        extension = unwrap(seg.seq, tcb.rcv.nxt) >> 32 if known else 0
        expected = mac(key, traffic_key, self._incoming, extension, signature.header, seg.data)
        if not hmac.compare_digest(signature.digest, expected):
            return "wrong TCP-AO"
        self.received = signature.key_ids
        self.current = next((key for key in self.keys if key.send_id == rnext_key_id), self.current)
        return None

    def _traffic_key(self, key: MasterKey, sockets: bytes, isns: tuple[int, int], *, keep: bool) -> bytes:
        """RFC 5925, 5.2. *sockets* and *isns* are the sender's first."""
        context = sockets + ISNS.pack(*isns)
        traffic_key = self._traffic_keys.get((key, context)) or key.algorithm.derive(key.secret, context)
        if keep:
            self._traffic_keys[key, context] = traffic_key
        return traffic_key


def of(flow: Flow, keys: tuple[MasterKey, ...]) -> Ao | None:
    """What signs for a pair of sockets; None without a key for the peer."""
    fitting = closest(keys, flow)
    return Ao(flow, fitting) if fitting else None


def configured(tcb: Tcb, config: Config) -> None:
    """The keys of a connection that uses the option may change while it lives. It does not begin or cease to use it
    (RFC 5925, 7.1)."""
    authentication = tcb.authentication
    if isinstance(authentication, Ao) and (keys := closest(config.ao_keys, tcb.flow)):
        authentication.configure(keys)
        tcb.option_octets += authentication.octets - tcb.signature_octets
        tcb.signature_octets = authentication.octets


def ignores(tcb: Tcb, message: Message) -> bool:
    """An ICMP error is not signed. Where segments are, those that could end a connection, or say that they are too
    large, are not believed (RFC 5925, 7.8). That a path is narrow, `Config.black_hole_detection` finds out.
    """
    about = (message.version, message.type, message.code)
    return isinstance(tcb.authentication, Ao) and tcb.state in SYNCHRONIZED and about in DISTRUSTED


def is_first(seg: Segment) -> bool:
    """Is it a SYN, whose sender does not know the other end's first number (RFC 5925, 5.2)?"""
    return seg.flags & (SYN | ACK) == SYN


def padded(octets: int) -> int:
    return -(-octets // 4) * 4


def sockets(flow: Flow) -> bytes:
    """The first part of a context (RFC 5925, 5.2)."""
    return addresses(flow) + PORTS.pack(flow.local_port, flow.remote_port)


def mac(
    key: MasterKey, traffic_key: bytes, sockets: bytes, extension: int, header: bytes, data: bytes | memoryview
) -> bytes:
    """RFC 5925, 5.1. The header is as it is sent: what does not count in it is put to zero here, or left out."""
    pseudo = pseudo_header(sockets[: -PORTS.size], len(header) + len(data))
    number = (extension & MASK).to_bytes(4, "big")
    options = b"".join(signed_options(header[HEADER:], key.covers_options))
    message = b"".join((number, pseudo, header[:16], b"\0\0", header[18:HEADER], options, data))
    return key.algorithm.mac(traffic_key, message)


def signed_options(octets: bytes, everything: bool) -> Iterator[bytes]:
    """TCP-AO itself, its MAC zeros; and the other options, if they are covered. The list is well-formed."""
    at = 0
    while at < len(octets):
        kind = octets[at]
        length = len(octets) - at if kind == END else 1 if kind == NOP else octets[at + 1]
        if kind == KIND:
            yield octets[at : at + 4] + bytes(length - 4)
        elif everything:
            yield octets[at : at + length]
        at += length
