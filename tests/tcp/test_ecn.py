"""Explicit congestion notification (RFC 3168)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.tcp.builders import CONFIG, MSS, Bench, closed, listen
from tests.tcp.pairs import connected
from usertcp.tcp.config import Config
from usertcp.tcp.keepalive import KeepAlive
from usertcp.tcp.options import Options
from usertcp.tcp.segment import ACK, CE, CWR, ECE, ECN_BITS, ECT0, ECT1, FIN, NOT_ECT, PSH, SYN, Segment
from usertcp.tcp.sequence import wrap
from usertcp.tcp.state import State

OFF, PASSIVE, ON = (replace(CONFIG, ecn=mode) for mode in ("off", "passive", "on"))
BITS = ECE | CWR
PEER = Options(mss=MSS)
WINDOW = 60_000


def codepoints(segments: list[Segment]) -> list[int]:
    return [seg.traffic_class & ECN_BITS for seg in segments]


def opened(iss: int, irs: int, config: Config = ON, bits: int = ECE) -> Bench:
    """ESTABLISHED after an active OPEN; the peer's SYN,ACK had these bits."""
    bench = closed(iss, irs, config)
    bench.open()
    bench.arrives(SYN | ACK | bits, 0, 1, options=PEER, wnd=WINDOW)
    bench.take()
    return bench


def called(iss: int, irs: int, config: Config = PASSIVE, bits: int = BITS) -> Bench:
    """ESTABLISHED after a passive OPEN; the peer's SYN had these bits."""
    bench = listen(iss, irs, config)
    bench.arrives(SYN | bits, 0, options=PEER, wnd=WINDOW)
    bench.arrives(ACK, 1, 1, wnd=WINDOW)
    assert bench.state is State.ESTABLISHED
    bench.take()
    return bench


def text_arrives(bench: Bench, seq: int, data: bytes = b"x" * 100, *, codepoint: int = ECT0, flags: int = ACK) -> None:
    """Text from the peer, with a codepoint in its IP header."""
    bench.deliver(
        Segment(wrap(bench.irs + seq), wrap(bench.iss + 1), flags, WINDOW, data=data, traffic_class=0x40 | codepoint)
    )


def sending(iss: int, irs: int, config: Config = ON) -> Bench:
    """Ten segments of a thousand octets are in flight, and there is more to send."""
    bench = opened(iss, irs, config)
    bench.send(b"x" * 40_000)
    assert len(bench.take()) == 10
    return bench


# Negotiation


@pytest.mark.rfc("3168", "6.1.1")
def test_only_who_is_to_ask_asks(iss: int, irs: int) -> None:
    for config, bits in ((OFF, 0), (PASSIVE, 0), (ON, BITS), (Config(), 0)):
        bench = closed(iss, irs, config)
        bench.open()
        (syn,) = bench.take()
        assert (syn.flags, syn.traffic_class) == (SYN | bits, 0)


@pytest.mark.rfc("3168", "6.1.1")
@pytest.mark.parametrize(
    ("mode", "asked", "answered"),
    [("off", BITS, 0), ("passive", BITS, ECE), ("on", BITS, ECE), ("on", 0, 0), ("on", ECE, 0), ("on", CWR, 0)],
)
def test_a_syn_with_both_bits_is_answered_by_ece(iss: int, irs: int, mode: str, asked: int, answered: int) -> None:
    bench = listen(iss, irs, {"off": OFF, "passive": PASSIVE, "on": ON}[mode])
    bench.arrives(SYN | asked, 0, options=PEER)
    (answer,) = bench.take()
    assert (answer.flags, answer.traffic_class) == (SYN | ACK | answered, 0)
    assert bench.tcp.status(bench.now).ecn is bool(answered)


@pytest.mark.rfc("3168", "6.1.1")
@pytest.mark.rfc("3168", "6.1.1.2")
@pytest.mark.parametrize(("bits", "agreed"), [(ECE, True), (0, False), (CWR, False), (BITS, False)])
def test_only_ece_alone_in_the_syn_ack_agrees(iss: int, irs: int, bits: int, agreed: bool) -> None:
    bench = opened(iss, irs, bits=bits)
    bench.send(b"text")
    assert codepoints(bench.take()) == [ECT0 if agreed else NOT_ECT]
    assert bench.tcp.status(bench.now).ecn is agreed


@pytest.mark.rfc("3168", "6.1.1")
def test_who_has_not_asked_takes_no_answer(iss: int, irs: int) -> None:
    bench = opened(iss, irs, PASSIVE)
    bench.send(b"text")
    assert codepoints(bench.take()) == [NOT_ECT]


@pytest.mark.rfc("3168", "6.1.1.1")
def test_a_syn_that_goes_out_again_asks_no_more(iss: int, irs: int) -> None:
    bench = closed(iss, irs, ON)
    bench.open()
    bench.advance(1.5)
    bench.advance(2.5)
    assert [seg.flags for seg in bench.take()] == [SYN | BITS, SYN, SYN]


@pytest.mark.rfc("3168", "6.1.1")
def test_after_that_nothing_is_ect_but_marks_are_heeded(iss: int, irs: int) -> None:
    """The first SYN had arrived, and its answer was late."""
    bench = closed(iss, irs, ON)
    bench.open()
    bench.advance(1.5)
    bench.arrives(SYN | ACK | ECE, 0, 1, options=PEER, wnd=WINDOW)
    bench.take()
    bench.send(b"text")
    assert codepoints(bench.take()) == [NOT_ECT]
    text_arrives(bench, 1, codepoint=CE)
    assert [seg.flags for seg in bench.take()] == [ACK | ECE]


@pytest.mark.rfc("3168", "6.1.1.1")
def test_the_same_syn_without_the_bits_takes_the_answer_back(iss: int, irs: int) -> None:
    bench = listen(iss, irs, PASSIVE)
    bench.arrives(SYN | BITS, 0, options=PEER)
    bench.arrives(SYN, 0, options=PEER)
    assert [seg.flags for seg in bench.take()] == [SYN | ACK | ECE, SYN | ACK]
    bench.arrives(ACK, 1, 1)
    bench.send(b"text")
    assert codepoints(bench.take()) == [NOT_ECT]


@pytest.mark.rfc("3168", "6.1.1")
@pytest.mark.parametrize(("theirs", "last", "agreed"), [(BITS, ECE, True), (BITS, 0, False), (0, ECE, False)])
def test_in_a_simultaneous_open_both_have_to_ask(iss: int, irs: int, theirs: int, last: int, agreed: bool) -> None:
    bench = closed(iss, irs, ON)
    bench.open()
    bench.arrives(SYN | theirs, 0, options=PEER)
    assert [seg.flags for seg in bench.take()] == [SYN | BITS, SYN | ACK | (ECE if theirs else 0)]
    bench.arrives(SYN | ACK | last, 0, 1, options=PEER)
    assert bench.state is State.ESTABLISHED
    bench.take()
    bench.send(b"text")
    assert codepoints(bench.take()) == [ECT0 if agreed else NOT_ECT]


# What is marked


@pytest.mark.rfc("9293", "3.8.2", "SHLD-8")
@pytest.mark.rfc("3168", "6.1.2")
def test_new_text_is_ect_on_both_sides(iss: int, irs: int) -> None:
    for bench in (opened(iss, irs), called(iss, irs)):
        bench.send(b"text")
        bench.close()
        assert codepoints(bench.take()) == [ECT0, NOT_ECT]  # the FIN has no text


@pytest.mark.rfc("3168", "6.1.2")
def test_the_codepoint_stands_beside_the_dscp(iss: int, irs: int) -> None:
    bench = opened(iss, irs, replace(ON, dscp=46))
    bench.send(b"text")
    assert [seg.traffic_class for seg in bench.take()] == [46 << 2 | ECT0]


@pytest.mark.rfc("3168", "6.1.4")
def test_acknowledgments_are_not(iss: int, irs: int) -> None:
    bench = opened(iss, irs)
    text_arrives(bench, 1)
    assert codepoints(bench.take()) == [NOT_ECT]


@pytest.mark.rfc("3168", "6.1.5")
def test_what_is_sent_again_is_not(iss: int, irs: int) -> None:
    bench = opened(iss, irs)
    bench.send(b"text")
    bench.advance(1.5)
    assert codepoints(bench.take()) == [ECT0, NOT_ECT]


@pytest.mark.rfc("3168", "6.1.6")
def test_probes_of_a_closed_window_are_not(iss: int, irs: int) -> None:
    bench = opened(iss, irs)
    bench.arrives(ACK, 1, 1, wnd=0)
    bench.send(b"text")
    bench.advance(2)
    (probe,) = bench.take()
    assert (probe.data, probe.traffic_class) == (b"t", 0)


def test_keep_alives_are_not(iss: int, irs: int) -> None:
    bench = opened(iss, irs, replace(ON, keepalive=KeepAlive(idle=10.0, garbage=True)))
    bench.advance(10)
    assert codepoints(bench.take()) == [NOT_ECT]


def test_nothing_is_without_negotiation(iss: int, irs: int) -> None:
    bench = called(iss, irs, OFF)
    bench.send(b"text")
    text_arrives(bench, 1, codepoint=CE)
    assert [(seg.flags & ~PSH, seg.traffic_class) for seg in bench.take()] == [(ACK, 0), (ACK, 0)]


# The receiver


@pytest.mark.rfc("3168", "6.1.3")
@pytest.mark.rfc("9293", "3.8.2", "SHLD-8")
def test_ce_is_echoed_until_cwr(iss: int, irs: int) -> None:
    bench = called(iss, irs)
    text_arrives(bench, 1)
    text_arrives(bench, 101, codepoint=CE)
    text_arrives(bench, 201)
    bench.send(b"reply")
    text_arrives(bench, 301, flags=ACK | CWR)
    assert [seg.flags & ~PSH for seg in bench.take()] == [ACK, ACK | ECE, ACK | ECE, ACK | ECE, ACK]
    assert bench.tcp.status(bench.now).counters["CE in"] == 1


@pytest.mark.rfc("3168", "6.1.3")
def test_cwr_and_ce_in_one_segment_are_new_congestion(iss: int, irs: int) -> None:
    bench = called(iss, irs)
    text_arrives(bench, 1, codepoint=CE)
    text_arrives(bench, 101, codepoint=CE, flags=ACK | CWR)
    assert [seg.flags for seg in bench.take()] == [ACK | ECE, ACK | ECE]


@pytest.mark.rfc("3168", "6.1.3")
def test_the_first_echo_is_not_delayed(iss: int, irs: int) -> None:
    bench = called(iss, irs, replace(PASSIVE, delayed_ack=0.2))
    text_arrives(bench, 1, b"x" * MSS)
    assert bench.take() == []
    text_arrives(bench, 1 + MSS, b"x" * MSS)
    assert len(bench.take()) == 1
    text_arrives(bench, 1 + 2 * MSS, b"x" * MSS, codepoint=CE)
    assert [seg.flags for seg in bench.take()] == [ACK | ECE]


@pytest.mark.rfc("3168", "6.1.5")
@pytest.mark.parametrize("seq", [1 - 100, 5000])
def test_marks_outside_the_window_are_ignored(iss: int, irs: int, seq: int) -> None:
    bench = called(iss, irs)
    text_arrives(bench, seq, codepoint=CE)
    text_arrives(bench, 1)
    assert not any(seg.flags & ECE for seg in bench.take())


@pytest.mark.parametrize("codepoint", [NOT_ECT, ECT0, ECT1])
def test_other_codepoints_mean_nothing(iss: int, irs: int, codepoint: int) -> None:
    bench = called(iss, irs)
    text_arrives(bench, 1, codepoint=codepoint)
    assert [seg.flags for seg in bench.take()] == [ACK]


@pytest.mark.rfc("3168", "6.1.4")
def test_a_mark_on_an_acknowledgment_means_nothing(iss: int, irs: int) -> None:
    bench = called(iss, irs)
    text_arrives(bench, 1, b"", codepoint=CE)
    text_arrives(bench, 1)
    assert [seg.flags for seg in bench.take()] == [ACK]


# The sender


@pytest.mark.rfc("3168", "6.1.2")
@pytest.mark.rfc("9293", "3.8.2", "SHLD-8")
@pytest.mark.parametrize(("congestion", "left"), [("reno", 0.5), ("cubic", 0.7), ("bbr", None), ("fixed", None)])
def test_ece_is_answered_as_a_loss_is(iss: int, irs: int, congestion: str, left: float | None) -> None:
    """By those who heed losses; and nothing is sent again."""
    bench = sending(iss, irs, replace(ON, congestion=congestion))
    before = bench.tcp.status(bench.now).cwnd
    bench.arrives(ACK | ECE, 1, 1001, wnd=WINDOW)
    status = bench.tcp.status(bench.now)
    if left is None:
        assert status.cwnd >= before
    else:
        assert status.cwnd == status.ssthresh == int(before * left)
    assert status.counters["reductions by ECN"] == 1
    assert "segments retransmitted" not in status.counters


@pytest.mark.rfc("3168", "6.1.2")
def test_the_first_new_text_afterwards_has_cwr(iss: int, irs: int) -> None:
    bench = sending(iss, irs)
    bench.arrives(ACK | ECE, 1, 1001, wnd=WINDOW)
    assert bench.take() == []  # more is in flight than cwnd lets
    bench.arrives(ACK | ECE, 1, 8001, wnd=WINDOW)
    assert [seg.flags for seg in bench.take()] == [ACK | CWR, ACK, ACK]


@pytest.mark.rfc("3168", "6.1.2")
def test_once_in_a_window(iss: int, irs: int) -> None:
    """What acknowledges the last octet that was in flight is still an echo of before."""
    bench = sending(iss, irs)
    for ack in range(1001, 10_002, 1000):
        bench.arrives(ACK | ECE, 1, ack, wnd=WINDOW)
    status = bench.tcp.status(bench.now)
    assert (status.cwnd, status.counters["reductions by ECN"], status.counters["ECE in"]) == (5000, 1, 10)
    bench.arrives(ACK | ECE, 1, 11_001, wnd=WINDOW)
    status = bench.tcp.status(bench.now)
    assert (status.cwnd, status.counters["reductions by ECN"]) == (2500, 2)


@pytest.mark.rfc("3168", "6.1.2")
def test_an_ack_with_ece_opens_no_window(iss: int, irs: int) -> None:
    bench = sending(iss, irs)
    bench.arrives(ACK | ECE, 1, 1001, wnd=WINDOW)
    for ack in range(2001, 10_002, 1000):
        bench.arrives(ACK | ECE, 1, ack, wnd=WINDOW)
    assert bench.tcp.status(bench.now).cwnd == 5000


@pytest.mark.rfc("3168", "6.1.2")
def test_an_old_acknowledgment_says_nothing(iss: int, irs: int) -> None:
    bench = sending(iss, irs)
    bench.arrives(ACK, 1, 3001, wnd=WINDOW)
    before = bench.tcp.status(bench.now).cwnd
    bench.arrives(ACK | ECE, 1, 2001, wnd=WINDOW)
    assert bench.tcp.status(bench.now).cwnd == before


@pytest.mark.rfc("3168", "6.1.2")
def test_a_loss_in_the_same_window_does_not_count_again(iss: int, irs: int) -> None:
    bench = sending(iss, irs)
    bench.arrives(ACK | ECE, 1, 1001, wnd=WINDOW)
    for _ in range(3):
        bench.arrives(ACK | ECE, 1, 1001, wnd=WINDOW)
    status = bench.tcp.status(bench.now)
    assert (status.ssthresh, status.counters["fast retransmits"]) == (5000, 1)
    (again,) = bench.take()
    assert (wrap(again.seq - iss), again.flags & CWR, again.traffic_class) == (1001, 0, 0)


@pytest.mark.rfc("3168", "6.1.2")
@pytest.mark.parametrize("timeout", [False, True])
def test_cwr_follows_a_loss_too_and_not_on_what_is_sent_again(iss: int, irs: int, timeout: bool) -> None:
    bench = sending(iss, irs)
    if timeout:
        bench.advance(1.5)
    else:
        for _ in range(3):
            bench.arrives(ACK, 1, 1, wnd=WINDOW)
    bench.arrives(ACK, 1, 10_001 if timeout else 12_001, wnd=WINDOW)  # limited transmit has sent two more
    sent = [(wrap(seg.seq - iss), bool(seg.flags & CWR)) for seg in bench.take()]
    at = sent.index((1, False))
    assert sent[at + 1][0] >= 10_001
    assert [cwr for _, cwr in sent] == [number == at + 1 for number in range(len(sent))]


@pytest.mark.rfc("3168", "6.1.2")
def test_ece_after_a_loss_in_the_same_window_does_not_count_again(iss: int, irs: int) -> None:
    bench = sending(iss, irs)
    for _ in range(3):
        bench.arrives(ACK, 1, 1, wnd=WINDOW)
    before = bench.tcp.status(bench.now).ssthresh
    bench.arrives(ACK | ECE, 1, 10_001, wnd=WINDOW)
    status = bench.tcp.status(bench.now)
    assert status.ssthresh == before
    assert "reductions by ECN" not in status.counters


def test_without_negotiation_ece_means_nothing(iss: int, irs: int) -> None:
    bench = opened(iss, irs, bits=0)
    bench.send(b"x" * 40_000)
    before = bench.tcp.status(bench.now).cwnd
    bench.arrives(ACK | ECE, 1, 1001, wnd=WINDOW)
    assert bench.tcp.status(bench.now).cwnd > before


def test_bits_beside_a_fin_do_no_harm(iss: int, irs: int) -> None:
    bench = called(iss, irs)
    text_arrives(bench, 1, b"last", codepoint=CE, flags=ACK | FIN | ECE | CWR)
    assert bench.state is State.CLOSE_WAIT
    assert [seg.flags for seg in bench.take()] == [ACK | ECE]


# Both ends of ours


@pytest.mark.rfc("9293", "3.8.2", "SHLD-8")
def test_a_connection_between_two_of_ours_agrees_and_carries() -> None:
    pair, client, server = connected(Config(ecn="on"), Config())
    assert client.status(pair.now).ecn
    assert server.status(pair.now).ecn
    data = bytes(100_000)
    client.send(data, pair.now)
    pair.client.touch(client)
    pair.run(lambda: server.status(pair.now).unread == len(data))
    assert {seg.traffic_class for _, flow, seg in pair.wire if seg.data} == {ECT0}
