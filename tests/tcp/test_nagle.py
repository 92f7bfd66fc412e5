"""The Nagle algorithm (RFC 9293, 3.7.4) and its off switch."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.tcp.builders import CONFIG, MSS, established
from tests.tcp.pairs import spans
from usertcp.tcp.config import Config
from usertcp.tcp.segment import ACK, PSH


@pytest.mark.rfc("9293", "3.7.4", "SHLD-7")
def test_a_small_segment_goes_out_at_once_when_nothing_is_unacknowledged(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    bench.send(b"a")
    assert spans(bench) == [(1, 1)]


@pytest.mark.rfc("9293", "3.7.4", "SHLD-7")
def test_the_next_small_ones_wait_for_the_acknowledgment_and_go_out_together(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    for octet in (b"a", b"b", b"c"):
        bench.send(octet)
    assert spans(bench) == [(1, 1)]
    bench.arrives(ACK, 1, 2)
    assert bench.sent() == ["<SEQ=2><ACK=1><CTL=ACK>bc"]


@pytest.mark.rfc("9293", "3.7.4", "SHLD-7")
@pytest.mark.rfc("9293", "3.9.1.2", "SHLD-28")
def test_a_full_segment_does_not_wait(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    bench.send(b"a")
    bench.send(bytes(MSS + 10))
    assert spans(bench) == [(1, 1), (2, MSS)]


@pytest.mark.rfc("9293", "3.7.4", "MUST-17")
def test_switched_off_nothing_waits(iss: int, irs: int) -> None:
    bench = established(iss, irs, replace(CONFIG, nagle=False))
    for octet in (b"a", b"b", b"c"):
        bench.send(octet)
    assert spans(bench) == [(1, 1), (2, 1), (3, 1)]


@pytest.mark.rfc("9293", "3.7.4", "SHLD-7")
def test_after_close_the_last_small_segment_does_not_wait(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    bench.send(b"a")
    bench.send(b"b")
    bench.take()
    bench.close()
    assert bench.sent() == ["<SEQ=2><ACK=1><CTL=FIN,ACK>b"]


@pytest.mark.rfc("9293", "3.9.1.2", "MUST-61")
@pytest.mark.rfc("9293", "3.9.1.2", "SHLD-27")
def test_the_last_segment_of_what_is_buffered_is_pushed_and_no_other(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    bench.send(bytes(3 * MSS))
    assert [seg.flags & PSH for seg in bench.take()] == [0, 0, PSH]


@pytest.mark.rfc("9293", "3.9.1.2", "MUST-61")
@pytest.mark.rfc("9293", "3.8.6.3", "SHLD-18")
def test_so_is_the_last_that_goes_out_before_what_waits_for_its_acknowledgment(iss: int, irs: int) -> None:
    """The peer would delay that acknowledgment, if it did not know that we are done for now."""
    bench = established(iss, irs)
    bench.send(bytes(3 * MSS + 10))
    assert [seg.flags & PSH for seg in bench.take()] == [0, 0, PSH]
    bench.arrives(ACK, 1, 1 + 3 * MSS)
    assert [seg.flags & PSH for seg in bench.take()] == [PSH]


@pytest.mark.rfc("9293", "3.9.1.2", "MUST-60")
def test_text_is_sent_without_being_asked_to(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    bench.send(b"a")
    bench.send(b"b")
    bench.arrives(ACK, 1, 2)
    bench.arrives(ACK, 1, 3)
    assert bench.tcp.all_acked


@pytest.mark.rfc("9293", "3.7.4", "SHLD-7")
def test_it_is_on_by_default() -> None:
    assert Config().nagle
