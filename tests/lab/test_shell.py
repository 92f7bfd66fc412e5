"""The lab's shell: what it finds there, and that what it has started ends with it."""

import os
import select
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol

import pytest
import trio

from usertcp.lab import enter
from usertcp.lab.shell import shell

pytestmark = pytest.mark.lab


class Child(Protocol):
    """The fixture of conftest.py: a process of its own."""

    user: int

    def __call__(self, function: Callable[[], object]) -> None: ...

    def start(self, function: Callable[[], object], errors: int) -> int: ...


def processes(mark: str) -> list[str]:
    """Command lines of all processes that contain a text."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_text())
        except OSError:
            continue
    return [line for line in lines if mark in line]


def becomes_true(condition: Callable[[], bool]) -> bool:
    """Is it so within five seconds?"""
    deadline = time.monotonic() + 5
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


@pytest.mark.parametrize(("command", "status"), [("exit 3", 3), ("kill -KILL $$", 0), ("sh -c 'kill -TERM $$'", 143)])
def test_the_exit_status_comes_out(child: Child, command: str, status: int) -> None:
    """The first process of a namespace cannot kill itself; its children can."""

    def inside() -> None:
        assert trio.run(shell, enter(), ["sh", "-c", command]) == status

    child(inside)


def test_the_peer_serves_meanwhile_and_cancelling_ends_everything(child: Child) -> None:
    async def ask(host: str, port: int, question: bytes) -> bytes:
        stream = await trio.open_tcp_stream(host, port)
        await stream.send_all(question)
        return await stream.receive_some()

    async def body() -> None:
        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                await nursery.start(partial(shell, enter(), ["sleep", "1000"]))
                for host in ("192.0.2.2", "2001:db8::2"):
                    assert await ask(host, 7, b"hello") == b"hello"
                    assert (await ask(host, 80, b"GET / HTTP/1.0\r\n\r\n")).startswith(b"HTTP/1.0 200 OK")
                nursery.cancel_scope.cancel()

    child(lambda: trio.run(body))


def test_what_the_shell_has_started_ends_with_us_on_sigkill(child: Child) -> None:
    mark = f"1000.{os.getpid()}{child.user}"
    reading, writing = os.pipe()
    command = ["sh", "-c", f"sleep {mark}1 & sleep {mark}2; exit"]
    pid = child.start(lambda: trio.run(shell, enter(), command), writing)
    assert becomes_true(lambda: len(processes(f"sleep\0{mark}")) == 2)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(reading)
    os.close(writing)
    assert becomes_true(lambda: not processes(f"sleep\0{mark}"))


def test_it_does_not_start_if_we_have_ended_before_it_could_ask_to_end_with_us(child: Child) -> None:
    alive, inherited = os.pipe()

    def inside() -> None:
        peer = enter()
        this = os.pidfd_open(os.getpid())
        os.register_at_fork(
            after_in_child=lambda: select.select([this], [], []),  # until the other one has ended
            after_in_parent=lambda: os.kill(os.getpid(), signal.SIGKILL),
        )
        os.dup2(inherited, 1)  # What the shell starts has this too.
        trio.run(shell, peer, ["sleep", "1000"])

    os.waitpid(child.start(inside, inherited), 0)
    os.close(inherited)
    assert select.select([alive], [], [], 10)[0], "a process lives on"
    assert os.read(alive, 1) == b""
    os.close(alive)
