"""What arrives together is handed to the core as if fewer and longer segments had come (generic receive offload).

The core then keeps its books once for all of it, and the text is copied once, in one piece, from the link's buffers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from operator import or_
from typing import Final

from usertcp.tcp.options import Options
from usertcp.tcp.segment import ACK, CE, ECN_BITS, FIN, PSH, Flow, Segment
from usertcp.tcp.sequence import wrap
from usertcp.wire import IcmpError

Content = tuple[Flow, Segment] | IcmpError
"""Of a packet."""
MOST: Final = 16
"""Segments that become one: a megabyte, if they have been put together before on their way."""


def coalesced(contents: Sequence[Content], takes_at_once: Callable[[Flow, Segment], bool]) -> list[Content]:
    """The same in the same order, but for what could as well have come in one segment: text and what continues it, an
    acknowledgment and a later one; no more than `MOST` segments in one. Text that is a view, of a buffer that will be
    used again, is copied.

    *takes_at_once*: see `Endpoint.takes_at_once`.
    """
    out: list[Content] = []
    flow: Flow | None = None
    run: list[Segment] = []
    for content in contents:
        if run and not isinstance(content, IcmpError) and content[0] == flow:
            seg = content[1]
            if len(run) < MOST and continues(run[-1], seg):
                run.append(seg)
                continue
            if superseded(run[-1], seg) and takes_at_once(content[0], seg):
                run[-1] = seg
                continue
        if run and flow is not None:
            out.append((flow, joined(run)))
            run = []
        if isinstance(content, IcmpError):
            out.append(content)
        else:
            flow, run = content[0], [content[1]]
    if run and flow is not None:
        out.append((flow, joined(run)))
    return out


def continues(seg: Segment, following: Segment) -> bool:
    """Of two segments of one flow, is the text of the second the next after that of the first, and all that they say
    beside it the same? Either may have PSH, and the second FIN; then nothing continues it."""
    if seg.flags & ~PSH != ACK or following.flags & ~(PSH | FIN) != ACK or not (seg.data and following.data):
        return False
    if following.seq != wrap(seg.seq + len(seg.data)) or (seg.ack, seg.wnd) != (following.ack, following.wnd):
        return False
    if seg.options.signature is not None:  # It covers its own segment, and whoever copies it must not spoil that.
        return False
    if seg.traffic_class & ECN_BITS == CE:  # Marked packets are counted (RFC 9768, 3.2).
        return False
    return seg.traffic_class == following.traffic_class and seg.options == following.options


def superseded(seg: Segment, later: Segment) -> bool:
    """Of two that came one right after the other, does the second say all that the first does? So does a later ACK, if
    neither says anything but SEG.ACK, the window and a timestamp."""
    if not seg.flags == later.flags == ACK or seg.data or later.data or seg.seq != later.seq:
        return False
    if (seg.traffic_class | later.traffic_class) & ECN_BITS or not 0 < wrap(later.ack - seg.ack) < 1 << 31:
        return False
    return all(each.options == Options(timestamps=each.options.timestamps) for each in (seg, later))


def joined(run: list[Segment]) -> Segment:
    """One segment of several, each of which continues the one before."""
    whole = run[0]
    if len(run) > 1:
        whole.data = b"".join([seg.data for seg in run])
        whole.flags = reduce(or_, (seg.flags for seg in run))
    else:
        whole.data = bytes(whole.data)
    return whole
