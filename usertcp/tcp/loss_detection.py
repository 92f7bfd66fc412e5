"""What follows when recovery finds a loss: a smaller congestion window. And the timers of RACK-TLP (RFC 8985)."""

from __future__ import annotations

from typing import Final

from usertcp.tcp import ecn, path_probing, undo
from usertcp.tcp.recovery import News
from usertcp.tcp.tcb import NEVER, Tcb

SHORTEST: Final = 0.01
"""Seconds: no loss probe comes earlier, so that the peer has time to answer at all."""
WITHOUT_SAMPLE: Final = 1.0
"""The probe timeout before there is an RTT (RFC 8985, 7.2)."""
MAX_ACK_DELAY: Final = 0.2
"""TLP.max_ack_delay: how long peers hold an acknowledgment back, seconds. Kernels do for 0.04 to 0.2."""


def look(tcb: Tcb, news: News, now: float) -> None:
    """Let recovery judge what is lost. When fast recovery begins with it, the congestion window is reduced (RFC 5681,
    3.2; RFC 6675, 5); what limited transmit has sent beyond that window does not count as in flight then (RFC 3042,
    2)."""
    recovery = tcb.recovery
    if recovery.detect_loss(tcb.snd.una, tcb.snd.nxt, tcb.smss, news, now):
        begin_recovery(tcb, now)
    elif path_probing.more_lost(tcb):
        undo.remember(tcb, timeout=False)
        reduce(tcb, tcb.flight_size, now)
    set_reordering_timer(tcb)


def set_reordering_timer(tcb: Tcb) -> None:
    """Wait for what may only have been overtaken. No other timer runs out before fast recovery begins with it: it would
    do on suspicion, and at a higher price, what this one does (RFC 8985, 8)."""
    timers = tcb.timers
    timers.reordering = tcb.recovery.deadline
    if timers.reordering != NEVER and not tcb.recovery.fast:
        timers.loss_probe = NEVER
        timers.retransmit = max(timers.retransmit, timers.reordering)


def begin_recovery(tcb: Tcb, now: float) -> None:
    """Fast recovery has begun. The retransmission timer starts anew, for the answer to the first retransmission takes a
    round trip from now (RFC 6675, 6)."""
    tcb.counters["fast retransmits"] += 1
    tcb.timers.retransmit = now + tcb.rtt.rto
    tcb.loss_probe.end = None
    tcb.timers.loss_probe = NEVER
    if tcb.congestion.pacing_rate is not None:
        tcb.recovery.leave_rate()
    if not path_probing.alone_lost(tcb):
        undo.remember(tcb, timeout=False)
        reduce(tcb, tcb.flight_size, now)


def first_sent_again(tcb: Tcb, now: float) -> None:
    """Fast recovery has sent the first segment again. If that is because the last retransmission of it was lost as
    well, the answer to this one takes a round trip from now too; but R1 times only, or what the path never lets
    through would never time out."""
    tcb.resent += 1
    if tcb.resent <= tcb.config.r1:
        tcb.timers.retransmit = now + tcb.rtt.rto


def reduce(tcb: Tcb, flight_size: int, now: float) -> None:
    if tcb.ecn.enabled and ecn.covers_loss(tcb):
        return
    tcb.congestion.on_loss(min(flight_size, tcb.congestion.cwnd), now)
    tcb.congestion_changed("loss", now)


def schedule_probe(tcb: Tcb, now: float) -> None:
    """New data was sent or acknowledged: if nothing more is heard, a probe of the tail is due before the retransmission
    timeout (RFC 8985, 7.2)."""
    snd, timers, srtt = tcb.snd, tcb.timers, tcb.rtt.srtt
    timers.loss_probe = NEVER
    if timers.retransmit == NEVER or tcb.loss_probe.end is not None:
        return
    if not (snd.una > snd.iss and tcb.recovery.wants_probe(snd.una)):
        return
    pto = WITHOUT_SAMPLE
    if srtt is not None:
        pto = 2 * srtt if 2 * srtt > SHORTEST else SHORTEST
        if snd.nxt - snd.una <= tcb.smss:
            pto += MAX_ACK_DELAY
    timers.loss_probe = now + pto if now + pto < timers.retransmit else timers.retransmit


def loss_probe_timeout(tcb: Tcb, now: float) -> None:
    """Owe a probe, unless one is in flight or none has been followed by an RTT sample; in any case the retransmission
    timer starts anew (RFC 8985, 7.3)."""
    tcb.timers.retransmit = now + tcb.rtt.rto
    if tcb.loss_probe.end is None and tcb.loss_probe.sampled:
        tcb.loss_probe.owed = True


def take_probe_answer(tcb: Tcb, news: News, ack: int, now: float) -> None:
    """Did a probe that repeated the last segment repair a loss? Then the congestion window shrinks as for any other
    loss. If both copies arrived, it does not (RFC 8985, 7.4.2)."""
    probe = tcb.loss_probe
    if probe.end is None or ack < probe.end:
        return
    spurious = news.dsack is not None or (news.duplicate and not news.blocks)
    if probe.again and not spurious:
        if ack == probe.end:
            return  # the next acknowledgment tells
        tcb.counters["losses repaired by a probe"] += 1
        reduce(tcb, probe.flight_size, now)
    probe.end = None
