import ctypes
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from usertcp.lab.peer import TCP_FASTOPEN_CONNECT

USERTCP = [sys.executable, "-m", "usertcp"]
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)


class Hosts:
    """The network of hosts.py."""

    def __init__(self, pid: int, peer: int) -> None:
        self.pid = pid
        self.peer = peer

    def start(self, *arguments: str, stdin: int | IO[bytes] = subprocess.PIPE) -> subprocess.Popen[bytes]:
        """Start `usertcp` on our host."""
        return self._popen([*USERTCP, *arguments], f"/proc/{self.pid}/ns/net", stdin)

    def run(self, *arguments: str, stdin: bytes = b"", within: float = 30.0) -> subprocess.CompletedProcess[bytes]:
        """Run `usertcp` on our host to its end."""
        process = self.start(*arguments)
        out, err = process.communicate(stdin, within)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def call(self, port: int, data: bytes, *, fast_open: bool = False) -> bytes:
        """Have the peer's kernel call us, send, half-close and read to the end."""
        script = "import socket, sys; s = socket.socket(); "
        if fast_open:
            script += f"s.setsockopt(6, {TCP_FASTOPEN_CONNECT}, 1); "
        script += "s.connect(('192.0.2.1', int(sys.argv[1]))); s.sendall(sys.stdin.buffer.read()); s.shutdown(1); "
        script += "sys.stdout.buffer.write(b''.join(iter(lambda: s.recv(65536), b'')))"
        namespace = f"/proc/{self.pid}/fd/{self.peer}"
        client = self._popen([sys.executable, "-c", script, str(port)], namespace, subprocess.PIPE)
        out, err = client.communicate(data, 30)
        assert client.returncode == 0, err.decode()
        return out

    def _popen(self, command: list[str], namespace: str, stdin: int | IO[bytes]) -> subprocess.Popen[bytes]:
        def enter() -> None:
            net = os.open(namespace, os.O_RDONLY)
            user = f"/proc/{self.pid}/ns/user"
            if os.readlink(user) != os.readlink("/proc/self/ns/user"):
                LIBC.setns(os.open(user, os.O_RDONLY), CLONE_NEWUSER)
            if LIBC.setns(net, CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")

        pipe = subprocess.PIPE
        env = {**os.environ, "COLUMNS": "100"}
        return subprocess.Popen(command, preexec_fn=enter, env=env, stdin=stdin, stdout=pipe, stderr=pipe)


@pytest.fixture(scope="session")
def hosts() -> Iterator[Hosts]:
    """Two hosts joined by a cable, with a kernel that serves at the other end."""
    command = [sys.executable, str(Path(__file__).with_name("hosts.py"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        yield Hosts(process.pid, int(process.stdout.readline()))
        process.communicate()
