"""When text is acknowledged (RFC 9293, 3.8.6.3; RFC 5681, 4.2)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.tcp.builders import CONFIG, MSS, Bench, established
from tests.tcp.pairs import shaken
from usertcp.tcp.config import Config
from usertcp.tcp.options import Options
from usertcp.tcp.segment import ACK, FIN, PSH, Segment
from usertcp.tcp.sequence import wrap

DELAYING = replace(CONFIG, delayed_ack=0.2, receive_buffer=60_000)


@pytest.fixture
def bench(iss: int, irs: int) -> Bench:
    return established(iss, irs, DELAYING)


@pytest.mark.rfc("9293", "3.8.6.3", "SHLD-18")
@pytest.mark.rfc("9293", "3.8.6.3", "MUST-40")
def test_a_full_segment_is_acknowledged_after_the_delay(bench: Bench) -> None:
    bench.arrives(ACK, 1, 1, bytes(MSS))
    bench.advance(0.19)
    assert bench.take() == []
    bench.advance(0.02)
    assert bench.sent() == [f"<SEQ=1><ACK={1 + MSS}><CTL=ACK>"]


@pytest.mark.rfc("9293", "3.8.6.3", "SHLD-19")
def test_every_second_full_segment_is_acknowledged_at_once(bench: Bench) -> None:
    for n in range(6):
        bench.arrives(ACK, 1 + n * MSS, 1, bytes(MSS))
    assert bench.sent() == [f"<SEQ=1><ACK={1 + n * MSS}><CTL=ACK>" for n in (2, 4, 6)]


@pytest.mark.rfc("9293", "3.8.6.3", "SHLD-19")
def test_octets_count_where_a_link_has_merged_segments(bench: Bench) -> None:
    bench.arrives(ACK, 1, 1, bytes(2 * MSS))
    assert bench.sent() == [f"<SEQ=1><ACK={1 + 2 * MSS}><CTL=ACK>"]
    bench.arrives(ACK, 1 + 2 * MSS, 1, bytes(20 * MSS))
    assert bench.sent() == [f"<SEQ=1><ACK={1 + 22 * MSS}><CTL=ACK>"]


@pytest.mark.rfc("9293", "3.8.6.3", "SHLD-19")
def test_with_timestamps_a_full_segment_is_twelve_octets_shorter(iss: int, irs: int) -> None:
    bench = shaken(iss, irs, DELAYING, Options(mss=MSS, timestamps=(7, 0)))
    stamp = Options(timestamps=(8, 0))
    bench.arrives(ACK, 1, 1, bytes(MSS - 12), options=stamp)
    assert bench.take() == []
    bench.arrives(ACK, 1 + MSS - 12, 1, bytes(MSS - 12), options=stamp)
    assert len(bench.take()) == 1


@pytest.mark.rfc("9293", "3.8.6.3", "SHLD-18")
def test_text_that_goes_our_way_carries_the_acknowledgment(bench: Bench) -> None:
    bench.arrives(ACK, 1, 1, bytes(MSS))
    bench.send(b"answer")
    assert bench.sent() == [f"<SEQ=1><ACK={1 + MSS}><CTL=ACK>answer"]
    bench.arrives(ACK, 1 + MSS, 7)
    bench.advance(10.0)
    assert bench.take() == []


@pytest.mark.rfc("9293", "3.8.6.3", "MUST-40")
@pytest.mark.parametrize(("flags", "octets"), [(ACK, 1), (ACK, 535), (ACK | PSH, MSS), (ACK | FIN, MSS)])
def test_the_tail_of_what_the_peer_says_is_acknowledged_at_once(bench: Bench, flags: int, octets: int) -> None:
    """Its Nagle algorithm may be waiting for that."""
    bench.arrives(flags, 1, 1, bytes(octets))
    assert len(bench.take()) == 1


@pytest.mark.rfc("9293", "3.8.6.3", "SHLD-18")
def test_segments_that_fill_the_peers_narrower_path_are_full_sized(bench: Bench) -> None:
    for n in range(6):
        bench.arrives(ACK, 1 + n * 800, 1, bytes(800))
    assert bench.sent() == [f"<SEQ=1><ACK={1 + n * 800}><CTL=ACK>" for n in (2, 4, 6)]


@pytest.mark.rfc("5681", "4.2")
@pytest.mark.rfc("9293", "3.10.7.4", "MAY-13")
def test_out_of_order_text_is_acknowledged_at_once_each_time(bench: Bench) -> None:
    for n in (1, 2, 3):
        bench.arrives(ACK, 1 + n * MSS, 1, bytes(MSS))
    assert bench.sent() == ["<SEQ=1><ACK=1><CTL=ACK>"] * 3


@pytest.mark.rfc("5681", "4.2")
def test_so_is_text_that_fills_a_hole_or_part_of_one(bench: Bench) -> None:
    bench.arrives(ACK, 1 + MSS, 1, bytes(MSS))
    bench.arrives(ACK, 1 + 3 * MSS, 1, bytes(MSS))
    bench.take()
    bench.arrives(ACK, 1, 1, bytes(MSS))
    assert bench.sent() == [f"<SEQ=1><ACK={1 + 2 * MSS}><CTL=ACK>"]
    bench.arrives(ACK, 1 + 2 * MSS, 1, bytes(MSS))
    assert bench.sent() == [f"<SEQ=1><ACK={1 + 4 * MSS}><CTL=ACK>"]


@pytest.mark.rfc("5681", "4.2")
def test_so_is_a_fin_that_comes_again_ahead_of_text(bench: Bench) -> None:
    """It may be the probe of a peer that waits to hear what is missing (RFC 8985, 7.3)."""
    for _ in range(3):
        bench.arrives(FIN | ACK, 1 + MSS, 1)
    assert bench.sent() == ["<SEQ=1><ACK=1><CTL=ACK>"] * 3


@pytest.mark.rfc("9293", "3.10.7.4", "first")
def test_old_text_is_acknowledged_at_once(bench: Bench) -> None:
    bench.arrives(ACK, 1, 1, b"text")
    bench.take()
    bench.arrives(ACK, 1, 1, b"text")
    assert bench.sent() == ["<SEQ=1><ACK=5><CTL=ACK>"]


def test_switched_off_every_segment_is_acknowledged_at_once(iss: int, irs: int) -> None:
    bench = established(iss, irs, replace(DELAYING, delayed_ack=0.0))
    for n in range(3):
        bench.arrives(ACK, 1 + n * MSS, 1, bytes(MSS))
    assert len(bench.take()) == 3


@pytest.mark.rfc("9293", "3.8.6.3", "MUST-40")
def test_a_delay_of_half_a_second_is_refused() -> None:
    assert Config().delayed_ack < 0.5
    with pytest.raises(ValueError, match="delayed_ack"):
        Config(delayed_ack=0.5)


@pytest.mark.rfc("9293", "3.10.7.4", "MUST-58")
@pytest.mark.rfc("9293", "3.10.7.4", "MUST-59")
def test_segments_that_arrive_together_are_acknowledged_together(bench: Bench) -> None:
    irs, iss = bench.irs, bench.iss
    for n in range(4):
        seg = Segment(wrap(irs + 1 + n * MSS), wrap(iss + 1), ACK, 5000, data=bytes(MSS))
        bench.tcp.segment_arrives(seg, bench.now)
    assert [wrap(seg.ack - irs) for seg in bench.tcp.output(bench.now)] == [1 + 4 * MSS]
