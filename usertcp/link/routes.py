"""What the kernel's routing table says of a destination. Nothing is sent, and no name is looked up."""

from __future__ import annotations

import os
import socket
from typing import NamedTuple

from usertcp.errors import HostUnreachable

IP_MTU, IPV6_MTU = 14, 24


class Route(NamedTuple):
    """The way to a host."""

    source_address: str
    """Where packets that go there come from."""
    mtu: int
    """The largest packet, octets: the interface's, or what the kernel has learned of the path."""


def route(remote: str) -> Route:
    """Ask the kernel, by a UDP socket that sends nothing.

    Args:
      remote: an address; a link-local one with its interface, as in "fe80::1%eth0".

    Raises:
      HostUnreachable: no route, or no address.
    """
    family = socket.AF_INET6 if ":" in remote else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            address, _, interface = remote.partition("%")
            socket.inet_pton(family, address)  # A name would be looked up in the DNS.
            scope = socket.if_nametoindex(interface) if interface else 0
            sock.connect((address, 9, 0, scope) if family == socket.AF_INET6 else (address, 9))
        except OSError as error:
            raise HostUnreachable(f"{remote}: {os.strerror(error.errno) if error.errno else error}") from error
        level, option = (socket.IPPROTO_IPV6, IPV6_MTU) if ":" in remote else (socket.IPPROTO_IP, IP_MTU)
        return Route(str(sock.getsockname()[0]).partition("%")[0], sock.getsockopt(level, option))
