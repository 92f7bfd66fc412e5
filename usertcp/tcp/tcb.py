"""The transmission control block (RFC 9293, 3.3.1): what a connection remembers. Fields, predicates and `enter`."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from math import inf
from typing import Final

from usertcp.compiled import mypyc_attr
from usertcp.errors import TcpError
from usertcp.tcp import authentication, fast_open
from usertcp.tcp.config import Config
from usertcp.tcp.congestion import CongestionControl, controller
from usertcp.tcp.congestion.delivery import Deliveries
from usertcp.tcp.events import CwndChanged, Failed, SegmentDiscarded, StateEntered, Tracer
from usertcp.tcp.fast_open import FastOpen
from usertcp.tcp.memory import Memory
from usertcp.tcp.path_mtu import PathMtu
from usertcp.tcp.path_probing import Search
from usertcp.tcp.reassembly import ReceiveBuffer
from usertcp.tcp.recovery import LossRecovery, Span
from usertcp.tcp.recovery.frto import ForwardRecovery
from usertcp.tcp.recovery.new_reno import NewReno
from usertcp.tcp.recovery.reduction import Reduction
from usertcp.tcp.recovery.rtt import RttEstimator
from usertcp.tcp.segment import Flow, Segment
from usertcp.tcp.send_buffer import SendBuffer
from usertcp.tcp.state import SYNCHRONIZED, TRANSITIONS, Event, State

TOLD_OF_ABORT: Final = frozenset(
    {State.SYN_RECEIVED, State.ESTABLISHED, State.FIN_WAIT_1, State.FIN_WAIT_2, State.CLOSE_WAIT}
)
"""States in which ABORT sends a RST (RFC 9293, 3.10.5): those with something that the peer would wait for in vain."""
NEVER: Final = inf


class Discard(Exception):
    """Processing of the segment stops here; the argument says why, in words for a student."""


@mypyc_attr(acyclic=True)
class SendSequence:
    """Send sequence variables (RFC 9293, Table 2). Numbers are positions; the window is in octets, unscaled."""

    __slots__ = ("fin", "iss", "max_wnd", "mss", "nxt", "scale", "una", "up", "wl1", "wl2", "wnd")

    def __init__(self, iss: int, mss: int) -> None:
        self.iss = iss
        self.una = iss
        self.nxt = iss
        """Only grows: what is to be sent again, `recovery` says."""
        self.wnd = 0
        self.wl1 = 0
        self.wl2 = 0
        self.max_wnd = 0
        """MAX.SND.WND: the largest window the peer ever offered (RFC 5961, 5; RFC 9293, 3.8.6.2.1)."""
        self.mss = mss
        """The peer's MSS option, or the default without one, and no more than our own link and the path take (RFC 9293,
        3.7.1)."""
        self.scale = 0
        """Snd.Wind.Shift (RFC 7323, 2.2)."""
        self.fin: int | None = None
        """Position of our FIN, once the user has called CLOSE."""
        self.up = 0
        """SND.UP: the position after the urgent data that was queued last."""


@mypyc_attr(acyclic=True)
class ReceiveSequence:
    """Receive sequence variables (RFC 9293, Table 3)."""

    __slots__ = ("acked", "dscp", "edge", "fin", "full", "irs", "mss", "nxt", "scale", "space", "up")

    def __init__(self, mss: int) -> None:
        self.irs = 0
        self.nxt = 0
        self.edge = 0
        """RCV.NXT + RCV.WND as the peer was told: the right edge of the window. It never goes back."""
        self.acked = 0
        """Last.ACK.sent (RFC 7323, 4.3)."""
        self.mss = mss
        """The MSS that we announced."""
        self.full = 536
        """RMSS as far as we know (3.8.6.3): the default, or the largest text that came in a segment so far."""
        self.scale = 0
        """Rcv.Wind.Shift."""
        self.fin: int | None = None
        """Position of the peer's FIN, once seen, even if octets before it are still missing."""
        self.up = 0
        """RCV.UP: the position after the urgent data that the peer has told us of."""
        self.space = 0
        """How much is kept for a user who does not read, octets, out-of-order text included."""
        self.dscp = 0
        """Of the segment that arrived last (RFC 9293, 3.9.1.9, MAY-9)."""

    @property
    def wnd(self) -> int:
        """RCV.WND, octets."""
        wnd = self.edge - self.nxt
        return wnd if wnd > 0 else 0


TIMERS: Final = (
    "reordering", "loss_probe", "retransmit", "persist", "delayed_ack", "keepalive", "pacing", "user", "fin_wait_2",
    "path_mtu", "time_wait",
)  # fmt: skip
"""Of those that expire at one time the first in this order runs first."""


@mypyc_attr(acyclic=True)
class Timers:
    """When each timer expires, or NEVER. Setting is assigning."""

    __slots__ = TIMERS

    def __init__(self) -> None:
        self.reordering: float = NEVER
        """How long what a later segment has overtaken is not yet lost (RFC 8985, 6.2, step 5)."""
        self.loss_probe: float = NEVER
        """PTO (RFC 8985, 7.2)."""
        self.retransmit: float = NEVER
        """RFC 6298, 5."""
        self.persist: float = NEVER
        """Zero-window probes and the silly-window override (RFC 9293, 3.8.6.1 and 3.8.6.2.1)."""
        self.delayed_ack: float = NEVER
        """RFC 9293, 3.8.6.3."""
        self.keepalive: float = NEVER
        """RFC 9293, 3.8.4."""
        self.pacing: float = NEVER
        """When the next segment may leave."""
        self.user: float = NEVER
        """R2 or the user timeout (RFC 9293, 3.8.3 and 3.10.8)."""
        self.fin_wait_2: float = NEVER
        self.path_mtu: float = NEVER
        """When a larger segment is tried again (RFC 1191, 6.3)."""
        self.time_wait: float = NEVER
        """2 MSL (RFC 9293, 3.6.1)."""

    def stop_all(self) -> None:
        """As on entering TIME-WAIT or CLOSED, or on returning to LISTEN."""
        self.reordering = self.loss_probe = self.retransmit = self.persist = self.delayed_ack = self.keepalive = NEVER
        self.pacing = self.user = self.fin_wait_2 = self.path_mtu = self.time_wait = NEVER

    @property
    def earliest(self) -> float:
        # Compared one by one: `min` of so many would make a tuple of new numbers each time when this is compiled.
        at = self.retransmit
        if self.persist < at:
            at = self.persist
        if self.delayed_ack < at:
            at = self.delayed_ack
        if self.keepalive < at:
            at = self.keepalive
        if self.pacing < at:
            at = self.pacing
        if self.user < at:
            at = self.user
        if self.fin_wait_2 < at:
            at = self.fin_wait_2
        if self.path_mtu < at:
            at = self.path_mtu
        if self.time_wait < at:
            at = self.time_wait
        if self.reordering < at:
            at = self.reordering
        if self.loss_probe < at:
            at = self.loss_probe
        return at


@mypyc_attr(acyclic=True)
class TimestampState:
    """RFC 7323, 3 to 5. Values are 32 bits, milliseconds of the connection's own clock."""

    __slots__ = ("echo", "enabled", "offset", "recent", "recent_at")

    def __init__(self, offset: int) -> None:
        self.offset = offset
        """Added to our clock, per pair of sockets."""
        self.enabled = False
        """Negotiated."""
        self.recent = 0
        """TS.Recent, by which old duplicates are told."""
        self.echo = 0
        """What we echo: the same, or the time of what has come again since."""
        self.recent_at: float = -inf
        """When TS.Recent was set, by our clock; it is void after 24 days."""


@mypyc_attr(acyclic=True)
class LossProbe:
    """TLP's variables (RFC 8985, 5.3)."""

    __slots__ = ("again", "end", "flight_size", "owed", "sampled")

    def __init__(self) -> None:
        self.owed = False
        """PTO expired: a probe goes out with the next output."""
        self.end: int | None = None
        """TLP.end_seq: what acknowledges the probe in flight."""
        self.again = False
        """TLP.is_retrans: it repeated the last segment."""
        self.flight_size = 0
        """When it was sent."""
        self.sampled = True
        """An RTT was measured since the last one."""


@mypyc_attr(acyclic=True)
class RightSizing:
    """What the receive buffer grows by: see `usertcp.tcp.auto_tuning`. Positions are octets of the peer's."""

    __slots__ = ("began", "mark", "marked_at", "most", "position", "rtt")

    def __init__(self) -> None:
        self.position = 0
        """First unread octet when this round trip began."""
        self.began: float = -inf
        self.most = 0
        """The most that the user has taken in one round trip."""
        self.rtt: float | None = None
        """The round trip as the receiver sees it, seconds."""
        self.mark = 0
        """When text has arrived up to here, the round trip is measured again."""
        self.marked_at: float = -inf


@dataclass(slots=True)
class EcnCounters:
    """What came with which ECN codepoint, as a receiver of AccECN counts it (RFC 9768, 3.2). It begins with these
    values (3.2.1), so that zeros show that somebody has zeroed them."""

    cep: int = 5
    """Packets with CE."""
    ceb: int = 0
    """Octets of text with CE, ..."""
    e0b: int = 1
    """... with ECT(0) ..."""
    e1b: int = 1
    """... and with ECT(1)."""


@dataclass(slots=True)
class AccurateEcn:
    """RFC 9768, 3.2."""

    in_handshake: bool
    """The first acknowledgment of our SYN,ACK, which has an encoding of its own, is still to come."""
    r: EcnCounters = field(default_factory=EcnCounters)
    """What has arrived."""
    s: EcnCounters = field(default_factory=EcnCounters)
    """What the peer says has arrived of ours."""

    # As the receiver
    codepoint: int = 0
    """Of the SYN or SYN,ACK that came last."""
    reflect: bool = False
    """A bare acknowledgment is to say so."""
    last: int = 0
    """Codepoint of the segment before."""
    unreported: int = 0
    """Marked packets since our last segment."""
    of_acks: bool = False
    """The acknowledgment owed is for marked acknowledgments only, and must not look like one of text."""
    sends_option: bool = True
    introductions: int = 0
    """How many segments are to carry the option only to see whether they get through."""
    option_sent: bool = False
    """A segment of ours without SYN has had it."""
    doubted: bool = False
    """What the last segment that had it acknowledged has come again since, ..."""
    doubts: int = 0
    """... and so it was with so many of these in a row."""
    told: EcnCounters = field(default_factory=EcnCounters)
    """What the option has said last."""

    # As the sender
    marked: bool = False
    """Our SYN was."""
    heeded: bool | None = None
    """The peer's feedback is believed. None: it has not been seen yet."""
    has_option: bool | None = None
    """The same for the option."""
    acked: int = 0
    """SEG.ACK of the segment that was read last, and ..."""
    tsval: int | None = None
    """... its TSval."""
    average: float = 1.0
    """Packets that an acknowledgment covers."""
    delivered: int = 0
    """`Deliveries.delivered` when the last feedback was read ..."""
    segments: int = 0
    """... and `Deliveries.segments`; ..."""
    delivered_then: int = 0
    segments_then: int = 0
    ceb_then: int = 0
    """... and all of it when the last option was."""
    cep_then: int = 5


@mypyc_attr(acyclic=True)
class EcnState:
    """RFC 3168, 6.1."""

    __slots__ = (
        "accurate",
        "answered",
        "asked",
        "cwr_owed",
        "echo",
        "enabled",
        "exact",
        "may_mark",
        "reduced_to",
        "seen",
    )

    def __init__(self) -> None:
        self.enabled = False
        """Negotiated: marks are echoed, and echoes heeded."""
        self.accurate: AccurateEcn | None = None
        """Negotiated in place of the classic one (RFC 9768)."""
        self.asked = False
        """Our SYN asked for it."""
        self.exact = False
        """Echo each mark by itself, for a peer that counts them (RFC 8257, 3.2)."""
        self.seen = 0
        """SND.UNA when the last acknowledgment was read."""
        self.may_mark = False
        """Our text may have ECT: no SYN of ours went without asking (6.1.1)."""
        self.echo = False
        """CE has arrived, and no CWR since: every acknowledgment has ECE."""
        self.cwr_owed = False
        """cwnd was reduced, and the peer has not been told yet."""
        self.answered = -1
        """SND.NXT when cwnd was reduced last: what ECE says of octets before it is old news."""
        self.reduced_to = -1
        """The same, but only of reductions by marks."""


class Tcb:
    """One connection's memory. Steps and calls change the fields; only `enter` changes the state."""

    __slots__ = (
        "ack_now",
        "authentication",
        "began",
        "challenge_acks",
        "charged",
        "close_queued",
        "config",
        "congestion",
        "counters",
        "cwnd_used",
        "deliveries",
        "dsack_seen",
        "duplicate",
        "ecn",
        "error",
        "fast_open",
        "flow",
        "frto",
        "held",
        "icmp_error",
        "keepalive_owed",
        "keepalive_probes",
        "last_sent",
        "loss_probe",
        "memory",
        "not_accepted",
        "offload",
        "option_octets",
        "passive",
        "path",
        "probe_owed",
        "probes",
        "rcv",
        "receive_buffer",
        "recovery",
        "reduction",
        "release_at",
        "remote_user_timeout",
        "replies",
        "resent",
        "reset_owed",
        "retransmissions",
        "right_sizing",
        "rtt",
        "sack_permitted",
        "search",
        "send_buffer",
        "signature_octets",
        "snd",
        "state",
        "timed",
        "timers",
        "timestamps",
        "trace",
        "user_reads",
        "user_timeout_owed",
        "window_scaling",
    )

    def __init__(
        self,
        flow: Flow,
        config: Config,
        memory: Memory,
        *,
        iss: int,
        timestamp_offset: int,
        mss: int,
        offload: bool,
        trace: Tracer | None,
    ) -> None:
        self.flow = flow
        self.config = config
        self.authentication = authentication.of(flow, config)
        self.signature_octets = self.option_octets = self.authentication.octets if self.authentication else 0
        """What options that every segment carries take, with padding: the signature; that and timestamps."""
        self.memory = memory
        """The stack's, for all connections."""
        self.charged = 0
        """What `memory` has in its books for this one."""
        self.trace = trace
        self.offload = offload
        """The link cuts super-segments."""
        self.state = State.CLOSED
        self.passive = False
        """Came from LISTEN (RFC 9293, 3.5, MUST-11)."""
        self.snd = SendSequence(iss, mss)
        self.rcv = ReceiveSequence(mss)
        self.path = PathMtu(mss)
        self.search: Search | None = None
        """For a larger path MTU, since a black hole was suspected."""
        self.timers = Timers()
        self.send_buffer = SendBuffer(iss + 1, 0)
        self.receive_buffer = ReceiveBuffer(0)
        self.right_sizing = RightSizing()
        self.rtt = RttEstimator(config.rto_initial, config.rto_min, config.rto_max)
        self.recovery: LossRecovery = NewReno()
        """Until the handshake is done; then what both ends can."""
        self.congestion: CongestionControl = controller(config.congestion)(mss, mss)
        self.deliveries = Deliveries()
        self.release_at = -inf
        """Pacing: text leaves no earlier."""
        self.cwnd_used = iss
        """What was sent up to here had the whole of the congestion window in use."""
        self.timestamps = TimestampState(timestamp_offset)
        self.sack_permitted = False
        """Both ends offered it."""
        self.duplicate: Span | None = None
        """Octets that arrived once more, to be reported with the next acknowledgment (RFC 2883)."""
        self.window_scaling = False
        """Both ends offered it."""
        self.timed: tuple[int, float] | None = None
        """(end of a segment, when it was sent): the one segment whose RTT is being taken (RFC 6298, 3)."""
        self.retransmissions = 0
        """Of the segment at SND.UNA: Karn's backoff count, compared with R1."""
        self.resent = 0
        """How often fast recovery has sent it again."""
        self.probes = 0
        """Zero-window probes since the window closed."""
        self.probe_owed = False
        """The persist timer expired: something goes out with the next output, whatever the window."""
        self.keepalive_probes = 0
        """Keep-alives since the peer was last heard."""
        self.keepalive_owed = False
        """The keep-alive timer expired: a probe goes out with the next output."""
        self.began = inf
        """When our SYN was first sent."""
        self.loss_probe = LossProbe()
        self.ecn = EcnState()
        self.fast_open: FastOpen | None = None
        """Our part in it, if it is in use for this connection (RFC 7413)."""
        self.reduction: Reduction | None = None
        """The last reduction of the congestion window, while it may still turn out to have been wrong."""
        self.frto: ForwardRecovery | None = None
        """The last retransmission timeout, while it may still turn out to have been spurious."""
        self.dsack_seen = False
        """The peer has reported a duplicate, so it does when there is one (RFC 2883)."""
        self.last_sent = -inf
        """When text, SYN or FIN was last sent."""
        self.ack_now = False
        """An acknowledgment is owed and goes out with the next output."""
        self.not_accepted = False
        """Nobody can answer yet: so an acknowledgment is worth a delay, after which the answer may carry it."""
        self.replies: list[Segment] = []
        """Resets that answer a segment without ending the connection (RFC 9293, 3.5.2, second group)."""
        self.reset_owed = False
        """The connection ended by our abort: <SEQ=SND.NXT><CTL=RST> goes out last."""
        self.held: Segment | None = None
        """Text and FIN that came with the SYN, kept until ESTABLISHED (RFC 9293, 3.10.7.2, third)."""
        self.close_queued = False
        """CLOSE was called in SYN-RECEIVED with text still to send; it takes effect in ESTABLISHED (3.10.4)."""
        self.user_reads = True
        """False once the user will not RECEIVE any more: then new data is answered by a RST (3.6.1, SHLD-3)."""
        self.remote_user_timeout: int | None = None
        """What the peer last said in its user timeout option, seconds (RFC 5482)."""
        self.user_timeout_owed = True
        """Ours is to be said in the next segment without SYN, if the option is in use."""
        self.challenge_acks = (0, -inf)
        """(how many, since when) in the current second."""
        self.error: TcpError | None = None
        self.icmp_error: str | None = None
        """The last ICMP error about something in flight that did not end the connection."""
        self.counters: defaultdict[str, int] = defaultdict(int)

    # Predicates

    @property
    def syn_acked(self) -> bool:
        return self.snd.una > self.snd.iss

    @property
    def fast_opened(self) -> bool:
        """Text of the SYN was taken before the handshake was done."""
        return self.fast_open is not None and self.fast_open.done

    @property
    def fin_acked(self) -> bool:
        """Our FIN has been acknowledged."""
        return self.snd.fin is not None and self.snd.una > self.snd.fin

    @property
    def flight_size(self) -> int:
        """Octets sent and not yet cumulatively acknowledged (RFC 5681, 2)."""
        return self.snd.nxt - self.snd.una

    @property
    def oldest(self) -> int:
        """A segment from before this position is none that the peer may have sent again lately."""
        return self.rcv.nxt - max(self.config.receive_buffer, 1 << 16)

    @property
    def end(self) -> int:
        """The position after everything that the user wants sent, FIN included."""
        return self.snd.fin + 1 if self.snd.fin is not None else self.send_buffer.end

    @property
    def smss(self) -> int:
        """Octets of text in a full-sized segment (RFC 5681, 2): the effective MSS without the options that each one
        carries."""
        return self.snd.mss - self.option_octets

    @property
    def soft_error(self) -> str | None:
        """Signs of trouble that did not end the connection, until the peer acknowledges something again
        (RFC 9293, 3.9.1.8, MUST-47, SHLD-9, SHLD-25)."""
        signs = [self.icmp_error] if self.icmp_error else []
        if self.retransmissions >= self.config.r1:
            signs.append(f"no answer after {self.retransmissions} retransmissions")
        return "; ".join(signs) or None

    # Changes

    def enter(self, event: Event, now: float) -> None:
        """Change state. Every transition of every connection goes through here."""
        old, self.state = self.state, TRANSITIONS[self.state][event]  # KeyError: a bug of ours; never caught
        if self.trace:
            self.trace(StateEntered(now, self.flow, old, event, self.state))
        if self.state in (State.TIME_WAIT, State.CLOSED, State.LISTEN):
            self.timers.stop_all()
        if self.state is State.TIME_WAIT:
            self.timers.time_wait = now + 2 * self.config.msl
        if self.state is State.FIN_WAIT_2:
            self.limit_fin_wait_2(now)

    def limit_fin_wait_2(self, now: float) -> None:
        """Start the FIN-WAIT-2 timer if anything asks for one: the config, or a user who does not read any more."""
        limit = self.config.fin_wait_2_timeout
        if limit is None and not self.user_reads:
            limit = 2 * self.config.msl
        if limit is not None:
            self.timers.fin_wait_2 = now + limit

    def close(self, now: float) -> None:
        """Our FIN follows the last octet that was sent (RFC 9293, 3.10.4)."""
        self.snd.fin = self.send_buffer.end
        self.enter(Event.CLOSE, now)

    def fail(self, event: Event, error: TcpError, now: float) -> None:
        """End the connection in an error that the user will see."""
        self.error = error
        if self.state is State.SYN_SENT:
            fast_open.unanswered(self, now)
        if self.trace:
            self.trace(Failed(now, self.flow, error))
        self.enter(event, now)

    def abort(self, event: Event, error: TcpError, now: float) -> None:
        """End the connection in an error, and tell the peer by a RST if there is a peer to tell (RFC 9293, 3.10.5).

        In CLOSING and LAST-ACK there is only if something is lost with the connection: text of ours that was not
        acknowledged, or of the peer's that was not read.
        """
        lost = self.send_buffer or self.receive_buffer.readable
        self.reset_owed = self.state in TOLD_OF_ABORT or bool(lost and self.state in SYNCHRONIZED)
        self.fail(event, error, now)

    def discarded(self, seg: Segment, reason: str, now: float) -> None:
        """Count and show a segment that was not processed to its end."""
        self.counters["discarded: " + reason] += 1
        if self.trace:
            self.trace(SegmentDiscarded(now, self.flow, seg, reason))

    def congestion_changed(self, why: str, now: float) -> None:
        """Show the congestion window after *why* has changed it."""
        if self.trace:
            self.trace(CwndChanged(now, self.flow, self.congestion.cwnd, self.congestion.ssthresh, why))
