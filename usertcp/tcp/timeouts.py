"""Which timer does what (RFC 9293, 3.10.8). What goes out because of it, `output` says afterwards."""

from __future__ import annotations

from typing import Final

from usertcp.errors import ConnectionTimedOut
from usertcp.tcp import ecn, keepalive, loss_detection, path_mtu, path_probing, undo, user_timeout
from usertcp.tcp.events import TimerExpired
from usertcp.tcp.recovery import NO_NEWS
from usertcp.tcp.state import Event, State
from usertcp.tcp.tcb import NEVER, TIMERS, Tcb


def timeouts(tcb: Tcb, now: float) -> None:
    """Run the timers that have expired. One that ends the connection stops the others."""
    for name in TIMERS:
        if getattr(tcb.timers, name) <= now:
            setattr(tcb.timers, name, NEVER)
            if tcb.trace:
                tcb.trace(TimerExpired(now, tcb.flow, name))
            EXPIRED[name](tcb, now)


def patience(tcb: Tcb) -> float:
    """Seconds without an answer until the connection is given up: R2 (RFC 9293, 3.8.3)."""
    if tcb.syn_acked and (agreed := user_timeout.adopted(tcb)) is not None:
        return agreed
    if tcb.config.user_timeout is not None:
        return tcb.config.user_timeout
    return tcb.config.r2 if tcb.syn_acked else tcb.config.r2_syn


def retransmission_timeout(tcb: Tcb, now: float) -> None:
    """RFC 6298, 5.4 to 5.6: everything in flight is taken for lost, the timer backs off, cwnd falls to one segment."""
    if path_mtu.timed_out(tcb, now):
        return
    if tcb.state is State.SYN_RECEIVED and tcb.passive and tcb.retransmissions >= tcb.config.syn_ack_retransmissions:
        # R2 as a count (RFC 9293, 3.8.3). No RST: whoever forges SYNs would have us send one more segment for each.
        tcb.fail(Event.TIMEOUT, ConnectionTimedOut("our SYN,ACK was not acknowledged"), now)
        return
    tcb.retransmissions += 1
    if path_mtu.suspect_black_hole(tcb, now):
        path_probing.begin(tcb, now)
    tcb.counters["retransmission timeouts"] += 1
    tcb.rtt.back_off()
    tcb.timed = None
    if tcb.syn_acked:
        undo.remember(tcb, timeout=True)
        undo.doubt(tcb)
        tcb.congestion.on_rto(tcb.flight_size, now, first=tcb.retransmissions == 1)
        tcb.congestion_changed("timeout", now)
        if tcb.ecn.enabled:
            ecn.timed_out(tcb)
    tcb.recovery.on_timeout(tcb.snd.una, tcb.snd.nxt, now)
    tcb.loss_probe.end = None
    tcb.timers.loss_probe = tcb.timers.reordering = NEVER
    if tcb.syn_acked and not tcb.snd.wnd:
        tcb.probe_owed = True  # the window closed on what was in flight: this was the timeout of the first probe, too


def reordering_timeout(tcb: Tcb, now: float) -> None:
    """What was to come has not come (RFC 8985, 6.2, step 5)."""
    loss_detection.look(tcb, NO_NEWS, now)


def persist_timeout(tcb: Tcb, now: float) -> None:
    tcb.probe_owed = True
    tcb.probes += 1


def delayed_ack_timeout(tcb: Tcb, now: float) -> None:
    tcb.ack_now = True


def pacing_timeout(tcb: Tcb, now: float) -> None:
    """What had to wait goes out with the next output."""


def user_timeout_expired(tcb: Tcb, now: float) -> None:
    """The user has waited long enough. The peer, if there is one, is told by a RST (RFC 9293, 3.8.3, R2)."""
    what = tcb.soft_error or "no acknowledgment in time"
    tcb.abort(Event.TIMEOUT, ConnectionTimedOut(what), now)


def fin_wait_2_timeout(tcb: Tcb, now: float) -> None:
    """The peer keeps its direction open for longer than it may."""
    tcb.abort(Event.TIMEOUT, ConnectionTimedOut("the peer did not close in time (FIN-WAIT-2)"), now)


def path_mtu_timeout(tcb: Tcb, now: float) -> None:
    """What is known of the path is old. Where routers say nothing, larger segments are tried one by one."""
    if tcb.search is not None:
        path_probing.begin(tcb, now)
    else:
        path_mtu.try_larger(tcb, now)


def time_wait_timeout(tcb: Tcb, now: float) -> None:
    tcb.enter(Event.TIMEOUT_2MSL, now)


EXPIRED: Final = {
    "reordering": reordering_timeout,
    "loss_probe": loss_detection.loss_probe_timeout,
    "retransmit": retransmission_timeout,
    "persist": persist_timeout,
    "delayed_ack": delayed_ack_timeout,
    "keepalive": keepalive.expired,
    "pacing": pacing_timeout,
    "user": user_timeout_expired,
    "fin_wait_2": fin_wait_2_timeout,
    "path_mtu": path_mtu_timeout,
    "time_wait": time_wait_timeout,
}
