"""A bulk transfer through a bottleneck with a queue, and what the congestion window does meanwhile."""

from __future__ import annotations

from dataclasses import replace

from tests.tcp.pairs import Pair, Path, connected
from usertcp.tcp.config import Config

CHUNK = bytes(1 << 16)
BUFFERS = Config(receive_buffer=1 << 22, send_buffer=1 << 22, auto_tuning=False, delayed_ack=0.0, rto_min=0.2)
"""So large that only the congestion window limits."""


class Bottleneck(Path):
    """Carries so many segments per second; so many wait; the rest is dropped."""

    def __init__(self, pair: Pair, rate: float, queue: float, delay: float, loss: float) -> None:
        super().__init__(delay=delay, loss=loss)
        self.pair, self.rate, self.queue = pair, rate, queue
        self.free_at = 0.0
        self.most_waiting = 0.0
        self.dropped = 0
        self.lose_next = False

    def delays(self) -> list[float]:
        now = self.pair.now
        waiting = max(self.free_at - now, 0) * self.rate
        if waiting > self.queue or self.lose_next or self.random.random() < self.loss:
            self.lose_next = False
            self.dropped += 1
            return []
        self.most_waiting = max(self.most_waiting, waiting)
        self.free_at = max(self.free_at, now) + 1 / self.rate
        return [self.free_at - now + self.delay]


class Bulk:
    """The client writes for ever, the server reads."""

    def __init__(self, config: Config, *, rate: float, queue: float, delay: float, loss: float = 0.0) -> None:
        self.pair, self.client, self.server = connected(
            replace(config, nagle=False, auto_tuning=False), BUFFERS, out=Path(delay=delay), back=Path(delay=delay)
        )
        self.path = Bottleneck(self.pair, rate, queue, delay, loss)
        self.pair.join(self.path, Path(delay=delay))
        self.started = self.pair.now
        self.received = 0
        self.windows: list[tuple[float, float]] = []
        """(seconds since the start, cwnd in segments) every millisecond or so."""

    def run(self, seconds: float) -> Bulk:
        """Let so many seconds pass."""
        until = self.pair.now + seconds
        while self.pair.now < until:
            self._users()
            self.pair.run_for(0.001)
            self.windows.append((self.elapsed, self.cwnd_now))
        return self

    def cwnd(self, at: float) -> float:
        """The congestion window, in segments, so many seconds after the start."""
        return next(cwnd for time, cwnd in self.windows if time >= at)

    @property
    def cwnd_now(self) -> float:
        status = self.client.status(self.pair.now)
        return status.cwnd / status.snd_mss

    @property
    def elapsed(self) -> float:
        return self.pair.now - self.started

    @property
    def sent(self) -> list[float]:
        """When each segment with text left the client: seconds since the start."""
        return [time - self.started for time, flow, seg in self.pair.wire if seg.data and flow == self.client.flow]

    @property
    def counters(self) -> dict[str, int]:
        return self.client.status(self.pair.now).counters

    def _users(self) -> None:
        now = self.pair.now
        while self.client.send(CHUNK, now):
            pass
        self.received += len(self.server.receive(1 << 22, now))
        self.pair.client.touch(self.client)
        self.pair.server.touch(self.server)
