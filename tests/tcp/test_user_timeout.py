"""The user timeout option: what is said, and what is made of what the peer says (RFC 5482)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.tcp.builders import CONFIG, MSS, WINDOW, Bench, closed, established
from usertcp.errors import ConnectionTimedOut
from usertcp.tcp.config import Config
from usertcp.tcp.options import Options
from usertcp.tcp.segment import ACK, RST, SYN
from usertcp.tcp.state import State
from usertcp.tcp.user_timeout import UserTimeoutOption

ON = replace(CONFIG, user_timeout_option=UserTimeoutOption())


def option(**settings: Any) -> Config:
    return replace(CONFIG, user_timeout_option=UserTimeoutOption(**settings))


def said(bench: Bench) -> list[tuple[int, int | None]]:
    """How many octets of text, and what about the user timeout, in each segment that was sent."""
    return [(len(seg.data), seg.options.user_timeout) for seg in bench.take()]


def shaken(iss: int, irs: int, config: Config, remote: int | None) -> Bench:
    """Established by us; the SYN,ACK said *remote*."""
    bench = closed(iss, irs, config)
    bench.open()
    bench.arrives(SYN | ACK, 0, 1, options=Options(mss=MSS, user_timeout=remote))
    bench.take()
    return bench


def patience(bench: Bench) -> float:
    """How long the connection waits for the acknowledgment of some text."""
    begin = bench.now
    bench.send(b"text")
    while bench.state is not State.CLOSED:
        bench.advance(bench.tcp.deadline - bench.now)
    assert isinstance(bench.tcp.error, ConnectionTimedOut)
    return bench.now - begin


@pytest.mark.rfc("5482", "3")
def test_by_default_nothing_is_said_and_nothing_heeded(iss: int, irs: int) -> None:
    bench = closed(iss, irs)
    bench.open()
    bench.arrives(SYN | ACK, 0, 1, options=Options(mss=MSS, user_timeout=1000))
    bench.send(b"text")
    assert said(bench) == [(0, None), (0, None), (4, None)]
    assert bench.tcp.status(bench.now).remote_user_timeout is None
    assert patience(bench) == pytest.approx(CONFIG.r2)


@pytest.mark.rfc("5482", "3")
@pytest.mark.parametrize(
    ("config", "seconds"),
    [
        (ON, 100),
        (replace(ON, user_timeout=7.5), 8),
        (option(advertise=600.0), 600),
        (option(advertise=float("inf")), 32767 * 60),
    ],
)
def test_it_is_said_in_the_syn_and_in_the_first_segment_without_one(
    iss: int, irs: int, config: Config, seconds: int
) -> None:
    bench = closed(iss, irs, config)
    bench.open()
    bench.arrives(SYN | ACK, 0, 1, options=Options(mss=MSS))
    bench.send(b"text")
    assert said(bench) == [(0, seconds), (0, seconds), (4, None)]


@pytest.mark.rfc("5482", "3")
def test_so_it_is_after_a_passive_open(iss: int, irs: int) -> None:
    bench = closed(iss, irs, ON)
    bench.open(passive=True)
    bench.arrives(SYN, 0, options=Options(mss=MSS))
    bench.arrives(ACK, 1, 1, wnd=WINDOW)
    bench.send(bytes(2 * MSS))
    assert said(bench) == [(0, 100), (MSS - 4, 100), (MSS, None)]


@pytest.mark.rfc("9293", "3.7.1", "MUST-16")
@pytest.mark.rfc("5482", "3")
def test_when_another_begins_the_next_segment_says_so(iss: int, irs: int) -> None:
    bench = established(iss, irs, ON)
    bench.tcp.configure(option(advertise=300.0), bench.now)
    bench.send(bytes(2 * MSS))
    assert said(bench) == [(MSS - 4, 300), (MSS, None)]
    bench.tcp.configure(option(advertise=300.0), bench.now)
    bench.arrives(ACK, 1, 1 + 2 * MSS - 4)
    assert said(bench) == [(4, None)]


@pytest.mark.rfc("5482", "3")
def test_it_gives_way_to_sack_blocks(iss: int, irs: int) -> None:
    bench = closed(iss, irs, ON)
    bench.open()
    bench.arrives(SYN | ACK, 0, 1, options=Options(mss=MSS, sack_permitted=True))
    bench.take()
    bench.tcp.configure(option(advertise=300.0), bench.now)
    bench.arrives(ACK, 11, 1, b"later")
    assert said(bench) == [(0, None)]
    bench.arrives(ACK, 1, 1, bytes(10))
    assert said(bench) == [(0, 300)]


@pytest.mark.rfc("5482", "3.1")
@pytest.mark.parametrize(
    ("settings", "remote", "seconds"),
    [
        ({}, 250, 250),  # the larger of both
        ({"advertise": 400.0}, 250, 400),
        ({"advertise": 1.0}, 2, 100),  # L_LIMIT
        ({"advertise": 1.0, "at_least": 10.0}, 2, 10),
        ({}, 1_000_000, 3600),  # U_LIMIT
        ({"at_most": 300.0}, 500, 300),
        ({"advertise": 400.0}, None, 100),  # the peer has said nothing
        ({"changeable": False}, 250, 100),
    ],
)
def test_how_long_the_connection_waits(
    iss: int, irs: int, settings: dict[str, Any], remote: int | None, seconds: float
) -> None:
    bench = shaken(iss, irs, option(**settings), remote)
    assert bench.tcp.status(bench.now).remote_user_timeout == remote
    assert patience(bench) == pytest.approx(seconds)


@pytest.mark.rfc("5482", "3.1")
@pytest.mark.parametrize(("changeable", "seconds"), [(None, 20), (True, 250)])
def test_what_the_user_has_set_the_peer_does_not_change_unless_it_may(
    iss: int, irs: int, changeable: bool | None, seconds: float
) -> None:
    config = replace(option(changeable=changeable), user_timeout=20.0)
    bench = shaken(iss, irs, config, 250)
    assert bench.tcp.status(bench.now).remote_user_timeout == 250
    assert patience(bench) == pytest.approx(seconds)


@pytest.mark.rfc("5482", "3.1")
def test_it_is_never_less_than_the_retransmission_timeout(iss: int, irs: int) -> None:
    bench = shaken(iss, irs, replace(option(advertise=1.0, at_least=1.0), rto_min=30.0), 2)
    assert patience(bench) == pytest.approx(60)


@pytest.mark.rfc("5482", "3.3")
def test_a_syn_waits_as_long_as_ever(iss: int, irs: int) -> None:
    bench = closed(iss, irs, ON)
    bench.open()
    bench.arrives(SYN, 0, options=Options(mss=MSS, user_timeout=1000))
    assert patience(bench) == pytest.approx(CONFIG.r2_syn)


@pytest.mark.rfc("5482", "3.1")
def test_one_that_comes_while_we_wait_counts_at_once_and_ours_is_said_again(iss: int, irs: int) -> None:
    bench = established(iss, irs, ON)
    begin = bench.now
    bench.send(b"text")
    bench.advance(50)
    bench.take()
    bench.arrives(ACK, 1, 1, b"more", options=Options(user_timeout=500))
    assert said(bench) == [(0, 100)]
    bench.advance(499)
    assert bench.state is State.ESTABLISHED
    bench.advance(1)
    assert (bench.state, bench.now - begin) == (State.CLOSED, 550)


@pytest.mark.rfc("5482", "6")
def test_a_segment_that_is_not_acceptable_says_nothing(iss: int, irs: int) -> None:
    bench = established(iss, irs, ON)
    bench.arrives(ACK, 9000, 1, options=Options(user_timeout=500))
    bench.arrives(ACK, 1, 100, options=Options(user_timeout=500))
    bench.arrives(RST, 2, options=Options(user_timeout=500))
    assert bench.tcp.status(bench.now).remote_user_timeout is None


@pytest.mark.parametrize("wrong", [{"at_least": 0.0}, {"at_least": 5.0, "at_most": 4.0}, {"advertise": 0.0}])
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="user timeout option"):
        option(**wrong)
