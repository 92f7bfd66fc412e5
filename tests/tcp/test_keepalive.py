"""Keep-alives, and other settings that a connection takes while it lives (RFC 9293, 3.8.4)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.tcp.builders import (
    CONFIG,
    Bench,
    close_wait,
    established,
    established_passive,
    fin_wait_1,
    fin_wait_2,
    syn_received,
    syn_sent,
    time_wait,
)
from usertcp.errors import ConnectionTimedOut
from usertcp.tcp.config import Config
from usertcp.tcp.keepalive import KeepAlive
from usertcp.tcp.segment import ACK, FIN, RST
from usertcp.tcp.state import State

HOURS = 3600.0
KEEP = replace(CONFIG, keepalive=KeepAlive(idle=100.0, interval=10.0, count=3))
PROBE = "<SEQ=0><ACK=1><CTL=ACK>"
"""SND.NXT - 1, to a peer that has sent nothing, from one who has sent nothing."""


def times(bench: Bench, seconds: float) -> list[float]:
    """When something is sent in the time to come, from now."""
    begin, sent = bench.now, []
    while bench.tcp.deadline <= begin + seconds:
        bench.advance(bench.tcp.deadline - bench.now)
        sent += [bench.now - begin] * len(bench.take())
    return sent


@pytest.mark.rfc("9293", "3.8.4", "MUST-25")
def test_by_default_there_are_none(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    assert Config().keepalive is None
    assert times(bench, 1000 * HOURS) == []
    assert bench.state is State.ESTABLISHED


@pytest.mark.rfc("9293", "3.8.4", "MUST-28")
def test_the_first_comes_after_two_hours_unless_the_user_says_otherwise(iss: int, irs: int) -> None:
    bench = established(iss, irs, replace(CONFIG, keepalive=KeepAlive()))
    assert times(bench, 2 * HOURS + 1) == [2 * HOURS]


@pytest.mark.rfc("9293", "3.8.4", "MUST-27")
@pytest.mark.parametrize("make", [established, established_passive, fin_wait_2])
def test_the_interval_is_configurable(iss: int, irs: int, make: Callable[..., Bench]) -> None:
    bench = make(iss, irs, KEEP)
    assert times(bench, 101) == [100]


@pytest.mark.rfc("9293", "3.8.4", "MAY-5")
@pytest.mark.rfc("9293", "3.8.4", "SHLD-12")
def test_it_is_an_empty_segment_left_of_the_window(iss: int, irs: int) -> None:
    bench = established(iss, irs, KEEP)
    bench.advance(100)
    assert bench.sent() == [PROBE]


@pytest.mark.rfc("9293", "3.8.4", "MAY-6")
def test_on_request_it_has_an_octet_of_garbage(iss: int, irs: int) -> None:
    bench = established(iss, irs, replace(CONFIG, keepalive=KeepAlive(idle=100.0, garbage=True)))
    bench.send(b"text")
    bench.arrives(ACK, 1, 5)
    bench.take()
    bench.advance(100)
    assert bench.sent() == ["<SEQ=4><ACK=1><CTL=ACK>\0"]
    bench.send(b"more")
    assert bench.sent() == ["<SEQ=5><ACK=1><CTL=ACK>more"]


@pytest.mark.rfc("9293", "3.8.4")
@pytest.mark.parametrize("garbage", [False, True])
def test_a_peer_of_our_own_kind_answers_it_and_takes_no_text(iss: int, irs: int, garbage: bool) -> None:
    bench = established(iss, irs, replace(CONFIG, keepalive=KeepAlive(idle=100.0, garbage=garbage)))
    peer = established_passive(irs, iss)
    bench.advance(100)
    peer.deliver(*bench.take())
    answers = peer.take()
    assert [(seg.flags, len(seg.data)) for seg in answers] == [(ACK, 0)]
    assert not peer.tcp.readable
    bench.deliver(*answers)
    assert bench.take() == []
    assert times(bench, 101) == [100]


@pytest.mark.rfc("9293", "3.8.4", "MUST-26")
@pytest.mark.parametrize("data", [b"", b"text"])
def test_whatever_the_peer_sends_puts_it_off(iss: int, irs: int, data: bytes) -> None:
    bench = established(iss, irs, KEEP)
    bench.advance(99)
    bench.arrives(ACK, 1, 1, data)
    bench.take()
    assert times(bench, 101) == [100]


@pytest.mark.rfc("9293", "3.8.4", "MUST-26")
def test_none_is_sent_while_data_is_outstanding(iss: int, irs: int) -> None:
    bench = established(iss, irs, replace(KEEP, r2=400.0))
    bench.send(b"text")
    bench.take()
    while bench.state is State.ESTABLISHED:
        bench.advance(bench.tcp.deadline - bench.now)
        for seg in bench.take():
            assert seg.data == b"text" or seg.flags & RST
    assert "no answer after" in str(bench.tcp.error)


@pytest.mark.rfc("9293", "3.8.4", "MUST-26")
def test_none_is_sent_while_the_window_is_closed(iss: int, irs: int) -> None:
    bench = established(iss, irs, KEEP)
    bench.arrives(ACK, 1, 1, wnd=0)
    bench.send(b"text")
    for _ in range(50):
        bench.advance(bench.tcp.deadline - bench.now)
        for seg in bench.take():
            assert seg.data == b"t"
            bench.arrives(ACK, 1, 1, wnd=0)
    assert bench.now > 1500
    assert bench.state is State.ESTABLISHED


@pytest.mark.rfc("9293", "3.8.4", "MUST-26")
def test_when_all_is_acknowledged_silence_counts_from_there(iss: int, irs: int) -> None:
    bench = established(iss, irs, KEEP)
    bench.advance(99.5)
    bench.send(b"text")
    bench.advance(0.5)
    bench.arrives(ACK, 1, 5)
    bench.take()
    assert times(bench, 101) == [100]


@pytest.mark.rfc("9293", "3.8.4", "MUST-29")
def test_a_probe_that_is_not_answered_is_followed_by_others(iss: int, irs: int) -> None:
    bench = established(iss, irs, KEEP)
    assert times(bench, 120) == [100, 110, 120]
    assert bench.state is State.ESTABLISHED
    bench.arrives(ACK, 1, 1)
    assert times(bench, 120) == [100, 110, 120]


@pytest.mark.rfc("9293", "3.8.4", "MUST-29")
def test_one_alone_cannot_end_a_connection() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        KeepAlive(count=1)


@pytest.mark.rfc("9293", "3.8.4")
@pytest.mark.parametrize("make", [established, close_wait, fin_wait_2])
def test_after_the_last_the_connection_is_given_up_and_the_peer_told(
    iss: int, irs: int, make: Callable[..., Bench]
) -> None:
    bench = make(iss, irs, KEEP)
    bench.advance(129)
    assert len(bench.take()) == 3
    bench.advance(1)
    assert [seg.flags for seg in bench.take()] == [RST]
    assert bench.state is State.CLOSED
    assert isinstance(bench.tcp.error, ConnectionTimedOut)
    assert "keep-alives" in str(bench.tcp.error)


@pytest.mark.rfc("9293", "3.8.4")
def test_a_peer_that_has_forgotten_the_connection_ends_it(iss: int, irs: int) -> None:
    bench = established(iss, irs, KEEP)
    bench.advance(100)
    bench.take()
    bench.arrives(RST, 1)
    assert bench.state is State.CLOSED
    assert times(bench, 1000) == []


@pytest.mark.rfc("9293", "3.8.4")
@pytest.mark.parametrize("make", [syn_sent, syn_received, fin_wait_1, time_wait])
def test_none_is_sent_where_another_timer_runs(iss: int, irs: int, make: Callable[..., Bench]) -> None:
    bench = make(iss, irs, KEEP)
    while bench.tcp.deadline < float("inf"):
        bench.advance(bench.tcp.deadline - bench.now)
    assert bench.tcp.status(bench.now).counters.get("keep-alives out", 0) == 0


@pytest.mark.rfc("9293", "3.8.4", "MUST-24")
def test_they_can_be_switched_on_and_off_at_any_time(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    bench.advance(1000)
    bench.tcp.configure(KEEP, bench.now)
    assert times(bench, 105) == [100]
    bench.tcp.configure(CONFIG, bench.now)
    assert times(bench, 1000 * HOURS) == []
    assert bench.state is State.ESTABLISHED


@pytest.mark.rfc("9293", "3.8.4", "MUST-24")
def test_switched_on_before_the_connection_is_there_they_begin_with_it(iss: int, irs: int) -> None:
    bench = syn_sent(iss, irs)
    bench.tcp.configure(KEEP, bench.now)
    bench.arrives(FIN | ACK | 2, 0, 1)
    bench.take()
    assert bench.state is State.CLOSE_WAIT
    assert times(bench, 101) == [100]


@pytest.mark.rfc("9293", "3.8.3", "MUST-21")
def test_the_user_timeout_may_be_changed_while_it_runs(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    bench.send(b"text")
    bench.advance(50)
    bench.tcp.configure(replace(CONFIG, user_timeout=500.0), bench.now)
    bench.advance(499)
    assert bench.state is State.ESTABLISHED
    bench.advance(1)
    assert isinstance(bench.tcp.error, ConnectionTimedOut)


def test_a_larger_send_buffer_takes_more(iss: int, irs: int) -> None:
    bench = established(iss, irs, replace(CONFIG, send_buffer=100))
    assert bench.send(bytes(300)) == 100
    bench.tcp.configure(replace(CONFIG, send_buffer=300), bench.now)
    assert bench.send(bytes(300)) == 200
