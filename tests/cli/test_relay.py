"""The command that `--exec` starts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import trio

from usertcp.cli.relay import process
from usertcp.runtime.stream import TcpStream
from usertcp.testing import open_network

SERVER = """
import sys
import trio
from usertcp.cli.relay import process
from usertcp.testing import open_network

async def main():
    async with open_network() as network, trio.open_nursery() as nursery:
        serve = lambda stream: process(stream, sys.argv[1])
        await nursery.start(network.b.serve_tcp, serve, 7)
        await network.a.open_tcp_stream(network.address_b, 7)
        await trio.sleep_forever()

trio.run(main)
"""


def started(file: Path, count: int) -> list[int]:
    """The processes that a command has written down, once there are as many."""
    deadline = time.monotonic() + 20
    while not file.exists() or len(file.read_text().split()) < count:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return [int(word) for word in file.read_text().split()]


def alive(pid: int) -> bool:
    """A zombie is not: whether it is reaped is for others to do."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=lambda how: how.name)
def test_the_command_and_what_it_has_started_end_with_us_however_we_end(tmp_path: Path, how: signal.Signals) -> None:
    """Neither reads nor writes, so that no pipe that closes would end it."""
    file = tmp_path / "started"
    command = f"echo $$ >> {file}; sh -c 'echo $$ >> {file}; sleep 1000; :' & sleep 1000; :"
    with subprocess.Popen([sys.executable, "-c", SERVER, command], stderr=subprocess.DEVNULL) as server:
        pids = started(file, 2)
        assert all(map(alive, pids))
        os.kill(server.pid, how)
    deadline = time.monotonic() + 20
    while any(map(alive, pids)):
        assert time.monotonic() < deadline
        time.sleep(0.01)


async def test_nothing_of_it_is_left_when_it_has_ended() -> None:
    before = set(os.listdir("/proc/self/fd"))
    async with open_network() as network, trio.open_nursery() as nursery:
        answered = trio.Event()

        async def serve(stream: TcpStream) -> None:
            await process(stream, "cat; echo $0")
            answered.set()

        await nursery.start(network.b.serve_tcp, serve, 7)
        stream = await network.a.open_tcp_stream(network.address_b, 7)
        await stream.send_all(b"text ")
        await stream.send_eof()
        received = b"".join([data async for data in stream])
        assert received == b"text /bin/sh\n"
        await answered.wait()
        nursery.cancel_scope.cancel()
    assert set(os.listdir("/proc/self/fd")) == before
