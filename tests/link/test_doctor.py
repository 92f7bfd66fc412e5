"""What the doctor finds on machines with one thing wrong, and that its remedies cure."""

import ctypes
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from usertcp.doctor import Finding, Verdict, examine
from usertcp.link import iptables

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("here")]

CAP_NET_ADMIN, CAP_NET_RAW = 12, 13
CLONE_NEWUSER = 0x10000000
Without = Callable[[int], AbstractContextManager[None]]


def finding(name: str, host: str = "127.0.0.1") -> Finding:
    """The first result of that name."""
    return next(each for each in examine(host, 80) if each.name == name)


def net(parameter: str, value: str) -> None:
    Path("/proc/sys/net", parameter).write_text(value)


def test_nothing_stops_root_on_a_plain_machine() -> None:
    findings = examine("127.0.0.1", 80)
    assert {each.verdict for each in findings} == {Verdict.OK}
    assert "this machine itself, lo, from 127.0.0.1" in finding("route").found
    assert "nf_tables" in finding("kernel's RSTs").found


@pytest.mark.parametrize("host", ["10.0.0.2", "fd00::2", "fe80::2%veth0"])
def test_the_route_to_a_neighbour(peer: Any, host: str) -> None:
    found = finding("route", host).found
    assert "a neighbour, veth0, from" in found
    assert "MTU 1500" in found


def test_super_segments_are_announced(peer: Any) -> None:
    for host in ("127.0.0.1", "10.0.0.2"):
        assert "up to 64 kB" in finding("offloads", host).found


def test_no_route_fails() -> None:
    no_way = finding("route", "192.0.2.1")
    assert no_way.verdict is Verdict.FAIL
    assert "unreachable" in no_way.found


def test_an_unknown_name_fails_and_the_rest_is_examined() -> None:
    assert finding("name", "no-such-host.invalid").verdict is Verdict.FAIL
    assert finding("raw sockets", "no-such-host.invalid").verdict is Verdict.OK


def test_the_fastest_link_is_named(without_capability: Without) -> None:
    assert "packet sockets" in finding("auto link").found
    with without_capability(CAP_NET_RAW):
        assert finding("auto link").verdict is Verdict.WARN


def test_a_socket_that_holds_less_than_a_window_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("usertcp.link.packet_sockets.RECEIVE_BUFFER", 100_000)
    found = finding("auto link")
    assert found.verdict is Verdict.WARN
    assert "no window above 100,000 octets" in found.found
    assert "net.core.rmem_max" in found.remedy


def test_without_net_raw_the_remedy_is_a_capability(without_capability: Without) -> None:
    with without_capability(CAP_NET_RAW):
        raw = finding("raw sockets")
    assert raw.verdict is Verdict.FAIL
    assert "cap_net_raw" in raw.remedy.lower().replace("--cap-add net_raw", "cap_net_raw")


def test_unsuppressed_resets_fail_until_the_remedy_is_run(
    monkeypatch: pytest.MonkeyPatch, without_capability: Without, project: Path
) -> None:
    with without_capability(CAP_NET_ADMIN), monkeypatch.context() as patch:
        patch.setenv("PATH", "")
        leaving = finding("kernel's RSTs")
    assert leaving.verdict is Verdict.FAIL
    subprocess.run(leaving.remedy.removeprefix("sudo ").split(), cwd=project, check=True)
    with without_capability(CAP_NET_ADMIN), monkeypatch.context() as patch:
        patch.setenv("PATH", "")
        assert finding("kernel's RSTs").verdict is Verdict.OK


def test_ports_shared_with_the_kernel_are_reported_until_the_remedy_is_run() -> None:
    net("ipv4/ip_local_port_range", "32768 65535")
    net("ipv4/ip_local_reserved_ports", "8080")
    shared = finding("local ports")
    assert shared.verdict is Verdict.WARN
    parameter, value = shared.remedy.removeprefix("sudo sysctl net.").split("=")
    net(parameter.replace(".", "/"), value)
    assert finding("local ports").verdict is Verdict.OK
    assert Path("/proc/sys/net/ipv4/ip_local_reserved_ports").read_text() == "8080,61000-65535\n"


@pytest.mark.parametrize("match", [["-m", "conntrack", "--ctstate"], ["-m", "state", "--state"]])
def test_a_rule_against_invalid_is_reported(match: list[str]) -> None:
    iptables.run("iptables", "-A", "OUTPUT", *match, "INVALID", "-j", "DROP")
    dropping = finding("conntrack")
    assert dropping.verdict is Verdict.WARN
    assert "INVALID" in dropping.found
    assert "--mark 0x1006" in dropping.remedy


def test_ipv6_switched_off_is_reported() -> None:
    net("ipv6/conf/all/disable_ipv6", "1")
    assert finding("IPv6").verdict is Verdict.WARN


def test_an_ordinary_user_gets_an_answer_to_everything(project: Path) -> None:
    program = "from usertcp.doctor import *\nfor each in examine('localhost', 80): print(each.name, each.verdict.name)"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=project,
        capture_output=True,
        text=True,
        check=True,
        # In a user namespace that maps nobody, one is nobody.
        preexec_fn=lambda: ctypes.CDLL(None).unshare(CLONE_NEWUSER),
    )
    assert "raw sockets FAIL" in done.stdout
    assert "kernel's RSTs FAIL" in done.stdout
    assert "lab" in done.stdout
