"""Trace records of one flow gathered into the rows of a ladder: a segment or a timer, and what it brought about.

What belongs to a row comes in later records (the state that a segment led to, the reason why it was discarded, its
fate on the path), so rows are gathered first, and taken when nothing more is due for the moment.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from usertcp.tcp import events
from usertcp.tcp.segment import CWR, FIN, RST, SYN, Flow, Segment
from usertcp.tcp.state import Event, State

PeerState = Callable[[Flow], str | None]
"""Asks the peer's kernel for its state of a connection, in the RFC's spelling; None: it knows nothing of it."""

Kind = Literal["out", "in", "event"]

Transition = tuple[State, Event, State]

CALLS = {Event.PASSIVE_OPEN, Event.ACTIVE_OPEN, Event.SEND, Event.CLOSE, Event.ABORT}
"""Events that come from the user: no segment and no timer is their cause, and what they send follows them."""

EXPIRED = {
    "retransmit": "retransmission timeout",
    "loss_probe": "no answer so far: the tail is probed",
    "persist": "persist timer: the window is tried",
    "keepalive": "keep-alive timer: is the peer still there?",
    "user": "user timeout",
    "fin_wait_2": "FIN-WAIT-2 has lasted long enough",
    "time_wait": "2 MSL have passed",
}
"""Timers that are worth a row when they expire."""

REMEMBERED = 256
"""Segments of the peer's kept to tell which are repeated, and what the path did to those that are still to arrive."""

Name = tuple[int, int, int]
"""SEQ, length and control bits: what tells one segment of a flow from another."""


@dataclass(slots=True)
class Row:
    """One rung of the ladder."""

    time: float
    kind: Kind
    seg: Segment | None = None
    text: str = ""
    """Of an event."""
    states: list[Transition] = field(default_factory=list)
    """Rows of the table of transitions that fired, in order."""
    tags: list[str] = field(default_factory=list)
    """What is special about the segment: "resent", "delayed 0.2 s" ..."""
    lost: str = ""
    """How the segment was lost on the path, if it was."""
    injected: bool = False
    """It was made on the path: the end it seems to come from never sent it."""
    notes: list[str] = field(default_factory=list)
    """What is to be said below it."""
    bad: bool = False
    """It was discarded, or is bad news."""
    accurate_ecn: bool = False
    """ECE and CWR are part of a counter."""
    peer: str | None = None
    """The peer's state as its kernel tells it."""

    @property
    def begins(self) -> bool:
        """A new incarnation of the flow begins here: it has other ISNs."""
        return any(old in (State.CLOSED, State.LISTEN) and new is not State.CLOSED for old, _, new in self.states)

    @property
    def arrives(self) -> bool:
        """Whole, as far as anybody knows."""
        return not self.lost and "corrupted" not in self.tags

    @property
    def plain(self) -> bool:
        """One of many in a bulk transfer."""
        special = self.states or self.tags or self.lost or self.notes or self.injected
        flags = SYN | FIN | RST if self.accurate_ecn else SYN | FIN | RST | CWR
        return self.seg is not None and self.seg.wnd > 0 and not special and not self.seg.flags & flags


class Rows:
    """A tracer that gathers the rows of one flow."""

    def __init__(self, flow: Flow, peer_state: PeerState | None = None) -> None:
        self.flow = flow
        self.peer_state = peer_state
        self.peer_before: str | None = None
        """The peer's state before the flow began."""
        self._rows: list[Row] = []
        self._called: list[Transition] = []
        self._called_at = 0.0
        self._durations: dict[str, float] = {}
        self._seen: deque[Name] = deque(maxlen=REMEMBERED)
        self._coming: deque[tuple[Name, events.PathEvent]] = deque(maxlen=REMEMBERED)

    def __call__(self, record: events.Record) -> None:
        match record:
            case events.SegmentOut():
                tags = ["resent"] if record.retransmission else []
                self.add(Row(record.time, "out", record.seg, tags=tags, states=self._take_called()))
            case events.SegmentIn():
                self._segment_in(record)
            case events.StateEntered():
                self._state_entered(record)
            case events.SegmentDiscarded():
                self._discarded(record)
            case events.TimerSet():
                self._timer_set(record)
            case events.TimerExpired() if record.timer in EXPIRED:
                lasted = self._durations.get(record.timer)
                text = EXPIRED[record.timer] + (f" ({lasted:.3g} s)" if lasted else "")
                self.add(Row(record.time, "event", text=text))
            case events.IcmpIn():
                self.add(Row(record.time, "event", text=f"ICMP: {record.message}", bad=record.hard))
            case events.PathMtuChanged():
                text = f"packets of at most {record.mtu} octets: {record.why}"
                self.add(Row(record.time, "event", text=text))

    def take(self) -> list[Row]:
        """The rows gathered since the last time; they will not change any more."""
        if self._called:
            self.add(Row(self._called_at, "event", text=str(self._called[-1][1]), states=self._take_called()))
        self._ask_kernel()
        rows, self._rows = self._rows, []
        return rows

    def path_event(self, event: events.PathEvent, seg: Segment) -> None:
        """Something happened to a segment of this flow between the two ends."""
        gone = event.deed in ("dropped", "corrupted")
        if event.direction == "out" and event.deed != "injected":
            row = next((row for row in reversed(self._rows) if row.seg and _name(row.seg) == _name(seg)), None)
            if row:
                _mark(row, event)
        elif event.direction == "out" or gone:
            row = Row(event.time, event.direction, seg)
            _mark(row, event)
            self.add(row)
        else:
            self._coming.append((_name(seg), event))

    def _segment_in(self, record: events.SegmentIn) -> None:
        row = Row(record.time, "in", record.seg)
        name = _name(record.seg)
        if record.seg.len:
            if name in self._seen:
                row.tags.append("again")
            self._seen.append(name)
        for mark in [mark for mark in self._coming if mark[0] == name]:
            _mark(row, mark[1])
            self._coming.remove(mark)
        self.add(row)
        self._ask_kernel()

    def _state_entered(self, record: events.StateEntered) -> None:
        row = record.old, record.event, record.new
        if record.old is State.CLOSED and self.peer_state:
            self.peer_before = self.peer_state(self.flow)
        if record.event in CALLS:
            self._called.append(row)
            self._called_at = record.time
            return
        if not self._rows or self._rows[-1].kind == "out":
            self.add(Row(record.time, "event", text=str(record.event)))
        self._rows[-1].states += [*self._take_called(), row]

    def _discarded(self, record: events.SegmentDiscarded) -> None:
        row = next((row for row in reversed(self._rows) if row.seg is record.seg), None)
        if row:
            row.notes.append(f"discarded: {record.reason}")
            row.bad = True

    def _timer_set(self, record: events.TimerSet) -> None:
        self._durations[record.timer] = record.at - record.time
        if record.timer == "time_wait" and self._rows:
            self._rows[-1].notes.append(f"2 MSL timer: {record.at - record.time:.3g} s")

    def add(self, row: Row) -> None:
        """One more row; the one before it is complete, but for what is said of its segment later."""
        self._ask_kernel()
        self._rows.append(row)

    def _take_called(self) -> list[Transition]:
        called, self._called = self._called, []
        return called

    def _ask_kernel(self) -> None:
        """Once for each row, as soon as its segment must have got there."""
        if self.peer_state and self._rows and self._rows[-1].peer is None:
            self._rows[-1].peer = self.peer_state(self.flow) or ""


def _name(seg: Segment) -> Name:
    return seg.seq, len(seg.data), seg.flags


def _mark(row: Row, event: events.PathEvent) -> None:
    """Note on a row what the path did to its segment."""
    match event.deed:
        case "dropped":
            row.lost = event.detail or "dropped"
        case "injected":
            row.injected = True
            row.tags.append("injected")
        case "edited":
            row.tags.append("edited")
            row.notes.append(f"edited: {event.detail}")
        case deed:
            row.tags.append(f"{deed} {event.detail}".strip())
