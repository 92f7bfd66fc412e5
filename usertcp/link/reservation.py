"""Local ports taken from the kernel: a socket bound there and never used, so that no other process gets the port.

The kernel skips such a port when it chooses one itself, and refuses it to everybody who asks. It goes on answering
segments that arrive for it with a RST: see `usertcp.link.rst_guard`.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from usertcp.errors import InvalidAddress, PortInUse, SetupError
from usertcp.link.interfaces import PROC_NET, scope_id

TCP_STATES = (
    "?", "ESTABLISHED", "SYN-SENT", "SYN-RECEIVED", "FIN-WAIT-1", "FIN-WAIT-2", "TIME-WAIT", "CLOSED", "CLOSE-WAIT",
    "LAST-ACK", "LISTEN", "CLOSING", "SYN-RECEIVED", "CLOSED",
)  # fmt: skip
"""As /proc/net/tcp numbers them."""


class Reservations:
    """The ports that this process holds, each once however often it is claimed."""

    def __init__(self) -> None:
        self._sockets: dict[tuple[str, int], socket.socket] = {}
        self._claims: dict[tuple[str, int], int] = {}

    @contextmanager
    def hold(self, local: str, port: int) -> Iterator[None]:
        """Keep *port* of the address *local* ("" for every address) while the context lasts.

        A port that is held for every address is held for each of them.

        Raises:
          PortInUse: a socket of the kernel has it; the message says whose, as far as we may know.
          InvalidAddress: *local* is no address of this machine.
          SetupError: the port is below 1024 and we may not have it.
        """
        try:
            key = self._take(local, port)
        except OSError as error:
            raise refusal(error, local, port) from error
        try:
            yield
        finally:
            self._give_back(key)

    @contextmanager
    def hold_block(self, first: int, most: int) -> Iterator[range]:
        """Keep the port *first*, and as many as can be had of the *most* - 1 after it, of every address.

        Raises: what `hold` raises, of the first port.
        """
        more: list[tuple[str, int]] = []
        with self.hold("", first):
            try:
                with suppress(OSError):  # Somebody has this one, or we have no descriptors left.
                    for port in range(first + 1, min(first + most, 65536)):
                        more.append(self._take("", port))
                yield range(first, first + 1 + len(more))
            finally:
                for key in more:
                    self._give_back(key)

    def _take(self, local: str, port: int) -> tuple[str, int]:
        key = ("", port) if ("", port) in self._sockets else (local, port)
        if key not in self._sockets:
            self._sockets[key] = placeholder(local, port)
        self._claims[key] = self._claims.get(key, 0) + 1
        return key

    def _give_back(self, key: tuple[str, int]) -> None:
        self._claims[key] -= 1
        if not self._claims[key]:
            del self._claims[key]
            self._sockets.pop(key).close()


def placeholder(local: str, port: int) -> socket.socket:
    """A TCP socket bound to *port* of *local* ("": of every address of both families), and nothing more.

    Raises:
      OSError: the kernel refuses.
    """
    family = socket.AF_INET if local and ":" not in local else socket.AF_INET6
    try:
        sock = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        if local or error.errno != errno.EAFNOSUPPORT:
            raise
        family, sock = socket.AF_INET, socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        if family == socket.AF_INET6 and not local:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        # No SO_REUSEADDR: with it, a server that sets it too could have the port beside us.
        sock.bind((local, port, 0, scope_id(local)) if family == socket.AF_INET6 and local else (local, port))
    except OSError:
        sock.close()
        raise
    return sock


def refusal(error: OSError, local: str, port: int) -> Exception:
    """Why the kernel did not let us bind, as the caller of `hold` is told."""
    if error.errno == errno.EADDRINUSE:
        return PortInUse(f"{port}, by {', '.join(holders(port)) or 'a socket that is not ours to see'}")
    if error.errno == errno.EACCES:
        return SetupError(
            f"port {port} is reserved for root: run as root, or "
            f"`sudo sysctl net.ipv4.ip_unprivileged_port_start={port}`, or choose a port above 1023"
        )
    if error.errno == errno.EAFNOSUPPORT:
        return InvalidAddress(f"{local}: this kernel has no IPv6")
    if error.errno in (errno.EADDRNOTAVAIL, errno.ENODEV):
        return InvalidAddress(f"{local} is no address of this machine")
    return OSError(error.errno, f"port {port}: {error.strerror}")


def holders(port: int) -> Iterator[str]:
    """What the kernel has at a local port: one "LISTEN, process 812 (nginx)" per socket that says."""
    for table in (PROC_NET / "tcp", PROC_NET / "tcp6"):
        for line in table.read_text().splitlines()[1:] if table.exists() else ():
            _, local, _, state, _, _, _, uid, _, inode, *_ = line.split()
            if int(local.rpartition(":")[2], 16) == port:
                yield f"{TCP_STATES[int(state, 16)]}, {process_of(inode) or f'user {uid}'}"


def process_of(inode: str) -> str:
    """The process that has a socket open, if we may look into it."""
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if link.readlink() == Path(f"socket:[{inode}]"):
                pid = link.parts[2]
                return f"process {pid} ({Path('/proc', pid, 'comm').read_text().strip()})"
        except OSError:
            continue
    return ""
