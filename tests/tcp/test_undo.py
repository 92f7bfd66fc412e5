"""Losses that were none are taken back (RFC 3522; RFC 4015; RFC 2883)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.tcp import builders
from tests.tcp.builders import MSS, Bench
from tests.tcp.pairs import spans
from tests.tcp.sacks import WIDE
from usertcp.tcp.config import Config
from usertcp.tcp.options import Options
from usertcp.tcp.segment import ACK, ECE, SYN
from usertcp.tcp.sequence import unwrap, wrap
from usertcp.tcp.status import Status

CONFIG = replace(builders.CONFIG, rack=True)

RTT = 0.1


class Sender:
    """Ten full segments were sent."""

    def __init__(self, iss: int, irs: int, config: Config = CONFIG, *, sack: bool = True, stamps: bool = True) -> None:
        bench = builders.closed(iss, irs, replace(config, initial_window=10 * MSS))
        bench.open()
        bench.advance(RTT)
        stamp = (7, self.stamp(bench)) if stamps else None
        options = Options(mss=MSS, sack_permitted=sack, timestamps=stamp)
        marks = ECE if config.ecn == "on" else 0
        bench.arrives(SYN | ACK | marks, 0, 1, options=options, wnd=WIDE)
        bench.take()
        self.bench, self.stamps = bench, stamps
        self.full = bench.tcp.status(bench.now).snd_mss
        self.originals = self.stamp(bench)
        bench.send(bytes(30 * self.full))
        assert len(spans(bench)) == 10

    @staticmethod
    def stamp(bench: Bench) -> int:
        """TSval of what is sent now."""
        return int(bench.now * 1000)

    def answer(
        self, ack: int, *blocks: tuple[int, int], echo: int | None = None, flags: int = ACK
    ) -> list[tuple[int, int]]:
        """The peer has everything before *ack* and these blocks, in numbers of segments, and echoes this TSval."""
        bench = self.bench
        sack = tuple((wrap(bench.iss + self.at(a)), wrap(bench.iss + self.at(b))) for a, b in blocks)
        stamp = (8, self.stamp(bench) if echo is None else echo) if self.stamps else None
        bench.arrives(flags, 1, self.at(ack), wnd=WIDE, options=Options(timestamps=stamp, sack=sack))
        return spans(bench)

    def at(self, segment: int) -> int:
        return 1 + segment * self.full

    def status(self) -> Status:
        return self.bench.tcp.status(self.bench.now)

    def undone(self) -> int:
        return self.status().counters.get("losses that were none", 0)


def timed_out(sender: Sender) -> None:
    """The retransmission timer has expired once, whatever probes came before."""
    while not sender.status().counters.get("retransmission timeouts"):
        sender.bench.advance(0.1)
    spans(sender.bench)


@pytest.mark.rfc("3522", "3.2")
@pytest.mark.rfc("4015", "3.1")
@pytest.mark.parametrize("sack", [False, True])
def test_after_a_spurious_timeout_the_window_is_restored_and_new_text_follows(iss: int, irs: int, sack: bool) -> None:
    sender = Sender(iss, irs, sack=sack)
    timed_out(sender)
    assert sender.status().cwnd < 2 * MSS
    out = sender.answer(2, echo=sender.originals)
    assert sender.undone() == 1
    status = sender.status()
    assert status.ssthresh >= 10 * sender.full
    assert status.cwnd >= 10 * sender.full
    assert out
    assert all(left >= sender.at(10) for left, _ in out)


@pytest.mark.rfc("4015", "3.1", "step 9")
def test_not_if_the_peer_tells_of_congestion_in_the_same_breath(iss: int, irs: int) -> None:
    sender = Sender(iss, irs, replace(CONFIG, ecn="on"))
    timed_out(sender)
    out = sender.answer(2, echo=sender.originals, flags=ACK | ECE)
    assert sender.undone() == 1
    assert sender.status().cwnd < 3 * MSS
    assert all(left >= sender.at(10) for left, _ in out)


@pytest.mark.rfc("4015", "3.1", "step 11")
def test_the_timer_learns_from_it(iss: int, irs: int) -> None:
    sender = Sender(iss, irs)
    timed_out(sender)
    sender.answer(2, echo=sender.originals)
    sent = sender.stamp(sender.bench)
    sender.bench.advance(0.9)
    sender.answer(12, echo=sent)
    assert sender.status().srtt == pytest.approx(0.9, abs=0.01)
    assert sender.status().rto == pytest.approx(0.9 + 4 * 0.45, abs=0.05)


@pytest.mark.rfc("3522", "3.2")
def test_a_timeout_that_was_right_is_not_taken_back(iss: int, irs: int) -> None:
    sender = Sender(iss, irs, replace(CONFIG, frto=False))
    timed_out(sender)
    sent_again = sender.stamp(sender.bench)
    sender.bench.advance(RTT)
    sender.answer(2, echo=sent_again)
    assert sender.undone() == 0
    sender.answer(3, echo=sender.originals)  # only the first acknowledgment counts
    assert sender.undone() == 0


@pytest.mark.rfc("3522", "3.2", "step 5")
def test_when_all_acknowledgments_were_lost_the_timeout_was_right(iss: int, irs: int) -> None:
    for blocks in ([(0, 1)], []):
        sender = Sender(iss, irs)
        timed_out(sender)
        end = unwrap(sender.status().snd_nxt, iss) - iss
        sender.answer((end - 1) // sender.full, *blocks, echo=sender.originals)
        assert sender.undone() == 0


@pytest.mark.rfc("3522", "3.2", "step 2")
@pytest.mark.rfc("4015", "3.1")
def test_the_second_timeout_of_a_segment_is_taken_back_to_before_the_first(iss: int, irs: int) -> None:
    sender = Sender(iss, irs)
    timed_out(sender)
    sender.bench.advance(3.0)
    assert sender.status().counters["retransmission timeouts"] > 1
    sender.answer(2, echo=sender.originals)
    assert sender.undone() == 1
    assert sender.status().cwnd >= 10 * sender.full


@pytest.mark.rfc("3522", "3.2")
@pytest.mark.parametrize("sack", [False, True])
def test_after_a_spurious_fast_retransmit_the_window_is_restored(iss: int, irs: int, sack: bool) -> None:
    sender = Sender(iss, irs, sack=sack)
    sender.bench.advance(RTT)
    for right in range(2, 5):
        sender.answer(0, *([(1, right)] if sack else []), echo=sender.originals)
    assert sender.status().in_fast_recovery
    sender.bench.advance(0.01)
    sender.answer(4, echo=sender.originals)
    status = sender.status()
    assert (sender.undone(), status.in_fast_recovery) == (1, False)
    assert status.cwnd >= 10 * sender.full


@pytest.mark.rfc("2883", "5")
def test_dsacks_of_everything_that_was_sent_again_restore_it_too(iss: int, irs: int) -> None:
    sender = Sender(iss, irs, stamps=False)
    sender.bench.advance(RTT)
    out = sender.answer(0, (2, 6)) + sender.answer(0, (2, 8)) + sender.answer(0, (2, 9))
    again = [span for span in out if span[0] < sender.at(10)]
    assert again == [(sender.at(0), sender.full), (sender.at(1), sender.full)]
    sender.bench.advance(0.01)
    sender.answer(9)
    sender.bench.advance(RTT)
    sender.answer(9, (0, 1))
    assert sender.undone() == 0
    sender.answer(9, (1, 2))
    assert sender.undone() == 1
    assert sender.status().cwnd >= 10 * MSS


@pytest.mark.rfc("2883", "5")
def test_a_dsack_of_something_else_proves_nothing(iss: int, irs: int) -> None:
    sender = Sender(iss, irs, stamps=False)
    sender.bench.advance(RTT)
    sender.answer(2)
    sender.answer(2, (3, 6))
    sender.bench.advance(RTT)
    sender.answer(6, (0, 1))
    assert sender.undone() == 0


def test_it_can_be_turned_off(iss: int, irs: int) -> None:
    sender = Sender(iss, irs, replace(CONFIG, undo=False))
    timed_out(sender)
    sender.answer(2, echo=sender.originals)
    assert sender.undone() == 0
