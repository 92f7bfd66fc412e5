"""What the kernel's routing table says of a destination. Nothing is sent, and no name is looked up."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from usertcp.errors import HostUnreachable

IP_MTU, IPV6_MTU = 14, 24


def source_address(remote: str) -> str:
    """The address that packets to *remote* leave from.

    Every function here takes an address as text; a link-local one with its interface, as in "fe80::1%eth0".

    Raises (every function):
      HostUnreachable: no route, or no address.
    """
    with connected(remote) as sock:
        return str(sock.getsockname()[0]).partition("%")[0]


def mtu(remote: str) -> int:
    """The largest packet to *remote*, octets: the interface's, or what the kernel has learned of the path."""
    with connected(remote) as sock:
        level, option = (socket.IPPROTO_IPV6, IPV6_MTU) if ":" in remote else (socket.IPPROTO_IP, IP_MTU)
        return sock.getsockopt(level, option)


@contextmanager
def connected(remote: str) -> Iterator[socket.socket]:
    """A UDP socket to an address: the kernel has chosen the route, and nothing was sent."""
    family = socket.AF_INET6 if ":" in remote else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            address, _, interface = remote.partition("%")
            socket.inet_pton(family, address)  # A name would be looked up in the DNS.
            scope = socket.if_nametoindex(interface) if interface else 0
            sock.connect((address, 9, 0, scope) if family == socket.AF_INET6 else (address, 9))
        except OSError as error:
            raise HostUnreachable(f"{remote}: {os.strerror(error.errno) if error.errno else error}") from error
        yield sock
