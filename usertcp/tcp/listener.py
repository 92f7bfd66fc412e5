"""A passive OPEN that goes on: the half-open connections that it holds, and those that wait to be accepted."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING

from usertcp.tcp import fast_open, syn_cookies
from usertcp.tcp.config import Config
from usertcp.tcp.connection import Connection, nobody
from usertcp.tcp.segment import Flow
from usertcp.tcp.state import GONE
from usertcp.tcp.status import ListenerStatus

if TYPE_CHECKING:
    from usertcp.tcp.endpoint import Endpoint


class Listener:
    """Every SYN gets a connection of its own, which starts in LISTEN (RFC 9293, 3.9.1.1). Made by `Endpoint.listen`.

    As in kernels, two limits hold. Beyond `Config.half_open_limit` SYNs are answered by a cookie, or not at all. While
    the backlog of established connections is full, SYNs are dropped and so is what would complete a handshake: both
    come again.
    """

    def __init__(self, endpoint: Endpoint, local: str, port: int, backlog: int, config: Config) -> None:
        self.local = local
        """"" for every local address."""
        self.port = port
        self.backlog = backlog
        self.config = config
        self.requests = fast_open.Requests(config.fast_open)
        self.on_change: Callable[[], None] = nobody
        """Called when `accept` has something new."""
        self.closed = False
        self.counters: Counter[str] = Counter()
        self.cookie_sent_at = -inf
        self._endpoint = endpoint
        self._half_open: dict[Flow, Connection] = {}
        self._established: deque[Connection] = deque()

    @property
    def backlog_full(self) -> bool:
        return len(self._established) >= self.backlog

    @property
    def half_open_full(self) -> bool:
        return len(self._half_open) >= self.config.half_open_limit

    def awaits_cookies(self, now: float) -> bool:
        """Was one sent so lately that it may be returned? Otherwise who guesses has no chance at all."""
        return now - self.cookie_sent_at < syn_cookies.LIFETIME

    def accept(self) -> Connection | None:
        """The connection that was established first and not yet accepted, or None."""
        return self._established.popleft() if self._established else None

    def status(self) -> ListenerStatus:
        """What there is of connections in the making, and what became of SYNs."""
        return ListenerStatus(len(self._half_open), len(self._established), dict(self.counters))

    def close(self, now: float) -> None:
        """CLOSE in LISTEN (3.10.4). Connections that nobody has accepted are reset. Idempotent."""
        if not self.closed:
            self.closed = True
            self._endpoint.forget_listener(self)
            for conn in (*self._half_open.values(), *self._established):
                conn.abort(now)
                self._endpoint.touch(conn)
            self._half_open.clear()
            self._established.clear()

    def count(self, what: str) -> None:
        """Count something, here and in the stack."""
        self.counters[what] += 1
        self._endpoint.counters[what] += 1

    def add(self, conn: Connection) -> None:
        """A SYN made this connection."""
        self._half_open[conn.flow] = conn

    def handshake_ended(self, conn: Connection) -> None:
        """The connection has left SYN-RECEIVED, or need not for it: it is ready to be accepted, or gone."""
        if self._half_open.get(conn.flow) is not conn:
            return
        del self._half_open[conn.flow]
        if conn.state in GONE:
            self.count("half-open connections lost")
        else:
            self._established.append(conn)
            self.on_change()
