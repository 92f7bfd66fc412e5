"""Challenge ACKs and how many of them (RFC 5961)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.tcp.builders import CONFIG, WINDOW, Bench, established
from usertcp.tcp.segment import ACK, RST, SYN
from usertcp.tcp.state import State

CHALLENGE = "<SEQ=1><ACK=1><CTL=ACK>"


def provoke(bench: Bench, what: str) -> None:
    match what:
        case "RST":
            bench.arrives(RST, 100)
        case "SYN":
            bench.arrives(SYN, 100)
        case "SYN,ACK":
            bench.arrives(SYN | ACK, 1, 1)
        case "SYN outside":
            bench.arrives(SYN, 9000)
        case "SYN,ACK outside, with text":
            bench.arrives(SYN | ACK, 9000, 1, b"text")
        case "ACK too new":
            bench.arrives(ACK, 1, 2)
        case "ACK too old":
            bench.arrives(ACK, 1, -WINDOW)
        case "empty and outside":
            bench.arrives(ACK, 9000, 1)


EVERY = [
    "RST",
    "SYN",
    "SYN,ACK",
    "SYN outside",
    "SYN,ACK outside, with text",
    "ACK too new",
    "ACK too old",
    "empty and outside",
]


@pytest.mark.rfc("5961", "3.2")
@pytest.mark.rfc("5961", "4.2")
@pytest.mark.rfc("5961", "5.2")
@pytest.mark.parametrize("what", EVERY)
def test_what_may_be_an_attack_is_challenged_and_changes_nothing(iss: int, irs: int, what: str) -> None:
    bench = established(iss, irs)
    provoke(bench, what)
    assert (bench.state, bench.sent()) == (State.ESTABLISHED, [CHALLENGE])


@pytest.mark.rfc("5961", "7")
@pytest.mark.parametrize("what", EVERY)
def test_no_more_than_so_many_per_second(iss: int, irs: int, what: str) -> None:
    bench = established(iss, irs, replace(CONFIG, challenge_acks_per_second=3))
    for _ in range(100):
        provoke(bench, what)
    assert len(bench.take()) == 3
    bench.advance(1.0)
    provoke(bench, what)
    assert bench.sent() == [CHALLENGE]


@pytest.mark.rfc("5961", "7")
def test_the_limit_is_the_connections_own(iss: int, irs: int) -> None:
    """A limit for all together would let one peer learn of another (CVE-2016-5696)."""
    one, other = (established(iss, irs) for _ in range(2))
    for _ in range(100):
        provoke(one, "SYN")
    provoke(other, "SYN")
    assert other.sent() == [CHALLENGE]


@pytest.mark.rfc("9293", "3.10.7.4", "first")
def test_text_outside_the_window_is_answered_each_time(iss: int, irs: int) -> None:
    """It may be text that was lost, and whose sender waits."""
    bench = established(iss, irs)
    bench.arrives(ACK, 1, 1, b"text")
    bench.take()
    for _ in range(100):
        bench.arrives(ACK, 1, 1, b"text")
    assert len(bench.take()) == 100


@pytest.mark.rfc("5961", "5.2")
@pytest.mark.parametrize("ack", [1, 1 - WINDOW])
def test_an_ack_within_the_largest_window_behind_is_old_and_no_attack(iss: int, irs: int, ack: int) -> None:
    bench = established(iss, irs)
    bench.arrives(ACK, 1, ack, b"text")
    assert bench.receive() == b"text"


def test_spent_challenges_do_not_hold_back_an_ordinary_acknowledgment(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    for _ in range(100):
        provoke(bench, "SYN")
    bench.take()
    bench.arrives(ACK, 1, 1, b"text")
    assert bench.sent() == ["<SEQ=1><ACK=5><CTL=ACK>"]
