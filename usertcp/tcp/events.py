"""Trace records: what happened, without formatting. `usertcp.trace` makes things to look at of them.

A stack with a tracer hands it every record, in the order of the events; without one none is built. `time` is the
stack's clock, seconds. `flow` is from our side.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from usertcp.tcp.segment import Flow, Segment
from usertcp.tcp.state import Event, State


@dataclass(slots=True)
class Record:
    """The base of all records."""

    time: float
    flow: Flow


@dataclass(slots=True)
class StateEntered(Record):
    """A row of the table of transitions fired."""

    old: State
    event: Event
    new: State


@dataclass(slots=True)
class SegmentIn(Record):
    """A segment arrived; nothing has looked at it yet. Its numbers are as on the wire. `seg.data` may be large: copy
    nothing."""

    seg: Segment


@dataclass(slots=True)
class SegmentOut(Record):
    """A segment was built to be transmitted."""

    seg: Segment
    retransmission: bool


@dataclass(slots=True)
class SegmentDiscarded(Record):
    """The segment of the last `SegmentIn` was discarded, and why, in a student's words."""

    seg: Segment
    reason: str


@dataclass(slots=True)
class TimerSet(Record):
    """A timer was started or moved. `timer` is its name in `tcb.Timers`, `at` the time it expires."""

    timer: str
    at: float


@dataclass(slots=True)
class TimerStopped(Record):
    """A running timer was stopped."""

    timer: str


@dataclass(slots=True)
class TimerExpired(Record):
    """A timer ran out; what it does follows."""

    timer: str


@dataclass(slots=True)
class RttSample(Record):
    """A round-trip time was measured (RFC 6298). Seconds."""

    rtt: float
    srtt: float
    rttvar: float
    rto: float


@dataclass(slots=True)
class CwndChanged(Record):
    """The congestion window or the slow start threshold changed. Octets. `why`: ack, loss, ECE, timeout, recovered,
    idle, undone."""

    cwnd: int
    ssthresh: int
    why: str


@dataclass(slots=True)
class IcmpIn(Record):
    """An ICMP error that quotes a segment of this connection. `hard`: it ended the connection (RFC 9293, 3.9.2.2)."""

    message: str
    hard: bool


@dataclass(slots=True)
class PathMtuChanged(Record):
    """From now on packets of at most `mtu` octets are sent, IP header included (RFC 1191; RFC 4821, 7.7)."""

    mtu: int
    why: str


@dataclass(slots=True)
class Failed(Record):
    """The connection ended in an error that the user sees."""

    error: OSError


@dataclass(slots=True)
class PacketIn:
    """The link delivered these octets. Comes before the `SegmentIn` that was read from them."""

    time: float
    packet: bytes


@dataclass(slots=True)
class PacketOut:
    """These octets were given to the link. Comes after the `SegmentOut` that they were made of."""

    time: float
    packet: bytes


@dataclass(slots=True)
class PacketDiscarded:
    """Octets that never became a segment for a connection: malformed, bad checksum, fragment refused."""

    time: float
    packet: bytes
    reason: str


@dataclass(slots=True)
class PathEvent:
    """Something was done to a packet between the two ends: by an impaired path, or by somebody who rewrites packets."""

    time: float
    packet: bytes
    """What the stack sent, after its `PacketOut`, or is about to get, before its `PacketIn`; if it gets none, or a
    corrupted or marked one, what the far end sent."""
    direction: Literal["out", "in"]
    deed: Literal["dropped", "delayed", "duplicated", "corrupted", "marked", "edited", "injected"]
    detail: str
    """Why, how long, what was changed; may be empty."""


TraceRecord = Record | PacketIn | PacketOut | PacketDiscarded | PathEvent
Tracer = Callable[[TraceRecord], None]
