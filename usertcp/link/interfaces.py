"""What the kernel says of its network interfaces. Everything here works as an ordinary user."""

from __future__ import annotations

import errno
import fcntl
import ipaddress
import socket
import struct
from itertools import pairwise
from pathlib import Path
from typing import Any

SIOCGIFFLAGS, SIOCGIFMTU, SIOCGIFHWADDR = 0x8913, 0x8921, 0x8927
IFF_UP = 0x1
ARPHRD_ETHER = 1
IFNAMSIZ = 16
PROC_NET = Path("/proc/thread-self/net")
"""/proc/net is the main thread's namespace; this is ours."""


def mtu(name: str) -> int:
    """The largest packet of an interface, octets."""
    return int(ask(name, SIOCGIFMTU, "i")[0])


def is_up(name: str) -> bool:
    """Whether the interface is switched on."""
    return bool(ask(name, SIOCGIFFLAGS, "h")[0] & IFF_UP)


def smallest_mtu() -> int:
    """The MTU that every interface in use can carry, octets."""
    return min((mtu(name) for _, name in socket.if_nameindex() if is_up(name)), default=1500)


def hardware_address(name: str) -> bytes:
    """The Ethernet address of an interface. Raises OSError if it has none."""
    kind, address = ask(name, SIOCGIFHWADDR, "H6s")
    if kind != ARPHRD_ETHER:
        raise OSError(errno.EPROTONOSUPPORT, "not an Ethernet")
    return bytes(address)


def ask(name: str, question: int, answer: str) -> tuple[Any, ...]:
    """An ioctl on an interface, and what it answers (netdevice(7))."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        reply = fcntl.ioctl(sock, question, struct.pack(f"{IFNAMSIZ}s24x", name.encode()))
    return struct.unpack_from(answer, reply, IFNAMSIZ)


def scope_id(own: str) -> int:
    """The index of the interface that has *own*, an IPv6 address of this machine; 0 where no index is needed.

    Link-local addresses say nothing about the link: the kernel has to be told which one, and what we know of it is the
    address that we speak from.
    """
    address = ipaddress.ip_address(own)
    if address.is_link_local and address.version == 6:
        for line in (PROC_NET / "if_inet6").read_text().splitlines():
            octets, index, *_ = line.split()
            if octets == address.packed.hex():
                return int(index, 16)
    return 0


def with_interface(socket_address: tuple[Any, ...]) -> str:
    """The address that `getaddrinfo` has found, as text; with its interface, as in "fe80::1%eth0", if it means
    something on one link only."""
    address, _, *scope = socket_address
    return f"{address}%{socket.if_indextoname(scope[1])}" if scope and scope[1] else str(address)


def local_addresses() -> frozenset[str]:
    """Every address of this machine, of both families, except that 127.0.0.1 stands for all of 127/8."""
    lines = (PROC_NET / "fib_trie").read_text().splitlines()
    # An address stands in the line before the one that says what it is: "|-- 192.0.2.1", "/32 host LOCAL".
    ipv4 = {before.split()[-1] for before, line in pairwise(lines) if "/32 host LOCAL" in line}
    table = PROC_NET / "if_inet6"
    lines = table.read_text().splitlines() if table.exists() else []
    return frozenset(ipv4 | {str(ipaddress.IPv6Address(bytes.fromhex(line.split()[0]))) for line in lines})
