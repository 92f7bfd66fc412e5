"""The table of transitions against Figure 5 of RFC 9293, which is typed out again here, arrow by arrow."""

import pytest

from usertcp.tcp.state import SYNCHRONIZED, TRANSITIONS, Event, State

FIGURE_5 = """
CLOSED       | passive OPEN                | LISTEN
CLOSED       | active OPEN                 | SYN-SENT
LISTEN       | rcv SYN                     | SYN-RECEIVED
LISTEN       | SEND                        | SYN-SENT
LISTEN       | CLOSE                       | CLOSED
SYN-SENT     | rcv SYN                     | SYN-RECEIVED
SYN-SENT     | rcv SYN,ACK                 | ESTABLISHED
SYN-SENT     | CLOSE                       | CLOSED
SYN-RECEIVED | rcv ACK of SYN              | ESTABLISHED
SYN-RECEIVED | CLOSE                       | FIN-WAIT-1
SYN-RECEIVED | rcv RST or SYN, passive OPEN | LISTEN
ESTABLISHED  | CLOSE                       | FIN-WAIT-1
ESTABLISHED  | rcv FIN                     | CLOSE-WAIT
FIN-WAIT-1   | rcv ACK of FIN              | FIN-WAIT-2
FIN-WAIT-1   | rcv FIN                     | CLOSING
FIN-WAIT-2   | rcv FIN                     | TIME-WAIT
CLOSE-WAIT   | CLOSE                       | LAST-ACK
CLOSING      | rcv ACK of FIN              | TIME-WAIT
LAST-ACK     | rcv ACK of FIN              | CLOSED
TIME-WAIT    | Timeout=2MSL                | CLOSED
"""
"""Every arrow that is drawn."""

BEYOND_THE_FIGURE = """
LISTEN       | active OPEN                 | SYN-SENT
TIME-WAIT    | rcv SYN                     | CLOSED
"""
"""Arrows in the text only: OPEN changes a passive connection to active (3.10.1); a new incarnation takes the pair of
sockets over from TIME-WAIT (3.10.7.4, fourth; RFC 6191)."""

OPEN_STATES = [state for state in State if state is not State.CLOSED]
CONNECTED_STATES = [state for state in OPEN_STATES if state is not State.LISTEN]

Arrow = tuple[State, Event, State]


def arrows(text: str) -> list[Arrow]:
    rows = [[cell.strip() for cell in line.split("|")] for line in text.strip().splitlines()]
    return [(State(old), Event(event), State(new)) for old, event, new in rows]


@pytest.mark.rfc("9293", "3.3.2", "Figure 5")
@pytest.mark.parametrize(("old", "event", "new"), arrows(FIGURE_5), ids=str)
def test_arrow_of_figure_5(old: State, event: Event, new: State) -> None:
    assert TRANSITIONS[old][event] is new


@pytest.mark.rfc("9293", "3.3.2", "note 2")
def test_fin_and_the_ack_of_ours_in_one_segment_lead_from_fin_wait_1_to_time_wait() -> None:
    between = TRANSITIONS[State.FIN_WAIT_1][Event.RCV_ACK_OF_FIN]
    assert TRANSITIONS[between][Event.RCV_FIN] is State.TIME_WAIT


@pytest.mark.rfc("9293", "3.3.2", "note 3")
@pytest.mark.parametrize("state", CONNECTED_STATES)
def test_rst_received_leads_to_closed_from_every_state_with_a_peer(state: State) -> None:
    assert TRANSITIONS[state][Event.RCV_RST] is State.CLOSED


@pytest.mark.rfc("9293", "3.3.2", "note 1")
def test_only_a_passive_open_returns_to_listen() -> None:
    assert [(old, event) for old, row in TRANSITIONS.items() for event in row if row[event] is State.LISTEN] == [
        (State.CLOSED, Event.PASSIVE_OPEN),
        (State.SYN_RECEIVED, Event.RETURN_TO_LISTEN),
    ]


@pytest.mark.rfc("9293", "3.10.5")
@pytest.mark.parametrize("state", OPEN_STATES)
def test_abort_leads_to_closed_from_every_state(state: State) -> None:
    assert TRANSITIONS[state][Event.ABORT] is State.CLOSED


@pytest.mark.rfc("9293", "3.10.8")
@pytest.mark.parametrize("state", [state for state in CONNECTED_STATES if state is not State.TIME_WAIT])
def test_user_timeout_leads_to_closed_from_every_state_that_waits_for_the_peer(state: State) -> None:
    assert TRANSITIONS[state][Event.TIMEOUT] is State.CLOSED


def test_there_is_no_row_that_the_rfc_does_not_know() -> None:
    known = set(arrows(FIGURE_5) + arrows(BEYOND_THE_FIGURE))
    known |= {(state, Event.RCV_RST, State.CLOSED) for state in CONNECTED_STATES}
    known |= {(state, Event.ABORT, State.CLOSED) for state in OPEN_STATES}
    known |= {(state, Event.TIMEOUT, State.CLOSED) for state in CONNECTED_STATES if state is not State.TIME_WAIT}
    assert {(old, event, new) for old, row in TRANSITIONS.items() for event, new in row.items()} == known


def test_every_state_has_a_row_can_be_reached_and_leads_to_closed() -> None:
    assert set(TRANSITIONS) == set(State)
    assert {new for row in TRANSITIONS.values() for new in row.values()} == set(State)
    leads = {State.CLOSED}
    for _ in State:
        leads |= {old for old, row in TRANSITIONS.items() if leads & set(row.values())}
    assert leads == set(State)


def test_every_event_moves_something() -> None:
    assert {event for row in TRANSITIONS.values() for event in row} == set(Event)


@pytest.mark.rfc("9293", "3.5.2")
def test_the_synchronized_states_are_the_third_group_of_reset_generation() -> None:
    assert {state.value for state in SYNCHRONIZED} == {
        "ESTABLISHED", "FIN-WAIT-1", "FIN-WAIT-2", "CLOSE-WAIT", "CLOSING", "LAST-ACK", "TIME-WAIT",
    }  # fmt: skip
