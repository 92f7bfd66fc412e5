"""Resets that belong to no connection, or answer a segment that does not fit one (RFC 9293, 3.5.2)."""

from __future__ import annotations

from usertcp.tcp.options import NO_OPTIONS, Options
from usertcp.tcp.segment import ACK, RST, Segment
from usertcp.tcp.sequence import wrap


def answer(seg: Segment) -> Segment | None:
    """The RST that its sender will find acceptable; None for a RST, which is never answered (RFC 9293, 3.10.7.1).

    Takes numbers as on the wire or as positions. A timestamp is echoed, without one of ours (RFC 7323, 5.2).
    """
    if seg.flags & RST:
        return None
    stamps = seg.options.timestamps
    options = NO_OPTIONS if stamps is None else Options(timestamps=(0, stamps[0]))
    if seg.flags & ACK:
        return Segment(wrap(seg.ack), 0, RST, options=options)
    return Segment(0, wrap(seg.seq + seg.len), RST | ACK, options=options)
