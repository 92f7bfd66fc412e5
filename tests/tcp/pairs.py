"""Two endpoints joined by a path that loses, delays and duplicates, in an event loop with a clock of its own.

What happens depends on the seed of the path and on nothing else. Every segment that leaves is held against what its
sender may do, whatever the test is about.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from random import Random

from tests.tcp import builders
from tests.tcp.builders import Bench
from usertcp.tcp.config import Config
from usertcp.tcp.connection import Connection
from usertcp.tcp.endpoint import Endpoint
from usertcp.tcp.isn import TICKS_PER_SECOND, isn
from usertcp.tcp.options import Options
from usertcp.tcp.segment import ACK, RST, SYN, Flow, Segment
from usertcp.tcp.sequence import MODULUS, unwrap

SECRET = bytes(range(32))
CLIENT = Flow("192.0.2.1", 61000, "192.0.2.2", 80)
SERVER = CLIENT.reversed
MSS_ONLY = Options(mss=builders.MSS)
Build = Callable[..., Bench]
"""A builder: (iss, irs), and maybe a config."""


def moment_of(iss: int, flow: Flow = CLIENT, secret: bytes = SECRET) -> float:
    """A time at which an endpoint with this secret gives the pair of sockets the initial number *iss*."""
    return ((iss - isn(secret, flow, 0.0)) % MODULUS + 0.5) / TICKS_PER_SECOND


@dataclass
class Path:
    """One direction. Times in seconds, the rest are probabilities."""

    random: Random = field(default_factory=lambda: Random(0))
    delay: float = 0.01
    jitter: float = 0.0
    loss: float = 0.0
    duplication: float = 0.0

    def delays(self) -> list[float]:
        """How long each copy takes that arrives."""
        copies = 1 + (self.random.random() < self.duplication)
        return [
            self.delay + self.random.random() * self.jitter for _ in range(copies) if self.random.random() >= self.loss
        ]


def octets_of(options: Options) -> int:
    """How long these options are in an ordinary segment, padding included."""
    return (12 if options.timestamps else 0) + (4 + 8 * len(options.sack) if options.sack else 0)


class Speaker:
    """What one end has said so far, to hold it to."""

    def __init__(self) -> None:
        self.syn: Segment | None = None
        self.scale = 0
        """Shift count of the windows that it offers."""
        self.edge = self.ack = self.nxt = 0
        """Right edge offered, RCV.NXT and SND.NXT: positions."""

    def says(self, seg: Segment, peer: Speaker) -> None:
        """Check one segment of an honest end, and remember what it promised."""
        if seg.flags & RST:
            return
        if seg.flags & SYN:
            if self.syn is None:
                self.nxt = seg.seq
            self.syn = seg
        seq = unwrap(seg.seq, self.nxt)
        assert seq <= self.nxt, "text left out"
        self.nxt = max(self.nxt, seq + seg.len)
        if peer.syn is not None and not seg.flags & SYN:
            most = peer.syn.options.mss or 536
            assert len(seg.data) + octets_of(seg.options) <= most, "more than the peer's MSS"
            beyond = unwrap(seg.seq, peer.ack) + seg.len - peer.edge
            assert beyond <= 0 or seg.len == 1 or not seg.len, "more than the peer's window, and no probe"
        if seg.flags & ACK:
            self.promises(seg, peer)

    def promises(self, seg: Segment, peer: Speaker) -> None:
        assert peer.syn is not None
        ack = unwrap(seg.ack, self.ack or peer.syn.seq)
        assert ack >= self.ack, "an acknowledgment taken back"
        both_scale = self.syn is not None and None not in (
            self.syn.options.window_scale,
            peer.syn.options.window_scale,
        )
        scale = self.syn.options.window_scale or 0 if self.syn and both_scale and not seg.flags & SYN else 0
        edge = ack + (seg.wnd << scale)
        assert edge >= self.edge - ((1 << scale) - 1), "the right edge of the window moved left"
        self.ack, self.edge = ack, max(self.edge, edge)


class Pair:
    """A client that opens actively and a server that listens, or opens as well."""

    def __init__(
        self,
        client: Config,
        server: Config,
        *,
        out: Path | None = None,
        back: Path | None = None,
        now: float = 1000.0,
        mss: int = 1460,
    ) -> None:
        self.now = now
        self.client = Endpoint(client, SECRET, mss=lambda remote: mss, answers=lambda local, port: True)
        self.server = Endpoint(server, SECRET[::-1], mss=lambda remote: mss, answers=lambda local, port: True)
        self.wire: list[tuple[float, Flow, Segment]] = []
        """Every segment that left, lost or not: when, from which side."""
        self.loses: Callable[[Flow, Segment], bool] = lambda flow, seg: False
        """What vanishes, whatever the path is."""
        self._paths = {CLIENT: out or Path(), SERVER: back or Path()}
        self._speakers = {CLIENT: Speaker(), SERVER: Speaker()}
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._tie = count()

    def join(self, out: Path, back: Path) -> None:
        """From now on by these paths."""
        self._paths = {CLIENT: out, SERVER: back}

    def at(self, time: float, event: Callable[[], None]) -> None:
        """Have something done at a time."""
        heappush(self._events, (time, next(self._tie), event))

    def settle(self) -> None:
        """Send what is to be sent now."""
        for endpoint in (self.client, self.server):
            for flow, seg in endpoint.output(self.now):
                self.wire.append((self.now, flow, seg))
                self._speakers[flow].says(seg, self._speakers[flow.reversed])
                for delay in [] if self.loses(flow, seg) else self._paths[flow].delays():
                    self.at(self.now + delay, lambda flow=flow, seg=seg: self._deliver(flow.reversed, seg))  # type: ignore[misc]

    def step(self) -> None:
        """Let the next thing happen, whatever it is."""
        deadline = min(self.client.deadline, self.server.deadline)
        if self._events and self._events[0][0] <= deadline:
            at, _, event = heappop(self._events)
            self.now = max(self.now, at)
            event()
        else:
            assert deadline < float("inf"), "nothing will ever happen again"
            self.now = max(self.now, deadline)
            self.client.timeouts(self.now)
            self.server.timeouts(self.now)
        self.settle()

    def run(self, until: Callable[[], bool], steps: int = 20_000) -> None:
        """Until something holds; fails if it takes more steps than that."""
        self.settle()
        for _ in range(steps):
            if until():
                return
            self.step()
        raise AssertionError(f"not after {steps} steps")

    def run_for(self, seconds: float) -> None:
        over: list[bool] = []
        self.at(self.now + seconds, lambda: over.append(True))
        self.run(lambda: bool(over))

    def _deliver(self, flow: Flow, seg: Segment) -> None:
        endpoint = self.client if flow == CLIENT else self.server
        endpoint.segment_arrives(flow, seg, self.now)


def connected(
    client: Config,
    server: Config,
    *,
    out: Path | None = None,
    back: Path | None = None,
    now: float = 1000.0,
    mss: int = 1460,
) -> tuple[Pair, Connection, Connection]:
    """Both ends ESTABLISHED."""
    pair = Pair(client, server, out=out, back=back, now=now, mss=mss)
    listener = pair.server.listen("", 80)
    conn = pair.client.open(CLIENT, pair.now)
    accepted: list[Connection] = []

    def accept() -> bool:
        if (child := listener.accept()) is not None:
            accepted.append(child)
        return bool(accepted)

    pair.run(accept)
    return pair, conn, accepted[0]


def shaken(
    iss: int, irs: int, config: Config = builders.CONFIG, options: Options = MSS_ONLY, wnd: int = builders.WINDOW
) -> Bench:
    """ESTABLISHED after an active OPEN; the peer's SYN,ACK had these options and this window."""
    bench = builders.syn_sent(iss, irs, config)
    bench.arrives(SYN | ACK, 0, 1, options=options, wnd=wnd)
    bench.take()
    return bench


def spans(bench: Bench) -> list[tuple[int, int]]:
    """(SEQ relative to our SYN, octets) of each segment with text that went out since the last time."""
    return [(unwrap(seg.seq, bench.iss) - bench.iss, len(seg.data)) for seg in bench.take() if seg.data]


def windows(bench: Bench) -> list[int]:
    """The window fields that went out since the last time."""
    return [seg.wnd for seg in bench.take()]
