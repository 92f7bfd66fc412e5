"""One connection: the calls of RFC 9293, 3.10.1 to 3.10.6, and the events that reach it. Start reading here.

The core has one shape. An event comes in (a call, `segment_arrives`, `icmp_arrives`, `timeouts`); what is to be
transmitted because of it comes out of `output`; `deadline` says when `timeouts` wants to be called. Nothing blocks,
and `now` never decreases."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Final

from usertcp.errors import (
    ConnectionAborted,
    ConnectionAlreadyExists,
    ConnectionClosing,
    ConnectionDoesNotExist,
    ConnectionRefused,
    HostUnreachable,
    TcpError,
)
from usertcp.tcp import (
    ao,
    authentication,
    auto_tuning,
    delayed_ack,
    fast_path,
    icmp,
    keepalive,
    output,
    path_mtu,
    path_probing,
    urgency,
    user_timeout,
    window,
)
from usertcp.tcp.config import Config
from usertcp.tcp.events import IcmpIn, SegmentIn, TimerSet, TimerStopped, Tracer
from usertcp.tcp.memory import Memory
from usertcp.tcp.segment import ACK, Flow, Segment
from usertcp.tcp.segment_arrives import segment_arrives
from usertcp.tcp.sequence import HALF, MASK, unwrap
from usertcp.tcp.state import SYNCHRONIZED, Event, State
from usertcp.tcp.status import Status, status
from usertcp.tcp.tcb import NEVER, TIMERS, Discard, Tcb
from usertcp.tcp.timeouts import patience, timeouts

MUCH: Final = 1 << 20
"""Octets of a congestion window that one acknowledgment more or less does not change."""
SENDING: Final = frozenset({State.LISTEN, State.SYN_SENT, State.SYN_RECEIVED, State.ESTABLISHED, State.CLOSE_WAIT})
"""States in which SEND takes octets (RFC 9293, 3.10.2)."""
AFTER_FIN: Final = frozenset({State.CLOSE_WAIT, State.CLOSING, State.LAST_ACK, State.TIME_WAIT})
"""States in which the peer's FIN has been taken."""


def nobody() -> None:
    """Nobody asked to be told."""


class Connection:
    """A TCB and what may be done with it. Made by `Endpoint`, or by hand in a test."""

    __slots__ = ("alarm", "on_change", "scheduled", "tcb")

    def __init__(
        self,
        flow: Flow,
        config: Config,
        *,
        iss: int,
        mss: int = 1460,
        timestamp_offset: int = 0,
        memory: Memory | None = None,
        offload: bool = False,
        tracer: Tracer | None = None,
    ) -> None:
        """In CLOSED.

        Args:
          flow: the pair of sockets; the remote one may be unspecified ("", 0) for a passive OPEN.
          iss: initial send sequence number, 32 bits.
          mss: what to announce, octets; `config.mss` lowers it.
          timestamp_offset: added to the clock of TSval, 32 bits.
          memory: shared with other connections; None is one of its own.
          offload: segments may hold the text of many, to be cut: see `Segment.mss`.
        """
        mss = min(mss, config.mss) if config.mss is not None else mss
        memory = Memory(config.memory) if memory is None else memory
        self.tcb = Tcb(
            flow, config, memory, iss=iss, timestamp_offset=timestamp_offset, mss=mss, offload=offload, trace=tracer
        )
        auto_tuning.fit(self.tcb)
        self.on_change: Callable[[], None] = nobody
        """Called by the endpoint after each event that touched this connection."""
        self.scheduled = inf
        """The endpoint's notes: when it will look at `deadline` next, ..."""
        self.alarm = 0
        """... and the number of the alarm that is set for then."""

    # Calls (3.10.1 to 3.10.6)

    def open(self, now: float, *, passive: bool = False) -> None:
        """OPEN (3.10.1). Passive: to LISTEN. Active: to SYN-SENT, also from LISTEN.

        Raises:
          ConnectionAlreadyExists: in any other state.
          ValueError: active, and the remote socket is unspecified.
        """
        tcb = self.tcb
        if tcb.state is not State.CLOSED and (passive or tcb.state is not State.LISTEN):
            raise ConnectionAlreadyExists(str(tcb.state))
        if not passive and not tcb.flow.remote_port:
            raise ValueError("remote socket unspecified")
        tcb.enter(Event.PASSIVE_OPEN if passive else Event.ACTIVE_OPEN, now)

    def send(self, data: bytes | bytearray | memoryview, now: float, *, urgent: bool = False) -> int:
        """Queue octets for the peer: SEND (3.10.2). In LISTEN, with a remote socket specified, it also opens actively.

        Args:
          urgent: tell the peer to hurry to the end of *data* (3.8.5). New applications should not (SHLD-13).

        Returns:
          How many octets were taken, 0 to len(data): what fits into the send buffer, and into the
            stack's memory. After 0, wait for `writable`.

        Raises:
          ConnectionClosing: after `close`, also once the connection has ended well.
          TcpError: the connection has ended, in this error; ConnectionDoesNotExist without one.
          ValueError: in LISTEN, and the remote socket is unspecified.

        Nothing is transmitted before `output`.
        """
        tcb = self.tcb
        if tcb.state is State.CLOSED and (tcb.error or tcb.snd.fin is None):
            raise tcb.error or ConnectionDoesNotExist()
        if tcb.state not in SENDING or tcb.close_queued:
            raise ConnectionClosing()
        if tcb.state is State.LISTEN:
            if not tcb.flow.remote_port:
                raise ValueError("remote socket unspecified")
            tcb.enter(Event.SEND, now)
        room = tcb.memory.sendable(tcb)
        taken = tcb.send_buffer.append(data if len(data) <= room else memoryview(data)[:room])
        if urgent and len(data):
            urgency.queued(tcb)
        return taken

    def receive(self, max_octets: int, now: float) -> bytes:
        """Take up to *max_octets* that have arrived in order: RECEIVE (3.10.3). It stops where urgent data ends.

        Returns:
          b"" when there are none now: `at_eof` tells whether there will be more.

        Raises:
          TcpError: everything was read, and the connection has ended in this error.
        """
        tcb = self.tcb
        data = tcb.receive_buffer.read(urgency.readable(tcb, max_octets))
        if data:
            if tcb.config.auto_tuning:
                auto_tuning.octets_taken(tcb, now)
            self._offer_room()
        elif tcb.error is not None:
            raise tcb.error
        return data

    def close(self, now: float, *, receive: bool = True) -> None:
        """CLOSE (3.10.4): no more SENDs; a FIN follows what is queued. Idempotent.

        Args:
          receive: False if the user will not RECEIVE any more either. Text that is unread or still to come is then
            answered by a RST, for it is lost (3.6.1, SHLD-3), and FIN-WAIT-2 is bounded.
        """
        tcb = self.tcb
        if not receive and tcb.user_reads:
            tcb.user_reads = False
            if tcb.receive_buffer.readable and tcb.state not in (State.CLOSED, State.TIME_WAIT):
                tcb.abort(Event.ABORT, ConnectionAborted("closed with unread data"), now)
            elif tcb.state is State.FIN_WAIT_2:
                tcb.limit_fin_wait_2(now)
        match tcb.state:
            case State.LISTEN | State.SYN_SENT:
                tcb.enter(Event.CLOSE, now)
            case State.SYN_RECEIVED if tcb.send_buffer and not tcb.fast_opened:  # else the text need not wait either
                tcb.close_queued = True
            case State.SYN_RECEIVED | State.ESTABLISHED | State.CLOSE_WAIT:
                tcb.close(now)

    def abort(self, now: float) -> None:
        """ABORT (3.10.5): the peer gets a RST, the user nothing more. Idempotent."""
        if self.tcb.state is not State.CLOSED:
            self.tcb.abort(Event.ABORT, ConnectionAborted(), now)

    def configure(self, config: Config, now: float) -> None:
        """Go on with other settings, made of `config` by `dataclasses.replace`. In any state.

        Time-outs, keep-alives, buffers and the rules of sending and defence change from now on. What began with the
        connection stays: what the SYN has offered, congestion control, the bounds of the RTO. A time-out that is
        running counts from now.
        """
        tcb = self.tcb
        before = self._timers_before()
        if user_timeout.advertised(config) != user_timeout.advertised(tcb.config):
            tcb.user_timeout_owed = True
        tcb.config = config
        ao.configured(tcb, config)
        auto_tuning.fit(tcb)
        self._offer_room()
        if tcb.timers.user != NEVER:
            tcb.timers.user = now + patience(tcb)
        keepalive.configured(tcb, now)
        self._trace_timers(before, now)

    def accepted(self) -> None:
        """The user has got it, of a listener, and can answer from now on."""
        delayed_ack.accepted(self.tcb)

    def status(self, now: float) -> Status:
        """STATUS (3.10.6)."""
        return status(self.tcb, now)

    # Events

    def segment_arrives(self, seg: Segment, now: float) -> None:
        """SEGMENT ARRIVES (3.10.7), in any state but CLOSED. Numbers as on the wire."""
        tcb = self.tcb
        tcb.counters["segments in"] += 1
        if tcb.trace:
            tcb.trace(SegmentIn(now, tcb.flow, seg))
        if tcb.authentication or seg.options.signature:
            objection = authentication.objection(tcb.authentication, seg, tcb, tcb.config)
            if objection is not None:
                tcb.discarded(seg, objection, now)
                return
        if fast_path.segment_arrives(tcb, seg, now):
            tcb.rcv.dscp = seg.traffic_class >> 2
            return
        seq = seg.seq if tcb.state in (State.LISTEN, State.SYN_SENT) else unwrap(seg.seq, tcb.rcv.nxt)
        ack = unwrap(seg.ack, tcb.snd.una) if seg.flags & ACK else 0
        here = Segment(seq, ack, seg.flags, seg.wnd, seg.options, seg.data, seg.up, seg.traffic_class)
        before = self._timers_before()
        try:
            segment_arrives(tcb, here, now)
        except Discard as why:
            tcb.discarded(seg, str(why), now)
        tcb.rcv.dscp = seg.traffic_class >> 2
        keepalive.heard(tcb, now)
        self._trace_timers(before, now)

    def takes_at_once(self, seg: Segment) -> bool:
        """See `Endpoint.takes_at_once`."""
        tcb, stamps = self.tcb, seg.options.timestamps
        snd, congestion = tcb.snd, tcb.congestion
        return (
            tcb.reduction is None
            and tcb.frto is None
            and (congestion.cwnd >= congestion.ssthresh or congestion.cwnd >= MUCH)
            and (seg.ack - snd.una) & MASK <= snd.nxt - snd.una
            and (stamps is None or (stamps[0] - tcb.timestamps.recent) & MASK < HALF)
        )

    def icmp_arrives(self, message: icmp.Message, now: float) -> None:
        """An ICMP error that quotes a segment of this connection (3.9.2.2)."""
        tcb = self.tcb
        before = self._timers_before()
        position = unwrap(message.seq, tcb.snd.una)
        if not tcb.snd.una <= position < tcb.snd.nxt:
            tcb.counters["discarded: ICMP about nothing in flight"] += 1
            return
        if ao.ignores(tcb, message):
            tcb.counters["ignored: ICMP, which is not signed"] += 1
            return
        text = icmp.describe(message)
        hard = icmp.is_hard(message) and tcb.state not in SYNCHRONIZED
        if tcb.trace:
            tcb.trace(IcmpIn(now, tcb.flow, text, hard))
        if hard:
            error = ConnectionRefused(text) if icmp.refuses(message) else HostUnreachable(text)
            tcb.abort(Event.TIMEOUT, error, now)
        elif icmp.is_too_big(message) and tcb.config.path_mtu_discovery:
            if not path_probing.too_big(tcb, message, position):
                path_mtu.too_big(tcb, message, position, now)
        else:
            tcb.icmp_error = text
        self._trace_timers(before, now)

    def path_is_narrow(self, mtu: int, now: float) -> None:
        """Another connection to the same destination has found that the path takes no larger packets than this."""
        if self.tcb.config.path_mtu_discovery:
            before = self._timers_before()
            path_mtu.found(self.tcb, mtu, now)
            self._trace_timers(before, now)

    def timeouts(self, now: float) -> None:
        """Run what has expired (3.10.8)."""
        before = self._timers_before()
        timeouts(self.tcb, now)
        self._trace_timers(before, now)

    def output(self, now: float) -> list[Segment]:
        """The segments to transmit now, in order. They are not given a second time."""
        if segments := fast_path.new_segments(self.tcb, now):
            return segments
        before = self._timers_before()
        segments = output.output(self.tcb, now)
        self._trace_timers(before, now)
        return segments

    @property
    def deadline(self) -> float:
        """When `timeouts` is to be called; infinity when no timer runs."""
        return self.tcb.timers.earliest

    # What a user waits for

    @property
    def flow(self) -> Flow:
        return self.tcb.flow

    @property
    def config(self) -> Config:
        return self.tcb.config

    @property
    def state(self) -> State:
        return self.tcb.state

    @property
    def error(self) -> TcpError | None:
        """Why the connection ended, if it did not end normally (RFC 9293, 3.6, MUST-12)."""
        return self.tcb.error

    @property
    def soft_error(self) -> str | None:
        """The last sign of trouble that did not end the connection (3.9.1.8)."""
        return self.tcb.soft_error

    @property
    def path_mtu(self) -> int:
        """The largest packet that we send, octets (3.7.5)."""
        return path_mtu.path_mtu(self.tcb)

    @property
    def retransmissions(self) -> int:
        """How often the oldest unacknowledged segment was sent again."""
        return self.tcb.retransmissions

    @property
    def at_eof(self) -> bool:
        """The peer's FIN has been taken, and everything before it was read."""
        tcb = self.tcb
        fin_taken = tcb.rcv.fin is not None and tcb.rcv.nxt > tcb.rcv.fin
        return not tcb.receive_buffer.readable and (fin_taken or (tcb.state is State.CLOSED and tcb.error is None))

    @property
    def readable(self) -> bool:
        """`receive` has something to say: octets, the end or an error."""
        return bool(self.tcb.receive_buffer.readable) or self.at_eof or self.tcb.error is not None

    @property
    def urgent(self) -> int:
        """How many octets are to be read, and to arrive, until the end of the peer's urgent data; 0 when none is
        (3.8.5, MUST-33)."""
        return urgency.remaining(self.tcb)

    @property
    def urgent_pointer(self) -> int:
        """RCV.UP: it advances as more becomes urgent. What it was means nothing to the user, only that it changes."""
        return self.tcb.rcv.up

    @property
    def receiving(self) -> bool:
        """The peer may still send something."""
        return self.tcb.state is not State.CLOSED and self.tcb.state not in AFTER_FIN

    @property
    def writable(self) -> bool:
        """`send` would take at least one octet, or raise."""
        return self.has_room(1)

    def has_room(self, octets: int) -> bool:
        """`send` would take *octets*, or so many that it is worth while to wake somebody for them: a third of the
        buffer (as kernels do). Or it would raise."""
        tcb = self.tcb
        enough = 1 if tcb.memory.short else max(min(octets, tcb.send_buffer.limit // 3), 1)
        return tcb.state not in SENDING or tcb.close_queued or tcb.memory.sendable(tcb) >= enough

    @property
    def acknowledgment_owed(self) -> bool:
        """The peer is to be told something at once: `output` has a segment for it."""
        return self.tcb.ack_now

    @property
    def output_owed(self) -> bool:
        """`output` may have something for the peer: an acknowledgment, or what was never sent, or is lost."""
        tcb = self.tcb
        return tcb.ack_now or tcb.snd.nxt < tcb.end or tcb.recovery.lost_octets > 0

    @property
    def is_first_answer(self) -> bool:
        """The peer has opened the connection, and nothing but our SYN has been sent on it."""
        return self.tcb.passive and self.tcb.snd.nxt == self.tcb.snd.iss + 1

    @property
    def all_acked(self) -> bool:
        """The peer has acknowledged everything there was to send, our FIN included if we have closed."""
        return self.tcb.snd.una >= self.tcb.end

    def _offer_room(self) -> None:
        """There may be more room for what the peer sends: tell it at once if it may be stuck for lack of it."""
        tcb = self.tcb
        if self.receiving and tcb.syn_acked and window.update_owed(tcb):
            tcb.ack_now = True

    # Tracing of timers: setting one is assigning, so changes are seen by comparison

    def _timers_before(self) -> tuple[float, ...]:
        return tuple(getattr(self.tcb.timers, name) for name in TIMERS) if self.tcb.trace else ()

    def _trace_timers(self, before: tuple[float, ...], now: float) -> None:
        tcb = self.tcb
        if not tcb.trace:
            return
        for name, old in zip(TIMERS, before, strict=True):
            new = getattr(tcb.timers, name)
            if new != old and new != NEVER:
                tcb.trace(TimerSet(now, tcb.flow, name, new))
            elif new != old and old > now:
                tcb.trace(TimerStopped(now, tcb.flow, name))
