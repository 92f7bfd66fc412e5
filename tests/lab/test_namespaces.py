"""Namespaces and the cable between them, by real system calls; and that nothing is left of them."""

import ctypes
import errno
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import pytest
from pyroute2 import IPRoute

from usertcp.errors import SetupError
from usertcp.lab import cable, namespaces

pytestmark = pytest.mark.lab


class Child(Protocol):
    """The fixture of conftest.py: a process of its own."""

    def __call__(self, function: Callable[[], object]) -> None: ...

    def start(self, function: Callable[[], object], errors: int) -> int: ...


def make() -> namespaces.Namespaces:
    made = namespaces.enter()
    cable.plug(made)
    return made


def interfaces() -> set[str]:
    with IPRoute() as ipr:
        return {link.get("ifname") for link in ipr.get_links()}


def in_use(namespace: str) -> bool:
    """Is any process in this network namespace?"""
    for path in Path("/proc").glob("[0-9]*/ns/net"):
        with suppress(OSError):
            if os.readlink(path) == namespace:
                return True
    return False


def namespace_of(pid: int) -> str:
    """The network namespace that a process has made itself."""
    namespace = os.readlink(f"/proc/{pid}/ns/net")
    assert namespace != os.readlink("/proc/self/ns/net")
    return namespace


def test_each_side_has_its_end_of_the_cable_and_no_other_interface(child: Child) -> None:
    def inside() -> None:
        made = make()
        assert interfaces() == {"lo", "us"}
        with made.peer.inside():
            assert interfaces() == {"lo", "peer"}
        assert interfaces() == {"lo", "us"}

    child(inside)


def test_there_is_no_route_to_anywhere_else(child: Child) -> None:
    def inside() -> None:
        make()
        for family, address in ((socket.AF_INET, "198.51.100.1"), (socket.AF_INET6, "2001:db8:1::1")):
            with socket.socket(family, socket.SOCK_DGRAM) as sock, pytest.raises(OSError, match="unreachable") as error:
                sock.connect((address, 9))
            assert error.value.errno == errno.ENETUNREACH

    child(inside)


@pytest.mark.parametrize("address", [cable.PEER.address, cable.PEER.address6])
def test_the_two_kernels_reach_each_other(child: Child, address: str) -> None:
    def inside() -> None:
        made = make()
        with made.peer.inside():
            listener = socket.create_server((address, 80), family=socket.AF_INET6 if ":" in address else socket.AF_INET)
        with listener, socket.create_connection((address, 80), timeout=5) as ours:
            theirs, _ = listener.accept()
            with theirs:
                theirs.sendall(b"hello")
                assert ours.recv(100) == b"hello"

    child(inside)


def test_packets_of_a_kernel_are_as_on_a_wire(child: Child) -> None:
    """At most one segment each, and no checksum left for an interface to finish."""

    def inside() -> None:
        made = make()
        csum_not_ready, auxdata, octets = 8, 8, 100_000
        sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
        sniffer.setsockopt(263, auxdata, 1)
        with made.peer.inside():
            listener = socket.create_server((cable.PEER.address, 80))
        with sniffer, listener, socket.create_connection((cable.PEER.address, 80), timeout=5) as ours:
            theirs, _ = listener.accept()
            with theirs:
                theirs.sendall(bytes(octets))
                taken = 0
                while taken < octets:
                    taken += len(ours.recv(1 << 16))
            seen = 0
            while seen < octets:
                packet, ancillary, _, sender = sniffer.recvmsg(1 << 16, 100)
                if sender[2] != socket.PACKET_OUTGOING:
                    seen += len(packet)
                    assert len(packet) <= 1500
                    assert not int.from_bytes(ancillary[0][2][:4], "little") & csum_not_ready

    child(inside)


def test_a_parameter_is_set_on_one_side_only(child: Child) -> None:
    def inside() -> None:
        made = make()
        path = Path("/proc/sys/net/ipv4/tcp_fin_timeout")
        before = path.read_text()
        made.peer.sysctl("net.ipv4.tcp_fin_timeout", 7)
        assert path.read_text() == before != "7\n"
        with made.peer.inside():
            assert path.read_text() == "7\n"

    child(inside)


def test_nothing_is_left_after_sigkill(child: Child) -> None:
    reading, writing = os.pipe()

    def inside() -> None:
        make()
        os.write(writing, b"made")
        signal.pause()

    pid = child.start(inside, writing)
    try:
        assert os.read(reading, 10000) == b"made"
        made = namespace_of(pid)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(reading)
        os.close(writing)
    assert not in_use(made)
    assert not {"us", "peer"} & interfaces()


def test_nothing_is_left_of_an_experiment_after_sigkill() -> None:
    command = [sys.executable, "-m", "usertcp", "lab", "run", "syn-loss"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        try:
            assert process.stdout
            while b"SYN-SENT" not in process.stdout.readline():
                assert process.poll() is None
            made = namespace_of(process.pid)
        finally:
            process.kill()
            process.wait()
        assert not [path for path in Path("/proc").glob("[0-9]*/stat") if session(path) == process.pid]
    assert not in_use(made)
    assert not {"us", "peer"} & interfaces()


def session(stat: Path) -> int:
    """The session that a process belongs to; 0 if it has ended meanwhile."""
    with suppress(OSError):
        return int(stat.read_text().rpartition(")")[2].split()[3])
    return 0


def test_who_is_forbidden_to_make_them_is_told_the_setting(child: Child) -> None:
    def inside() -> None:
        in_user_namespace_of_our_own()
        # Each user namespace has a limit of its own: nobody else is concerned.
        Path("/proc/sys/user/max_net_namespaces").write_text("0")
        with pytest.raises(SetupError, match=r"sudo sysctl user\.max_net_namespaces=") as error:
            namespaces.enter()
        assert "user.max_net_namespaces = 0 forbids it" in str(error.value)

    child(inside)


def in_user_namespace_of_our_own() -> None:
    uid = os.getuid()
    assert ctypes.CDLL(None).unshare(namespaces.CLONE_NEWUSER) == 0
    Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
