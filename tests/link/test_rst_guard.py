"""The kernel's RSTs stay in, and nothing stays behind: from Python and by scripts/rst-guard."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pyroute2.nftables.main import NFTables

from usertcp.errors import SetupError
from usertcp.link import iptables
from usertcp.link.reservation import Reservations
from usertcp.link.rst_guard import (
    Claim,
    Guard,
    IptablesGuard,
    NftablesGuard,
    StandingGuard,
    kernel_resets,
    open_guard,
    rst_guard,
)

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("here")]

PORT, OTHER_PORT = 61234, 61235
CAP_NET_ADMIN = 12
CLONE_NEWUSER = 0x10000000
HOSTS = ["127.0.0.1", "::1"]
GUARDS = {
    "nftables": NftablesGuard,
    "nftables, inbound": partial(NftablesGuard, inbound=True),
    "iptables": IptablesGuard,
}


@pytest.fixture(params=GUARDS.values(), ids=GUARDS.keys())
def guard(request: pytest.FixtureRequest) -> Iterator[Guard]:
    guard = request.param()
    yield guard
    guard.close()


def rules() -> str:
    """What netfilter holds here: the names of all tables of nf_tables, and the rules of iptables."""
    with NFTables(nfgen_family=0) as netlink:
        tables = [str(table.get("name")) for table in netlink.get_tables()]
    return "\n".join(tables) + "".join(iptables.run(command, "-S") for command in iptables.usable())


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize(("local", "peer"), [(False, False), (True, False), (False, True), (True, True)])
def test_a_claimed_port_is_quiet_while_it_is_claimed(guard: Guard, host: str, local: bool, peer: bool) -> None:
    assert kernel_resets(host, PORT)
    with guard.suppress(PORT, local=host if local else "", peer=host if peer else ""):
        assert not kernel_resets(host, PORT)
        assert kernel_resets(host, OTHER_PORT)
    assert kernel_resets(host, PORT)


def test_other_addresses_and_peers_are_left_alone(guard: Guard) -> None:
    with guard.suppress(PORT, local="127.0.0.2"), guard.suppress(PORT, peer="127.0.0.2"):
        assert kernel_resets("127.0.0.1", PORT)
        assert kernel_resets("::1", PORT)


def test_the_last_of_several_claims_ends_it(guard: Guard) -> None:
    with guard.suppress(PORT):
        with guard.suppress(PORT), guard.suppress(OTHER_PORT):
            pass
        assert not kernel_resets("127.0.0.1", PORT)
        assert kernel_resets("127.0.0.1", OTHER_PORT)
    assert kernel_resets("127.0.0.1", PORT)


def test_many_claims_at_once_end_one_by_one(guard: Guard) -> None:
    claims = [Claim("", port, "") for port in (PORT, OTHER_PORT)]
    with guard.suppress(PORT):
        with guard.suppress_all(claims):
            assert not any(kernel_resets(host, claim.port) for host in HOSTS for claim in claims)
        assert [kernel_resets("127.0.0.1", claim.port) for claim in claims] == [False, True]
    assert all(kernel_resets(host, claim.port) for host in HOSTS for claim in claims)


def test_close_ends_every_claim(guard: Guard) -> None:
    with guard.suppress(PORT):
        guard.close()
        assert kernel_resets("127.0.0.1", PORT)
    guard.close()


def test_two_guards_do_not_meet(guard: Guard) -> None:
    other = NftablesGuard()
    with guard.suppress(PORT):
        with other.suppress(PORT):
            pass
        other.close()
        assert not kernel_resets("127.0.0.1", PORT)


def test_the_context_manager_needs_no_link() -> None:
    with rst_guard(PORT, peer="127.0.0.1"):
        assert not kernel_resets("127.0.0.1", PORT)
    assert kernel_resets("127.0.0.1", PORT)
    assert "usertcp" not in rules()


def killed_while_guarding(kind: type[Guard], project: Path) -> None:
    program = f"""if True:
        import usertcp.link.rst_guard as module
        guard = module.{kind.__name__}()
        with guard.suppress({PORT}):
            print("guarding", flush=True)
            input()
    """
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", program], cwd=project, **pipes) as process:  # type: ignore[call-overload]
        assert process.stdout.readline() == b"guarding\n"
        assert not kernel_resets("127.0.0.1", PORT)
        process.send_signal(signal.SIGKILL)


def test_the_kernel_deletes_the_rules_of_a_killed_process(project: Path) -> None:
    killed_while_guarding(NftablesGuard, project)
    assert kernel_resets("127.0.0.1", PORT)
    assert "usertcp" not in rules()


def test_the_next_guard_removes_iptables_rules_of_a_killed_process(project: Path) -> None:
    killed_while_guarding(IptablesGuard, project)
    assert not kernel_resets("127.0.0.1", PORT)
    IptablesGuard().close()
    assert kernel_resets("127.0.0.1", PORT)


def test_the_best_guard_is_chosen(powerless: Callable[[], AbstractContextManager[None]]) -> None:
    guard = open_guard()
    assert isinstance(guard, NftablesGuard)
    guard.close()
    with powerless():
        assert isinstance(open_guard(), StandingGuard)


# Without NET_ADMIN


@pytest.fixture
def powerless(
    monkeypatch: pytest.MonkeyPatch, without_capability: Callable[[int], AbstractContextManager[None]]
) -> Callable[[], AbstractContextManager[None]]:
    """No CAP_NET_ADMIN; and no iptables, since programs that root starts get it back."""

    @contextmanager
    def powerless() -> Iterator[None]:
        with without_capability(CAP_NET_ADMIN), monkeypatch.context() as patch:
            patch.setenv("PATH", "")
            yield

    return powerless


def test_a_standing_guard_is_enough(script: "Script", powerless: Callable[[], AbstractContextManager[None]]) -> None:
    script("up")
    with powerless(), Reservations().hold("", PORT), rst_guard(PORT):
        assert not kernel_resets("127.0.0.1", PORT)


@pytest.mark.parametrize(("port", "command"), [(PORT, "rst-guard up --ports 61000-65535"), (8080, "up --ports 8080")])
def test_with_none_standing_the_remedy_is_named(
    powerless: Callable[[], AbstractContextManager[None]], port: int, command: str
) -> None:
    guard = rst_guard(port)
    with powerless(), pytest.raises(SetupError, match=command):
        guard.__enter__()


# The script

Script = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def script(project: Path) -> Script:
    def run(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        command = [project / "scripts" / "rst-guard", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, **options)

    return run


def test_up_and_down_may_be_repeated(script: Script) -> None:
    for _ in range(2):
        assert script("up").returncode == 0
        for host in HOSTS:
            assert not kernel_resets(host, PORT)
            assert kernel_resets(host, 8080)
    once = rules()
    assert script("up").returncode == 0
    assert rules() == once
    for _ in range(2):
        assert script("down").returncode == 0
        assert kernel_resets("127.0.0.1", PORT)
    assert "usertcp" not in rules()


def test_up_replaces_the_last_up(script: Script) -> None:
    script("up", "--ports", "8000-8100", "--ports", "9000")
    assert not kernel_resets("127.0.0.1", 8080)
    assert not kernel_resets("::1", 9000)
    assert kernel_resets("127.0.0.1", PORT)
    script("up")
    assert kernel_resets("127.0.0.1", 8080)
    assert not kernel_resets("127.0.0.1", PORT)


def test_a_peer_narrows_it(script: Script) -> None:
    script("up", "--peer", "192.0.2.1")
    assert kernel_resets("127.0.0.1", PORT)
    script("up", "--peer", "192.0.2.1", "--peer", "127.0.0.0/30")
    assert not kernel_resets("127.0.0.1", PORT)
    assert kernel_resets("::1", PORT)
    script("up", "--peer", "::1")
    assert kernel_resets("127.0.0.1", PORT)
    assert not kernel_resets("::1", PORT)


def test_status_says_what_stands(script: Script) -> None:
    nothing = script("status")
    assert (nothing.returncode, nothing.stdout) == (1, "rst-guard: no rules stand\n")
    script("up", "--ports", "8080", "--peer", "192.0.2.1")
    stands = script("status")
    assert stands.returncode == 0
    assert "-d 192.0.2.1/32" in stands.stdout
    assert "--sport 8080" in stands.stdout
    assert "ip6tables" not in stands.stdout


def test_rules_of_others_are_not_touched(script: Script) -> None:
    mine = ["-p", "tcp", "--sport", "80", "-m", "comment", "--comment", "usertcp server", "-j", "ACCEPT"]
    iptables.run("iptables", "-A", "OUTPUT", *mine)
    before = iptables.run("iptables", "-S")
    for verb in ("up", "up", "down", "down"):
        script(verb)
    assert iptables.run("iptables", "-S") == before


@pytest.mark.parametrize("verb", ["up", "down"])
def test_the_script_removes_what_a_killed_process_left(script: Script, project: Path, verb: str) -> None:
    alive = IptablesGuard()
    with alive.suppress(OTHER_PORT):
        killed_while_guarding(IptablesGuard, project)
        script(verb)
        script("down")
        assert kernel_resets("127.0.0.1", PORT)
        assert not kernel_resets("127.0.0.1", OTHER_PORT)
    alive.close()


def test_without_ipv6_the_rest_is_done(script: Script, tmp_path: Path) -> None:
    (tmp_path / "ip6tables").write_text("#!/bin/sh\necho 'no IPv6 in this kernel' >&2\nexit 3\n")
    (tmp_path / "ip6tables").chmod(0o755)
    done = script("up", env={"PATH": f"{tmp_path}:{os.environ['PATH']}"})
    assert done.returncode == 0
    assert "IPv4 only: no IPv6 in this kernel" in done.stderr
    assert not kernel_resets("127.0.0.1", PORT)
    assert kernel_resets("::1", PORT)


@pytest.mark.parametrize(
    "arguments",
    [
        [], ["sideways"], ["up", "--ports"], ["up", "--ports", "0-5"], ["up", "--ports", "9-8"],
        ["up", "--ports", "70000"], ["up", "--ports", "http"], ["up", "--peer", "localhost"], ["up", "--mark", "1"],
    ],
)  # fmt: skip
def test_wrong_usage_is_told_and_changes_nothing(script: Script, arguments: list[str]) -> None:
    done = script(*arguments)
    assert done.returncode == 2
    assert done.stderr
    assert "usertcp" not in rules()


def test_help_is_no_error(script: Script) -> None:
    assert "Usage" in script("--help").stdout
    assert script("up", "--help").returncode == 0


def test_an_ordinary_user_is_told_what_is_missing(script: Script) -> None:
    # In a user namespace that maps nobody, one is nobody.
    done = script("up", preexec_fn=lambda: ctypes.CDLL(None).unshare(CLONE_NEWUSER))
    assert done.returncode == 1
    assert "sudo" in done.stderr
