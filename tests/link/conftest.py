"""Real kernels to test against: network namespaces of the tests' own, with nothing of this machine in them."""

import ctypes
import os
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from pyroute2 import IPRoute

from usertcp.link.tun import TunLink

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000
IFA_F_NODAD = 2


def call(function: str, *arguments: int) -> None:
    if getattr(LIBC, function)(*arguments):
        raise OSError(ctypes.get_errno(), f"{function}: the lab tests need root, or `unshare -Urn`")


class Namespace:
    """A network namespace with loopback up. Sockets made within `with namespace:` stay in it."""

    def __init__(self) -> None:
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        call("unshare", CLONE_NEWNET)
        self.fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        with IPRoute() as netlink:
            netlink.link("set", index=1, state="up")
        self.outside = [before]
        self.__exit__()

    def __enter__(self) -> None:
        self.outside.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY))
        call("setns", self.fd, CLONE_NEWNET)

    def __exit__(self, *_: object) -> None:
        outside = self.outside.pop()
        call("setns", outside, CLONE_NEWNET)
        os.close(outside)

    def close(self) -> None:
        os.close(self.fd)

    def sysctl(self, name: str, value: object) -> None:
        """Set a parameter of this namespace's kernel, below net/."""
        with self:
            Path("/proc/sys/net", name).write_text(str(value))

    def listen(self, address: str, port: int = 0) -> socket.socket:
        """A listener of this namespace's kernel."""
        with self:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            return socket.create_server((address, port), family=family)


@pytest.fixture
def here() -> Iterator[Namespace]:
    """The namespace that the test runs in."""
    namespace = Namespace()
    with namespace:
        yield namespace
    namespace.close()


@pytest.fixture
def peer(here: Namespace) -> Iterator[Namespace]:
    """Another one at the other end of a veth pair: we are 10.0.0.1 and fd00::1, it is 10.0.0.2 and fd00::2."""
    there = Namespace()
    with IPRoute() as netlink:
        netlink.link("add", ifname="veth0", kind="veth", peer={"ifname": "veth0", "net_ns_fd": there.fd})
    set_up("veth0", "10.0.0.1", "fd00::1", "fe80::1")
    with there:
        set_up("veth0", "10.0.0.2", "fd00::2", "fe80::2")
    yield there
    there.close()


def set_up(interface: str, *addresses: str) -> None:
    with IPRoute() as netlink:
        [index] = netlink.link_lookup(ifname=interface)
        for address in addresses:
            netlink.addr("add", index=index, address=address, prefixlen=64 if ":" in address else 24, flags=IFA_F_NODAD)
        netlink.link("set", index=index, state="up")


@pytest.fixture
def tun(here: Namespace) -> Iterator[TunLink]:
    """A TUN device: we are 10.9.0.2 and fd09::2, the kernel is 10.9.0.1 and fd09::1."""
    if not os.path.exists("/dev/net/tun"):
        pytest.skip("no /dev/net/tun")
    link = TunLink("10.9.0.2", "fd09::2", kernel=["10.9.0.1/24", "fd09::1/64"])
    yield link
    link.close()


@pytest.fixture
def without_capability() -> Callable[[int], AbstractContextManager[None]]:
    """Do something without one of root's capabilities (capabilities(7), capset(2))."""
    return dropped


@contextmanager
def dropped(capability: int) -> Iterator[None]:
    header = struct.pack("Ii", 0x20080522, 0)
    before = ctypes.create_string_buffer(24)
    call("capget", header, before)
    effective, *others = struct.unpack("6I", before.raw)
    call("capset", header, struct.pack("6I", effective & ~(1 << capability), *others))
    try:
        yield
    finally:
        call("capset", header, before)


@pytest.fixture
def project() -> Path:
    return Path(__file__).parents[2]
