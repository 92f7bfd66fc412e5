"""SYN cookies: who has no room for another half-open connection keeps none, and lets the peer keep it (RFC 4987, 3.6
and appendix A).

The initial number of the SYN,ACK is a cookie, which only we can have made of the pair of sockets, the peer's initial
number and the time; its last bits say what MSS the peer announced. If the SYN had the Timestamps option, TSval has
the rest in its last bits: window scale, SACK, ECN. Otherwise these are given up. The ACK of the handshake brings both
back, and the SYN is made of them again.

What is lost with the state: text that came with the SYN (it comes again), and the SYN,ACK, which is not repeated; if
the ACK is lost too, a peer that waits for us to speak first waits in vain.
"""

from __future__ import annotations

from typing import Final

from usertcp.tcp.config import Config
from usertcp.tcp.ecn import SETUP
from usertcp.tcp.isn import prf
from usertcp.tcp.negotiation import DEFAULT_MSS
from usertcp.tcp.options import Options
from usertcp.tcp.segment import SYN, Flow, Segment
from usertcp.tcp.sequence import MASK, wrap
from usertcp.tcp.tcb import Tcb
from usertcp.tcp.window import MAX_SCALE

MSS: Final = (64, 536, 1220, 1300, 1400, 1440, 1460, 8940)
"""What a cookie can say of the peer's MSS: the largest of these that it takes. The least that we heed, the defaults of
IPv4 and IPv6, two for tunnels, IPv6 and IPv4 on Ethernet, and jumbo frames."""
PERIOD: Final = 64.0
"""Seconds that a cookie is new for. In the next as many it is old, and still good."""
LIFETIME: Final = 2 * PERIOD

NO_SCALE, SCALE_BITS, SACK_BIT, ECN_BIT = 15, 15, 16, 32
STAMP_BITS: Final = 63


def reduced(seg: Segment, config: Config, flow: Flow) -> Segment:
    """A SYN without what a cookie cannot keep."""
    given, stamps = seg.options, seg.options.timestamps if config.timestamps else None
    asked = given.mss if given.mss is not None else DEFAULT_MSS[6 if ":" in flow.remote else 4]
    mss = max((size for size in MSS if size <= asked), default=MSS[0])
    if stamps is None:
        return Segment(seg.seq, 0, SYN, seg.wnd, Options(mss=mss))
    options = Options(mss, given.window_scale, given.sack_permitted, stamps)
    return Segment(seg.seq, 0, seg.flags & (SYN | SETUP), seg.wnd, options)


def iss(secret: bytes, flow: Flow, syn: Segment, now: float) -> int:
    """The cookie for a SYN that is `reduced`: 32 bits.

    It grows with the peer's initial number, to within 2**16, and each period by 2**24, so that an incarnation begins
    beyond the one before it. To one who cannot see it, and guesses, it is one of 16 that are good among 2**32.
    """
    return wrap(_first(secret, flow, syn.seq, int(now // PERIOD)) + MSS.index(syn.options.mss or MSS[0]))


def stamp(syn_ack: Segment, syn: Segment) -> None:
    """Write what the cookie has no room for into TSval, which loses up to 63 ms by it: it must not be later than the
    clock, or the next one would seem to go back."""
    if syn_ack.options.timestamps is None:
        return
    scale = syn.options.window_scale
    bits = NO_SCALE if scale is None else min(scale, MAX_SCALE)
    bits |= SACK_BIT * syn.options.sack_permitted | ECN_BIT * (syn.flags & SETUP == SETUP)
    tsval, tsecr = syn_ack.options.timestamps
    tsval -= (tsval - bits) & STAMP_BITS
    given = syn_ack.options
    syn_ack.options = Options(given.mss, given.window_scale, given.sack_permitted, (tsval & MASK, tsecr))


def syn(secret: bytes, flow: Flow, ack: Segment, now: float) -> Segment | None:
    """The SYN, of the ACK that returns its cookie; None if that is none of ours, or too old."""
    period = int(now // PERIOD)
    for then in period, period - 1:
        index = wrap(ack.ack - 1 - _first(secret, flow, ack.seq - 1, then))
        if index < len(MSS):
            return _made_again(ack, MSS[index])
    return None


def _made_again(ack: Segment, mss: int) -> Segment:
    seq, stamps = wrap(ack.seq - 1), ack.options.timestamps
    if stamps is None:
        return Segment(seq, 0, SYN, ack.wnd, Options(mss=mss))
    tsval, tsecr = stamps
    scale = tsecr & SCALE_BITS
    options = Options(mss, None if scale == NO_SCALE else scale, bool(tsecr & SACK_BIT), (tsval, 0))
    return Segment(seq, 0, SYN | (SETUP if tsecr & ECN_BIT else 0), ack.wnd, options)


def _first(secret: bytes, flow: Flow, irs: int, period: int) -> int:
    """The cookie that says `MSS[0]`.

    *irs* counts twice. Were it added only, the second of two segments of a few octets, which has overtaken the first,
    would bring back a cookie for a smaller MSS, and the first segment would be lost.
    """
    known_to_us = prf(secret, b"cookie", flow) + (prf(secret, b"cookie", flow, period) & 0xFF0000)
    return known_to_us + (prf(secret, b"cookie", flow, period, wrap(irs)) & 0xFFF8) + irs + (period << 24)


def unmeasured(tcb: Tcb) -> None:
    """The SYN,ACK that was just made again was sent at another time: it gives no RTT (as by Karn's algorithm)."""
    tcb.timed = None
    tcb.deliveries.ambiguous = tcb.snd.nxt
