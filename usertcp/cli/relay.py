"""Moves octets between a stream and what stands behind it: standard input and output, a process, itself, nothing.

Each ends one direction when its source ends (a half-close), and returns when both have ended.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress

import trio

from usertcp.cli.options import Behind
from usertcp.runtime.stream import TcpStream

CHUNK = 1 << 16
GUARDED = '{ read -r end; kill -s KILL 0; } <"/dev/fd/$1" >/dev/null 2>&1 & exec /bin/sh -c "$0"'
"""A command, and beside it a guard: when the pipe ends that only we hold open, it ends all that the command has
started. So it does even if SIGKILL ends us."""


async def serve(stream: TcpStream, behind: Behind) -> None:
    """Join the connection to what the user asked for, until both directions have ended; then close it."""
    async with stream:
        if behind.exec is not None:
            await process(stream, behind.exec)
        elif behind.echo:
            await echo(stream)
        elif behind.discard:
            await discard(stream)
        else:
            await stdio(stream)


async def echo(stream: TcpStream) -> None:
    """Everything goes back (RFC 862)."""
    while data := await stream.receive_some(CHUNK):
        await stream.send_all(data)
    await stream.send_eof()


async def discard(stream: TcpStream) -> None:
    """Everything is thrown away (RFC 863)."""
    while await stream.receive_some(CHUNK):
        pass
    await stream.send_eof()


async def process(stream: TcpStream, command: str) -> None:
    """A command of the shell reads what arrives; what it writes is sent."""
    guarded, held = os.pipe()
    try:
        child = await trio.lowlevel.open_process(
            ["/bin/sh", "-c", GUARDED, command, str(guarded)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            pass_fds=(guarded,),
        )
    except BaseException:
        os.close(held)
        raise
    finally:
        os.close(guarded)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_feed, stream, child)
            assert child.stdout
            while data := await child.stdout.receive_some(CHUNK):
                await stream.send_all(data)
            await stream.send_eof()
        await child.wait()
    finally:
        os.close(held)
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)  # what the command has started as well
        with trio.CancelScope(shield=True):
            await child.wait()


async def _feed(stream: TcpStream, child: trio.Process) -> None:
    assert child.stdin
    async with child.stdin:
        while data := await stream.receive_some(CHUNK):
            try:
                await child.stdin.send_all(data)
            except trio.BrokenResourceError:  # it does not read any more; what it has still to say is sent
                break


async def stdio(stream: TcpStream) -> None:
    """Standard input is sent, what arrives is written.

    The end of standard input ends our direction only. When the peer ends its own, a terminal is not waited for: nobody
    would know that one more Ctrl-D is wanted.
    """
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_send_stdin, stream)
        while data := await stream.receive_some(CHUNK):
            await trio.to_thread.run_sync(_write, data)
        if sys.stdin.isatty():
            nursery.cancel_scope.cancel()
    await stream.send_eof()


async def _send_stdin(stream: TcpStream) -> None:
    # In a thread, and not by a non-blocking descriptor: that would change the terminal for every program that has it.
    while data := await trio.to_thread.run_sync(os.read, sys.stdin.fileno(), CHUNK, abandon_on_cancel=True):
        await stream.send_all(data)
    await stream.send_eof()


def _write(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
