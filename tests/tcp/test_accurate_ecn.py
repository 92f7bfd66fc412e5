"""Accurate ECN (RFC 9768)."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
import trio

from tests.tcp.builders import CONFIG, FLOW, MSS, Bench, closed, delivered, host, listen
from tests.tcp.pairs import connected
from usertcp.link.path import Path
from usertcp.tcp.config import Config
from usertcp.tcp.events import CwndChanged
from usertcp.tcp.options import EcnFeedback, Options
from usertcp.tcp.segment import (
    ACE,
    ACK,
    AE,
    CE,
    CWR,
    ECE,
    ECN_BITS,
    ECT0,
    ECT1,
    FIN,
    NOT_ECT,
    PSH,
    RST,
    SYN,
    Segment,
)
from usertcp.tcp.sequence import wrap
from usertcp.tcp.state import State
from usertcp.tcp.tcb import EcnCounters
from usertcp.testing import open_network, open_stream_pair, run

ACCURATE = replace(CONFIG, ecn="accurate", receive_buffer=60_000)
CLASSIC = CWR | ECE
AGREED = CWR
"""In a SYN,ACK: the SYN came Not-ECT, as it was sent."""
PEER = Options(mss=MSS, sack_permitted=True)
WINDOW = 60_000
FULL = EcnFeedback(0, (1, 0, 1))
REFLECTIONS = pytest.mark.parametrize(
    ("codepoint", "bits"), [(NOT_ECT, CWR), (ECT1, CWR | ECE), (ECT0, AE), (CE, AE | CWR)]
)


def bits(ace: int) -> int:
    """The flags that say a number of three bits."""
    return (ace & 7) << 6


def opened(
    iss: int,
    irs: int,
    config: Config = ACCURATE,
    answer: int = AGREED,
    *,
    codepoint: int = NOT_ECT,
    option: EcnFeedback | None = FULL,
) -> Bench:
    """ESTABLISHED after an active OPEN; the peer's SYN,ACK had these bits."""
    bench = closed(iss, irs, config)
    bench.open()
    bench.take()
    syn_ack(bench, answer, codepoint, option)
    return bench


def syn_ack(bench: Bench, answer: int, codepoint: int = NOT_ECT, option: EcnFeedback | None = FULL) -> None:
    options = replace(PEER, accurate_ecn=option)
    flags = SYN | ACK | answer
    bench.deliver(
        Segment(bench.irs, wrap(bench.iss + 1), flags, WINDOW, options, traffic_class=codepoint),
    )


def syn(bench: Bench, asked: int = ACE, codepoint: int = NOT_ECT) -> None:
    bench.deliver(Segment(bench.irs, 0, SYN | asked, WINDOW, PEER, traffic_class=codepoint))


def called(iss: int, irs: int, config: Config = ACCURATE, *, ace: int = 2, option: EcnFeedback | None = FULL) -> Bench:
    """ESTABLISHED after a passive OPEN; the acknowledgment of our SYN,ACK had this ACE."""
    bench = listen(iss, irs, config)
    syn(bench)
    told(bench, ace, 1, option)
    assert bench.state is State.ESTABLISHED
    bench.take()
    return bench


def told(
    bench: Bench,
    ace: int,
    ack: int,
    option: EcnFeedback | None = None,
    *,
    sack: tuple[tuple[int, int], ...] = (),
    data: bytes = b"",
) -> None:
    """An acknowledgment with this ACE, and perhaps an option; numbers relative."""
    blocks = tuple((wrap(bench.iss + left), wrap(bench.iss + right)) for left, right in sack)
    bench.arrives(ACK | bits(ace), 1, ack, data, wnd=WINDOW, options=Options(accurate_ecn=option, sack=blocks))


def arrives(bench: Bench, seq: int, octets: int = 100, *, codepoint: int = ECT0, flags: int = ACK | bits(5)) -> None:
    """Text from the peer, or none, with a codepoint in its IP header."""
    seg = Segment(wrap(bench.irs + seq), wrap(bench.iss + 1), flags, WINDOW, data=b"x" * octets)
    seg.traffic_class = codepoint
    bench.deliver(seg)


def sending(iss: int, irs: int, config: Config = ACCURATE) -> Bench:
    """Ten segments of a thousand octets are in flight, and there is more to send."""
    bench = opened(iss, irs, config)
    introduced(bench)
    bench.send(b"x" * 60_000)
    assert len(bench.take()) == 10
    return bench


def introduced(bench: Bench) -> None:
    """The client has had its two segments with the option only to see whether they get through."""
    bench.arrives(ACK | bits(5), 0, 1, wnd=WINDOW)  # asks for an acknowledgment, as keep-alives do
    assert [seg.options.accurate_ecn for seg in bench.take()] == [FULL, FULL]


def codepoints(bench: Bench) -> list[int]:
    bench.send(b"text")
    return [seg.traffic_class & ECN_BITS for seg in bench.take() if seg.data]


def out(bench: Bench) -> tuple[int, int, int, int]:
    """s.cep, s.ceb, s.e0b, s.e1b."""
    counters = bench.tcp.status(bench.now).ecn_out
    assert counters is not None
    return counters.cep, counters.ceb, counters.e0b, counters.e1b


def came(bench: Bench) -> tuple[int, int, int, int]:
    """r.cep, r.ceb, r.e0b, r.e1b."""
    counters = bench.tcp.status(bench.now).ecn_in
    assert counters is not None
    return counters.cep, counters.ceb, counters.e0b, counters.e1b


def cwnd(bench: Bench) -> int:
    return bench.tcp.status(bench.now).cwnd


# Negotiation


@pytest.mark.rfc("9768", "3.1.1", "MUST")
def test_the_syn_asks_by_all_three_bits_and_has_no_option(iss: int, irs: int) -> None:
    bench = closed(iss, irs, ACCURATE)
    bench.open()
    (first,) = bench.take()
    assert (first.flags, first.traffic_class, first.options.accurate_ecn) == (SYN | ACE, 0, None)


@pytest.mark.rfc("9768", "3.1.1", "MUST")
@pytest.mark.rfc("9768", "3.2.3.2.1", "SHOULD")
@REFLECTIONS
def test_the_syn_ack_says_how_the_syn_arrived_and_tries_the_option(
    iss: int, irs: int, codepoint: int, bits: int
) -> None:
    bench = listen(iss, irs, ACCURATE)
    syn(bench, codepoint=codepoint)
    (answer,) = bench.take()
    assert (answer.flags, answer.options.accurate_ecn) == (SYN | ACK | bits, FULL)
    assert came(bench) == (5, 0, 1, 1)  # CE on a SYN is not counted (3.2.2.2)


@pytest.mark.rfc("9768", "3.1.2", "MUST")
@pytest.mark.parametrize(
    ("answer", "ecn", "accurate"),
    [
        (CWR, True, True),
        (CWR | ECE, True, True),
        (AE, True, True),
        (AE | CWR, True, True),
        (AE | ECE, True, True),  # reserved (3.1.3)
        (ECE, True, False),
        (0, False, False),
        (ACE, False, False),  # a server that reflects what it does not know
    ],
)
def test_the_client_takes_the_mode_from_the_first_syn_ack(
    iss: int, irs: int, answer: int, ecn: bool, accurate: bool
) -> None:
    status = opened(iss, irs, answer=answer).tcp.status(1000.0)
    assert (status.ecn, status.ecn_in is not None) == (ecn, accurate)


@pytest.mark.rfc("9768", "3.1.2", "MUST")
@pytest.mark.rfc("9768", "3.1.3", "MUST")
@pytest.mark.parametrize("asked", [bits(number) for number in range(8)])
def test_the_server_takes_the_mode_from_the_first_syn(iss: int, irs: int, asked: int) -> None:
    bench = listen(iss, irs, ACCURATE)
    syn(bench, asked)
    (answer,) = bench.take()
    assert answer.flags & ACE == {0: 0, CLASSIC: ECE}.get(asked, CWR)


@pytest.mark.parametrize(("mode", "answer"), [("off", 0), ("passive", ECE), ("on", ECE)])
def test_who_knows_only_the_classic_one_answers_by_that(iss: int, irs: int, mode: str, answer: int) -> None:
    bench = listen(iss, irs, replace(CONFIG, ecn=mode))
    syn(bench)
    assert [seg.flags for seg in bench.take()] == [SYN | ACK | answer]


@pytest.mark.rfc("9768", "3.1.2", "MUST")
def test_fallen_back_to_the_classic_one_ece_is_an_echo_and_cwr_the_answer(iss: int, irs: int) -> None:
    bench = opened(iss, irs, answer=ECE)
    bench.send(b"x" * 40_000)
    bench.take()
    bench.arrives(ACK | ECE, 1, 1001, wnd=WINDOW)
    bench.arrives(ACK, 1, 9001, wnd=WINDOW)
    sent = bench.take()
    assert sent[0].flags & ACE == CWR
    assert bench.tcp.status(bench.now).counters["reductions by ECN"] == 1


@pytest.mark.rfc("9768", "3.1.4.1", "SHOULD")
def test_a_syn_asks_once_more_and_then_no_more(iss: int, irs: int) -> None:
    bench = closed(iss, irs, ACCURATE)
    bench.open()
    bench.advance(8)
    assert [seg.flags & ACE for seg in bench.take()] == [ACE, ACE, 0, 0]
    syn_ack(bench, AGREED)
    bench.take()
    assert codepoints(bench) == [ECT0]  # the client knows that the server is in AccECN mode (3.1.5)


@pytest.mark.rfc("9768", "3.2.3.2.2", "SHOULD")
@pytest.mark.rfc("9768", "3.1.5", "MUST NOT")
def test_a_syn_ack_goes_out_again_without_the_option_and_then_says_nothing(iss: int, irs: int) -> None:
    bench = listen(iss, irs, ACCURATE)
    syn(bench)
    bench.advance(1.5)
    first, second = bench.take()
    assert (first.flags & ACE, second.flags & ACE) == (CWR, CWR)
    assert (first.options.accurate_ecn, second.options.accurate_ecn) == (FULL, None)
    bench.advance(2.5)
    assert [seg.flags & ACE for seg in bench.take()] == [0]
    told(bench, 5, 1, data=b"question")
    assert [seg.flags & ACE for seg in bench.take()] == [bits(5)]  # it goes on feeding back
    assert codepoints(bench) == [NOT_ECT]  # but must not use ECT


@pytest.mark.rfc("9768", "3.1.5", "MUST")
def test_the_latest_syn_is_fed_back(iss: int, irs: int) -> None:
    bench = listen(iss, irs, ACCURATE)
    syn(bench)
    syn(bench, codepoint=CE)
    first, second = bench.take()
    assert (first.flags & ACE, second.flags & ACE) == (CWR, AE | CWR)
    assert second.options.accurate_ecn is None


@pytest.mark.rfc("9768", "3.1.5", "MUST NOT")
@pytest.mark.parametrize(("asked", "again", "answer"), [(ACE, 0, CWR), (CLASSIC, 0, ECE), (0, ACE, 0), (0, CLASSIC, 0)])
def test_another_syn_does_not_switch_the_mode_but_may_forbid_ect(
    iss: int, irs: int, asked: int, again: int, answer: int
) -> None:
    bench = listen(iss, irs, ACCURATE)
    syn(bench, asked)
    syn(bench, again)
    assert [seg.flags & ACE for seg in bench.take()] == [answer] * 2
    bench.arrives(ACK | (AGREED if asked == ACE else 0), 1, 1, wnd=WINDOW)
    bench.take()
    assert codepoints(bench) == [NOT_ECT]


@pytest.mark.rfc("9768", "3.1.5", "MUST")
@pytest.mark.parametrize(("asked", "again"), [(ACE, CLASSIC), (CLASSIC, ACE)])
def test_who_asks_for_both_kinds_is_reset(iss: int, irs: int, asked: int, again: int) -> None:
    bench = listen(iss, irs, ACCURATE)
    syn(bench, asked)
    bench.take()
    syn(bench, again)
    (reset,) = bench.take()
    assert (reset.flags & RST, bench.state) == (RST, State.CLOSED)


def test_a_listener_survives_that() -> None:
    endpoint = host(config=ACCURATE)
    endpoint.listen("", FLOW.local_port)
    assert delivered(endpoint, Segment(7, 0, SYN | ACE, WINDOW, PEER))[0].flags & SYN
    assert delivered(endpoint, Segment(7, 0, SYN | CLASSIC, WINDOW, PEER))[0].flags & RST
    assert delivered(endpoint, Segment(7, 0, SYN | CLASSIC, WINDOW, PEER))[0].flags & ACE == ECE


@pytest.mark.rfc("9768", "3.1.2", "MUST")
@pytest.mark.parametrize(("theirs", "answer", "accurate"), [(ACE, CWR, True), (CLASSIC, ECE, False), (0, 0, False)])
def test_in_a_simultaneous_open_the_peers_syn_decides(
    iss: int, irs: int, theirs: int, answer: int, accurate: bool
) -> None:
    bench = closed(iss, irs, ACCURATE)
    bench.open()
    syn(bench, theirs)
    assert [seg.flags & ACE for seg in bench.take()] == [ACE, answer]
    bench.deliver(Segment(bench.irs, wrap(iss + 1), SYN | ACK | answer, WINDOW, PEER))
    assert bench.state is State.ESTABLISHED
    assert (bench.tcp.status(bench.now).ecn_in is not None) == accurate
    bench.take()
    assert codepoints(bench) == [ECT0 if answer else NOT_ECT]


# The acknowledgment of the SYN,ACK


@pytest.mark.rfc("9768", "3.2.2.1", "MUST")
@pytest.mark.rfc("9768", "3.2.2.2", "MUST")
@pytest.mark.rfc("9768", "3.2.3.2.1", "SHOULD")
@REFLECTIONS
def test_it_says_how_the_syn_ack_arrived(iss: int, irs: int, codepoint: int, bits: int) -> None:
    bench = opened(iss, irs, codepoint=codepoint)
    (ack,) = bench.take()
    assert (ack.flags, ack.options.accurate_ecn) == (ACK | bits, FULL)
    assert came(bench) == (6 if codepoint == CE else 5, 0, 1, 1)


@pytest.mark.rfc("9768", "3.2.2.1", "SHOULD")
@pytest.mark.rfc("9768", "3.2.3.2.1", "SHOULD")
def test_it_goes_before_text_that_waits(iss: int, irs: int) -> None:
    bench = closed(iss, irs, ACCURATE)
    bench.open()
    bench.send(b"question")
    bench.take()
    syn_ack(bench, AGREED)
    ack, text = bench.take()
    assert (ack.flags & ACE, ack.data, text.flags & ACE, text.data) == (CWR, b"", bits(5), b"question")
    assert (ack.options.accurate_ecn, text.options.accurate_ecn) == (FULL, FULL)


@pytest.mark.rfc("9768", "3.2.2.1", "MUST")
@pytest.mark.rfc("9768", "3.2.2.2", "MUST")
def test_so_does_the_one_of_a_syn_ack_that_comes_again_and_its_mark_counts_once(iss: int, irs: int) -> None:
    bench = opened(iss, irs, codepoint=CE)
    bench.take()
    syn_ack(bench, AGREED, CE)
    (again,) = bench.take()
    assert (again.flags, again.options.accurate_ecn) == (ACK | AE | CWR, None)
    syn_ack(bench, AGREED, NOT_ECT)
    assert [seg.flags for seg in bench.take()] == [ACK | CWR]
    assert came(bench)[0] == 6


@pytest.mark.rfc("9768", "3.1.5", "MUST")
@REFLECTIONS
def test_so_does_the_one_of_a_syn_ack_that_comes_again_without_the_bits(
    iss: int, irs: int, codepoint: int, bits: int
) -> None:
    """As a server's third one does: which bits a SYN,ACK has means nothing any more in ESTABLISHED."""
    bench = opened(iss, irs)
    bench.take()
    syn_ack(bench, 0, codepoint, None)
    (again,) = bench.take()
    assert (again.flags, again.options.accurate_ecn) == (ACK | bits, None)
    assert came(bench)[0] == (6 if codepoint == CE else 5)
    assert codepoints(bench) == [ECT0]


@pytest.mark.rfc("9768", "3.2.2.2", "MAY")
def test_if_our_syn_ack_went_out_twice_the_second_acknowledgment_of_it_is_no_counter_either(iss: int, irs: int) -> None:
    bench = listen(iss, irs, ACCURATE)
    bench.deliver(Segment(irs, 0, SYN | ACE, WINDOW, replace(PEER, timestamps=(1, 0))))
    bench.advance(1.5)  # the round trip is longer than the timer
    for tsval in (501, 1501):
        bench.arrives(ACK | AGREED, 1, 1, wnd=WINDOW, options=Options(timestamps=(tsval, 0)))
    bench.take()
    bench.send(b"answer")
    bench.arrives(ACK | bits(5), 1, 7, wnd=WINDOW, options=Options(timestamps=(2501, 0)))
    assert out(bench)[0] == 5
    assert "reductions by ECN" not in bench.tcp.status(bench.now).counters


@pytest.mark.rfc("9768", "3.2.2.1", "MUST")
@pytest.mark.parametrize(("ace", "cep"), [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5), (6, 6), (7, 5)])
def test_the_server_reads_it_by_table_4(iss: int, irs: int, ace: int, cep: int) -> None:
    bench = called(iss, irs, ace=ace)
    assert out(bench)[0] == cep
    assert bench.tcp.status(bench.now).counters.get("reductions by ECN", 0) == (ace == 6)
    altered = ace in (3, 4, 6)  # our SYN,ACK was not ECT (3.2.2.3)
    assert codepoints(bench) == [NOT_ECT if altered else ECT0]


@pytest.mark.rfc("9768", "3.2.2.1", "MUST NOT")
def test_zero_in_it_means_that_the_peer_is_not_in_this_mode(iss: int, irs: int) -> None:
    bench = called(iss, irs, ace=0)
    bench.send(b"x" * 20_000)
    assert {seg.traffic_class for seg in bench.take()} == {NOT_ECT}
    before = cwnd(bench)
    told(bench, 3, 1001)
    assert cwnd(bench) >= before  # nothing is believed
    arrives(bench, 1, codepoint=CE)
    assert bench.take()[-1].flags & ACE == bits(6)  # but it goes on feeding back


@pytest.mark.rfc("9768", "3.2.2.1")
def test_text_in_it_makes_it_a_counter(iss: int, irs: int) -> None:
    bench = listen(iss, irs, ACCURATE)
    syn(bench)
    told(bench, 6, 1, data=b"question")
    assert out(bench)[0] == 6
    bench.take()
    assert codepoints(bench) == [ECT0]


@pytest.mark.rfc("9768", "3.2.2.3")
@pytest.mark.parametrize(("answer", "slower"), [(CWR | ECE, False), (AE, False), (AE | CWR, True)])
def test_a_syn_that_arrived_otherwise_than_it_left_ends_ect(iss: int, irs: int, answer: int, slower: bool) -> None:
    """And a mark on it counts as congestion, but not in s.cep (3.2.2.2)."""
    bench = opened(iss, irs, answer=answer)
    status = bench.tcp.status(bench.now)
    assert status.counters["ECN field of our SYN altered"] == 1
    assert (status.cwnd, out(bench)[0]) == (5000 if slower else 10_000, 5)
    bench.take()
    assert codepoints(bench) == [NOT_ECT]


@pytest.mark.rfc("9768", "3.2.2.4")
def test_if_the_first_counter_is_zero_nothing_is_ect_and_nothing_believed(iss: int, irs: int) -> None:
    bench = sending(iss, irs)
    before = cwnd(bench)
    told(bench, 0, 1001)
    told(bench, 3, 2001)
    status = bench.tcp.status(bench.now)
    assert (status.counters["ACE zeroed"], status.cwnd >= before) == (1, True)
    assert {seg.traffic_class for seg in bench.take()} == {NOT_ECT}


def test_three_marks_at_once_make_it_zero_too(iss: int, irs: int) -> None:
    bench = sending(iss, irs)
    told(bench, 0, 3001)
    assert out(bench)[0] == 8
    assert bench.tcp.status(bench.now).counters["reductions by ECN"] == 1


def test_so_do_three_of_which_one_is_acknowledged_first_and_the_option_shows_it(iss: int, irs: int) -> None:
    """Acknowledgments have overtaken each other, or had no room for all SACK blocks."""
    bench = sending(iss, irs)
    told(bench, 0, 1001, EcnFeedback(0, (1, 3000)))
    status = bench.tcp.status(bench.now)
    assert "ACE zeroed" not in status.counters
    assert (out(bench), status.counters["reductions by ECN"]) == ((8, 3000, 1, 1), 1)


# The receiver


@pytest.mark.rfc("9768", "3.2", "MUST")
@pytest.mark.rfc("9768", "3.2.2", "MUST")
def test_marks_are_counted_in_three_bits_and_octets_by_codepoint(iss: int, irs: int) -> None:
    bench = called(iss, irs)
    for number, codepoint in enumerate((ECT0, CE, CE, ECT1, CE, NOT_ECT)):
        arrives(bench, 1 + 100 * number, codepoint=codepoint)
    sent = bench.take()
    assert [seg.ace for seg in sent] == [5, 6, 7, 7, 0, 0]
    assert [seg.options.accurate_ecn for seg in sent] == [
        EcnFeedback(0, (101,)),
        EcnFeedback(0, (101, 100)),
        EcnFeedback(0, (101, 200)),
        EcnFeedback(0, (101, 200, 101)),
        EcnFeedback(0, (101, 300, 101)),
        None,  # nothing has changed
    ]
    assert came(bench) == (8, 300, 101, 101)


@pytest.mark.rfc("9768", "3.2.3.3")
def test_the_order_is_the_one_that_takes_less_room(iss: int, irs: int) -> None:
    bench = called(iss, irs)
    arrives(bench, 1, codepoint=ECT1)
    arrives(bench, 101, codepoint=CE)
    assert [seg.options.accurate_ecn for seg in bench.take()] == [EcnFeedback(1, (101,)), EcnFeedback(1, (101, 100))]


@pytest.mark.rfc("9768", "3.2", "MUST")
def test_marked_acknowledgments_count_too_but_what_is_not_acceptable_does_not(iss: int, irs: int) -> None:
    bench = called(iss, irs)
    arrives(bench, 1, 0, codepoint=CE)
    arrives(bench, 1 - 100, codepoint=CE)
    arrives(bench, 70_000, codepoint=CE)
    assert came(bench) == (6, 0, 1, 1)


def test_a_segment_of_several_counts_as_many(iss: int, irs: int) -> None:
    bench = called(iss, irs)
    arrives(bench, 1, 4 * MSS + 1, codepoint=CE)
    assert came(bench) == (10, 4 * MSS + 1, 1, 1)


@pytest.mark.rfc("9768", "3.2.2.5.1", "SHOULD")
def test_the_first_mark_is_acknowledged_at_once_and_every_second(iss: int, irs: int) -> None:
    bench = called(iss, irs, replace(ACCURATE, delayed_ack=0.2))
    acknowledged = []
    arrives(bench, 1, MSS)
    bench.advance(0.3)
    bench.take()
    for number, codepoint in enumerate((CE, CE, CE, ECT0, CE), 1):
        arrives(bench, 1 + MSS * number, MSS, codepoint=codepoint)
        acknowledged.append(len(bench.take()))
    assert acknowledged == [1, 0, 1, 0, 1]


@pytest.mark.rfc("9768", "3.2.2.5.1", "MUST")
def test_every_third_marked_acknowledgment_is_acknowledged_without_sack(iss: int, irs: int) -> None:
    bench = called(iss, irs)
    arrives(bench, 501)
    assert len(bench.take()[-1].options.sack) == 1
    answers = []
    for _ in range(7):
        arrives(bench, 1, 0, codepoint=CE)
        answers.append([(seg.ace, seg.options.sack) for seg in bench.take()])
    assert answers == [[], [], [(0, ())], [], [], [(3, ())], []]


@pytest.mark.rfc("9768", "3.2.3.3", "MUST")
@pytest.mark.parametrize(("holes", "blocks", "counters"), [(1, 1, 1), (2, 2, 1), (3, 2, 1)])
def test_two_sack_blocks_come_before_the_option_and_it_before_more(
    iss: int, irs: int, holes: int, blocks: int, counters: int
) -> None:
    options = Options(mss=MSS, sack_permitted=True, timestamps=(1, 0))
    bench = listen(iss, irs, ACCURATE)
    bench.deliver(Segment(irs, 0, SYN | ACE, WINDOW, options))
    stamps = Options(timestamps=(2, 0))
    bench.arrives(ACK | AGREED, 1, 1, wnd=WINDOW, options=stamps)
    for number in range(holes):
        seg = Segment(wrap(irs + 501 + 1000 * number), wrap(iss + 1), ACK | bits(5), WINDOW, stamps, b"x" * 100)
        seg.traffic_class = ECT0
        bench.deliver(seg)
    last = bench.take()[-1].options
    assert last.accurate_ecn is not None
    assert (len(last.sack), len(last.accurate_ecn.counters)) == (blocks, counters)


@pytest.mark.rfc("9768", "3.2.3.3", "MUST")
def test_where_the_changed_counters_do_not_fit_the_option_is_left_out(iss: int, irs: int) -> None:
    options = Options(mss=MSS, sack_permitted=True, timestamps=(1, 0))
    bench = listen(iss, irs, ACCURATE)
    bench.deliver(Segment(irs, 0, SYN | ACE, WINDOW, options))
    stamps = Options(timestamps=(2, 0))
    bench.arrives(ACK | AGREED, 1, 1, wnd=WINDOW, options=stamps)
    bench.take()
    given = []
    for seq, codepoint in (1, ECT0), (501, CE), (1501, ECT1), (2501, ECT1):
        seg = Segment(wrap(irs + seq), wrap(iss + 1), ACK | bits(5), WINDOW, stamps, b"x" * 100)
        seg.traffic_class = codepoint
        bench.deliver(seg)
        (answer,) = bench.take()
        option = answer.options.accurate_ecn
        given.append((len(answer.options.sack), None if option is None else len(option.counters)))
    assert given == [(0, 1), (1, 2), (2, None), (3, None)]


def test_text_leaves_room_for_the_option(iss: int, irs: int) -> None:
    bench = opened(iss, irs, option=None)
    bench.take()
    bench.send(b"x" * 3000)
    assert [len(seg.data) for seg in bench.take()] == [MSS - 12, MSS, MSS]


@pytest.mark.rfc("9768", "3.2.3.2.2", "SHOULD")
def test_the_first_text_goes_out_again_without_the_option(iss: int, irs: int) -> None:
    bench = opened(iss, irs)
    bench.take()
    bench.send(b"question")
    bench.advance(1.5)
    first, *again = bench.take()
    assert first.options.accurate_ecn == FULL
    assert {seg.options.accurate_ecn for seg in again} == {None}


@pytest.mark.rfc("9768", "3.2.3.2.2", "SHOULD")
def test_if_what_the_option_goes_with_is_not_heard_twice_in_a_row_there_are_no_more(iss: int, irs: int) -> None:
    bench = called(iss, irs)
    for number in range(3):
        arrives(bench, 1 + 100 * number)
        arrives(bench, 1 + 100 * number)
    assert [seg.options.accurate_ecn for seg in bench.take()] == [
        *(EcnFeedback(0, (101,)), None),
        *(EcnFeedback(0, (201,)), None),
        *(None, None),
    ]


def test_if_it_is_heard_now_and_then_there_are(iss: int, irs: int) -> None:
    bench = called(iss, irs)
    for number, twice in enumerate((True, False, True, False, True, False)):
        arrives(bench, 1 + 100 * number)
        assert bench.take()[-1].options.accurate_ecn is not None
        if twice:
            arrives(bench, 1 + 100 * number)
            bench.take()


# The sender


@pytest.mark.rfc("9768", "3.1.5", "MUST")
def test_marks_are_answered_once_in_a_window_and_never_by_cwr(iss: int, irs: int) -> None:
    bench = sending(iss, irs)
    for number in range(1, 11):
        told(bench, 5 + number, 1 + 1000 * number)
    status = bench.tcp.status(bench.now)
    assert (status.cwnd, status.counters["reductions by ECN"], out(bench)[0]) == (5000, 1, 15)
    sent = [seg for seg in bench.take() if seg.data]
    assert sent
    assert {(seg.ace, seg.traffic_class) for seg in sent} == {(5, ECT0)}
    told(bench, 16, 11_001)
    assert bench.tcp.status(bench.now).counters["reductions by ECN"] == 2


@pytest.mark.rfc("9768", "3.2.2.2")
def test_what_a_later_acknowledgment_has_overtaken_is_not_read(iss: int, irs: int) -> None:
    bench = sending(iss, irs)
    told(bench, 7, 3001)
    told(bench, 6, 2001)
    told(bench, 7, 3001)
    assert out(bench)[0] == 7


@pytest.mark.rfc("9768", "3.2.2.2")
@pytest.mark.rfc("9768", "3.2.3.1")
def test_not_even_if_its_sack_block_is_news(iss: int, irs: int) -> None:
    """Where there is no room for all blocks, the later one has others."""
    bench = sending(iss, irs)
    told(bench, 7, 1, EcnFeedback(0, (1, 2000)), sack=((3001, 5001),))
    told(bench, 6, 1, EcnFeedback(0, (1, 1000)), sack=((1001, 2001),))
    assert out(bench) == (7, 2000, 1, 1)


@pytest.mark.rfc("9768", "3.2.2.2")
def test_what_is_sacked_has_arrived(iss: int, irs: int) -> None:
    bench = sending(iss, irs)
    told(bench, 6, 1, sack=((1001, 2001),))
    assert out(bench)[0] == 6


@pytest.mark.rfc("9768", "3.2.2.5.2", "SHOULD")
@pytest.mark.parametrize(("ack", "ace", "marks"), [(7001, 7, 2), (9001, 7, 2), (10_001, 7, 10), (10_001, 5, 8)])
def test_without_the_option_ace_went_round_as_often_as_it_may_have(
    iss: int, irs: int, ack: int, ace: int, marks: int
) -> None:
    bench = sending(iss, irs)
    bench.tcp.tcb.ecn.accurate.has_option = None  # type: ignore[union-attr]
    told(bench, ace, ack)
    assert out(bench)[0] == 5 + marks


@pytest.mark.rfc("9768", "3.2.2.5.2", "SHOULD")
@pytest.mark.parametrize(("ace", "marks"), [(5, 0), (7, 10)])
def test_so_it_does_if_the_option_comes_no_more(iss: int, irs: int, ace: int, marks: int) -> None:
    """A peer that finds out that it does not get through stops sending it; a mark without it shows that."""
    bench = sending(iss, irs)
    told(bench, ace, 10_001)
    assert out(bench)[0] == 5 + marks


@pytest.mark.rfc("9768", "3.2.2.5.2", "SHOULD")
def test_it_did_not_where_nothing_was_ect(iss: int, irs: int) -> None:
    """Then there is never an option, for want of what it could count, and a mark is not likely."""
    bench = listen(iss, irs, ACCURATE)
    syn(bench)
    syn(bench, 0)
    told(bench, 2, 1)
    bench.send(b"x" * 60_000)
    bench.take()
    told(bench, 5, 10_001)
    assert out(bench)[0] == 5
    assert "reductions by ECN" not in bench.tcp.status(bench.now).counters


@pytest.mark.rfc("9768", "3.2.2.5.2")
@pytest.mark.rfc("9768", "3.2.3.1")
@pytest.mark.parametrize(("ace", "ceb", "marks"), [(7, 2000, 2), (7, 10_000, 10), (7, 1, 2), (5, 8000, 8)])
def test_the_option_tells_how_often_ace_went_round(iss: int, irs: int, ace: int, ceb: int, marks: int) -> None:
    bench = sending(iss, irs)
    told(bench, ace, 10_001, EcnFeedback(0, (10_001 - ceb, ceb)))
    assert out(bench) == (5 + marks, ceb, 10_001 - ceb, 1)


@pytest.mark.rfc("9768", "3.2.3.1")
def test_the_counters_go_round_at_2_to_the_24(iss: int, irs: int) -> None:
    bench = sending(iss, irs)
    told(bench, 5, 1001, EcnFeedback(1, (1, 0, 2**24 - 1)))
    told(bench, 5, 2001, EcnFeedback(0, (999,)))
    assert out(bench) == (5, 0, 2**24 + 999, 1)


@pytest.mark.rfc("9768", "3.2.3.2.4")
@pytest.mark.parametrize("option", [EcnFeedback(0, (0, 0, 1)), EcnFeedback(0, (1, 0, 0)), EcnFeedback(1, (0,))])
def test_an_option_that_begins_with_zeros_is_ignored(iss: int, irs: int, option: EcnFeedback) -> None:
    bench = opened(iss, irs, option=option)
    introduced(bench)
    bench.send(b"x" * 20_000)
    told(bench, 6, 10_001, EcnFeedback(0, (1, 1000)))
    assert out(bench) == (14, 0, 1, 1)  # and the worst is assumed of ACE


@pytest.mark.rfc("9768", "3.2.3.2.5", "MUST")
def test_marked_octets_without_a_marked_packet_end_ect(iss: int, irs: int) -> None:
    bench = sending(iss, irs)
    told(bench, 5, 2001, EcnFeedback(0, (1001, 1000)))
    assert bench.tcp.status(bench.now).counters["ECN feedback that contradicts itself"] == 1
    told(bench, 5, 8001)
    assert {seg.traffic_class for seg in bench.take()} == {NOT_ECT}


def test_the_marks_of_acknowledgments_without_the_option_are_no_contradiction(iss: int, irs: int) -> None:
    bench = sending(iss, irs)
    told(bench, 6, 1001)
    told(bench, 6, 2001, EcnFeedback(0, (1001, 1000)))
    status = bench.tcp.status(bench.now)
    assert "ECN feedback that contradicts itself" not in status.counters
    assert out(bench) == (6, 1000, 1001, 1)


def test_it_holds_beside_a_fin_and_in_every_state_after_it(iss: int, irs: int) -> None:
    bench = called(iss, irs)
    arrives(bench, 1, 4, codepoint=CE, flags=ACK | FIN | bits(5))
    assert bench.state is State.CLOSE_WAIT
    assert [(seg.flags & ~ACE, seg.ace) for seg in bench.take()] == [(ACK, 6)]
    bench.close()
    (fin,) = bench.take()
    assert (fin.flags & ~(PSH | ACE), fin.ace) == (FIN | ACK, 6)


# Both ends of ours


@pytest.mark.rfc("9768", "3.1.1")
def test_a_connection_between_two_of_ours_agrees_and_carries() -> None:
    pair, client, server = connected(Config(ecn="accurate"), Config(ecn="accurate"))
    data = bytes(100_000)
    client.send(data, pair.now)
    pair.client.touch(client)
    pair.run(lambda: server.status(pair.now).unread == len(data))
    assert {seg.traffic_class for _, flow, seg in pair.wire if seg.data} == {ECT0}
    there, here = server.status(pair.now).ecn_in, client.status(pair.now).ecn_out
    assert there is not None
    assert (there.cep, there.ceb, there.e0b) == (5, 0, 100_001)
    assert here is not None
    assert (here.cep, here.ceb) == (5, 0)


@pytest.mark.rfc("9768", "3.2")
@pytest.mark.parametrize("congestion", ["dctcp", "cubic", "reno"])
@pytest.mark.parametrize("loss", [0.0, 0.02])
def test_behind_a_queue_that_marks_both_ends_count_the_same(congestion: str, loss: float) -> None:
    async def main() -> None:
        path = Path(rate=1e8, delay=0.001, queue_packets=60, mark_packets=3, loss=loss)
        config = Config(congestion=congestion, ecn="accurate")
        async with open_network(path, Path(delay=0.001), config=config) as network:
            client, server = await open_stream_pair(network)
            await client.send_all(bytes(1_000_000))
            received = 0
            while received < 1_000_000:
                received += len(await server.receive_some())
            await client.send_eof()
            assert await server.receive_some() == b""
            await server.send_all(b"the last word")
            assert await client.receive_some() == b"the last word"
            ours, theirs = client.status(), server.status()
            assert theirs.ecn_in is not None
            assert theirs.ecn_in.cep > 5
            assert ours.ecn_out == theirs.ecn_in
            assert theirs.counters["CE in"] == theirs.ecn_in.cep - 5
            assert ours.counters["reductions by ECN"] >= 1

    run(main)


@pytest.mark.rfc("9768", "3.2.2.5.2")
@pytest.mark.rfc("3168", "6.1.2")
@pytest.mark.parametrize("congestion", ["dctcp", "cubic", "reno"])
@pytest.mark.parametrize("acks_lost", [0.0, 0.1])
def test_where_every_packet_is_marked_all_are_counted_and_the_window_falls_once_in_a_round_trip_to_its_least(
    congestion: str, acks_lost: float
) -> None:
    """ACE goes round many times, and no acknowledgment is without news."""
    octets, round_trip = 300_000, 0.02
    seen: list[CwndChanged] = []

    def tracer(record: object) -> None:
        if isinstance(record, CwndChanged):
            seen.append(record)

    async def main() -> None:
        there, back = Path(delay=round_trip / 2, mark_packets=-1), Path(delay=round_trip / 2, loss=acks_lost, seed=1)
        config = Config(congestion=congestion, ecn="accurate", rto_min=0.2)
        async with open_network(there, back, config=config, tracer=tracer) as network:
            client, server = await open_stream_pair(network)
            began = trio.current_time()
            await client.send_all(bytes(octets))
            received = 0
            while received < octets:
                received += len(await server.receive_some())
            round_trips = (trio.current_time() - began) / round_trip
            await server.send_eof()
            assert await client.receive_some() == b""
            ours, theirs = client.status(), server.status()
        assert ours.ecn_out == theirs.ecn_in == EcnCounters(5 + theirs.counters["CE in"], octets, 1, 1)
        assert theirs.counters["CE in"] >= octets / ours.snd_mss
        reductions = [record for record in seen if record.why == "ECN"]
        assert len(reductions) <= ours.counters["reductions by ECN"] <= round_trips + 1
        assert all(later.time - one.time > 0.99 * round_trip for one, later in pairwise(reductions))
        assert reductions[-1].cwnd == min(record.cwnd for record in seen if record.why != "timeout")

    run(main)


def test_a_peer_that_lies_harms_only_itself(iss: int, irs: int) -> None:
    """Whatever the bits and the option say."""
    bench = sending(iss, irs)
    for number in range(1, 60):
        option = EcnFeedback(number % 2, tuple((number * 7919**place) % 2**24 for place in range(number % 4)))
        told(bench, number * 5, min(1 + 100 * number, 10_001), option if number % 3 else None)
    status = bench.tcp.status(bench.now)
    assert status.state is State.ESTABLISHED
    assert status.cwnd >= MSS
