"""Works against the peer process, in namespaces."""

from __future__ import annotations

import os
import select
import signal
import socket
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
import trio

from tests.lab.conftest import Child
from usertcp.bench import arena, sockets
from usertcp.bench.figures import CONTESTANTS, FIGURES, Work, both, choose
from usertcp.bench.measure import SLICE, Sample, Setting
from usertcp.bench.programs import Host, exchange
from usertcp.bench.results import Effort, measure

pytestmark = pytest.mark.lab
QUICK = Effort(1, 0.05)


def inside(test: Callable[[arena.Arena], None]) -> None:
    Child(os.getuid())(lambda: test(arena.enter()))


@pytest.mark.parametrize("name", [f.name for f in FIGURES if f.work.peer is not None and f.name != "cost-at-10k"])
def test_every_contestant_gives_a_figure(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("usertcp.bench.programs.MANY", 50)

    def test(made: arena.Arena) -> None:
        told: list[tuple[str, int]] = []
        [result] = measure(made, choose((name,)), "auto", QUICK, lambda *what: told.append(what))
        assert not result.problem
        assert sum(done for _, done in told) == len(result.figure.work.contestants)
        assert all((result.value(contestant) or 0) > 0 for contestant in result.figure.work.contestants)

    inside(test)


@pytest.mark.parametrize("name", ["bulk-send", "bulk-receive", "connections-64", "accepts-64"])
def test_over_a_tun_device_into_the_peers_kernel(name: str) -> None:
    def test(made: arena.Arena) -> None:
        [result] = measure(made, choose((name,)), "tun", QUICK, lambda *what: None)
        assert not result.problem
        assert all((result.value(contestant) or 0) > 0 for contestant in CONTESTANTS)

    inside(test)


def test_a_thousand_connections_are_in_use_at_once() -> None:
    """Each exchanges messages, and each message is looked at."""

    async def everyone(host: Host, setting: Setting) -> Sample:
        port, count = setting.channel.recv(), 0

        async def use() -> None:
            nonlocal count
            async with await host.connect(port) as stream:
                await exchange(stream)
                count += 1
                while count < 1000:
                    await exchange(stream)

        async with trio.open_nursery() as nursery:
            for _ in range(1000):
                nursery.start_soon(use)
        return {"count": count}

    def test(made: arena.Arena) -> None:
        work = Work(partial(sockets.serve, once=False), both(everyone))
        assert made.run(work, "usertcp", "auto", 0) == {"count": 1000}

    inside(test)


def test_how_many_are_open_is_told_and_all_of_them_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("usertcp.bench.programs.MANY", 50)
    monkeypatch.setattr("usertcp.bench.programs.SOME", 20)

    def test(made: arena.Arena) -> None:
        told: list[str] = []
        measure(made, choose(("memory-idle",)), "auto", QUICK, lambda what, done: told.append(what))
        assert [what for what in told if "open" in what] == [
            f"memory-idle: {contestant}, round 1 of 1, {count} connections open"
            for contestant in ("usertcp", "kernel")
            for count in (20, 40)
        ]

    inside(test)


def test_wrong_octets_are_a_problem_not_a_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    def serve_other(setting: Setting) -> None:
        listener = sockets.listen("192.0.2.2")
        setting.channel.send(listener.getsockname()[1])
        sock, _ = listener.accept()
        while header := sock.recv(SLICE.size, 0x100):
            _, octets, _, shift = SLICE.unpack(header)
            sock.sendall(sockets.TEXT[shift + 1 : shift + 1 + octets])

    def test(made: arena.Arena) -> None:
        [figure] = choose(("bulk-receive",))
        broken = replace(figure, work=replace(figure.work, peer=serve_other))
        [result] = measure(made, [broken], "raw", QUICK, lambda *what: None)
        assert "WrongOctets" in result.problem
        assert result.value() is None

    inside(test)


def test_what_goes_wrong_at_either_end_is_told() -> None:
    def fail(setting: Setting) -> Sample:
        raise ZeroDivisionError("why")

    def wait(setting: Setting) -> Sample:
        setting.channel.recv()
        return {}

    def test(made: arena.Arena) -> None:
        for work in Work(None, {"plain": fail}), Work(fail, {"plain": wait}):
            with pytest.raises(arena.Failed, match="ZeroDivisionError: why"):
                made.run(work, "plain", "raw", 0.1)

    inside(test)


def linger(setting: Setting) -> Sample:
    select.select([], [], [], 60)
    return {}


def test_a_process_that_is_killed_while_it_forks_leaves_none_behind() -> None:
    alive, inherited = os.pipe()

    def test(made: arena.Arena) -> None:
        this = os.pidfd_open(os.getpid())
        os.register_at_fork(
            after_in_child=lambda: select.select([this], [], []),  # until the other one has ended
            after_in_parent=lambda: os.kill(os.getpid(), signal.SIGKILL),
        )
        made.run(Work(None, {"plain": linger}), "plain", "raw", 0.1)

    inside(test)
    os.close(inherited)
    assert select.select([alive], [], [], 10)[0], "a process lives on"
    os.close(alive)


def test_ctrl_c_while_it_forks_comes_afterwards_and_leaves_no_process_behind() -> None:
    def test(made: arena.Arena) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        alive, inherited = os.pipe()

        def press() -> None:
            os.kill(os.getpid(), signal.SIGINT)

        os.register_at_fork(after_in_child=press, after_in_parent=press)
        with pytest.raises(KeyboardInterrupt):
            made.run(Work(None, {"plain": linger}), "plain", "raw", 0.1)
        os.close(inherited)
        assert os.read(alive, 1) == b""  # whoever has inherited it has ended

    inside(test)


def test_what_the_peer_accepts_uses_cubic() -> None:
    with (
        sockets.listen("127.0.0.1") as listener,
        sockets.connect(*listener.getsockname()),
        listener.accept()[0] as sock,
    ):
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 5) == b"cubic"
