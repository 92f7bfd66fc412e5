"""A connection as a Trio stream."""

from __future__ import annotations

from collections.abc import Coroutine
from functools import partial
from operator import index
from typing import TYPE_CHECKING, Any, Final, SupportsIndex

import trio

from usertcp.errors import ConnectionClosing, TcpError
from usertcp.runtime.claims import Claim
from usertcp.runtime.waiting import Changes, OneAtATime, checkpoint
from usertcp.tcp.config import Config
from usertcp.tcp.connection import Connection, nobody
from usertcp.tcp.segment import Flow
from usertcp.tcp.state import State
from usertcp.tcp.status import Status

if TYPE_CHECKING:
    from usertcp.runtime.stack import Stack

CHUNK: Final = 1 << 20
"""Octets that `receive_some` returns at most, if the caller does not say: as they have come, without copying them."""


class TcpStream(trio.abc.HalfCloseableStream):
    """A TCP connection, with the behaviour of `trio.SocketStream`.

    Made by `Stack.open_tcp_stream` and `TcpListener.accept`. One task may send while another receives.
    """

    __slots__ = ("_claim", "_closed", "_conn", "_receiving", "_sending", "_stack", "_urgent_told", "changes")

    def __init__(self, stack: Stack, conn: Connection, claim: Claim, changes: Changes | None = None) -> None:
        """*claim* is released when the connection is CLOSED."""
        self.changes = changes or Changes()
        self._stack = stack
        self._conn = conn
        self._claim: Claim | None = claim
        self._closed = ""
        """Why calls are refused, if they are."""
        self._sending = OneAtATime("sending on")
        self._receiving = OneAtATime("receiving from")
        self._urgent_told = 0
        """The urgent pointer when `wait_urgent` last returned."""
        conn.on_change = self._changed
        stack.opened(self)

    # What Trio asks of a stream

    def send_all(self, data: bytes | bytearray | memoryview) -> Coroutine[Any, Any, None]:
        """Queue all of *data* for the peer; returns when the rest of it fits into the send buffer.

        If it is cancelled, some of *data* may have been sent.

        Raises:
          trio.BusyResourceError: another task is sending.
          trio.ClosedResourceError: after `send_eof`, `aclose` or `abort`, or the stack was closed.
          trio.BrokenResourceError: the connection has ended; the cause is the `TcpError`.
        """
        return self._send_all(data, urgent=False)  # One coroutine, not two: this is called for every message.

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until `send_all` could take at least one octet. Raises what `send_all` raises."""
        with self._sending:
            await self.changes.until(self._may_send)
            self._send(memoryview(b""))

    async def send_eof(self) -> None:
        """Say that nothing follows: a FIN after all that was sent. Receiving goes on. Idempotent.

        Raises:
          trio.BusyResourceError: another task is sending.
          trio.ClosedResourceError: after `aclose` or `abort`, or the stack was closed.
          trio.BrokenResourceError: the connection has ended in an error.
        """
        with self._sending:
            await trio.lowlevel.checkpoint()
            self._check_open()
            if self._conn.error is not None:
                raise broken(self._conn.error) from self._conn.error
            self._conn.close(self._stack.now())
            self._stack.transmit(self._conn)

    async def receive_some(self, max_bytes: SupportsIndex | None = None) -> bytes:
        """Wait for octets and return up to *max_bytes* of them (2**20 if None); b"" if the peer has sent its last.

        Raises:
          trio.BusyResourceError: another task is receiving.
          trio.ClosedResourceError: after `aclose` or `abort`, or the stack was closed.
          trio.BrokenResourceError: all was read, and the connection has ended in an error, which is the cause.
          ValueError: *max_bytes* is below 1.
        """
        most = CHUNK if max_bytes is None else index(max_bytes)
        if most < 1:
            raise ValueError("max_bytes must be at least 1")
        with self._receiving:
            await self._stack.until(self.changes, self._may_receive)
            self._check_open()
            owed = self._conn.acknowledgment_owed  # what has arrived is answered in a moment anyway
            try:
                data = self._conn.receive(most, self._stack.now())
            except TcpError as error:
                raise broken(error) from error
            if self._conn.acknowledgment_owed and not owed:
                self._stack.transmit(self._conn)  # The window has opened.
            else:
                self._stack.endpoint.touch(self._conn)
            return data

    async def aclose(self) -> None:
        """Stop using the connection: a FIN after what was sent, and no more receiving. Idempotent.

        Does not wait for the peer: as a kernel does for a socket, the stack delivers what is left and keeps TIME-WAIT
        (`wait_closed` waits). If octets from the peer are unread, or more come, they are lost, and it is told so by a
        RST (RFC 9293, 3.6.1, SHLD-3). Being cancelled changes nothing of this.
        """
        if not self._closed:
            self._conn.close(self._stack.now(), receive=False)
            self.refuse("the stream was closed")
            self._stack.transmit(self._conn)
        await checkpoint()

    # What TCP has beyond that

    def abort(self) -> None:
        """End the connection at once: a RST to the peer, no TIME-WAIT (ABORT; RFC 9293, 3.10.5). Idempotent."""
        self._conn.abort(self._stack.now())
        self.refuse("the connection was aborted")
        self._stack.transmit(self._conn)

    async def send_urgent(self, data: bytes | bytearray | memoryview) -> None:
        """`send_all`, and the peer is told to hurry to the end of *data*, even if its window is closed (RFC 9293,
        3.8.5). The octets stay in line. New applications should not do this (SHLD-13)."""
        await self._send_all(data, urgent=True)

    async def wait_urgent(self) -> int:
        """Wait until the peer says that what it sends is urgent, or that more of it is than it said before (RFC 9293,
        3.8.5, MUST-32). Another task may receive meanwhile, and what it has received needs no hurry any more.

        Returns:
          `urgent`; 0 if the peer has sent its last.

        Raises:
          trio.ClosedResourceError: after `aclose` or `abort`, or the stack was closed.
          trio.BrokenResourceError: the connection has ended in an error, which is the cause.
        """
        conn, told = self._conn, self._urgent_told

        def told_more() -> bool:
            return conn.urgent > 0 and conn.urgent_pointer != told

        await self.changes.until(lambda: bool(self._closed) or not conn.receiving or told_more())
        self._check_open()
        if not told_more():
            if conn.error is not None:
                raise broken(conn.error) from conn.error
            return 0
        self._urgent_told = conn.urgent_pointer
        return conn.urgent

    @property
    def urgent(self) -> int:
        """How many octets `receive_some` has still to return until the end of the peer's urgent data; 0: nothing is
        urgent (MUST-33). It returns none beyond that end together with those before it."""
        return self._conn.urgent

    async def wait_closed(self) -> None:
        """Wait until the connection is CLOSED, TIME-WAIT being over, or its stack was closed. Closes nothing itself."""
        await self.changes.until(lambda: self.state is State.CLOSED or self._stack.closed)

    def configure(self, config: Config) -> None:
        """Go on with other settings: ``stream.configure(replace(stream.config, nagle=False))``.

        Time-outs, keep-alives, buffers and the rules of sending and defence change from now on. What began with the
        connection stays: what the SYN has offered, congestion control, the bounds of the RTO. A time-out that is
        running counts from now.
        """
        self._conn.configure(config, self._stack.now())
        self._stack.transmit(self._conn)

    @property
    def config(self) -> Config:
        """The settings of this connection."""
        return self._conn.config

    def status(self) -> Status:
        """Everything there is to know about the connection now, and after its end (STATUS; RFC 9293, 3.10.6)."""
        return self._conn.status(self._stack.now())

    @property
    def flow(self) -> Flow:
        """Addresses and ports of both ends."""
        return self._conn.flow

    @property
    def state(self) -> State:
        return self._conn.state

    @property
    def error(self) -> TcpError | None:
        """Why the connection ended, if it did not end normally."""
        return self._conn.error

    def __repr__(self) -> str:
        local, local_port, remote, remote_port = self.flow
        return f"<TcpStream {local} port {local_port} to {remote} port {remote_port}: {self.state}>"

    # What the stack does with it

    def refuse(self, why: str) -> None:
        """From now on calls raise ClosedResourceError; those under way do too."""
        self._closed = self._closed or why
        self.changes.changed()

    def _changed(self) -> None:
        if self._conn.state is State.CLOSED:
            self.release()
        self.changes.changed()

    def release(self) -> None:
        """Give the port back."""
        if self._claim is not None:
            self._claim.release()
            self._claim = None
            self._conn.on_change = nobody  # Nothing changes any more, and what refers to itself is freed late.
            self._stack.forget(self)

    # Inside

    def _may_send(self, octets: int = 1) -> bool:
        return bool(self._closed) or self._conn.has_room(octets)

    def _may_receive(self) -> bool:
        return bool(self._closed) or self._conn.readable

    def _check_open(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError(self._closed)

    async def _send_all(self, data: bytes | bytearray | memoryview, *, urgent: bool) -> None:
        with self._sending:
            await trio.lowlevel.checkpoint_if_cancelled()
            rest = memoryview(data).cast("B")
            sent = self._send(rest, urgent=urgent)
            if sent == len(rest):
                await trio.lowlevel.cancel_shielded_checkpoint()  # The peer is at work meanwhile.
            while sent < len(rest):
                rest = rest[sent:]
                await self._stack.until(self.changes, partial(self._may_send, len(rest)))
                sent = self._send(rest, urgent=urgent)

    def _send(self, data: memoryview, *, urgent: bool = False) -> int:
        """SEND, in Trio's exceptions, and transmit."""
        self._check_open()
        try:
            sent = self._conn.send(data, self._stack.now(), urgent=urgent)
        except ConnectionClosing:
            refused = trio.ClosedResourceError("send_eof was called")
            refused.__cause__ = None  # As in `broken`.
            raise refused from None
        except TcpError as error:
            raise broken(error) from error
        self._stack.transmit(self._conn)
        return sent


def broken(error: TcpError) -> trio.BrokenResourceError:
    """The exception that Trio has for a connection that ended in an error, to be raised from it."""
    made = trio.BrokenResourceError(str(error))
    made.__cause__ = error  # Compiled, `raise ... from` forgets it.
    return made
