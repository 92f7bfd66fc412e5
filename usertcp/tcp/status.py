"""The STATUS call (RFC 9293, 3.10.6): a snapshot of a connection, what TCP_INFO gives for a kernel's."""

from __future__ import annotations

from dataclasses import dataclass, replace

from usertcp.tcp.ao import Ao, AoStatus
from usertcp.tcp.md5 import Md5
from usertcp.tcp.path_mtu import path_mtu
from usertcp.tcp.segment import Flow
from usertcp.tcp.sequence import wrap
from usertcp.tcp.state import State
from usertcp.tcp.tcb import NEVER, TIMERS, EcnCounters, Tcb


@dataclass(slots=True, frozen=True)
class Status:
    """Sequence numbers are 32 bits as on the wire, sizes octets, times seconds."""

    state: State
    flow: Flow
    passive: bool
    iss: int
    snd_una: int
    snd_nxt: int
    snd_wnd: int
    irs: int
    rcv_nxt: int
    rcv_wnd: int
    snd_mss: int
    """The text of a full-sized segment that we send."""
    rcv_mss: int
    """The MSS that we announced."""
    path_mtu: int
    """The largest packet that we send, IP header included: what both ends and, as far as is known, the path take."""
    snd_scale: int
    rcv_scale: int
    rcv_dscp: int
    """Differentiated services codepoint of the segment that arrived last (RFC 9293, 3.9.1.9, MAY-9)."""
    timestamps: bool
    sack_permitted: bool
    md5: bool
    """All segments are signed (RFC 2385). The counters tell of those that came and were not."""
    ao: AoStatus | None
    """All segments are signed by TCP-AO (RFC 5925), and with which keys. The counters tell of those that were not."""
    ecn: bool
    """Negotiated (RFC 3168). The counters tell of CE and ECE that came in, and of reductions by ECN."""
    ecn_in: EcnCounters | None
    """r.cep, r.ceb, r.e0b, r.e1b: what has come with which codepoint. None: not with AccECN (RFC 9768) ..."""
    ecn_out: EcnCounters | None
    """... and s.cep to s.e1b: what the peer says has arrived of ours."""
    fast_open: bool
    """Text that came with the SYN was taken before the handshake was done (RFC 7413)."""
    srtt: float | None
    rttvar: float | None
    rto: float
    cwnd: int
    ssthresh: int
    in_fast_recovery: bool
    flight_size: int
    receive_buffer: int
    """How much it holds at most, for now: the window offered follows it (`Config.auto_tuning`)."""
    send_buffer: int
    """The same for what SEND takes."""
    unsent: int
    """Octets that SEND took and that were never transmitted."""
    unread: int
    """Octets that wait for RECEIVE."""
    out_of_order: int
    """Octets that arrived beyond a hole."""
    remote_user_timeout: int | None
    """How long the peer waits for us, seconds, if it has said so (RFC 5482) and `Config.user_timeout_option` is on."""
    retransmissions: int
    """Of the oldest unacknowledged segment."""
    timers: dict[str, float]
    """Seconds until each running timer expires, by name."""
    counters: dict[str, int]
    error: str | None
    soft_error: str | None


@dataclass(slots=True, frozen=True)
class ListenerStatus:
    """The same for a passive OPEN."""

    half_open: int
    """Connections in SYN-RECEIVED."""
    waiting: int
    """Established ones that nobody has accepted yet."""
    counters: dict[str, int]
    """SYN cookies sent, returned and refused; half-open connections lost; what was ignored, and why. By name."""


def status(tcb: Tcb, now: float) -> Status:
    """Read everything out of a TCB."""
    snd, rcv = tcb.snd, tcb.rcv
    return Status(
        state=tcb.state,
        flow=tcb.flow,
        passive=tcb.passive,
        iss=wrap(snd.iss),
        snd_una=wrap(snd.una),
        snd_nxt=wrap(snd.nxt),
        snd_wnd=snd.wnd,
        irs=wrap(rcv.irs),
        rcv_nxt=wrap(rcv.nxt),
        rcv_wnd=rcv.wnd,
        snd_mss=tcb.smss,
        rcv_mss=rcv.mss,
        path_mtu=path_mtu(tcb),
        snd_scale=snd.scale,
        rcv_scale=rcv.scale,
        rcv_dscp=rcv.dscp,
        timestamps=tcb.timestamps.enabled,
        sack_permitted=tcb.sack_permitted,
        md5=isinstance(tcb.authentication, Md5),
        ao=tcb.authentication.status if isinstance(tcb.authentication, Ao) else None,
        ecn=tcb.ecn.enabled,
        fast_open=tcb.fast_opened,
        ecn_in=replace(tcb.ecn.accurate.r) if tcb.ecn.accurate is not None else None,
        ecn_out=replace(tcb.ecn.accurate.s) if tcb.ecn.accurate is not None else None,
        srtt=tcb.rtt.srtt,
        rttvar=tcb.rtt.rttvar,
        rto=tcb.rtt.rto,
        cwnd=tcb.congestion.cwnd,
        ssthresh=tcb.congestion.ssthresh,
        in_fast_recovery=tcb.recovery.fast,
        flight_size=tcb.flight_size,
        receive_buffer=rcv.space,
        send_buffer=tcb.send_buffer.limit,
        unsent=max(tcb.send_buffer.end - max(snd.nxt, snd.iss + 1), 0),
        unread=tcb.receive_buffer.readable,
        out_of_order=sum(end - start for start, end in tcb.receive_buffer.ranges),
        remote_user_timeout=tcb.remote_user_timeout,
        retransmissions=tcb.retransmissions,
        timers={name: at - now for name in TIMERS if (at := getattr(tcb.timers, name)) != NEVER},
        counters=dict(tcb.counters),
        error=str(tcb.error) if tcb.error else None,
        soft_error=tcb.soft_error,
    )
