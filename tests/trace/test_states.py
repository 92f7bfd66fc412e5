"""Every row of the table of transitions is drawn or listed, in each form."""

import pytest

from usertcp.tcp.state import TRANSITIONS, Event, State
from usertcp.trace import states

ROWS = [(state, event, new) for state, rows in TRANSITIONS.items() for event, new in rows.items()]


def test_the_table_has_every_row() -> None:
    lines = states.table().splitlines()
    assert sum(any(line.split()[-1:] == [str(state)] for state in State) for line in lines[1:]) == len(ROWS)


@pytest.mark.parametrize(("state", "event", "new"), ROWS, ids=lambda value: str(value))
def test_every_row_is_drawn_or_listed(state: State, event: Event, new: State) -> None:
    picture, rest = states.text().split("Not drawn:")
    if event in states.ELSEWHERE or (state, new) not in states.ARROWS:
        listed = " ".join(rest.split())
        assert str(state) in listed[listed.index(f"{event} ► {new}: from ") :].split("►")[1]
    else:
        row, column = states.ARROWS[state, new][1]
        assert str(event) in picture.splitlines()[row][column:]
    assert f'"{state}" -> "{new}"' in states.dot()
    assert f"{state.name} --> {new.name}: " in states.mermaid()


def test_no_arrow_is_drawn_that_is_not_in_the_table() -> None:
    for state, new in states.ARROWS:
        assert new in TRANSITIONS[state].values()


def test_the_diagram_fits_80_columns() -> None:
    assert max(map(len, states.text().splitlines())) <= 80


def test_every_arrow_ends_in_a_head() -> None:
    drawn = states.text().split("Not drawn:")[0]
    assert sum(drawn.count(head) for head in "▲▼◄►") == len(states.ARROWS)
