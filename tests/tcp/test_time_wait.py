"""TIME-WAIT: both have closed, we first; what is left of the connection dies out (RFC 9293, 3.10 and 3.6.1)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.tcp.builders import CONFIG, FLOW, MSS, Bench, delivered, fin_wait_2, host, time_wait
from usertcp.errors import ConnectionAlreadyExists, ConnectionClosing
from usertcp.tcp.config import Config
from usertcp.tcp.endpoint import Endpoint
from usertcp.tcp.options import NO_OPTIONS, Options
from usertcp.tcp.segment import ACK, FIN, PSH, RST, SYN, URG, Segment
from usertcp.tcp.state import State

UNCHANGED = "<SEQ=2><ACK=2><CTL=ACK>"
TWO_MSL = 2 * CONFIG.msl


@pytest.fixture
def bench(iss: int, irs: int) -> Bench:
    return time_wait(iss, irs)


# Calls


@pytest.mark.rfc("9293", "3.10.1")
def test_open_says_that_the_connection_already_exists(bench: Bench) -> None:
    with pytest.raises(ConnectionAlreadyExists):
        bench.open()


@pytest.mark.rfc("9293", "3.10.2")
def test_send_says_that_the_connection_is_closing(bench: Bench) -> None:
    with pytest.raises(ConnectionClosing):
        bench.send(b"text")


@pytest.mark.rfc("9293", "3.10.3")
def test_text_that_nobody_has_read_yet_outlives_the_connection(iss: int, irs: int) -> None:
    bench = fin_wait_2(iss, irs)
    bench.arrives(FIN | ACK, 1, 2, b"text")
    assert bench.receive(2) == b"te"
    bench.advance(TWO_MSL)
    assert bench.state is State.CLOSED
    assert (bench.receive(), bench.tcp.at_eof, bench.receive()) == (b"xt", True, b"")


@pytest.mark.rfc("9293", "3.10.4")
def test_close_again_changes_nothing(bench: Bench) -> None:
    bench.close()
    assert (bench.state, bench.sent()) == (State.TIME_WAIT, [])


@pytest.mark.rfc("9293", "3.10.5")
def test_abort_deletes_the_tcb_and_sends_nothing(bench: Bench) -> None:
    bench.abort()
    assert (bench.state, bench.sent()) == (State.CLOSED, [])


@pytest.mark.rfc("9293", "3.10.6")
def test_status_says_time_wait(bench: Bench) -> None:
    assert bench.tcp.status(bench.now).state is State.TIME_WAIT


# First, sequence number


@pytest.mark.rfc("9293", "3.10.7.4", "first")
@pytest.mark.parametrize(("seq", "data"), [(-100, b"old"), (0, b""), (1, b"x"), (4001, b""), (9999, b"far")])
def test_an_old_duplicate_is_acknowledged_and_does_not_lengthen_the_wait(bench: Bench, seq: int, data: bytes) -> None:
    bench.advance(10)
    bench.arrives(ACK, seq, 2, data)
    assert (bench.state, bench.sent(), bench.receive()) == (State.TIME_WAIT, [UNCHANGED], b"")
    bench.advance(TWO_MSL - 10)
    assert bench.state is State.CLOSED


@pytest.mark.rfc("9293", "3.10.7.4", "fifth")
@pytest.mark.rfc("9293", "3.10.7.4", "eighth")
def test_the_fin_again_is_acknowledged_and_the_wait_begins_anew(bench: Bench) -> None:
    bench.advance(TWO_MSL - 1)
    bench.arrives(FIN | ACK, 1, 2)
    assert bench.sent() == [UNCHANGED]
    bench.advance(TWO_MSL - 0.1)
    assert bench.state is State.TIME_WAIT
    bench.advance(0.1)
    assert (bench.state, bench.sent()) == (State.CLOSED, [])


@pytest.mark.rfc("9293", "3.10.7.4", "eighth")
def test_the_fin_again_with_the_text_before_it_does_the_same(iss: int, irs: int) -> None:
    bench = fin_wait_2(iss, irs)
    bench.arrives(FIN | ACK, 1, 2, b"text")
    bench.take()
    bench.advance(TWO_MSL - 1)
    bench.arrives(FIN | ACK, 1, 2, b"text")
    assert bench.sent() == ["<SEQ=2><ACK=6><CTL=ACK>"]
    bench.advance(TWO_MSL - 0.1)
    assert (bench.state, bench.receive()) == (State.TIME_WAIT, b"text")


# Second, RST


@pytest.mark.rfc("1337", "3")
@pytest.mark.parametrize("seq", [-100, 1, 2, 4001])
@pytest.mark.parametrize("flags", [RST, RST | ACK, RST | SYN, RST | FIN])
def test_a_reset_does_not_end_the_wait(bench: Bench, seq: int, flags: int) -> None:
    bench.arrives(flags, seq, 2 if flags & ACK else None)
    assert (bench.state, bench.sent()) == (State.TIME_WAIT, [])


@pytest.mark.rfc("9293", "3.10.7.4", "second")
def test_without_that_protection_a_reset_at_rcv_nxt_ends_it(iss: int, irs: int) -> None:
    bench = time_wait(iss, irs, replace(CONFIG, time_wait_ignores_rst=False))
    bench.arrives(RST, 2)
    assert (bench.state, bench.sent(), bench.tcp.error) == (State.CLOSED, [], None)
    bench.advance(1000)
    assert bench.sent() == []


@pytest.mark.rfc("5961", "3.2")
@pytest.mark.parametrize("seq", [3, 4000])
def test_a_reset_elsewhere_in_the_window_is_challenged(bench: Bench, seq: int) -> None:
    bench.arrives(RST, seq)
    assert (bench.state, bench.sent()) == (State.TIME_WAIT, [UNCHANGED])


# Fourth, SYN: while the connection is in TIME-WAIT, its pair of sockets is in use


@pytest.mark.rfc("5961", "4.2")
@pytest.mark.parametrize("seq", [-100, 0, 1, 2, 4000, 4001])
def test_a_syn_is_challenged(bench: Bench, seq: int) -> None:
    bench.arrives(SYN, seq)
    assert (bench.state, bench.sent()) == (State.TIME_WAIT, [UNCHANGED])


def server_in_time_wait(stamps: bool, listening: bool = True) -> tuple[Endpoint, int]:
    """An endpoint whose connection with the peer, ISS 100 and IRS 7000, is in TIME-WAIT; and our ISS."""
    endpoint = host(config=Config(timestamps=stamps, delayed_ack=0.0))
    options = Options(mss=MSS, timestamps=(500, 0) if stamps else None)
    listener = endpoint.listen("", FLOW.local_port)
    [syn_ack] = delivered(endpoint, Segment(7000, 0, SYN, 5000, options))
    ack = (syn_ack.seq + 1) % 2**32
    delivered(endpoint, Segment(7001, ack, ACK, 5000, stamp(stamps, 500)))
    conn = listener.accept()
    assert conn is not None
    conn.close(0.0)
    endpoint.touch(conn)
    endpoint.output(0.0)
    delivered(endpoint, Segment(7001, (ack + 1) % 2**32, FIN | ACK, 5000, stamp(stamps, 500)))
    assert conn.state is State.TIME_WAIT
    if not listening:
        listener.close(0.0)
    return endpoint, syn_ack.seq


def stamp(stamps: bool, value: int) -> Options:
    return Options(timestamps=(value, 0)) if stamps else NO_OPTIONS


@pytest.mark.rfc("6191", "2")
@pytest.mark.rfc("9293", "3.6.1", "MAY-2")
@pytest.mark.rfc("9293", "3.6.1", "SHLD-4")
@pytest.mark.parametrize(
    ("stamps", "seq", "value", "accepted"),
    [
        pytest.param(True, 50, 501, True, id="later timestamp, any SEQ"),
        pytest.param(True, 50, 500, False, id="same timestamp, old SEQ"),
        pytest.param(True, 9000, 500, True, id="same timestamp, SEQ beyond the old one's"),
        pytest.param(True, 9000, 499, False, id="earlier timestamp"),
        pytest.param(True, 9000, None, True, id="no timestamp any more, SEQ beyond"),
        pytest.param(True, 50, None, False, id="no timestamp any more, old SEQ"),
        pytest.param(False, 50, 1, False, id="timestamps off here, old SEQ"),
        pytest.param(False, 9000, None, True, id="no timestamps, SEQ beyond"),
        pytest.param(False, 7001, None, False, id="no timestamps, SEQ of the old FIN"),
    ],
)
def test_a_new_incarnation_may_begin_if_its_syn_cannot_be_an_old_one(
    stamps: bool, seq: int, value: int | None, accepted: bool
) -> None:
    endpoint, old_iss = server_in_time_wait(stamps)
    options = Options(mss=MSS, timestamps=None if value is None else (value, 0))
    [answer] = delivered(endpoint, Segment(seq, 0, SYN, 5000, options), now=1.0)
    if accepted:
        assert (answer.flags, answer.ack) == (SYN | ACK, seq + 1)
        assert 1 < (answer.seq - old_iss) % 2**32 < 2**31
        assert endpoint.connections[FLOW].state is State.SYN_RECEIVED
    else:
        assert (answer.flags, answer.ack) == (ACK, 7002)
        assert endpoint.connections[FLOW].state is State.TIME_WAIT


@pytest.mark.rfc("6191", "2")
def test_no_new_incarnation_where_nobody_listens() -> None:
    endpoint, _ = server_in_time_wait(stamps=True, listening=False)
    [answer] = delivered(endpoint, Segment(9000, 0, SYN, 5000, Options(timestamps=(501, 0))), now=1.0)
    assert answer.flags == ACK
    assert endpoint.connections[FLOW].state is State.TIME_WAIT


@pytest.mark.rfc("9293", "3.6.1", "MUST-13")
@pytest.mark.rfc("9293", "3.10.1")
def test_the_pair_of_sockets_is_in_use_for_2_msl() -> None:
    endpoint, _ = server_in_time_wait(stamps=False, listening=False)
    with pytest.raises(ConnectionAlreadyExists):
        endpoint.open(FLOW, now=1.0)
    endpoint.timeouts(TWO_MSL - 0.1)
    endpoint.output(TWO_MSL - 0.1)
    with pytest.raises(ConnectionAlreadyExists):
        endpoint.open(FLOW, now=TWO_MSL - 0.1)
    endpoint.timeouts(TWO_MSL)
    endpoint.output(TWO_MSL)
    assert endpoint.connections == {}
    assert endpoint.open(FLOW, now=TWO_MSL).state is State.SYN_SENT


# Fifth to eighth


@pytest.mark.rfc("9293", "3.10.7.4", "fifth")
@pytest.mark.parametrize("flags", [0, PSH, FIN])
def test_a_segment_without_ack_is_dropped(bench: Bench, flags: int) -> None:
    bench.arrives(flags, 2, None, b"text")
    assert (bench.state, bench.sent()) == (State.TIME_WAIT, [])


@pytest.mark.rfc("9293", "3.10.7.4", "seventh")
@pytest.mark.parametrize("flags", [ACK, PSH | ACK, URG | ACK, FIN | ACK])
def test_what_a_peer_sends_after_its_fin_is_ignored(bench: Bench, flags: int) -> None:
    bench.advance(10)
    bench.arrives(flags, 2, 2, b"text", up=4)
    assert (bench.state, bench.receive(), bench.tcp.at_eof) == (State.TIME_WAIT, b"", True)
    assert bench.tcp.status(bench.now).rcv_nxt == (bench.irs + 2) % 2**32


@pytest.mark.rfc("9293", "3.10.7.4", "fifth")
def test_ack_of_what_was_never_sent_is_answered_by_an_ack(bench: Bench) -> None:
    bench.arrives(ACK, 2, 3)
    assert (bench.state, bench.sent()) == (State.TIME_WAIT, [UNCHANGED])


# Timeouts


@pytest.mark.rfc("9293", "3.10.8")
@pytest.mark.rfc("9293", "3.6.1", "MUST-13")
@pytest.mark.parametrize("msl", [0.5, 30.0, 120.0])
def test_after_2_msl_the_connection_is_closed(iss: int, irs: int, msl: float) -> None:
    bench = time_wait(iss, irs, replace(CONFIG, msl=msl))
    bench.advance(2 * msl - 0.01)
    assert bench.state is State.TIME_WAIT
    bench.advance(0.01)
    assert (bench.state, bench.sent(), bench.tcp.error) == (State.CLOSED, [], None)


@pytest.mark.rfc("9293", "3.10.7.4", "eighth")
def test_no_other_timer_runs(bench: Bench) -> None:
    assert set(bench.tcp.status(bench.now).timers) == {"time_wait"}
