"""The path MTU: how large a packet may be on its whole way (RFC 1191, RFC 8201), learned from ICMP errors, or from
silence (RFC 4821, 7.7).

Sizes here are those of an MSS: text and TCP options of a segment, which is the packet less 40 octets in IPv4, 60 in
IPv6. An error may be forged; what it says is held against what was sent and what has arrived (RFC 5927, 7.2).
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final

from usertcp.compiled import mypyc_attr
from usertcp.tcp.events import PathMtuChanged

if TYPE_CHECKING:
    from usertcp.tcp.icmp import Message
    from usertcp.tcp.tcb import Tcb

HEADERS: Final = 20 + 20
HEADERS_V6: Final = 40 + 20
"""Octets of IP and TCP headers without options (RFC 9293, 3.7.1)."""
PLATEAUS: Final = (65535, 32000, 17914, 8166, 4352, 2002, 1492, 1006, 508, 296, 68)
"""MTUs that networks have (RFC 1191, 7): the next lower one is tried when a router names none."""
LEAST: Final = 68
LEAST_V6: Final = 1280
"""The MTUs that every IPv4 and IPv6 link has (RFC 791, 3.2; RFC 8200, 5)."""
LIFETIME: Final = 600.0
"""Seconds after which a larger size is tried again (RFC 1191, 6.3; RFC 8201, 5.3)."""
BASE: Final = 1024
"""The MTU to fall to where a black hole is suspected: likely to work, and no great loss if it was none (RFC 4821, 7.2,
eff_pmtu's initial value there, and Linux's tcp_base_mss). IPv6 falls to its least."""
MOST_DESTINATIONS: Final = 1024
"""How many the endpoint remembers."""
NOTHING_EXCEEDED: Final = "discarded: ICMP with an MTU that nothing has exceeded"


@mypyc_attr(acyclic=True)
class PathMtu:
    """What one connection knows of its path."""

    __slots__ = ("acked", "claim", "known", "most", "sent", "sent_end")

    def __init__(self, most: int) -> None:
        self.most = most
        """What both ends allow: SND.MSS is that, or less on a narrow path."""
        self.known: tuple[int, float] | None = None
        """(size, until when it holds) that other connections have found, for the time after the handshake."""
        self.sent = 0
        """The largest segment that was sent (maxsizesent)."""
        self.sent_end: float = inf
        """The position at which it ends, while it is in flight."""
        self.acked = 0
        """The largest segment that has arrived (maxsizeacked)."""
        self.claim: tuple[int, int] | None = None
        """(position, size) of an error that contradicts what has arrived: it counts if nothing from that position on is
        acknowledged before the timeout."""


class PathMtuCache:
    """The MTU to each destination on whose path it was found to be smaller than at our end (RFC 1191, 6.2)."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, float]] = {}

    def learn(self, remote: str, mtu: int, now: float) -> None:
        """What is known longest makes room when there are too many."""
        self._known.pop(remote, None)
        if len(self._known) >= MOST_DESTINATIONS:
            del self._known[next(iter(self._known))]
        self._known[remote] = (mtu, now + LIFETIME)

    def get(self, remote: str, now: float) -> tuple[int, float] | None:
        """(MTU, until when it holds), or None if nothing is known, or no longer."""
        known = self._known.get(remote)
        if known is not None and known[1] <= now:
            del self._known[remote]
            return None
        return known


def headers(tcb: Tcb) -> int:
    return HEADERS_V6 if ":" in tcb.flow.remote else HEADERS


def path_mtu(tcb: Tcb) -> int:
    """The largest packet that goes out, octets, IP header included."""
    return tcb.snd.mss + headers(tcb)


def least(tcb: Tcb) -> int:
    """The size below which no error brings us."""
    return (LEAST_V6 if ":" in tcb.flow.remote else tcb.config.min_path_mtu) - headers(tcb)


def remember(tcb: Tcb, known: tuple[int, float] | None) -> None:
    """Begin with what is known of the destination: (MTU, until when)."""
    if known is not None and tcb.config.path_mtu_discovery:
        tcb.path.known = (known[0] - headers(tcb), known[1])


def found(tcb: Tcb, mtu: int, now: float) -> None:
    """Another connection to the same destination has found a narrow path: before or after our own handshake."""
    remember(tcb, (mtu, now + LIFETIME))
    narrow(tcb, mtu - headers(tcb), now + LIFETIME)


def negotiated(tcb: Tcb) -> None:
    """The SYNs have said what both ends allow (RFC 9293, 3.7.1, MUST-16)."""
    tcb.path.most = tcb.snd.mss
    if tcb.path.known is not None:
        narrow(tcb, *tcb.path.known)


def sent(tcb: Tcb, size: int, end: int) -> None:
    """A segment larger than all before went out; it ends at position *end*."""
    tcb.path.sent, tcb.path.sent_end = size, float(end)


def acknowledged(tcb: Tcb) -> None:
    """The largest segment has arrived."""
    tcb.path.acked, tcb.path.sent_end = tcb.path.sent, inf


def too_big(tcb: Tcb, message: Message, position: int, now: float) -> None:
    """A router says that the packet with our octet at *position*, which is in flight, was larger than its next link
    takes.

    What has been sent again in smaller pieces, or was that small all along, proves the error old or forged. One that
    says less than what has arrived on this path may be true if the path has changed: then nothing will be
    acknowledged until the retransmission timer expires, and it counts from then on.
    """
    path, size = tcb.path, claimed(tcb, message)
    if size is None:
        tcb.counters["discarded: ICMP with an MTU that no link has"] += 1
    elif size >= path.sent:
        tcb.counters[NOTHING_EXCEEDED] += 1
    elif size < path.acked:
        path.claim = (position, size)
    else:
        heed(tcb, size, now)


def claimed(tcb: Tcb, message: Message) -> int | None:
    """The size that an error allows, at least `least`; None if it cannot be true. Without an MTU it is the next plateau
    below the largest packet that was sent (RFC 1191, 5)."""
    mtu = message.mtu
    if message.version == 4 and mtu == 0:
        largest = tcb.path.sent + headers(tcb)
        mtu = next((plateau for plateau in PLATEAUS if plateau < largest), LEAST)
    if mtu < (LEAST if message.version == 4 else LEAST_V6):
        return None
    return max(mtu - headers(tcb), least(tcb))


def timed_out(tcb: Tcb, now: float) -> bool:
    """The retransmission timer has expired. Says whether an error that was held back explains it: then it is no sign
    of congestion."""
    claim, tcb.path.claim = tcb.path.claim, None
    if claim is None or claim[0] < tcb.snd.una:
        return False
    heed(tcb, claim[1], now)
    return True


def heed(tcb: Tcb, size: int, now: float) -> None:
    """Send again in smaller segments, at once, what is in flight in too large ones. It was not lost to congestion: the
    window stays (RFC 1191, 6.4; RFC 8201, 5.4)."""
    lower(tcb, size, "a router asks for it", now)
    tcb.recovery.resend(tcb.snd.una, tcb.snd.nxt)
    tcb.frto = None
    tcb.timers.retransmit = inf


def suspect_black_hole(tcb: Tcb, now: float) -> bool:
    """The retransmission timer has expired. If it did so R1 times for a large segment, the path may drop such segments
    and say nothing: what is sent again, is in smaller ones; after R1 times more in the smallest. Before the handshake
    is done, and for less text than that, size is not the cause. Says whether it may be."""
    if not tcb.config.black_hole_detection or not tcb.syn_acked or tcb.retransmissions % tcb.config.r1:
        return False
    size = least(tcb)
    if tcb.retransmissions == tcb.config.r1:
        size = max(size, BASE - headers(tcb))
    if min(tcb.flight_size, tcb.snd.mss) <= size:
        return False
    lower(tcb, size, "large ones seem to vanish", now)
    return True


def lower(tcb: Tcb, size: int, why: str, now: float) -> None:
    """From now on smaller segments: what was noted of larger ones is void."""
    narrow(tcb, size, now + LIFETIME)
    path = tcb.path
    path.sent, path.sent_end, path.acked, path.claim = 0, inf, min(path.acked, size), None
    tcb.counters["path MTU lowered: " + why] += 1
    if tcb.trace:
        tcb.trace(PathMtuChanged(now, tcb.flow, path_mtu(tcb), why))


def narrow(tcb: Tcb, size: int, until: float) -> None:
    """Send no larger segments than this for a while. Never raises what there is."""
    if size < tcb.snd.mss:
        tcb.snd.mss = size
        tcb.congestion.smss = tcb.smss
        tcb.timers.path_mtu = until


def try_larger(tcb: Tcb, now: float) -> None:
    """What was known of the path is old: try what both ends allow, and see what comes of it."""
    tcb.snd.mss = tcb.path.most
    tcb.congestion.smss = tcb.smss
    if tcb.trace:
        tcb.trace(PathMtuChanged(now, tcb.flow, path_mtu(tcb), "what was known of the path is old"))
