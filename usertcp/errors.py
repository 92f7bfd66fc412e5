"""What can go wrong, as a caller sees it.

Every outcome of a connection that was not asked for is a `TcpError`. They are `OSError`s with the errno that a kernel
socket would give, so code written for `trio.open_tcp_stream` needs no change.
"""

from __future__ import annotations

import errno
from typing import ClassVar


class TcpError(OSError):
    """A connection did not do what was asked; the base of the outcomes below."""

    code: ClassVar[int] = errno.EIO
    meaning: ClassVar[str] = "TCP error"

    def __init__(self, why: str = "") -> None:
        super().__init__(self.code, f"{self.meaning}: {why}" if why else self.meaning)


class ConnectionRefused(TcpError, ConnectionRefusedError):
    """A RST, or "port unreachable" of ICMP, answered our SYN: nobody listens there (RFC 9293, 3.10.7.3, 3.9.2.2)."""

    code = errno.ECONNREFUSED
    meaning = "connection refused"


class ConnectionReset(TcpError, ConnectionResetError):
    """The peer sent a RST in a synchronized state (RFC 9293, 3.10.7.4, second)."""

    code = errno.ECONNRESET
    meaning = "connection reset"


class ConnectionAborted(TcpError, ConnectionAbortedError):
    """We gave the connection up ourselves: the ABORT call (RFC 9293, 3.10.5)."""

    code = errno.ECONNABORTED
    meaning = "connection aborted"


class ConnectionTimedOut(TcpError, TimeoutError):
    """R2 or the user timeout passed without an answer (RFC 9293, 3.8.3 and 3.10.8)."""

    code = errno.ETIMEDOUT
    meaning = "connection timed out"


class HostUnreachable(TcpError):
    """An ICMP error that ends a connection, or no route (RFC 9293, 3.9.2.2)."""

    code = errno.EHOSTUNREACH
    meaning = "host unreachable"


class ConnectionClosing(TcpError):
    """The call came after CLOSE: "error: connection closing" (RFC 9293, 3.10)."""

    code = errno.EPIPE
    meaning = "connection closing"


class ConnectionDoesNotExist(TcpError):
    """The call came in CLOSED: "error: connection does not exist" (RFC 9293, 3.10)."""

    code = errno.ENOTCONN
    meaning = "connection does not exist"


class ConnectionAlreadyExists(TcpError):
    """OPEN for a pair of sockets that is in use, TIME-WAIT included (RFC 9293, 3.10.1)."""

    code = errno.EADDRINUSE
    meaning = "connection already exists"


class PortInUse(TcpError):
    """Somebody has this local port: a listener of ours, or the kernel."""

    code = errno.EADDRINUSE
    meaning = "port in use"


class InvalidAddress(TcpError):
    """A connection to, from or between addresses that TCP must refuse (RFC 9293, 3.9.2.3, MUST-46)."""

    code = errno.EADDRNOTAVAIL
    meaning = "invalid address"


class SetupError(RuntimeError):
    """The machine does not let us work as asked; the message says what to do about it."""


class MalformedPacket(ValueError):
    """The octets are no packet that we can read. The only exception that leaves a decoder."""
