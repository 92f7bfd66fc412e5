"""The states of a connection, and every way from one to another (RFC 9293, 3.3.2, Figure 5).

`Tcb.enter` is the only reader of `TRANSITIONS` that acts on it; `usertcp states` draws it.
"""

from __future__ import annotations

from enum import Enum
from typing import Final


class State(Enum):
    """RFC 9293, 3.3.2. The value is the RFC's spelling."""

    CLOSED = "CLOSED"
    LISTEN = "LISTEN"
    SYN_SENT = "SYN-SENT"
    SYN_RECEIVED = "SYN-RECEIVED"
    ESTABLISHED = "ESTABLISHED"
    FIN_WAIT_1 = "FIN-WAIT-1"
    FIN_WAIT_2 = "FIN-WAIT-2"
    CLOSE_WAIT = "CLOSE-WAIT"
    CLOSING = "CLOSING"
    LAST_ACK = "LAST-ACK"
    TIME_WAIT = "TIME-WAIT"

    __hash__ = object.__hash__  # Enum's own is a function of Python's, and states are looked up for each segment.

    def __str__(self) -> str:
        return self.value


class Event(Enum):
    """What moves a connection. The value is what Figure 5 writes beside the arrow."""

    PASSIVE_OPEN = "passive OPEN"
    ACTIVE_OPEN = "active OPEN"
    SEND = "SEND"
    CLOSE = "CLOSE"
    ABORT = "ABORT"
    RCV_SYN = "rcv SYN"
    RCV_SYN_ACK = "rcv SYN,ACK"
    RCV_ACK_OF_SYN = "rcv ACK of SYN"
    RCV_FIN = "rcv FIN"
    RCV_ACK_OF_FIN = "rcv ACK of FIN"
    RCV_RST = "rcv RST"
    RETURN_TO_LISTEN = "rcv RST or SYN, passive OPEN"
    TIMEOUT_2MSL = "Timeout=2MSL"
    TIMEOUT = "user timeout"

    __hash__ = object.__hash__

    def __str__(self) -> str:
        return self.value


S, E = State, Event

_ENDS: Final[dict[Event, State]] = {E.ABORT: S.CLOSED, E.RCV_RST: S.CLOSED, E.TIMEOUT: S.CLOSED}
"""From every state but CLOSED and LISTEN: figure 5 leaves these arrows out for legibility (note 3)."""

TRANSITIONS: Final[dict[State, dict[Event, State]]] = {
    S.CLOSED: {E.PASSIVE_OPEN: S.LISTEN, E.ACTIVE_OPEN: S.SYN_SENT},
    S.LISTEN: {
        E.RCV_SYN: S.SYN_RECEIVED,
        E.SEND: S.SYN_SENT,
        E.ACTIVE_OPEN: S.SYN_SENT,
        E.CLOSE: S.CLOSED,
        E.ABORT: S.CLOSED,
    },
    S.SYN_SENT: {E.RCV_SYN: S.SYN_RECEIVED, E.RCV_SYN_ACK: S.ESTABLISHED, E.CLOSE: S.CLOSED, **_ENDS},
    S.SYN_RECEIVED: {
        E.RCV_ACK_OF_SYN: S.ESTABLISHED,
        E.CLOSE: S.FIN_WAIT_1,
        E.RETURN_TO_LISTEN: S.LISTEN,
        **_ENDS,
    },
    S.ESTABLISHED: {E.CLOSE: S.FIN_WAIT_1, E.RCV_FIN: S.CLOSE_WAIT, **_ENDS},
    S.FIN_WAIT_1: {E.RCV_ACK_OF_FIN: S.FIN_WAIT_2, E.RCV_FIN: S.CLOSING, **_ENDS},
    S.FIN_WAIT_2: {E.RCV_FIN: S.TIME_WAIT, **_ENDS},
    S.CLOSE_WAIT: {E.CLOSE: S.LAST_ACK, **_ENDS},
    S.CLOSING: {E.RCV_ACK_OF_FIN: S.TIME_WAIT, **_ENDS},
    S.LAST_ACK: {E.RCV_ACK_OF_FIN: S.CLOSED, **_ENDS},
    S.TIME_WAIT: {E.TIMEOUT_2MSL: S.CLOSED, E.ABORT: S.CLOSED, E.RCV_RST: S.CLOSED, E.RCV_SYN: S.CLOSED},
}
"""Next state by state and event.

No guards: the order of the steps in SEGMENT ARRIVES makes them needless. TIME-WAIT, rcv SYN: RFC 6191 lets a new
incarnation have the pair of sockets, which ends this one. FIN-WAIT-2 has TIMEOUT for `Config.fin_wait_2_timeout`;
TIME-WAIT has no user timeout, 2 MSL bounds it. The eighth step's SYN-RECEIVED with FIN needs no row: the fifth has
entered ESTABLISHED or discarded the segment. """

SYNCHRONIZED: Final = frozenset(
    {S.ESTABLISHED, S.FIN_WAIT_1, S.FIN_WAIT_2, S.CLOSE_WAIT, S.CLOSING, S.LAST_ACK, S.TIME_WAIT}
)
"""RFC 9293, 3.5.2, third group."""
RECEIVING: Final = frozenset({S.ESTABLISHED, S.FIN_WAIT_1, S.FIN_WAIT_2})
"""States in which the peer may still send text."""
GONE: Final = frozenset({S.CLOSED, S.LISTEN})
"""There is no connection. One that a listener made is gone when it returns to LISTEN: the listener never left it."""
