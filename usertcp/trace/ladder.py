"""Draws a connection as a ladder: our states on the left, the peer's on the right, the segments between them.

    ladder = Ladders(width=80)
    async with usertcp.open_stack(tracer=ladder) as stack:
        ...
        for line in ladder.take():
            print(line)

A line is a `Line`: text in pieces, each with the name of a style, for whoever has colours. `str(line)` is the text
alone.
"""

from __future__ import annotations

from usertcp.errors import MalformedPacket
from usertcp.tcp import events
from usertcp.tcp.segment import Flow
from usertcp.tcp.state import Event
from usertcp.trace.explain import Explainer
from usertcp.trace.numbers import Numbers
from usertcp.trace.peer import InferredPeer
from usertcp.trace.rows import PeerState, Row, Rows
from usertcp.trace.rung import TIME, Line, Pen
from usertcp.trace.wording import describe
from usertcp.wire import IcmpError
from usertcp.wire.fast import FastCodec

MIN_WIDTH, MAX_WIDTH = 72, 120
PAUSE = 0.25
"""Seconds after which segments do not belong to the same run of many."""

REMEMBERED = 1000
"""Connections that are drawn at a time: the oldest is forgotten for one more."""

CODEC = FastCodec()


class Ladders:
    """A tracer that draws every connection of a stack; where they alternate, each gets its heading again.

    Args:
      width: columns to draw in; as many as are useful are used.
      absolute: sequence numbers, acknowledgment numbers and timestamps as on the wire, not relative to the ISNs.
      explain: add a sentence to each step the first time that it is seen.
      peer: what the peer is, for the heading.
      peer_state: asks the peer's kernel for its states. None: they are inferred from the segments and shown in
        parentheses.
      fold: after so many unremarkable segments in a row, the rest of them are counted instead of drawn. 0: never.
    """

    def __init__(
        self,
        *,
        width: int = 80,
        absolute: bool = False,
        explain: bool = False,
        peer: str = "peer",
        peer_state: PeerState | None = None,
        fold: int = 12,
    ) -> None:
        self.width = max(MIN_WIDTH, min(width, MAX_WIDTH))
        self.absolute = absolute
        self.explainer = Explainer() if explain else None
        self.peer = peer if peer_state else f"{peer} (inferred)"
        self.peer_state = peer_state
        self.fold = fold
        self._ladders: dict[Flow, _Ladder] = {}
        self._shown: Flow | None = None
        self._touched: dict[Flow, None] = {}
        self.start: float | None = None
        """When the first thing happened that was drawn."""

    def __call__(self, record: events.TraceRecord) -> None:
        match record:
            case events.Record():
                self._ladder(record.flow).rows(record)
            case events.PathEvent():
                self._path_event(record)
            case events.PacketDiscarded():
                self._beside(Row(record.time, "event", text=f"packet discarded: {record.reason}", bad=True))

    def _ladder(self, flow: Flow) -> _Ladder:
        if flow not in self._ladders:
            if len(self._ladders) >= REMEMBERED:
                del self._ladders[next(iter(self._ladders))]
            self._ladders[flow] = _Ladder(self, flow)
        self._touched[flow] = None
        return self._ladders[flow]

    def _path_event(self, event: events.PathEvent) -> None:
        try:
            found = CODEC.decode(event.packet, unfinished_checksum=True)
        except MalformedPacket:
            found = None
        if found is None or isinstance(found, IcmpError):
            self._beside(Row(event.time, "event", text=describe(event)))
            return
        flow, seg = found
        self._ladder(flow if event.direction == "in" else flow.reversed).rows.path_event(event, seg)

    def _beside(self, row: Row) -> None:
        """Something that no connection can be told for: it goes to the one that was touched last."""
        if self._ladders:
            flow = next(reversed(self._touched or self._ladders))
            self._ladder(flow).rows.add(row)

    def take(self) -> list[Line]:
        """The lines that have become ready since the last time. Call it when nothing more is happening for the
        moment."""
        lines: list[Line] = []
        for flow in [flow for flow in self._touched if flow in self._ladders]:
            drawn = self._ladders[flow].take()
            if drawn and flow != self._shown:
                lines += [Line()] * (self._shown is not None)
                lines += self._ladders[flow].heading()
                self._shown = flow
            lines += drawn
        self._touched.clear()
        return lines

    def finish(self) -> list[Line]:
        """The last lines: also counts what is still folded."""
        lines = self.take()
        for ladder in self._ladders.values():
            lines += ladder.unfold()
        return lines


class _Ladder:
    """The ladder of one flow."""

    def __init__(self, settings: Ladders, flow: Flow) -> None:
        self.settings = settings
        self.flow = flow
        self.rows = Rows(flow, settings.peer_state)
        self._numbers = Numbers(absolute=settings.absolute)
        self._pen = Pen(settings.width, self._numbers)
        self._inferred = InferredPeer()
        self._peer = ""
        self._begun = False
        self._run = 0
        """Unremarkable segments since the last remarkable thing."""
        self._last = 0.0
        self._folded = {"out": [0, 0], "in": [0, 0]}
        """Segments and octets that were not drawn."""

    def heading(self) -> list[Line]:
        """Who is on which side."""
        width, peer = self.settings.width, self.settings.peer
        names = f"{'seconds':>{TIME}}  usertcp"
        left = " " * (TIME + 2) + _socket(self.flow.local, self.flow.local_port)
        right = _socket(self.flow.remote, self.flow.remote_port)
        lines = [names + peer.rjust(width - len(names))]
        if len(left + right) + 3 <= width:
            lines.append(left + right.rjust(width - len(left)))
        else:
            lines += [left, right.rjust(width)]
        return [Line((line, "head")) for line in lines]

    def take(self) -> list[Line]:
        """What has become ready, as lines."""
        return [line for row in self.rows.take() for line in self._draw(row)]

    def unfold(self) -> list[Line]:
        """What was folded, counted."""
        lines = []
        for kind, whose in ("out", "from us"), ("in", "from the peer"):
            segments, octets = self._folded[kind]
            if segments:
                lines.append(self._pen.line("", "", f" ⋮ {segments:,} more {whose}, {octets:,} octets"))
        self._folded = {"out": [0, 0], "in": [0, 0]}
        self._run = 0
        return lines

    def _draw(self, row: Row) -> list[Line]:
        if self.settings.start is None:
            self.settings.start = row.time
        time = row.time - self.settings.start
        lines = []
        if row.begins:
            self._numbers.forget()
            self._inferred = InferredPeer()
            self._begun = False
        if row.seg and not row.injected:
            self._numbers.note(row.seg, ours=row.kind == "out")
        row.accurate_ecn = self._numbers.accurate_ecn
        if not self._begun:
            self._begun = True
            lines.append(self._beginning(row))
        peer = self._peer_after(row)
        if not row.plain or peer or time - self._last > PAUSE:
            lines += self.unfold()
        self._last = time
        if row.plain and not peer and self._fold(row):
            return lines
        sentences = self.settings.explainer.sentences(row) if self.settings.explainer else []
        return lines + self._pen.rung(row, f"{time:.3f}"[:TIME], peer, sentences)

    def _fold(self, row: Row) -> bool:
        """Is this one too many of a run? Then it is counted here."""
        self._run += 1
        if not self.settings.fold or self._run <= self.settings.fold or not row.seg:
            return False
        folded = self._folded[row.kind]
        folded[0] += 1
        folded[1] += len(row.seg.data)
        return True

    def _beginning(self, row: Row) -> Line:
        """The states before anything has happened."""
        if row.states and row.states[0][1] is Event.PASSIVE_OPEN:
            row.states.pop(0)
        ours = str(row.states[0][0]) if row.states else ""
        before, self.rows.peer_before = self.rows.peer_before or "", None
        self._peer = before
        return self._pen.line("", ours, "", before)

    def _peer_after(self, row: Row) -> str:
        """The peer's state after this row, if that is news."""
        if row.seg and not row.injected and (row.kind == "in" or row.arrives):
            step = self._inferred.segment_from_peer if row.kind == "in" else self._inferred.segment_to_peer
            step(row.seg)
        if self.settings.peer_state:
            state = row.peer or ""
        else:
            state = f"({self._inferred.state})" if self._inferred.state else ""
        news = state not in ("", self._peer)
        self._peer = state or self._peer
        return state if news else ""


def _socket(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
