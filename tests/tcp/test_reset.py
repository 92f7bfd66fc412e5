"""When a RST goes out, and what one does that comes in (RFC 9293, 3.5.2, 3.5.3 and 3.10.5; RFC 5961, 3)."""

from __future__ import annotations

import pytest

from tests.tcp import builders
from tests.tcp.builders import FLOW, Bench, delivered, host
from tests.tcp.pairs import Build
from usertcp.errors import ConnectionAborted, ConnectionRefused, ConnectionReset
from usertcp.tcp.segment import ACK, FIN, PSH, RST, SYN, URG, Segment, flag_names
from usertcp.tcp.sequence import wrap
from usertcp.tcp.state import State

UNSYNCHRONIZED: list[Build] = [builders.syn_sent, builders.syn_received, builders.syn_received_active]
SYNCHRONIZED: list[Build] = [
    builders.established,
    builders.established_passive,
    builders.fin_wait_1,
    builders.fin_wait_2,
    builders.close_wait,
    builders.closing,
    builders.last_ack,
    builders.time_wait,
]
TOLD: list[Build] = [*SYNCHRONIZED[:5], builders.syn_received, builders.syn_received_active]
NOT_TOLD: list[Build] = [builders.listen, builders.syn_sent, builders.closing, builders.last_ack, builders.time_wait]


def variables(bench: Bench) -> tuple[int, int]:
    """SND.NXT and RCV.NXT, relative."""
    status = bench.tcp.status(bench.now)
    return wrap(status.snd_nxt - bench.iss), wrap(status.rcv_nxt - bench.irs)


def names(flags: int) -> str:
    return ",".join(flag_names(flags)) or "none"


# Group 1: CLOSED


@pytest.mark.rfc("9293", "3.5.2", "group 1")
@pytest.mark.rfc("9293", "3.10.7.1")
@pytest.mark.parametrize("flags", [f for f in range(64) if not f & RST], ids=names)
def test_with_no_connection_everything_but_a_reset_is_answered_by_one_that_fits(iss: int, irs: int, flags: int) -> None:
    seg = Segment(irs, iss if flags & ACK else 0, flags, 1000, data=b"text")
    (rst,) = delivered(host(), seg)
    if flags & ACK:
        assert (rst.flags, rst.seq) == (RST, iss)
    else:
        assert (rst.flags, rst.seq, rst.ack) == (RST | ACK, 0, wrap(irs + seg.len))


@pytest.mark.rfc("9293", "3.5.2", "group 1")
@pytest.mark.parametrize("flags", [f for f in range(64) if f & RST], ids=names)
def test_a_reset_is_never_answered_by_a_reset(iss: int, irs: int, flags: int) -> None:
    seg = Segment(irs, iss, flags, 1000)
    assert delivered(host(), seg) == []
    for build in (builders.listen, *UNSYNCHRONIZED, *SYNCHRONIZED):
        for seq in (0, 1, 2, 100, 5000):
            bench = build(iss, irs)
            bench.arrives(flags, seq, 1 if flags & ACK else None)
            assert not any(sent.flags & RST for sent in bench.take())


# Group 2: not synchronized


@pytest.mark.rfc("9293", "3.5.2", "group 2")
@pytest.mark.parametrize("flags", [ACK, FIN | ACK, PSH | ACK, URG | ACK], ids=names)
@pytest.mark.parametrize("build", UNSYNCHRONIZED)
@pytest.mark.parametrize("ack", [0, 2, 1000])
def test_an_ack_of_what_was_never_sent_is_answered_by_a_reset_and_changes_nothing(
    iss: int, irs: int, build: Build, flags: int, ack: int
) -> None:
    bench = build(iss, irs)
    before = bench.state
    bench.arrives(flags, 1, ack)
    assert (bench.state, bench.sent()) == (before, [f"<SEQ={ack}><CTL=RST>"])


@pytest.mark.rfc("9293", "3.10.7.2")
def test_any_ack_in_listen_is_answered_by_a_reset(iss: int, irs: int) -> None:
    for flags in (ACK, SYN | ACK, FIN | ACK):
        bench = builders.listen(iss, irs)
        bench.arrives(flags, 1, 500)
        assert (bench.state, bench.sent()) == (State.LISTEN, ["<SEQ=500><CTL=RST>"])


@pytest.mark.rfc("9293", "3.10.7.3")
@pytest.mark.parametrize(("flags", "ack"), [(RST, None), (RST | ACK, 0), (RST | ACK, 2)])
def test_in_syn_sent_only_a_reset_that_acknowledges_our_syn_counts(
    iss: int, irs: int, flags: int, ack: int | None
) -> None:
    bench = builders.syn_sent(iss, irs)
    bench.arrives(flags, 0, ack)
    assert (bench.state, bench.take()) == (State.SYN_SENT, [])
    bench.arrives(RST | ACK, 0, 1)
    assert bench.state is State.CLOSED
    assert isinstance(bench.tcp.error, ConnectionRefused)


# Group 3: synchronized


@pytest.mark.rfc("9293", "3.5.2", "group 3")
@pytest.mark.parametrize("build", SYNCHRONIZED)
@pytest.mark.parametrize("wrong", ["SEQ", "ACK"])
def test_what_is_unacceptable_is_answered_by_an_empty_ack(iss: int, irs: int, build: Build, wrong: str) -> None:
    bench = build(iss, irs)
    before, (nxt, rcv_nxt) = bench.state, variables(bench)
    if wrong == "SEQ":
        bench.arrives(ACK, rcv_nxt + 100_000, nxt, b"text")
    else:
        bench.arrives(ACK, rcv_nxt, nxt + 1, b"text")
    assert (bench.state, bench.sent()) == (before, [f"<SEQ={nxt}><ACK={rcv_nxt}><CTL=ACK>"])


# What comes in


@pytest.mark.rfc("5961", "3.2")
@pytest.mark.rfc("9293", "3.10.7.4", "second")
@pytest.mark.parametrize("build", SYNCHRONIZED[:-1])
@pytest.mark.parametrize("flags", [RST, RST | ACK, RST | SYN, RST | FIN, RST | SYN | FIN | ACK], ids=names)
def test_a_reset_counts_at_rcv_nxt_and_nowhere_else(iss: int, irs: int, build: Build, flags: int) -> None:
    nxt, rcv_nxt = variables(build(iss, irs))
    for seq, state in ((rcv_nxt - 1, None), (rcv_nxt + 1, None), (rcv_nxt + 1999, None), (rcv_nxt, State.CLOSED)):
        bench = build(iss, irs)
        before = bench.state
        bench.arrives(flags, seq, nxt if flags & ACK else None)
        assert bench.state is (state or before)
        assert all(sent.flags == ACK for sent in bench.take())


@pytest.mark.rfc("5961", "3.2")
def test_a_reset_in_the_window_is_challenged_so_that_an_honest_peer_can_repeat_it_at_rcv_nxt(
    iss: int, irs: int
) -> None:
    bench = builders.established(iss, irs)
    bench.arrives(RST, 100)
    (challenge,) = bench.take()
    bench.arrives(RST, wrap(challenge.ack - irs))
    assert isinstance(bench.tcp.error, ConnectionReset)


@pytest.mark.rfc("9293", "3.5.3", "SHLD-2")
def test_a_reset_may_carry_text(iss: int, irs: int) -> None:
    bench = builders.established(iss, irs)
    bench.arrives(RST, 1, data=b"why")
    assert (bench.state, bench.take()) == (State.CLOSED, [])
    with pytest.raises(ConnectionReset):
        bench.receive()


@pytest.mark.rfc("9293", "3.10.7.4", "second")
def test_what_arrived_in_order_before_a_reset_can_be_read(iss: int, irs: int) -> None:
    bench = builders.established(iss, irs)
    bench.arrives(ACK, 1, 1, b"text")
    bench.arrives(RST, 5)
    assert bench.receive() == b"text"
    with pytest.raises(ConnectionReset):
        bench.receive()
    with pytest.raises(ConnectionReset):
        bench.send(b"text")


# ABORT


@pytest.mark.rfc("9293", "3.10.5")
@pytest.mark.parametrize("build", TOLD)
def test_abort_sends_a_reset_at_snd_nxt_where_the_peer_waits_for_something(iss: int, irs: int, build: Build) -> None:
    bench = build(iss, irs)
    nxt, _ = variables(bench)
    bench.abort()
    assert (bench.state, bench.sent()) == (State.CLOSED, [f"<SEQ={nxt}><CTL=RST>"])
    assert isinstance(bench.tcp.error, ConnectionAborted)
    bench.abort()
    bench.advance(1000.0)
    assert (bench.take(), bench.tcp.deadline) == ([], float("inf"))


@pytest.mark.rfc("9293", "3.10.5")
@pytest.mark.parametrize("build", NOT_TOLD)
def test_abort_sends_nothing_elsewhere(iss: int, irs: int, build: Build) -> None:
    bench = build(iss, irs)
    bench.abort()
    assert (bench.state, bench.sent()) == (State.CLOSED, [])


@pytest.mark.rfc("9293", "3.10.5")
def test_abort_drops_what_was_queued(iss: int, irs: int) -> None:
    bench = builders.established(iss, irs)
    bench.arrives(ACK, 1, 1, wnd=0)
    bench.send(b"never sent")
    bench.abort()
    assert bench.sent() == ["<SEQ=1><CTL=RST>"]


# Half-open connections


@pytest.mark.rfc("9293", "3.5.1", "Figure 9")
def test_a_peer_that_has_forgotten_the_connection_resets_it_when_it_hears_of_it() -> None:
    here, there = host(), host(secret=bytes(32))
    listener = there.listen("", 80)
    conn = here.open(FLOW, 0.0)
    exchange = [(FLOW, seg) for _, seg in here.output(0.0)]
    for _ in range(3):
        for _, seg in exchange:
            there.segment_arrives(FLOW.reversed, seg, 0.0)
        for _, seg in there.output(0.0):
            here.segment_arrives(FLOW, seg, 0.0)
        exchange = here.output(0.0)
    assert conn.state is State.ESTABLISHED
    assert listener.accept() is not None
    rebooted = host(secret=bytes(31))
    conn.send(b"are you there?", 1.0)
    here.touch(conn)
    (text,) = [seg for _, seg in here.output(1.0)]
    (rst,) = delivered(rebooted, text, FLOW.reversed, 1.0)
    assert rst.flags == RST
    assert delivered(here, rst, now=1.0) == []
    assert isinstance(conn.error, ConnectionReset)
