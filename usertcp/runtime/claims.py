"""The local ports that a stack speaks for."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Final

from usertcp.errors import PortInUse
from usertcp.link import Link

TRIES: Final = 64
"""Ports to try when any will do and the host has some of them."""
LARGEST_BLOCK: Final = 32
"""Ports to claim at once, at most."""
IDLE_BLOCKS: Final = 4
"""Blocks to keep of which no port is in use at the moment: the next one is probably in one of them."""
RUNS: Final = 16
"""Sequences of ports to remember, each toward another host."""


class Claim:
    """A port, kept while somebody uses it: a connection until it is CLOSED, a listener and all it has accepted."""

    __slots__ = ("_end", "_users")

    def __init__(self, end: Callable[[], None]) -> None:
        """*end* gives it back."""
        self._end = end
        self._users = 1

    def share(self) -> Claim:
        """One user more, who will `release` it too."""
        self._users += 1
        return self

    def release(self) -> None:
        self._users -= 1
        if not self._users:
            self._end()


class Block:
    """Ports that were claimed at once, and are given back at once."""

    __slots__ = ("context", "ports", "users")

    def __init__(self, context: AbstractContextManager[range]) -> None:
        self.context = context
        self.ports = context.__enter__()
        self.users = 0


class Claims:
    """What a stack has claimed of its link.

    To claim a port of the host takes longer than to send a segment, so who opens connections one after another claims
    some ports ahead. `Endpoint.choose_port` gives consecutive ones toward the same remote socket (RFC 6056): the first
    is claimed by itself, the second with the one after it, and so on by blocks each twice as long as the one before.
    Any connection may use a port of a block, whatever its addresses. While it is ours, in use or not, the stack speaks
    for it, since the kernel is kept from answering there.
    """

    def __init__(self, link: Link, last: int) -> None:
        """*last*: no port beyond this one is claimed ahead."""
        self._link = link
        self._last = last
        self._addresses: dict[int, list[str]] = {}
        """For which local addresses each port was claimed by itself, once for each claim."""
        self._runs: dict[int, int] = {}
        """How many ports to claim when this one, that after a block, is wanted. The last `RUNS` of them."""
        self._blocks: dict[int, Block] = {}
        """By each of their ports."""
        self._idle: dict[Block, None] = {}
        """Those of which no port is in use. The first has been so for longest."""

    def has_port(self, port: int) -> bool:
        """Is it claimed, for whatever address?"""
        return port in self._blocks or port in self._addresses

    def has(self, local: str, port: int) -> bool:
        """Is it claimed for this address?"""
        return port in self._blocks or any(address in (local, "") for address in self._addresses.get(port, ()))

    def take(self, local: str, port: int, remote: str = "") -> Claim:
        """Claim a port. *local* "" is every address, *remote* "" every peer.

        Raises:
          PortInUse, SetupError: see `Link.claim`.
        """
        context = self._link.claim(local, port, remote)
        context.__enter__()
        self._addresses.setdefault(port, []).append(local)
        return Claim(partial(self._give_back, context, local, port))

    def take_any(self, choose: Callable[[], int], local: str, remote: str = "") -> tuple[int, Claim]:
        """Claim the first port of those that *choose* gives that the host does not have, maybe with some after it.

        Raises:
          PortInUse, SetupError: see `Link.claim`.
        """
        for _ in range(TRIES - 1):
            port = choose()
            try:
                return port, self._take_in_turn(local, port, remote)
            except PortInUse:
                continue
        port = choose()
        return port, self._take_in_turn(local, port, remote)

    def close(self) -> None:
        """Give back what nobody uses."""
        while self._idle:
            self._give_back_block(self._idle.popitem()[0])

    def _take_in_turn(self, local: str, port: int, remote: str) -> Claim:
        """From a block, if there is one or it is time for one."""
        block = self._blocks.get(port) or self._take_block(port)
        if block is None:
            claim = self.take(local, port, remote)
            self._note_run(port + 1, 2)
            return claim
        self._idle.pop(block, None)
        block.users += 1
        return Claim(partial(self._leave, block))

    def _take_block(self, first: int) -> Block | None:
        size = self._runs.pop(first, 1)
        end = min(first + size, self._last + 1)
        end = next((port for port in range(first + 1, end) if port in self._blocks), end)  # Blocks do not overlap.
        ahead = self._link.claim_block(first, end - first) if size > 1 else None
        if ahead is None:
            return None
        block = Block(ahead)
        self._blocks.update(dict.fromkeys(block.ports, block))
        self._note_run(block.ports.stop, min(2 * size, LARGEST_BLOCK))
        return block

    def _leave(self, block: Block) -> None:
        block.users -= 1
        if not block.users:
            self._idle[block] = None
            if len(self._idle) > IDLE_BLOCKS:
                oldest = next(iter(self._idle))
                del self._idle[oldest]
                self._give_back_block(oldest)

    def _note_run(self, port: int, size: int) -> None:
        self._runs.pop(port, None)
        self._runs[port] = size
        if len(self._runs) > RUNS:
            del self._runs[next(iter(self._runs))]

    def _give_back_block(self, block: Block) -> None:
        for port in block.ports:
            del self._blocks[port]
        block.context.__exit__(None, None, None)

    def _give_back(self, context: AbstractContextManager[None], local: str, port: int) -> None:
        self._addresses[port].remove(local)
        if not self._addresses[port]:
            del self._addresses[port]
        context.__exit__(None, None, None)
