"""Timeouts that were spurious, found out without timestamps (RFC 5682)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.tcp import builders
from tests.tcp.builders import MSS, Bench
from tests.tcp.pairs import MSS_ONLY, shaken, spans
from tests.tcp.sacks import SACK, WIDE, at, sacks
from usertcp.tcp.config import Config
from usertcp.tcp.segment import ACK
from usertcp.tcp.sequence import wrap
from usertcp.tcp.status import Status
from usertcp.wire import IcmpError

CONFIG = replace(builders.CONFIG, initial_window=10 * MSS)


def timed_out(
    iss: int, irs: int, config: Config = CONFIG, *, sack: bool = False, text: int = 30, wnd: int = WIDE
) -> Bench:
    """Ten full segments were sent, and the first once more when the retransmission timer expired."""
    bench = shaken(iss, irs, config, SACK if sack else MSS_ONLY, wnd=wnd)
    bench.send(bytes(text * MSS))
    assert spans(bench) == [(at(n), MSS) for n in range(10)]
    expire(bench)
    return bench


def expire(bench: Bench) -> None:
    """The retransmission timer expires once more, whatever probes come before."""
    before = timeouts(bench)
    while timeouts(bench) == before:
        spans(bench)
        bench.advance(0.1)
    assert spans(bench)[-1:] == [(at(0), MSS)]


def status(bench: Bench) -> Status:
    return bench.tcp.status(bench.now)


def timeouts(bench: Bench) -> int:
    return status(bench).counters.get("retransmission timeouts", 0)


def undone(bench: Bench) -> int:
    return status(bench).counters.get("losses that were none", 0)


def acks(bench: Bench, segment: int, *, wnd: int = WIDE) -> list[tuple[int, int]]:
    """The peer has everything before this segment; what goes out because of it."""
    bench.arrives(ACK, 1, at(segment), wnd=wnd)
    return spans(bench)


BOTH = pytest.mark.parametrize("sack", [False, True], ids=["basic", "sack"])


@BOTH
@pytest.mark.rfc("5682", "2.1", "step 3b")
@pytest.mark.rfc("5682", "3.1", "step 3b")
@pytest.mark.rfc("4015", "3.1")
def test_two_new_segments_then_the_timeout_was_spurious(iss: int, irs: int, sack: bool) -> None:
    bench = timed_out(iss, irs, sack=sack)
    assert status(bench).cwnd == MSS
    new = at(10) if not sack else at(11)  # a probe had sent one more
    assert acks(bench, 1 + sack) == [(new, MSS), (new + MSS, MSS)]
    assert undone(bench) == 0
    out = acks(bench, 2 + sack)
    assert undone(bench) == 1
    assert status(bench).cwnd >= 10 * MSS
    for segment in range(4, 11):
        out += acks(bench, segment)
    assert out[0] == (new + 2 * MSS, MSS)
    assert all(left > at(10) for left, _ in out), "nothing more is sent again"


@BOTH
@pytest.mark.rfc("5682", "2.1", "step 1")
def test_the_first_segment_only_is_sent_again_though_the_window_let_more_out(iss: int, irs: int, sack: bool) -> None:
    bench = timed_out(iss, irs, replace(CONFIG, congestion="fixed"), sack=sack)
    bench.advance(0.2)
    assert spans(bench) == []


@pytest.mark.rfc("5682", "2.1", "step 2a")
def test_a_duplicate_first_means_that_the_loss_was_real(iss: int, irs: int) -> None:
    bench = timed_out(iss, irs)
    assert acks(bench, 0) == []
    assert acks(bench, 1) == [(at(1), MSS), (at(2), MSS)]
    acks(bench, 3)
    assert undone(bench) == 0


@BOTH
@pytest.mark.rfc("5682", "2.1", "step 2a")
@pytest.mark.rfc("5682", "3.1", "step 2a")
def test_an_acknowledgment_of_everything_proves_nothing(iss: int, irs: int, sack: bool) -> None:
    bench = timed_out(iss, irs, sack=sack)
    out = acks(bench, 10 + sack)
    assert out[0] == (at(10 + sack), MSS)
    acks(bench, 11 + sack)
    assert undone(bench) == 0
    assert status(bench).cwnd <= 4 * MSS


@BOTH
@pytest.mark.rfc("5682", "2.1", "step 2a")
def test_a_peer_that_acknowledges_half_a_segment_deceives_nobody(iss: int, irs: int, sack: bool) -> None:
    bench = timed_out(iss, irs, sack=sack)
    bench.arrives(ACK, 1, 1 + MSS // 2, wnd=WIDE)
    assert all(left < at(10) for left, _ in spans(bench))
    acks(bench, 1)
    acks(bench, 2)
    assert undone(bench) == 0


@BOTH
@pytest.mark.rfc("5682", "2.1", "step 2b")
@pytest.mark.rfc("5682", "3.1", "step 2b")
@pytest.mark.parametrize("why", ["nothing new", "no window"])
def test_with_nothing_new_to_send_recovery_goes_on_as_usual(iss: int, irs: int, sack: bool, why: str) -> None:
    text, wnd = (10, WIDE) if why == "nothing new" else (30, 10 * MSS)
    bench = timed_out(iss, irs, sack=sack, text=text, wnd=wnd)
    assert acks(bench, 1, wnd=wnd if why == "nothing new" else 9 * MSS) == [(at(1), MSS), (at(2), MSS)]
    acks(bench, 3)
    assert undone(bench) == 0


@pytest.mark.rfc("5682", "2.1", "step 2b")
def test_nagle_does_not_hold_the_new_text_back(iss: int, irs: int) -> None:
    bench = timed_out(iss, irs, text=10)
    bench.send(b"tail")
    assert spans(bench) == []
    assert acks(bench, 1) == [(at(10), 4)]
    acks(bench, 2)
    assert undone(bench) == 1


@pytest.mark.rfc("5682", "2.1", "step 3a")
def test_a_duplicate_after_the_new_segments_means_that_the_loss_was_real(iss: int, irs: int) -> None:
    bench = timed_out(iss, irs)
    assert acks(bench, 1) == [(at(10), MSS), (at(11), MSS)]
    assert acks(bench, 1) == [(at(1), MSS)]
    assert status(bench).cwnd == 3 * MSS
    assert acks(bench, 2)[0] == (at(2), MSS)
    assert undone(bench) == 0


@pytest.mark.rfc("5682", "3.1", "step 2")
def test_with_sack_a_duplicate_before_is_waited_through(iss: int, irs: int) -> None:
    """The first segment is the last to come: it was overtaken."""
    bench = timed_out(iss, irs, sack=True)
    assert sacks(bench, 0, (1, 2)) == []
    assert len(sacks(bench, 2)) == 2
    sacks(bench, 3)
    assert undone(bench) == 1


@pytest.mark.rfc("5682", "3.1", "step 3b")
def test_with_sack_a_block_that_was_sent_before_the_timeout_is_enough(iss: int, irs: int) -> None:
    bench = timed_out(iss, irs, sack=True)
    assert len(sacks(bench, 1)) == 2
    sacks(bench, 1, (2, 3))
    assert undone(bench) == 1
    again = [span for span in sacks(bench, 1, (2, 7)) if span[0] < at(10)]
    assert again == [(at(1), MSS)], "what was lost indeed is sent again, what is only late is not"


@pytest.mark.rfc("5682", "3.1", "step 3a")
def test_with_sack_a_block_of_the_new_segments_means_that_the_loss_was_real(iss: int, irs: int) -> None:
    bench = timed_out(iss, irs, sack=True)
    assert len(sacks(bench, 1)) == 2
    out = sacks(bench, 1, (11, 12))
    assert out[0] == (at(1), MSS)
    assert status(bench).cwnd <= 3 * MSS
    assert undone(bench) == 0


@pytest.mark.rfc("5682", "3.1", "step 3a")
def test_with_sack_a_duplicate_without_news_means_that_the_loss_was_real(iss: int, irs: int) -> None:
    bench = timed_out(iss, irs, sack=True)
    assert len(sacks(bench, 1)) == 2
    assert sacks(bench, 1)[0] == (at(1), MSS)
    assert undone(bench) == 0


@pytest.mark.rfc("5682", "3.1", "step 3")
@pytest.mark.rfc("2883", "5")
def test_with_sack_the_report_of_a_duplicate_says_nothing_of_a_loss(iss: int, irs: int) -> None:
    """A probe of the tail was one copy too many as well: its answer may come between the others."""
    bench = timed_out(iss, irs, sack=True)
    assert len(sacks(bench, 1)) == 2
    assert sacks(bench, 1, (0, 1)) == []
    sacks(bench, 2)
    assert undone(bench) == 1


@BOTH
@pytest.mark.rfc("5682", "2.1", "ignore")
def test_what_acknowledges_nothing_and_is_no_duplicate_is_ignored(iss: int, irs: int, sack: bool) -> None:
    bench = timed_out(iss, irs, sack=sack)
    bench.arrives(ACK, 1, at(0), b"text", wnd=WIDE)
    bench.arrives(ACK, 5, at(1), wnd=WIDE)
    assert len(spans(bench)) == 2
    bench.arrives(ACK, 5, at(1), b"more", wnd=WIDE)
    bench.arrives(ACK, 9, at(2), wnd=WIDE)
    assert undone(bench) == 1


@BOTH
@pytest.mark.rfc("5682", "2.1", "re-start")
@pytest.mark.rfc("5682", "3.1", "re-start")
def test_it_begins_anew_when_the_same_segment_times_out_again(iss: int, irs: int, sack: bool) -> None:
    bench = timed_out(iss, irs, sack=sack)
    expire(bench)
    acks(bench, 1)
    acks(bench, 2)
    assert undone(bench) == 1
    assert status(bench).cwnd >= 10 * MSS


@BOTH
@pytest.mark.rfc("5682", "2.1", "step 1")
@pytest.mark.rfc("5682", "3.1", "step 1")
def test_a_timeout_while_a_loss_is_repaired_is_not_doubted(iss: int, irs: int, sack: bool) -> None:
    bench = timed_out(iss, irs, sack=sack)
    acks(bench, 1)
    before = timeouts(bench)
    while timeouts(bench) == before:
        bench.advance(0.1)
    assert spans(bench)[-1] == (at(1), MSS)
    assert acks(bench, 2)[0] == (at(2), MSS)
    acks(bench, 3)
    assert undone(bench) == 0


def test_an_mtu_that_shrinks_meanwhile_sends_all_of_it_again_at_once(iss: int, irs: int) -> None:
    bench = timed_out(iss, irs)
    bench.tcp.icmp_arrives(IcmpError("203.0.113.9", bench.tcp.flow, wrap(iss + 1), 4, 3, 4, 600), bench.now)
    bench.deliver()
    assert spans(bench) == [(1, 560), (561, 560)]
    bench.arrives(ACK, 1, 1121, wnd=WIDE)
    assert spans(bench)[0] == (1121, 560)


def test_without_undo_nothing_is_sent_again_but_the_window_stays_small(iss: int, irs: int) -> None:
    bench = timed_out(iss, irs, replace(CONFIG, undo=False))
    acks(bench, 1)
    acks(bench, 2)
    assert undone(bench) == 1
    assert status(bench).cwnd < 4 * MSS
    assert all(left >= at(10) for segment in range(3, 11) for left, _ in acks(bench, segment))


@BOTH
def test_it_can_be_turned_off(iss: int, irs: int, sack: bool) -> None:
    bench = timed_out(iss, irs, replace(CONFIG, frto=False), sack=sack)
    assert acks(bench, 1) == [(at(1), MSS), (at(2), MSS)]
    acks(bench, 2)
    assert undone(bench) == 0
