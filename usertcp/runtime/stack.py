"""What a user has of a stack: OPEN, active and passive, and its end (RFC 9293, 3.9.1)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from operator import index
from typing import Final, NoReturn

import trio

from usertcp.errors import InvalidAddress, SetupError
from usertcp.runtime.claims import Claim
from usertcp.runtime.connect import STAGGER, connect, resolve
from usertcp.runtime.listener import TcpListener
from usertcp.runtime.lower_level import LowerLevel
from usertcp.runtime.stream import TcpStream
from usertcp.runtime.waiting import Changes
from usertcp.tcp.config import Config
from usertcp.tcp.connection import Connection
from usertcp.tcp.listener import Listener
from usertcp.tcp.segment import Flow
from usertcp.tcp.state import State

OVER: Final = (State.TIME_WAIT, State.CLOSED)
"""Both ends have sent and acknowledged everything, or given up."""
EVERY_ADDRESS: Final = ("0.0.0.0", "::")
"""What people name to listen at all local addresses."""


class Stack:
    """A TCP endpoint on a link. Made by `open_stack`."""

    def __init__(self, lower: LowerLevel, config: Config) -> None:
        self.config = config
        self.endpoint = lower.endpoint
        """The core: all connections and listeners. After an event of your own, `transmit`."""
        self.link = lower.link
        self.transmit = lower.transmit
        self.transmit_soon = lower.transmit_soon
        self.until = lower.until
        self.now = lower.now
        """To be called: the time of all that happens here, that of Trio's clock."""
        self.counters = lower.counters
        """To be called: packets that were malformed, had a wrong checksum or were not for us; fragments; what the link
        sent and dropped; what no connection wanted. Name to count."""
        self.closed = False
        """Nothing can be opened any more, and what was open is being closed."""
        self._lower = lower
        self._claims = lower.claims
        self._open: set[TcpStream | TcpListener] = set()

    async def open_tcp_stream(
        self,
        host: str,
        port: int,
        *,
        local_address: str | None = None,
        local_port: int | None = None,
        config: Config | None = None,
        fast_open: bytes | None = None,
        happy_eyeballs_delay: float = STAGGER,
    ) -> TcpStream:
        """Connect to a host; returns when the connection is established (active OPEN; RFC 9293, 3.10.1).

        Its addresses are tried as `trio.open_tcp_stream` does: in turn, the next one when the one before has failed or
        *happy_eyeballs_delay* seconds have passed; the first to answer wins, the others are aborted.

        Args:
          host: a name, or an address of either family; a link-local one with its interface, as in "fe80::1%eth0".
          local_address: one of ours (MUST-43); by default the one that the route to the host has (MUST-44).
          local_port: our port; by default a free one, chosen so that it is hard to guess (RFC 6056).
          config: for this connection; by default the stack's.
          fast_open: the first octets to send, or none to prepare for it. They go with the SYN if the server has given
            us a cookie before (RFC 7413); else we ask for one, and send them after the handshake. Only for what may
            arrive twice, and at a host whose connection is not the one returned (6.1).

        Raises:
          TcpError: no address could be connected to. If all failed alike, it has the type of that: ConnectionRefused,
            ConnectionTimedOut, HostUnreachable, PortInUse ... If there are several, its cause is a group of all.
          OSError: the name could not be resolved.
          SetupError: the kernel cannot be kept away from the port; the message says what to run.
          trio.ClosedResourceError: the stack was closed.
        """
        port, local_port = index(port), None if local_port is None else index(local_port)
        if local_port is not None and not 0 < local_port < 65536:
            raise InvalidAddress(f"local port {local_port}")
        addresses = await resolve(host, port)

        queued: dict[TcpStream, int] = {}
        attempt = partial(self._attempt, queued, port, local_address, local_port, config, fast_open)
        stream = await connect(addresses, attempt, self.until, f"{host} port {port}", happy_eyeballs_delay)
        if fast_open is not None and queued[stream] < len(fast_open):
            try:
                await stream.send_all(fast_open[queued[stream] :])
            except BaseException:
                stream.abort()
                raise
        return stream

    async def open_tcp_listener(
        self, port: int, host: str | None = None, *, backlog: int | None = None, config: Config | None = None
    ) -> TcpListener:
        """Listen for connections (passive OPEN; RFC 9293, 3.10.1).

        Args:
          port: 0 takes a free one: see `TcpListener.port`.
          host: a local address, or a name of some; None, "0.0.0.0" and "::" are every local address of both families.
          backlog: how many established connections may wait to be accepted; by default `Config.backlog`.
          config: for the connections; by default the stack's.

        Raises:
          PortInUse: somebody listens there, here or in the kernel.
          InvalidAddress: *host* is not local.
          OSError: the name could not be resolved.
          SetupError: the kernel cannot be kept away from the port; the message says what to run.
          trio.ClosedResourceError: the stack was closed.
        """
        port = index(port)
        if not 0 <= port < 65536:
            raise InvalidAddress(f"port {port}")
        await trio.lowlevel.checkpoint()
        if host is None or host in EVERY_ADDRESS:
            local = [""]
        else:
            addresses = [address.partition("%")[0] for address in await resolve(host, port)]
            local = [address for address in addresses if self.link.is_local(address)]
        if not local:
            raise InvalidAddress(f"{host} is not local")
        return self._listen(local, port, backlog, config)

    async def serve_tcp(
        self,
        handler: Callable[[TcpStream], Awaitable[object]],
        port: int,
        *,
        host: str | None = None,
        backlog: int | None = None,
        config: Config | None = None,
        handler_nursery: trio.Nursery | None = None,
        task_status: trio.TaskStatus[list[TcpListener]] = trio.TASK_STATUS_IGNORED,
    ) -> NoReturn:
        """Listen, and run ``handler(stream)`` in a task of its own for each connection, until cancelled.

        As with `trio.serve_tcp`, a stream is closed when its handler returns, what a handler raises ends the server,
        and ``await nursery.start(stack.serve_tcp, handler, port)`` returns a list of the one listener.

        Raises: what `open_tcp_listener` raises.
        """
        listener = await self.open_tcp_listener(port, host, backlog=backlog, config=config)
        await trio.serve_listeners(handler, [listener], handler_nursery=handler_nursery, task_status=task_status)

    async def close(self, linger: float) -> None:
        """Close all listeners and connections; after *linger* seconds, reset those that the peers have not closed too.

        TIME-WAIT is not waited for. Cancelled, it resets at once.
        """
        self.closed = True
        for each in list(self._open):
            each.refuse(self._why_closed())
        left = list(self.endpoint.connections.values())
        for conn in left:
            conn.close(self.now(), receive=False)
            self.endpoint.touch(conn)

        def over() -> bool:
            while left and left[-1].state in OVER:
                left.pop()
            return not left

        try:
            self.transmit()
            with trio.move_on_after(linger):
                await self._lower.changes.until(over)
        finally:
            self._reset(left)

    def _reset(self, left: list[Connection]) -> None:
        """End what has not ended by itself."""
        for conn in left:
            if conn.state not in OVER:
                conn.abort(self.now())
                self.endpoint.touch(conn)
        with suppress(SetupError):  # Why we are here, maybe.
            self.transmit()
        for each in list(self._open):
            each.release()
        self._claims.close()

    # What streams and listeners need

    def opened(self, what: TcpStream | TcpListener) -> None:
        """Remember what is to be told when the stack is closed."""
        self._open.add(what)

    def forget(self, what: TcpStream | TcpListener) -> None:
        """It has given its port back."""
        self._open.discard(what)

    # Opening

    def _local_address(self, asked: str | None, remote: str) -> str:
        """Where a connection to *remote* comes from: as asked for, or as the route has it."""
        if asked is None:
            return self.link.source_address(remote)
        if (":" in asked) != (":" in remote) or not self.link.is_local(asked):
            raise InvalidAddress(f"{asked} is no local address to reach {remote} from")
        return asked

    def _attempt(
        self,
        queued: dict[TcpStream, int],
        port: int,
        local_address: str | None,
        local_port: int | None,
        config: Config | None,
        fast_open: bytes | None,
        remote: str,
        changes: Changes,
    ) -> TcpStream:
        """A connection in SYN-SENT; its SYN is on its way. *queued* is told how many octets of *fast_open* are."""
        self._check_open()
        local = self._local_address(local_address, remote)
        remote, _, _ = remote.partition("%")  # From here on the local address tells the interface.
        now = self.now()
        if local_port is None:
            choose = partial(self.endpoint.choose_port, local, remote, port, now, config)
            local_port, claim = self._claims.take_any(choose, local, remote)
        else:
            claim = self._claims.take(local, local_port, remote)
        try:
            flow = Flow(local, local_port, remote, port)
            conn = self.endpoint.open(flow, now, config, text_in_syn=fast_open is not None)
        except OSError:
            claim.release()
            raise
        stream = TcpStream(self, conn, claim, changes)
        queued[stream] = conn.send(fast_open, now) if fast_open else 0
        try:
            self.transmit(conn)
        except SetupError:
            stream.abort()
            raise
        return stream

    def _listen(self, addresses: list[str], port: int, backlog: int | None, config: Config | None) -> TcpListener:
        self._check_open()
        listeners: dict[Listener, Claim] = {}
        try:
            for local in addresses:
                if port:
                    claim = self._claims.take(local, port)
                else:
                    port, claim = self._claims.take_any(lambda: self._free_port(addresses), local)
                try:
                    listeners[self.endpoint.listen(local, port, backlog, config)] = claim
                except OSError:
                    claim.release()
                    raise
        except BaseException:
            for listener, claim in listeners.items():
                listener.close(self.now())
                claim.release()
            raise
        return TcpListener(self, listeners)

    def _free_port(self, addresses: list[str]) -> int:
        return self.endpoint.choose_port(addresses[0], "", 0, self.now())

    def _check_open(self) -> None:
        if self.closed:
            raise trio.ClosedResourceError(self._why_closed())

    def _why_closed(self) -> str:
        failure = self._lower.failure
        return f"the stack failed: {failure}" if failure else "the stack was closed"
