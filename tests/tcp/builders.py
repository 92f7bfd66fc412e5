"""Connections in each state of RFC 9293, reached by calls and segments only. The test plays the peer.

Numbers are relative to the initial ones: our SYN is 0, our first octet 1, and the same for the peer. What goes out is
read in the notation of the RFC, "<SEQ=1><ACK=1><CTL=FIN,ACK>", with the text behind it. PSH is left out, as in the
RFC's figures.
"""

from __future__ import annotations

from collections.abc import Callable

from usertcp.tcp.config import Config
from usertcp.tcp.connection import Connection
from usertcp.tcp.endpoint import Endpoint
from usertcp.tcp.options import NO_OPTIONS, Options
from usertcp.tcp.segment import ACK, FIN, SYN, Flow, Segment, flag_names
from usertcp.tcp.sequence import unwrap, wrap
from usertcp.tcp.state import State

SECRET = bytes(range(32))
FLOW = Flow("192.0.2.1", 61000, "192.0.2.2", 80)
CONFIG = Config(delayed_ack=0.0, receive_buffer=4000, congestion="reno", auto_tuning=False)
"""Acknowledgments are not delayed, so that each answer is seen beside its cause; the window is easily left, and it
does not grow."""
WINDOW = 5000
"""What the peer offers, unless a test says otherwise."""
MSS = 1000


class Bench:
    """One connection under test, on a clock of its own."""

    def __init__(self, iss: int, irs: int, config: Config = CONFIG, flow: Flow = FLOW) -> None:
        self.iss = iss
        self.irs = irs
        self.now = 1000.0
        self.tcp = Connection(flow, config, iss=iss, mss=MSS)
        self.edge = 0
        """Right edge of the window that we have offered last, relative."""
        self._out: list[Segment] = []

    @property
    def state(self) -> State:
        return self.tcp.state

    def take(self) -> list[Segment]:
        """The segments that went out since the last time this was asked."""
        out, self._out = self._out, []
        return out

    def sent(self) -> list[str]:
        """The same in the notation of the RFC, numbers relative."""
        return [self._notation(seg) for seg in self.take()]

    # Events

    def arrives(
        self,
        flags: int,
        seq: int,
        ack: int | None = None,
        data: bytes = b"",
        *,
        wnd: int = WINDOW,
        options: Options = NO_OPTIONS,
        up: int = 0,
    ) -> None:
        """A segment from the peer, numbers relative. *ack* is for segments with ACK, and only for them."""
        assert (ack is None) == (not flags & ACK)
        number = 0 if ack is None else wrap(self.iss + ack)
        self.deliver(Segment(wrap(self.irs + seq), number, flags, wnd, options, data, up))

    def deliver(self, *segments: Segment) -> None:
        """Segments as another bench sent them, numbers as on the wire; all of them before anything is sent."""
        for seg in segments:
            self.tcp.segment_arrives(seg, self.now)
        self._collect()

    def advance(self, seconds: float) -> None:
        """Let time pass; whatever timer expires meanwhile does so at its time."""
        until = self.now + seconds
        while self.tcp.deadline <= until:
            self.now = max(self.now, self.tcp.deadline)
            self.tcp.timeouts(self.now)
            self._collect()
        self.now = until

    def open(self, *, passive: bool = False) -> None:
        self.tcp.open(self.now, passive=passive)
        self._collect()

    def send(self, data: bytes) -> int:
        taken = self.tcp.send(data, self.now)
        self._collect()
        return taken

    def receive(self, max_octets: int = 100_000) -> bytes:
        data = self.tcp.receive(max_octets, self.now)
        self._collect()
        return data

    def close(self, *, receive: bool = True) -> None:
        self.tcp.close(self.now, receive=receive)
        self._collect()

    def abort(self) -> None:
        self.tcp.abort(self.now)
        self._collect()

    def _collect(self) -> None:
        for seg in self.tcp.output(self.now):
            self._out.append(seg)
            if seg.flags & ACK:
                self.edge = self._relative(seg.ack, self.irs) + seg.wnd
        assert self.tcp.output(self.now) == []

    def _notation(self, seg: Segment) -> str:
        names = [name for name in flag_names(seg.flags) if name != "PSH"]
        ack = f"<ACK={self._relative(seg.ack, self.irs)}>" if seg.flags & ACK else ""
        return f"<SEQ={self._relative(seg.seq, self.iss)}>{ack}<CTL={','.join(names)}>{seg.data.decode()}"

    @staticmethod
    def _relative(number: int, start: int) -> int:
        return unwrap(number, start) - start


# Builders. Neither end has sent more than it takes to get there. Nothing is left unread in `sent`.


def closed(iss: int, irs: int, config: Config = CONFIG) -> Bench:
    return Bench(iss, irs, config)


def listen(iss: int, irs: int, config: Config = CONFIG) -> Bench:
    bench = closed(iss, irs, config)
    bench.open(passive=True)
    return arrived(bench, State.LISTEN)


def syn_sent(iss: int, irs: int, config: Config = CONFIG) -> Bench:
    bench = closed(iss, irs, config)
    bench.open()
    return arrived(bench, State.SYN_SENT, "<SEQ=0><CTL=SYN>")


def syn_received(iss: int, irs: int, config: Config = CONFIG) -> Bench:
    """After a passive OPEN."""
    bench = listen(iss, irs, config)
    bench.arrives(SYN, 0, options=Options(mss=MSS))
    return arrived(bench, State.SYN_RECEIVED, "<SEQ=0><ACK=1><CTL=SYN,ACK>")


def syn_received_active(iss: int, irs: int, config: Config = CONFIG) -> Bench:
    """After an active OPEN: both ends have sent a SYN (RFC 9293, Figure 7)."""
    bench = syn_sent(iss, irs, config)
    bench.arrives(SYN, 0, options=Options(mss=MSS))
    return arrived(bench, State.SYN_RECEIVED, "<SEQ=0><ACK=1><CTL=SYN,ACK>")


def established(iss: int, irs: int, config: Config = CONFIG) -> Bench:
    """After an active OPEN."""
    bench = syn_sent(iss, irs, config)
    bench.arrives(SYN | ACK, 0, 1, options=Options(mss=MSS))
    return arrived(bench, State.ESTABLISHED, "<SEQ=1><ACK=1><CTL=ACK>")


def established_passive(iss: int, irs: int, config: Config = CONFIG) -> Bench:
    bench = syn_received(iss, irs, config)
    bench.arrives(ACK, 1, 1)
    return arrived(bench, State.ESTABLISHED)


def fin_wait_1(iss: int, irs: int, config: Config = CONFIG) -> Bench:
    """Our FIN, at 1, is sent and not acknowledged."""
    bench = established(iss, irs, config)
    bench.close()
    return arrived(bench, State.FIN_WAIT_1, "<SEQ=1><ACK=1><CTL=FIN,ACK>")


def fin_wait_2(iss: int, irs: int, config: Config = CONFIG) -> Bench:
    bench = fin_wait_1(iss, irs, config)
    bench.arrives(ACK, 1, 2)
    return arrived(bench, State.FIN_WAIT_2)


def close_wait(iss: int, irs: int, config: Config = CONFIG) -> Bench:
    """The peer's FIN, at 1, is acknowledged."""
    bench = established(iss, irs, config)
    bench.arrives(FIN | ACK, 1, 1)
    return arrived(bench, State.CLOSE_WAIT, "<SEQ=1><ACK=2><CTL=ACK>")


def closing(iss: int, irs: int, config: Config = CONFIG) -> Bench:
    """The FINs, both at 1, have crossed; ours is not acknowledged."""
    bench = fin_wait_1(iss, irs, config)
    bench.arrives(FIN | ACK, 1, 1)
    return arrived(bench, State.CLOSING, "<SEQ=2><ACK=2><CTL=ACK>")


def last_ack(iss: int, irs: int, config: Config = CONFIG) -> Bench:
    """Both FINs, at 1, are sent; ours is not acknowledged."""
    bench = close_wait(iss, irs, config)
    bench.close()
    return arrived(bench, State.LAST_ACK, "<SEQ=1><ACK=2><CTL=FIN,ACK>")


def time_wait(iss: int, irs: int, config: Config = CONFIG) -> Bench:
    """Both FINs, at 1, are acknowledged; the peer's just now."""
    bench = fin_wait_2(iss, irs, config)
    bench.arrives(FIN | ACK, 1, 2)
    return arrived(bench, State.TIME_WAIT, "<SEQ=2><ACK=2><CTL=ACK>")


# Whole hosts, for what is decided between connections


def host(
    answers: Callable[[str, int], bool] = lambda local, port: True, secret: bytes = SECRET, config: Config = CONFIG
) -> Endpoint:
    return Endpoint(config, secret, mss=lambda remote: MSS, answers=answers)


def delivered(endpoint: Endpoint, seg: Segment, flow: Flow = FLOW, now: float = 0.0) -> list[Segment]:
    """What an endpoint sends because of a segment, numbers as on the wire; all of it for the same pair of sockets."""
    endpoint.segment_arrives(flow, seg, now)
    out = endpoint.output(now)
    assert all(to == flow for to, _ in out)
    return [answer for _, answer in out]


def arrived(bench: Bench, state: State, *sent: str) -> Bench:
    """Hold the builder to its word."""
    assert bench.state is state
    assert bench.sent() == list(sent)
    return bench
