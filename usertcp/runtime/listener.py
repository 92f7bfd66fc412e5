"""A passive OPEN as a Trio listener."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import trio

from usertcp.runtime.claims import Claim
from usertcp.runtime.stream import TcpStream
from usertcp.runtime.waiting import Changes
from usertcp.tcp.connection import Connection
from usertcp.tcp.listener import Listener
from usertcp.tcp.status import ListenerStatus

if TYPE_CHECKING:
    from usertcp.runtime.stack import Stack


class TcpListener(trio.abc.Listener[TcpStream]):
    """Accepts connections to one port, at one address, at several or at all. Made by `Stack.open_tcp_listener`."""

    def __init__(self, stack: Stack, listeners: dict[Listener, Claim]) -> None:
        self._stack = stack
        self._listeners = listeners
        self._next: tuple[Connection, Claim] | None = None
        """Taken from the backlog for a task that waits in `accept`."""
        self._changes = Changes()
        self._closed = ""
        for listener in listeners:
            listener.on_change = self._changes.changed
        stack.opened(self)

    @property
    def addresses(self) -> tuple[str, ...]:
        """The local addresses; "" is every one."""
        return tuple(listener.local for listener in self._listeners)

    @property
    def port(self) -> int:
        return next(iter(self._listeners)).port

    def status(self) -> ListenerStatus:
        """How many connections are half-open, or wait to be accepted; and what became of SYNs: at all addresses
        together."""
        each = [listener.status() for listener in self._listeners]
        counters: Counter[str] = Counter()
        for status in each:
            counters.update(status.counters)
        waiting = sum(status.waiting for status in each) + (self._next is not None)
        return ListenerStatus(sum(status.half_open for status in each), waiting, dict(counters))

    async def accept(self) -> TcpStream:
        """Wait for a connection to be established, and return it. Several tasks may do so; each gets others.

        With `Config.fast_open` it may be returned in SYN-RECEIVED, with text to read, and be answered at once (RFC
        7413).

        Raises:
          trio.ClosedResourceError: the listener or its stack was closed.
        """
        while True:
            await self._stack.until(self._changes, self._may_accept)
            if self._closed:
                raise trio.ClosedResourceError(self._closed)
            if self._next is not None:
                (conn, claim), self._next = self._next, None
                conn.accepted()
                if conn.acknowledgment_owed:
                    self._stack.transmit_soon(conn)  # The answer may carry it.
                return TcpStream(self._stack, conn, claim.share())

    async def aclose(self) -> None:
        """Listen no more. Connections that nobody has accepted are reset, the others are not touched. Idempotent."""
        self.refuse("the listener was closed")
        await trio.lowlevel.checkpoint()

    def refuse(self, why: str) -> None:
        """From now on `accept` raises ClosedResourceError; those under way do too."""
        if self._closed:
            return
        self._closed = why
        now = self._stack.now()
        if self._next is not None:
            self._next[0].abort(now)
            self._stack.endpoint.touch(self._next[0])
        for listener in self._listeners:
            listener.close(now)
        self._stack.transmit()
        self.release()
        self._changes.changed()

    def release(self) -> None:
        """Give the port back; the connections that were accepted keep their share."""
        for claim in self._listeners.values():
            claim.release()
        self._stack.forget(self)

    def _may_accept(self) -> bool:
        return bool(self._closed) or self._take()

    def _take(self) -> bool:
        """Is there a connection to hand out?"""
        for listener, claim in self._listeners.items():
            if self._next is None and (conn := listener.accept()) is not None:
                self._next = conn, claim
        return self._next is not None
