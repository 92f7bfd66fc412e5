"""Keys that are shared with some peers, and what else the two ways to sign a segment have in common: the TCP MD5
Signature option (RFC 2385) and the TCP Authentication Option (RFC 5925)."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final, TypeVar

from usertcp.tcp.segment import Flow

PROTOCOL: Final = 6


@dataclass(slots=True, frozen=True)
class Peers:
    """Whom a key is shared with."""

    peer: str
    """An address, or a prefix: "192.0.2.2", "2001:db8::/32". The longest prefix that fits a peer decides."""
    port: int | None = field(default=None, kw_only=True)
    """The peer's. None: any. Of two keys for the same prefix the one that names the port decides."""
    network: IPv4Network | IPv6Network = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.port is not None and not 0 < self.port < 65536:
            raise ValueError("the port of a key's peer is 1 to 65535, or None")
        object.__setattr__(self, "network", ip_network(self.peer, strict=False))

    def fits(self, flow: Flow) -> bool:
        return self.port in (None, flow.remote_port) and ip_address(flow.remote) in self.network

    @property
    def closeness(self) -> tuple[int, bool]:
        """The greatest decides."""
        return self.network.prefixlen, self.port is not None


K = TypeVar("K", bound=Peers)


def closest(keys: tuple[K, ...], flow: Flow) -> list[K]:
    """The keys that count for a pair of sockets, in their order: none, or those that fit it alike and best."""
    fitting = [key for key in keys if key.fits(flow)] if flow.remote else []
    best = max((key.closeness for key in fitting), default=None)
    return [key for key in fitting if key.closeness == best]


def pseudo_header(addresses: bytes, length: int) -> bytes:
    """What stands for the IP header in a digest (RFC 9293, 3.1; RFC 8200, 8.1).

    Args:
      addresses: the sender's and the receiver's, 8 or 32 octets.
      length: of TCP header and text, octets.
    """
    if len(addresses) == 8:
        return addresses + PROTOCOL.to_bytes(2, "big") + length.to_bytes(2, "big")
    return addresses + length.to_bytes(4, "big") + PROTOCOL.to_bytes(4, "big")


def addresses(flow: Flow) -> bytes:
    """The sender's, who is local, and the receiver's."""
    return ip_address(flow.local).packed + ip_address(flow.remote).packed
