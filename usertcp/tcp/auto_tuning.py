"""Buffers that grow with the connection: the receive buffer with what the user takes in a round trip (dynamic
right-sizing, as Linux's tcp_rcv_space_adjust), the send buffer with the congestion window.

Neither shrinks, and so the window offered never does; nor do they grow while the stack is short of memory. What is
never needed is never kept, and a peer that fills the buffer of a user who does not read fills a small one.
"""

from __future__ import annotations

from typing import Final

from usertcp.tcp import timestamps
from usertcp.tcp.segment import Segment
from usertcp.tcp.tcb import Tcb

RECEIVE_FIRST: Final = 1 << 18
"""What the receive buffer begins with, octets: 18 initial windows of RFC 6928, four round trips of slow start."""
SEND_FIRST: Final = 1 << 20
"""And the send buffer. What fills it is the user's own; a megabyte written before the peer reads blocks nobody."""


def fit(tcb: Tcb) -> None:
    """Set both buffers to what the config says: at the beginning, and when it has changed. What has grown stays so, as
    far as the limits let it."""
    config = tcb.config
    if config.auto_tuning:
        tcb.rcv.space = min(max(tcb.rcv.space, RECEIVE_FIRST), receive_limit(tcb))
        tcb.send_buffer.limit = min(max(tcb.send_buffer.limit, SEND_FIRST), config.send_buffer)
    else:
        tcb.rcv.space = receive_limit(tcb)
        tcb.send_buffer.limit = config.send_buffer


def receive_limit(tcb: Tcb) -> int:
    """The most that the receive buffer may hold, octets: no more than can wait for us in front of it."""
    return min(tcb.config.receive_buffer, tcb.memory.queue)


def text_arrived(tcb: Tcb, seg: Segment, now: float) -> None:
    """Measure the round trip as a receiver can, once in a window: by the timestamp that *seg* echoes, or by how long
    the peer took to fill the window, which is no less than a round trip."""
    sizing = tcb.right_sizing
    if tcb.rcv.nxt < sizing.mark:
        return
    rtt = sizing.rtt if sizing.rtt is not None else tcb.rtt.srtt
    echoed = timestamps.round_trip(tcb, seg, now)
    if echoed is not None:
        sizing.rtt = echoed if rtt is None else min(echoed, rtt + (echoed - rtt) / 8)
    elif sizing.mark:
        filled = now - sizing.marked_at
        sizing.rtt = filled if rtt is None else min(filled, rtt)
    sizing.mark, sizing.marked_at = tcb.rcv.edge, now


def octets_taken(tcb: Tcb, now: float) -> None:
    """After a RECEIVE: if the user has taken more in this round trip than in any before, make room for four times as
    much. A peer in slow start sends twice that in the next one, and what is offered now rules the one after."""
    sizing = tcb.right_sizing
    rtt = sizing.rtt if sizing.rtt is not None else tcb.rtt.srtt
    elapsed = now - sizing.began
    if rtt is None or elapsed < rtt or elapsed < timestamps.GRANULARITY:
        return
    taken = tcb.receive_buffer.unread - sizing.position
    sizing.position, sizing.began = tcb.receive_buffer.unread, now
    if taken > sizing.most and not tcb.memory.short:
        sizing.most = taken
        tcb.rcv.space = min(max(tcb.rcv.space, 4 * taken), receive_limit(tcb))


def acknowledged(tcb: Tcb) -> None:
    """After the congestion window may have grown: hold three times as much. One is in flight, one may have arrived
    behind a hole, one waits to follow, so that the sender is never short of text (Linux: twice, and three times for
    BBR)."""
    wanted, limit, most = 3 * tcb.congestion.cwnd, tcb.send_buffer.limit, tcb.config.send_buffer
    if limit < wanted and limit < most and not tcb.memory.short:
        tcb.send_buffer.limit = min(wanted, most)
