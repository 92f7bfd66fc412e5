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

from textwrap import wrap as wrap_text

from usertcp.tcp import events
from usertcp.tcp.segment import ACK, Flow, Segment, flag_names
from usertcp.tcp.state import Event
from usertcp.trace.explain import Explainer
from usertcp.trace.numbers import Numbers
from usertcp.trace.peer import InferredPeer
from usertcp.trace.rows import PeerState, Row, Rows

MIN_WIDTH, MAX_WIDTH = 72, 120
TIME, OURS, THEIRS = 7, 12, 14
"""Widths of the columns: "12345.678", "SYN-RECEIVED", "(SYN-RECEIVED)"."""


Piece = tuple[str, str]
"""Text and the name of its style, one of `STYLES`."""


class Line:
    """One line of the picture."""

    __slots__ = ("pieces",)

    def __init__(self, *pieces: Piece) -> None:
        self.pieces = pieces
        """From left to right."""

    def __str__(self) -> str:
        return "".join(text for text, _ in self.pieces).rstrip()

    def __repr__(self) -> str:
        return f"Line({str(self)!r})"


STYLES = (
    "",
    "head",
    "time",
    "state",
    "inferred",
    "rail",
    "out",
    "in",
    "special",
    "bad",
    "event",
    "note",
    "explain",
    "fold",
)
"""Names of styles that a `Line` may use."""


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
        self._start: float | None = None

    def __call__(self, record: events.TraceRecord) -> None:
        if self._start is None:
            self._start = record.time
        if isinstance(record, events.Record):
            ladder = self._ladders.get(record.flow)
            if ladder is None:
                ladder = self._ladders[record.flow] = _Ladder(self, record.flow)
            ladder.rows(record)
            self._touched[record.flow] = None

    def take(self) -> list[Line]:
        """The lines that have become ready since the last time. Call it when nothing more is happening for the
        moment."""
        lines: list[Line] = []
        for flow in self._touched:
            drawn = self._ladders[flow].take(self._start or 0.0)
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
        self.inner = settings.width - TIME - OURS - THEIRS - 6
        """Columns between the two lifelines."""
        self._numbers = Numbers(absolute=settings.absolute)
        self._inferred = InferredPeer()
        self._peer = ""
        self._begun = False
        self._run = 0
        self._last = 0.0
        self._folded = {"out": [0, 0], "in": [0, 0]}

    def heading(self) -> list[Line]:
        """Who is on which side."""
        width = self.settings.width
        left, right = _socket(self.flow.local, self.flow.local_port), _socket(self.flow.remote, self.flow.remote_port)
        indent = " " * (TIME + 2)
        names = (
            f"{'seconds':>{TIME}}  {'usertcp'.ljust(width - TIME - 2 - len(self.settings.peer))}{self.settings.peer}"
        )
        if len(indent + left + right) + 3 <= width:
            sockets = [Line((indent + left.ljust(width - len(indent) - len(right)) + right, "head"))]
        else:
            sockets = [Line((indent + left, "head")), Line((right.rjust(width), "head"))]
        return [Line((names + self.settings.peer.rjust(width - len(names)), "head")), *sockets]

    def take(self, start: float) -> list[Line]:
        lines = []
        for row in self.rows.take():
            lines += self._draw(row, row.time - start)
        return lines

    def _draw(self, row: Row, time: float) -> list[Line]:
        if row.begins:
            self._numbers.forget()
            self._inferred = InferredPeer()
            self._begun = False
        if row.seg and not row.injected:
            self._numbers.note(row.seg, ours=row.kind == "out")
        peer = self._peer_after(row)
        lines = []
        pause, self._last = time - self._last > 0.25, time
        if not row.plain or peer or pause:
            lines += self.unfold()
        if row.plain and not peer:
            self._run += 1
            if self.settings.fold and self._run > self.settings.fold and row.seg:
                folded = self._folded[row.kind]
                folded[0] += 1
                folded[1] += len(row.seg.data)
                return lines
        if not self._begun:
            self._begun = True
            if row.states and row.states[0][1] is Event.PASSIVE_OPEN:
                row.states.pop(0)
            first = str(row.states[0][0]) if row.states else ""
            lines.append(self._line("", first, [(" " * self.inner, "")], ""))
        return lines + self._rung(row, f"{time:.3f}"[:TIME], peer)

    def unfold(self) -> list[Line]:
        """What was folded, counted."""
        lines = []
        for kind, whose in ("out", "from us"), ("in", "from the peer"):
            segments, octets = self._folded[kind]
            if segments:
                text = f" ⋮ {segments:,} more {whose}, {octets:,} octets"
                lines.append(self._line("", "", [(text.ljust(self.inner), "fold")], ""))
        self._folded = {"out": [0, 0], "in": [0, 0]}
        self._run = 0
        return lines

    def _peer_after(self, row: Row) -> str:
        """The peer's state after this row, if that is news."""
        if row.seg and not row.injected and (row.kind == "in" or not row.lost):
            step = self._inferred.segment_from_peer if row.kind == "in" else self._inferred.segment_to_peer
            step(row.seg)
        if self.settings.peer_state:
            state = row.peer or ""
        else:
            state = f"({self._inferred.state})" if self._inferred.state else ""
        if state == self._peer:
            return ""
        self._peer = state
        return state

    def _rung(self, row: Row, time: str, peer: str) -> list[Line]:
        """A row as lines: the arrow or the event first, then what does not fit beside it, and what is to be said of
        it."""
        states = [str(new) for _, _, new in row.states]
        if row.seg:
            first, below = self._arrow(row, row.seg)
        else:
            text = f" ∙ {row.text}"
            first, below = [(text.ljust(self.inner), "bad" if row.bad else "event")], []
        for note in row.notes:
            below += [(text, "bad" if row.bad else "note") for text in self._wrapped(note)]
        if self.settings.explainer:
            for sentence in self.settings.explainer.sentences(row):
                below += [(text, "explain") for text in self._wrapped(sentence)]
        lines = [self._line(time, states[0] if states else "", first, peer)]
        for text, style in below + [("", "")] * (len(states) - 1 - len(below)):
            state = states[len(lines)] if len(lines) < len(states) else ""
            lines.append(self._line("", state, [(("    " + text).ljust(self.inner), style)], ""))
        return lines

    def _wrapped(self, text: str) -> list[str]:
        return wrap_text(text, self.inner - 5)

    def _arrow(self, row: Row, seg: Segment) -> tuple[list[Piece], list[Piece]]:
        """A segment between the lifelines, and under it, on its sender's side, what did not fit on the arrow."""
        ours = row.kind == "out"
        tail = f" ({', '.join(row.tags)})" if row.tags else ""
        room = self.inner - len(tail) - (len(row.lost) + 9 if row.lost else 6)
        items, options = self._items(seg, ours), self._options(seg, ours)
        if len(" ".join(items + options)) <= room:
            items, options = items + options, []
        text, rest = _fit(items, room)
        below = _lines(rest + options, self.inner - 8)
        if seg.data and (preview := _preview(seg.data, self.inner - 8)):
            below.append(preview)
        style = "bad" if row.bad or row.lost else "out" if ours else "in"
        pieces = [(text, style), (tail, "special")]
        side = 0 if ours else self.inner - 8
        return self._shaft(pieces, len(text + tail), row, style), [(line.rjust(side), "note") for line in below]

    def _shaft(self, pieces: list[Piece], width: int, row: Row, style: str) -> list[Piece]:
        """The arrow around the text: from its sender's lifeline to the other, or as far as it got."""
        if row.lost:
            end = f"─× {row.lost} "
            fill = "─" * 3
            gap = " " * (self.inner - width - len(end) - 6)
            if row.kind == "out":
                return [("─ ", style), *pieces, (f" {fill}{end}", style), (gap, "")]
            return [(gap, ""), (f" {row.lost} ×─{fill} ", style), *pieces, (" ─", style)]
        fill = "─" * (self.inner - width - 4)
        if row.kind == "out":
            start = "∙ " if row.injected else "─ "
            return [(start, style), *pieces, (f" {fill}►", style)]
        return [(f"◄{fill} ", style), *pieces, (" ∙" if row.injected else " ─", style)]

    def _line(self, time: str, ours: str, middle: list[Piece], theirs: str) -> Line:
        left = "├" if middle[0][0].startswith("─") else "│"
        right = "┤" if middle[-1][0].endswith("─") else "│"
        return Line(
            (f"{time:>{TIME}}  ", "time"),
            (f"{ours:<{OURS}} ", "state"),
            (left, "rail"),
            *middle,
            (right, "rail"),
            (f" {theirs}", "inferred" if theirs.startswith("(") else "state"),
        )

    def _items(self, seg: Segment, ours: bool) -> list[str]:
        items = [",".join(flag_names(seg.flags)) or "no flags", f"seq={self._numbers.seq(seg.seq, ours=ours)}"]
        if seg.flags & ACK:
            items.append(f"ack={self._numbers.seq(seg.ack, ours=not ours)}")
        if seg.data:
            items.append(f"len={len(seg.data)}")
        return [*items, f"win={self._numbers.window(seg, ours=ours)}"]

    def _options(self, seg: Segment, ours: bool) -> list[str]:
        options, items = seg.options, []
        if options.mss is not None:
            items.append(f"mss={options.mss}")
        if options.window_scale is not None:
            items.append(f"ws={options.window_scale}")
        if options.sack_permitted:
            items.append("sackOK")
        if stamps := self._numbers.timestamps(seg, ours=ours):
            items.append(f"ts={stamps[0]}/{stamps[1]}")
        for left, right in options.sack:
            items.append(f"sack={self._numbers.seq(left, ours=not ours)}..{self._numbers.seq(right, ours=not ours)}")
        return items + [f"option {kind} ({len(data)} octets)" for kind, data in options.unknown]


def _socket(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _fit(items: list[str], width: int) -> tuple[str, list[str]]:
    """As many items as fit on one line, at least one, and the rest."""
    count = len(items)
    while count > 1 and len(" ".join(items[:count])) > width:
        count -= 1
    return " ".join(items[:count]), items[count:]


def _lines(items: list[str], width: int) -> list[str]:
    lines = []
    while items:
        line, items = _fit(items, width)
        lines.append(line)
    return lines


def _preview(data: bytes, width: int) -> str:
    """The beginning of data that is text, quoted; nothing if it is not."""
    start = data[:width]
    if not all(octet in b"\t\r\n" or 32 <= octet < 127 for octet in start):
        return ""
    quoted = start.decode("ascii").encode("unicode_escape").decode("ascii")
    return f'"{quoted}"' if len(start) == len(data) and len(quoted) + 2 <= width else f'"{quoted[: width - 4]} ...'
