"""Super-segments: the text of many segments in one, where the lower level cuts it into them (TCP segmentation offload).

Nothing else differs. What is counted in octets needs not know; each of the segments has the same acknowledgment, window
and options, and only the last of them PSH and FIN. One may be longer than any packet: then it leaves in several, and
its books are kept once for all.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from usertcp.tcp import pacing
from usertcp.tcp.segment import FIN, PSH, Segment
from usertcp.tcp.sequence import wrap
from usertcp.tcp.tcb import Tcb

PACKET: Final = 65535 - 20 - 60
"""Text in one IPv4 packet of 16-bit length, whatever TCP options it has."""
MOST: Final = 1 << 20
"""Text in one super-segment, octets."""
IN_FLIGHT_AT_RATE: Final = 0.001
"""Seconds: a super-segment is what is sent in this time (Linux: the same), at the rate that is to be kept, or else at
two windows per round trip. On a slow path round trips are then measured as often as ever."""


def largest(tcb: Tcb, full: int) -> int:
    """How much text the next segment may hold, octets: a multiple of *full*, what an ordinary one holds.

    What only one of the segments may say, an urgent pointer, CWR or a signature, makes it an ordinary one; and so does
    AccECN's counter, of which the kernel would take CWR for itself and clear it in all but the first.
    """
    ecn = tcb.ecn.cwr_owed or tcb.ecn.accurate is not None
    if not tcb.offload or tcb.authentication is not None or ecn or tcb.snd.up > tcb.snd.una:
        return full
    rate, srtt = pacing.rate(tcb), tcb.rtt.srtt
    if rate is None:
        most = min(MOST, max(PACKET, int(2 * tcb.congestion.cwnd / srtt * IN_FLIGHT_AT_RATE))) if srtt else PACKET
    else:
        most = min(MOST, int(rate * IN_FLIGHT_AT_RATE))
    return max(most // full, 1) * full


def cut(seg: Segment) -> Iterator[Segment]:
    """What a link would make of a super-segment: for when it cannot."""
    for left in range(0, len(seg.data), seg.mss):
        data = bytes(seg.data[left : left + seg.mss])
        last = left + seg.mss >= len(seg.data)
        flags = seg.flags if last else seg.flags & ~(FIN | PSH)
        yield replace(seg, seq=wrap(seg.seq + left), flags=flags, data=data, mss=0)
