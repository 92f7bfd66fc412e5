"""usertcp as the host under test, on a clock that only the script moves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tests.lab.differential.peer import Peer
from tests.lab.differential.script import Step
from usertcp.errors import MalformedPacket
from usertcp.tcp.config import Config
from usertcp.tcp.connection import Connection
from usertcp.tcp.endpoint import Endpoint
from usertcp.tcp.keepalive import KeepAlive
from usertcp.tcp.listener import Listener
from usertcp.tcp.segment import Flow
from usertcp.tcp.state import State
from usertcp.wire import IcmpError
from usertcp.wire.fast import FastCodec

LIKE_LINUX = Config(rto_min=0.2)
"""Where the kernel leaves the RFC and we need not, we do as it does, so that there is something to compare."""

SETTINGS: dict[str, Callable[[str], dict[str, object]]] = {
    "nodelay": lambda value: {"nagle": value == "0"},
    "keepalive": lambda value: {"keepalive": keep_alive(*map(float, value.split(",")))},
    "user_timeout": lambda value: {"user_timeout": float(value)},
    "rcvbuf": lambda value: {"receive_buffer": int(value), "auto_tuning": False},
    "mss": lambda value: {"mss": int(value)},
    "fastopen": lambda value: {"fast_open": int(value)},
}
SYSCTLS: dict[tuple[str, str], dict[str, object]] = {
    ("net.ipv4.tcp_ecn", "1"): {"ecn": "on"},
    ("net.ipv4.tcp_ecn", "0"): {"ecn": "off"},
    ("net.ipv4.tcp_syncookies", "2"): {"half_open_limit": 0},
    ("net.ipv4.tcp_tw_reuse", "1"): {},
    ("net.ipv4.tcp_fastopen", "3"): {},
    ("net.ipv4.tcp_sack", "0"): {"sack": False},
    ("net.ipv4.tcp_timestamps", "0"): {"timestamps": False},
    ("net.ipv4.tcp_window_scaling", "0"): {"window_scaling": False},
}
"""Kernel parameters and the settings that do the same."""


class OwnHost:
    """An endpoint, as `tests.lab.differential.play.Host`."""

    def __init__(self, flow: Flow, sysctls: tuple[tuple[str, str], ...]) -> None:
        self.peer = Peer(flow)
        self._config = LIKE_LINUX
        for setting in sysctls:
            self._config = replace(self._config, **SYSCTLS[setting])  # type: ignore[arg-type]
        self._endpoint = Endpoint(self._config, bytes(32), mss=lambda remote: 1460, answers=lambda local, port: True)
        self._codec = FastCodec()
        self._now = 1000.0
        self._listener: Listener | None = None
        self._connection: Connection | None = None
        self._sent: list[bytes] = []

    def call(self, step: Step) -> str:
        now, connection = self._now, self._connection
        try:
            match step.verb:
                case "set":
                    for name, value in step.options.items():
                        self._config = replace(self._config, **SETTINGS[name](value))  # type: ignore[arg-type]
                    if connection is not None:
                        connection.configure(self._config, now)
                case "listen":
                    self._listener = self._endpoint.listen("", self.peer.flow.local_port, config=self._config)
                case "accept":
                    assert self._listener is not None
                    self._connection = self._listener.accept()
                    return "" if self._connection is not None else "EAGAIN"
                case "connect":
                    self._connection = self._endpoint.open(self.peer.flow, now, self._config)
                case "fast-connect":
                    self._connection = self._endpoint.open(self.peer.flow, now, self._config, text_in_syn=True)
                    self._connection.send(bytes(step.octets), now)
                case "close" if connection is None:
                    assert self._listener is not None
                    self._listener.close(now)
                case _:
                    assert connection is not None, step.text
                    return self._connected(connection, step)
        finally:
            self._collect()
        return ""

    def _connected(self, connection: Connection, step: Step) -> str:
        now = self._now
        self._endpoint.touch(connection)
        match step.verb:
            case "write" | "urgent":
                return str(connection.send(bytes(step.octets), now, urgent=step.verb == "urgent") or "EAGAIN")
            case "read":
                data = connection.receive(step.octets, now)
                return str(len(data)) if data else "end" if connection.at_eof else "EAGAIN"
            case "shutdown":
                connection.close(now)
            case "close":
                connection.close(now, receive=False)
            case "abort":
                connection.abort(now)
            case _:
                raise AssertionError(step.text)
        return ""

    def arrives(self, packet: bytes) -> None:
        try:
            content = self._codec.decode(packet)
        except MalformedPacket:
            return
        if isinstance(content, IcmpError):
            self._endpoint.icmp_arrives(content, self._now)
        elif content is not None:
            self._endpoint.segment_arrives(*content, self._now)
        self._collect()

    async def wait(self, seconds: float) -> None:
        until = self._now + seconds
        while self._endpoint.deadline <= until:
            self._now = max(self._now, self._endpoint.deadline)
            self._endpoint.timeouts(self._now)
            self._collect()
        self._now = until

    def sent(self) -> list[bytes]:
        sent, self._sent = self._sent, []
        return sent

    @property
    def state(self) -> str:
        connection = self._endpoint.connections.get(self.peer.flow)
        if connection is not None:
            return str(connection.state)
        return str(State.LISTEN if self._listener is not None and not self._listener.closed else State.CLOSED)

    def _collect(self) -> None:
        self._sent += [self._codec.encode(flow, seg) for flow, seg in self._endpoint.output(self._now)]


def keep_alive(idle: float, interval: float, count: float) -> KeepAlive:
    return KeepAlive(idle=idle, interval=interval, count=int(count))
