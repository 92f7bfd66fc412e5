"""The states of a connection drawn from `usertcp.tcp.state.TRANSITIONS`: after RFC 9293, Figure 5.

Where a box stands and which way an arrow goes is laid out here by hand; which arrows there are, and what is written
beside them, the table says. A row that has no place in the picture is listed below it.
"""

from __future__ import annotations

from textwrap import wrap

from usertcp.tcp.state import TRANSITIONS, Event, State

S = State

Point = tuple[int, int]
"""Row and column."""

HALF = 8
"""From the centre of a box to its sides."""

LEFT, MIDDLE, RIGHT = 12, 39, 66

BOXES: list[tuple[State, Point]] = [
    (S.CLOSED, (1, MIDDLE)),
    (S.LISTEN, (7, LEFT)),
    (S.SYN_SENT, (7, RIGHT)),
    (S.SYN_RECEIVED, (13, LEFT)),
    (S.ESTABLISHED, (19, MIDDLE)),
    (S.FIN_WAIT_1, (25, LEFT)),
    (S.CLOSE_WAIT, (25, RIGHT)),
    (S.FIN_WAIT_2, (31, LEFT)),
    (S.CLOSING, (31, MIDDLE)),
    (S.LAST_ACK, (31, RIGHT)),
    (S.TIME_WAIT, (37, LEFT)),
    (S.CLOSED, (37, RIGHT)),
]
"""Where their centres are. CLOSED stands at both ends of a connection's life."""

ARROWS: dict[tuple[State, State], tuple[list[Point], Point]] = {
    (S.CLOSED, S.LISTEN): ([(1, 30), (1, 12), (5, 12)], (3, 14)),
    (S.CLOSED, S.SYN_SENT): ([(1, 48), (1, 66), (5, 66)], (3, 68)),
    (S.LISTEN, S.SYN_SENT): ([(7, 21), (7, 57)], (6, 30)),
    (S.LISTEN, S.SYN_RECEIVED): ([(9, 12), (11, 12)], (10, 14)),
    (S.SYN_SENT, S.SYN_RECEIVED): ([(9, 62), (13, 62), (13, 21)], (12, 36)),
    (S.SYN_SENT, S.ESTABLISHED): ([(9, 70), (19, 70), (19, 48)], (18, 53)),
    (S.SYN_RECEIVED, S.ESTABLISHED): ([(15, 16), (19, 16), (19, 30)], (17, 18)),
    (S.SYN_RECEIVED, S.FIN_WAIT_1): ([(15, 8), (23, 8)], (20, 10)),
    (S.ESTABLISHED, S.FIN_WAIT_1): ([(21, 33), (22, 33), (22, 16), (23, 16)], (21, 22)),
    (S.ESTABLISHED, S.CLOSE_WAIT): ([(21, 45), (22, 45), (22, 66), (23, 66)], (21, 52)),
    (S.FIN_WAIT_1, S.FIN_WAIT_2): ([(27, 12), (29, 12)], (28, 14)),
    (S.FIN_WAIT_1, S.CLOSING): ([(25, 21), (25, 39), (29, 39)], (24, 26)),
    (S.FIN_WAIT_2, S.TIME_WAIT): ([(33, 12), (35, 12)], (34, 14)),
    (S.CLOSING, S.TIME_WAIT): ([(33, 39), (37, 39), (37, 21)], (36, 23)),
    (S.CLOSE_WAIT, S.LAST_ACK): ([(27, 66), (29, 66)], (28, 68)),
    (S.LAST_ACK, S.CLOSED): ([(33, 66), (35, 66)], (34, 50)),
    (S.TIME_WAIT, S.CLOSED): ([(39, 12), (40, 12), (40, 66), (39, 66)], (39, 32)),
}
"""The corners of an arrow, and where its label begins."""

ELSEWHERE = {Event.ABORT, Event.RCV_RST, Event.TIMEOUT}
"""End a connection in nearly any state: left out of the picture, as in Figure 5 (note 3)."""

CORNERS = {"du": "│", "lr": "─", "dr": "┌", "dl": "┐", "ru": "└", "lu": "┘"}
HEADS = {"u": "▲", "d": "▼", "l": "◄", "r": "►"}


def text() -> str:
    """The diagram, and below it what is not drawn. 80 columns."""
    canvas: dict[Point, str] = {}
    for (state, following), (points, label) in ARROWS.items():
        events = [event for event, new in TRANSITIONS[state].items() if new is following and event not in ELSEWHERE]
        _line(canvas, points)
        _write(canvas, label, ", ".join(map(str, events)))
    for state, (row, column) in BOXES:
        _box(canvas, row, column, str(state))
    height = max(row for row, _ in canvas) + 1
    lines = ["".join(canvas.get((row, column), " ") for column in range(80)).rstrip() for row in range(height)]
    return "\n".join([*lines, "", "Not drawn:", *_not_drawn()])


def _not_drawn() -> list[str]:
    """The rows of the table that have no arrow, those with the same event together."""
    rest: dict[tuple[Event, State], list[str]] = {}
    for state, rows in TRANSITIONS.items():
        for event, new in rows.items():
            if event in ELSEWHERE or (state, new) not in ARROWS:
                rest.setdefault((event, new), []).append(str(state))
    return [
        line
        for (event, new), states in rest.items()
        for line in wrap(
            f"{event} ► {new}: from {', '.join(states)}",
            78,
            initial_indent="  ",
            subsequent_indent="    ",
            break_on_hyphens=False,
        )
    ]


def table() -> str:
    """Every row of the table, grouped by state."""
    width = max(len(str(event)) for event in Event)
    lines = ["State          Event".ljust(17 + width) + "Next state"]
    for state, rows in TRANSITIONS.items():
        lines.append("")
        for number, (event, new) in enumerate(rows.items()):
            lines.append(f"{'' if number else str(state):<14} {event!s:<{width}}  {new}")
    return "\n".join(lines)


def dot() -> str:
    """For Graphviz."""
    edges = [f'  "{old}" -> "{new}" [label="{events}"];' for old, new, events in _edges()]
    return "\n".join(["digraph states {", "  node [shape=box];", *edges, "}"])


def mermaid() -> str:
    """For Mermaid. Its names may hold no hyphen, so that states are declared with a name and a text."""
    names = [f'  state "{state}" as {state.name}' for state in State]
    edges = [f"  {old.name} --> {new.name}: {events}" for old, new, events in _edges()]
    return "\n".join(["stateDiagram-v2", *names, *edges])


def _edges() -> list[tuple[State, State, str]]:
    """Arrows between two states, with all the events that take that way."""
    edges: dict[tuple[State, State], list[str]] = {}
    for state, rows in TRANSITIONS.items():
        for event, new in rows.items():
            edges.setdefault((state, new), []).append(str(event))
    return [(old, new, ", ".join(events)) for (old, new), events in edges.items()]


def _line(canvas: dict[Point, str], points: list[Point]) -> None:
    """An arrow through its corners."""
    path = [points[0]]
    for row, column in points[1:]:
        while path[-1] != (row, column):
            r, c = path[-1]
            path.append((r + (row > r) - (row < r), c + (column > c) - (column < c)))
    for before, here, after in zip(path, path[1:], path[2:], strict=False):
        canvas[here] = CORNERS["".join(sorted(_towards(here, before) + _towards(here, after)))]
    canvas[path[0]] = CORNERS["lr" if _towards(path[0], path[1]) in "lr" else "du"]
    canvas[path[-1]] = HEADS[_towards(path[-2], path[-1])]


def _towards(here: Point, there: Point) -> str:
    """The direction from one point to its neighbour."""
    if there[0] != here[0]:
        return "d" if there[0] > here[0] else "u"
    return "r" if there[1] > here[1] else "l"


def _box(canvas: dict[Point, str], row: int, column: int, name: str) -> None:
    inner = 2 * HALF - 1
    _write(canvas, (row - 1, column - HALF), "┌" + "─" * inner + "┐")
    _write(canvas, (row, column - HALF), "│" + name.center(inner) + "│")
    _write(canvas, (row + 1, column - HALF), "└" + "─" * inner + "┘")


def _write(canvas: dict[Point, str], at: Point, string: str) -> None:
    canvas.update({(at[0], at[1] + offset): char for offset, char in enumerate(string)})
