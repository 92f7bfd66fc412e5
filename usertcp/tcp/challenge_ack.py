"""Challenge ACKs: answer what may be an attack so that an honest peer can prove itself (RFC 5961)."""

from __future__ import annotations

from usertcp.tcp.tcb import Tcb


def send(tcb: Tcb, now: float) -> None:
    """Owe <SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>, unless the limit of this second is spent (RFC 5961, 7).

    Also used for acknowledgments that answer an unacceptable segment without text, so that two confused ends do not
    answer each other for ever. A probe of a zero window carries text, and so is never limited.
    """
    count, since = tcb.challenge_acks
    if now - since >= 1.0:
        count, since = 0, now
    if count >= tcb.config.challenge_acks_per_second:
        tcb.counters["challenge ACKs withheld"] += 1
        return
    tcb.challenge_acks = (count + 1, since)
    tcb.ack_now = True
