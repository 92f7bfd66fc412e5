"""The local ports that a stack speaks for."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

from usertcp.errors import PortInUse
from usertcp.link import Link

TRIES = 64
"""Ports to try when any will do and the host has some of them."""


class Claim:
    """A port, kept while somebody uses it: a connection until it is CLOSED, a listener and all it has accepted."""

    __slots__ = ("_context", "_users")

    def __init__(self, context: ExitStack) -> None:
        self._context = context
        self._users = 1

    def share(self) -> Claim:
        """One user more, who will `release` it too."""
        self._users += 1
        return self

    def release(self) -> None:
        self._users -= 1
        if not self._users:
            self._context.close()


class Claims:
    """What a stack has claimed of its link."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._addresses: dict[int, list[str]] = {}
        """For which local addresses each port was claimed, once for each claim."""

    def has_port(self, port: int) -> bool:
        """Is it claimed, for whatever address?"""
        return port in self._addresses

    def has(self, local: str, port: int) -> bool:
        """Is it claimed for this address?"""
        return any(address in (local, "") for address in self._addresses.get(port, ()))

    def take(self, local: str, port: int, remote: str = "") -> Claim:
        """Claim a port. *local* "" is every address, *remote* "" every peer.

        Raises:
          PortInUse, SetupError: see `Link.claim`.
        """
        with ExitStack() as context:
            context.enter_context(self._link.claim(local, port, remote))
            self._addresses.setdefault(port, []).append(local)
            context.callback(self._forget, local, port)
            return Claim(context.pop_all())

    def take_any(self, choose: Callable[[], int], local: str, remote: str = "") -> tuple[int, Claim]:
        """Claim the first port of those that *choose* gives that the host does not have.

        Raises:
          PortInUse, SetupError: see `Link.claim`.
        """
        for _ in range(TRIES - 1):
            port = choose()
            try:
                return port, self.take(local, port, remote)
            except PortInUse:
                continue
        port = choose()
        return port, self.take(local, port, remote)

    def _forget(self, local: str, port: int) -> None:
        self._addresses[port].remove(local)
        if not self._addresses[port]:
            del self._addresses[port]
