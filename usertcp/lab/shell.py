"""A shell on our side of the cable, and a peer that serves: a place to try things in."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import trio

from usertcp.lab import cable, namespaces
from usertcp.lab.parent import Parent
from usertcp.lab.peer import Peer, discard, echo, http

SERVICES = {7: echo, 9: discard, 80: http}
WELCOME = f"""\
This shell is in a network of its own: {cable.OURS.address} and {cable.OURS.address6}. The only other host in it is
{cable.PEER.address} ({cable.PEER.address6}), where a Linux kernel serves echo (port 7), discard (9) and HTTP (80).
Try:  usertcp handshake {cable.PEER.address} 80 --send 'GET / HTTP/1.0\\r\\n\\r\\n' --msl 1
Leave it with `exit`; nothing stays behind."""


async def shell(
    peer: Peer, command: Sequence[str] = (), *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> int:
    """Run a program on our side, by default the user's shell, while the peer serves. *task_status* tells when it does.

    Whatever it has started ends with it, and it ends with this process, however that ends.

    Returns:
      Its exit status; as a shell would give it, where a signal has ended it.
    """
    async with trio.open_nursery() as nursery:
        for port, handler in SERVICES.items():
            for host in (peer.address, peer.address6) if cable.IPV6.exists() else (peer.address,):
                await nursery.start(partial(peer.serve, handler, port, host=host))
        task_status.started()
        status = await _wait(_start(command or [os.environ.get("SHELL", "/bin/sh")]))
        nursery.cancel_scope.cancel()
    peer.reset_all()
    return status if status >= 0 else 128 - status


def _start(command: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start it as the first process of a new process namespace: with it, the kernel ends all others in there.

    Not by `trio.lowlevel.open_process`: to the kernel, the parent that must not die is the thread that has forked.
    """
    here = str(Path(sys.executable).parent)  # where the command usertcp is
    path = f"{here}:{os.environ.get('PATH', os.defpath)}"
    parent = Parent()
    namespaces.unshare(namespaces.CLONE_NEWPID)
    try:
        return subprocess.Popen(command, env={**os.environ, "PATH": path}, preexec_fn=parent.end_with)
    finally:
        parent.close()


async def _wait(process: subprocess.Popen[bytes]) -> int:
    pidfd = os.pidfd_open(process.pid)
    try:
        await trio.lowlevel.wait_readable(pidfd)
    finally:
        os.close(pidfd)
        process.kill()  # if we are cancelled
        status = process.wait()
    return status
