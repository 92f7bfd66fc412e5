"""Draws one rung of a ladder: a segment as an arrow between two lifelines, or an event beside ours."""

from __future__ import annotations

from textwrap import wrap

from usertcp.tcp.options import ORDERS
from usertcp.tcp.segment import ACE, ACK, ECN_BITS, ECN_NAMES, Segment, flag_names
from usertcp.trace.numbers import Numbers
from usertcp.trace.rows import Row

TIME, OURS, THEIRS = 7, 12, 14
"""Widths of the columns: "999.999", "SYN-RECEIVED", "(SYN-RECEIVED)"."""
MARGIN = 4
"""How far the text below an arrow keeps away from the lifelines."""

LOOK = 1000
"""Octets that must be printable for data to be taken for text."""

STYLES = (
    *("", "head", "time", "state", "inferred", "rail", "out", "in"),
    *("special", "bad", "event", "note", "explain", "fold"),
)
"""Names of styles that a `Line` may use."""

ASCII = str.maketrans("│├┤─►◄×∙⋮", "|||-><x*:")
"""For places that know no others."""

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


class Pen:
    """Draws on *width* columns; *numbers* says how to count."""

    def __init__(self, width: int, numbers: Numbers) -> None:
        self.inner = width - TIME - OURS - THEIRS - 6
        """Columns between the lifelines."""
        self.numbers = numbers

    def rung(self, row: Row, time: str, peer: str, sentences: list[str]) -> list[Line]:
        """A row as lines: first the arrow or the event, then what did not fit beside it and what is to be said of it.

        Args:
          peer: the peer's state, if it has changed.
          sentences: explanations, to stand below.
        """
        states = [str(new) for _, _, new in row.states]
        if row.seg:
            first, below = self._arrow(row, row.seg)
        else:
            first, below = [(f" ∙ {row.text}".ljust(self.inner), "bad" if row.bad else "event")], []
        for note in row.notes:
            below += [(text, "bad" if row.bad else "note") for text in wrap(note, self.inner - MARGIN - 1)]
        for sentence in sentences:
            below += [(text, "explain") for text in wrap(sentence, self.inner - MARGIN - 1)]
        below += [("", "")] * (len(states) - 1 - len(below))
        lines = [self.line(time, states[0] if states else "", first, peer)]
        for (text, style), state in zip(below, states[1:] + [""] * len(below), strict=False):
            lines.append(self.line("", state, [((" " * MARGIN + text).ljust(self.inner), style)]))
        return lines

    def line(self, time: str, ours: str, middle: list[Piece] | str, theirs: str = "") -> Line:
        """One line from the time to the peer's state. *middle* is as wide as there is room, or plain text."""
        if isinstance(middle, str):
            middle = [(middle.ljust(self.inner), "fold")]
        peer = [(f" {theirs}", "inferred" if theirs.startswith("(") else "state")] if theirs else []
        return Line(
            (f"{time:>{TIME}}  ", "time"),
            (f"{ours:<{OURS}} ", "state"),
            ("├" if middle[0][0].startswith("─") else "│", "rail"),
            *middle,
            ("┤" if middle[-1][0].endswith("─") else "│", "rail"),
            *peer,
        )

    def _arrow(self, row: Row, seg: Segment) -> tuple[list[Piece], list[Piece]]:
        """A segment between the lifelines, and under it, on its sender's side, what did not fit on the arrow."""
        ours = row.kind == "out"
        tail = f" ({', '.join(row.tags)})" if row.tags else ""
        room = self.inner - len(tail) - (len(row.lost) + 9 if row.lost else 6)
        items, options = self._items(seg, ours), self._options(seg, ours)
        if len(" ".join(items + options)) <= room:
            items, options = items + options, []
        text, rest = _fit(items, room)
        side = self.inner - 2 * MARGIN
        below = _lines(rest + options, side)
        if seg.data and (preview := _preview(bytes(seg.data[:LOOK]), side)):
            below.append(preview)
        style = "bad" if row.bad or row.lost else "out" if ours else "in"
        shaft = self._shaft([(text, style), (tail, "special")], len(text + tail), row, style)
        return shaft, [(line if ours else line.rjust(side), "note") for line in below]

    def _shaft(self, pieces: list[Piece], width: int, row: Row, style: str) -> list[Piece]:
        """The arrow around the text: from its sender's lifeline to the other, or as far as it got."""
        start = "∙" if row.injected else "─"
        if row.lost:
            gap = (" " * (self.inner - width - len(row.lost) - 9), "")
            if row.kind == "out":
                return [("─ ", style), *pieces, (f" ───× {row.lost} ", style), gap]
            return [gap, (f" {row.lost} ×─── ", style), *pieces, (" ─", style)]
        fill = "─" * (self.inner - width - 4)
        if row.kind == "out":
            return [(f"{start} ", style), *pieces, (f" {fill}►", style)]
        return [(f"◄{fill} ", style), *pieces, (f" {start}", style)]

    def _items(self, seg: Segment, ours: bool) -> list[str]:
        ace = self.numbers.ace(seg)
        flags = seg.flags if ace is None else seg.flags & ~ACE
        items = [",".join(flag_names(flags)) or "no flags", f"seq={self.numbers.seq(seg.seq, ours=ours)}"]
        if seg.flags & ACK:
            items.append(f"ack={self.numbers.seq(seg.ack, ours=not ours)}")
        if seg.data:
            items.append(f"len={len(seg.data)}")
        if codepoint := seg.traffic_class & ECN_BITS:
            items.append(ECN_NAMES[codepoint])
        if ace is not None:
            items.append(f"ace={ace}")
        return [*items, f"win={self.numbers.window(seg, ours=ours)}"]

    def _options(self, seg: Segment, ours: bool) -> list[str]:
        options, items = seg.options, []
        if options.mss is not None:
            items.append(f"mss={options.mss}")
        if options.window_scale is not None:
            items.append(f"ws={options.window_scale}")
        if options.sack_permitted:
            items.append("sackOK")
        if stamps := self.numbers.timestamps(seg, ours=ours):
            items.append(f"ts={stamps[0]}/{stamps[1]}")
        if options.user_timeout is not None:
            items.append(f"uto={options.user_timeout}s")
        if options.signature is not None:
            items.append(str(options.signature))
        if options.fast_open is not None:
            items.append(f"tfo={options.fast_open.hex() or '?'}")
        if options.accurate_ecn is not None:
            order, counters = options.accurate_ecn
            shown = ",".join(f"{name}:{n}" for name, n in zip(ORDERS[order], counters, strict=False))
            items.append(f"accecn={shown or 'empty'}")
        for left, right in options.sack:
            items.append(f"sack={self.numbers.seq(left, ours=not ours)}..{self.numbers.seq(right, ours=not ours)}")
        return items + [f"option {kind} ({len(data)} octets)" for kind, data in options.unknown]


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
    if not all(octet in b"\t\r\n" or 32 <= octet < 127 for octet in data[:LOOK]):
        return ""
    start = data[:width]
    quoted = start.decode("ascii").encode("unicode_escape").decode("ascii")
    return f'"{quoted}"' if len(start) == len(data) and len(quoted) + 2 <= width else f'"{quoted[: width - 5]} ...'
