"""The window that we offer and the one that we are offered (RFC 9293, 3.8.6; RFC 7323, 2)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.tcp import builders
from tests.tcp.builders import CONFIG, MSS, established
from tests.tcp.pairs import shaken, spans, windows
from usertcp.tcp.config import Config
from usertcp.tcp.options import Options
from usertcp.tcp.segment import ACK, FIN, RST, SYN
from usertcp.tcp.state import State

BIG = replace(CONFIG, receive_buffer=1 << 20)
SCALING = Options(mss=MSS, window_scale=3)


# Ours


@pytest.mark.rfc("7323", "2.2")
def test_the_window_of_a_syn_is_never_scaled(iss: int, irs: int) -> None:
    bench = builders.closed(iss, irs, BIG)
    bench.open()
    (syn,) = bench.take()
    assert (syn.wnd, syn.options.window_scale) == (65535, 4)
    bench.arrives(SYN | ACK, 0, 1, options=SCALING)
    (ack,) = bench.take()
    assert ack.wnd << 4 >= 65535


@pytest.mark.rfc("7323", "2.2")
def test_nor_that_of_a_syn_ack(iss: int, irs: int) -> None:
    bench = builders.listen(iss, irs, BIG)
    bench.arrives(SYN, 0, options=SCALING)
    (syn_ack,) = bench.take()
    assert (syn_ack.wnd, syn_ack.options.window_scale) == (65535, 4)


@pytest.mark.rfc("7323", "2.2")
def test_without_the_peers_offer_nothing_is_scaled(iss: int, irs: int) -> None:
    bench = shaken(iss, irs, BIG)
    bench.arrives(ACK, 1, 1, b"x")
    assert windows(bench) == [65534]  # for one octet its edge does not move


@pytest.mark.rfc("7323", "2.2")
@pytest.mark.parametrize("buffer", [1, 100, 65535, 65536, 1 << 20, 1 << 30])
def test_the_offered_window_is_what_the_buffer_holds(iss: int, irs: int, buffer: int) -> None:
    bench = shaken(iss, irs, replace(CONFIG, receive_buffer=buffer), SCALING)
    bench.send(b"x")
    (seg,) = bench.take()
    scale = bench.tcp.status(bench.now).rcv_scale
    assert 0 <= (seg.wnd << scale) - buffer < 1 << scale or buffer > 65535 << scale


@pytest.mark.rfc("9293", "3.8.6", "SHLD-14")
@pytest.mark.parametrize("buffer", [4000, 65536, 1 << 20])
@pytest.mark.parametrize("size", [1, 3, 100, 999])
def test_the_right_edge_is_never_moved_left(iss: int, irs: int, buffer: int, size: int) -> None:
    """Scaling rounds: it may lie one unit short of where it was, and what was promised is honoured (RFC 7323, 2.4)."""
    bench = shaken(iss, irs, replace(CONFIG, receive_buffer=buffer), SCALING)
    scale = bench.tcp.status(bench.now).rcv_scale
    seq, edge = 1, 0
    for n in range(200):
        bench.arrives(ACK, seq, 1, bytes(size))
        seq += size
        for seg in bench.take():
            here = (seg.ack - irs) % 2**32 + (seg.wnd << scale)
            assert here > edge - (1 << scale)
            edge = max(edge, here)
        if n % 7 == 0:
            bench.receive(3 * size)


@pytest.mark.rfc("9293", "3.8.6.2.2", "MUST-39")
def test_tiny_reads_do_not_open_tiny_windows(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    for n in range(4):
        bench.arrives(ACK, 1 + n * MSS, 1, bytes(MSS))
    assert windows(bench)[-1] == 0
    for _ in range(MSS // 10 - 1):
        bench.receive(10)
        assert bench.take() == []
        bench.arrives(ACK, 4001, 1, b"p")  # a probe
        assert windows(bench) == [0]
    bench.receive(10)
    assert windows(bench) == [MSS]


@pytest.mark.rfc("9293", "3.8.6.2.2", "MUST-39")
def test_half_the_buffer_is_enough_when_that_is_less_than_a_segment(iss: int, irs: int) -> None:
    bench = shaken(iss, irs, replace(CONFIG, receive_buffer=600))
    bench.arrives(ACK, 1, 1, bytes(600))
    assert windows(bench) == [0]
    bench.receive(299)
    assert bench.take() == []
    bench.receive(1)
    assert windows(bench) == [300]


@pytest.mark.rfc("9293", "3.8.6.2.2", "MUST-39")
@pytest.mark.parametrize("buffer", [1, 2, 3, 50, 4000, 65535 + 34 * MSS])
def test_a_full_window_reopens_when_the_user_has_read(iss: int, irs: int, buffer: int) -> None:
    bench = shaken(iss, irs, replace(CONFIG, receive_buffer=buffer))
    offered = []
    for begin in range(0, buffer, MSS):
        bench.arrives(ACK, 1 + begin, 1, bytes(min(MSS, buffer - begin)))
        offered += windows(bench)
    assert offered[-1] == 0
    assert len(bench.receive(1 << 20)) == buffer
    assert windows(bench) == [min(buffer, 65535)]


@pytest.mark.rfc("7323", "2.2")
def test_without_scaling_what_is_unread_lowers_the_window_only_when_less_is_left(iss: int, irs: int) -> None:
    bench = shaken(iss, irs, replace(CONFIG, receive_buffer=65535 + 34 * MSS))
    for n in range(1, 100):
        bench.arrives(ACK, 1 + (n - 1) * MSS, 1, bytes(MSS))
        assert {*windows(bench)} == {min(max(65535 + (34 - n) * MSS, 0), 65535)}


@pytest.mark.rfc("9293", "3.8.6.2.2", "MUST-39")
def test_so_it_does_when_the_buffer_is_made_larger(iss: int, irs: int) -> None:
    bench = shaken(iss, irs)
    for begin in range(0, 4000, MSS):
        bench.arrives(ACK, 1 + begin, 1, bytes(MSS))
    bench.take()
    bench.tcp.configure(replace(CONFIG, receive_buffer=4100), bench.now)
    assert bench.tcp.output(bench.now) == []  # that would be a silly window
    bench.tcp.configure(replace(CONFIG, receive_buffer=9000), bench.now)
    assert [seg.wnd for seg in bench.tcp.output(bench.now)] == [5000]


def test_reading_from_a_wide_window_sends_nothing(iss: int, irs: int) -> None:
    bench = shaken(iss, irs, BIG, SCALING)
    bench.arrives(ACK, 1, 1, bytes(MSS))
    bench.take()
    bench.receive(MSS)
    assert bench.take() == []


def test_after_the_fin_of_the_peer_reading_sends_nothing(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    for n in range(4):
        bench.arrives(ACK, 1 + n * MSS, 1, bytes(MSS - (n == 3)))
    bench.arrives(FIN | ACK, 4000, 1)
    bench.take()
    assert len(bench.receive(4000)) == 3999
    assert bench.take() == []


@pytest.mark.rfc("9293", "3.10.7.4", "seventh")
def test_text_beyond_the_window_is_not_taken(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    bench.arrives(ACK, 1, 1, bytes(4100))
    assert [(seg.ack - irs - 1) % 2**32 for seg in bench.take()] == [4000]
    assert len(bench.receive(9999)) == 4000


# The peer's


@pytest.mark.rfc("9293", "3.1", "MUST-1")
def test_no_more_is_sent_than_the_window_offers(iss: int, irs: int) -> None:
    bench = shaken(iss, irs, wnd=2500)
    bench.send(bytes(10_000))
    assert spans(bench) == [(1, MSS), (1001, MSS)]


@pytest.mark.rfc("7323", "2.3")
@pytest.mark.rfc("7323", "2.2")
@pytest.mark.parametrize(("offered", "meant"), [(0, 0), (3, 3), (14, 14), (15, 14), (255, 14)])
def test_a_scale_above_14_is_taken_for_14(iss: int, irs: int, offered: int, meant: int) -> None:
    bench = shaken(iss, irs, options=Options(mss=MSS, window_scale=offered))
    bench.arrives(ACK, 1, 1, wnd=1000)
    status = bench.tcp.status(bench.now)
    assert (status.snd_scale, status.snd_wnd) == (meant, 1000 << meant)


@pytest.mark.rfc("7323", "2.2")
def test_the_window_of_the_peers_syn_is_taken_unscaled(iss: int, irs: int) -> None:
    bench = shaken(iss, irs, options=Options(mss=MSS, window_scale=14), wnd=1000)
    assert bench.tcp.status(bench.now).snd_wnd == 1000


@pytest.mark.rfc("7323", "2.2")
def test_the_window_in_syn_received_does_not_underflow(iss: int, irs: int) -> None:
    bench = builders.syn_sent(iss, irs)
    bench.arrives(SYN, 0, options=SCALING, wnd=0)
    assert [seg.wnd for seg in bench.take()] == [4000]
    bench.arrives(ACK, 1, 1, wnd=0)
    bench.send(b"text")
    assert bench.take() == []


@pytest.mark.rfc("9293", "3.10.7.4", "SND.WL1")
def test_an_older_segment_does_not_update_the_window(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    bench.arrives(ACK, 101, 1, b"later", wnd=3000)
    bench.arrives(ACK, 1, 1, b"earlier, but late", wnd=1)
    assert bench.tcp.status(bench.now).snd_wnd == 3000


@pytest.mark.rfc("9293", "3.10.7.4", "SND.WL2")
def test_an_older_acknowledgment_does_not_update_it_either(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    bench.send(b"text")
    bench.arrives(ACK, 1, 5, wnd=3000)
    bench.arrives(ACK, 1, 1, wnd=1)
    assert bench.tcp.status(bench.now).snd_wnd == 3000


@pytest.mark.rfc("9293", "3.10.7.4", "SND.WL1")
def test_an_ack_that_advances_brings_its_window_whatever_its_seq(iss: int, irs: int) -> None:
    """Else SND.UNA + SND.WND, the right edge, would move where the peer has never offered it."""
    bench = established(iss, irs)
    bench.send(bytes(3000))
    bench.arrives(ACK, 101, 1, b"later", wnd=3000)
    bench.arrives(ACK, 1, 3001, bytes(100), wnd=200)
    bench.take()
    bench.send(bytes(3000))
    bench.advance(0.6)
    assert spans(bench) == [(3001, 200)]


@pytest.mark.rfc("9293", "3.8.6", "MUST-34")
@pytest.mark.rfc("9293", "3.8.6", "SHLD-15")
def test_a_window_that_shrinks_stops_new_text(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    bench.send(bytes(3000))
    bench.take()
    bench.arrives(ACK, 1, 1, wnd=1000)
    bench.send(bytes(3000))
    assert bench.take() == []
    bench.arrives(ACK, 1, 1001, wnd=1000)
    assert bench.take() == []


@pytest.mark.rfc("9293", "3.8.6", "SHLD-16")
def test_old_text_within_the_shrunk_window_is_repeated_and_none_beyond(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    bench.send(bytes(3000))
    bench.arrives(ACK, 1, 1, wnd=1500)
    bench.take()
    bench.advance(1.1)
    bench.arrives(ACK, 1, 1001, wnd=500)
    bench.advance(3.0)
    assert {begin + octets <= 1501 for begin, octets in spans(bench)} == {True}


@pytest.mark.rfc("9293", "3.8.6", "SHLD-17")
@pytest.mark.rfc("9293", "3.8.6.1", "MUST-37")
def test_text_beyond_the_shrunk_window_does_not_end_the_connection(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    bench.send(bytes(3000))
    bench.arrives(ACK, 1, 1001, wnd=0)
    for _ in range(60):
        bench.advance(10.0)
        if bench.take():
            bench.arrives(ACK, 1, 1001, wnd=0)
    assert bench.tcp.error is None
    bench.arrives(ACK, 1, 1001, wnd=5000)
    assert spans(bench)[0] == (1001, MSS)


# Silly windows, the sender's side


@pytest.mark.rfc("9293", "3.8.6.2.1", "MUST-38")
def test_a_silly_window_is_not_used_at_once(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    bench.send(bytes(5000))
    bench.arrives(ACK, 1, 5001, wnd=10)
    bench.take()
    bench.send(bytes(500))
    assert bench.take() == []


@pytest.mark.rfc("9293", "3.8.6.2.1", "MUST-38")
def test_half_the_largest_window_is_worth_sending(iss: int, irs: int) -> None:
    bench = shaken(iss, irs, wnd=600)
    bench.send(bytes(600))
    bench.take()
    bench.arrives(ACK, 1, 601, wnd=299)
    bench.send(bytes(600))
    assert bench.take() == []
    bench.arrives(ACK, 1, 601, wnd=300)
    assert spans(bench) == [(601, 300)]


@pytest.mark.rfc("9293", "3.8.6.2.1", "MUST-38")
def test_the_override_sends_what_a_silly_window_holds_after_a_while(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    bench.arrives(ACK, 1, 1, wnd=10)
    bench.send(bytes(500))
    bench.advance(0.09)
    assert bench.take() == []
    bench.advance(0.92)
    assert spans(bench) == [(1, 10)]


@pytest.mark.rfc("9293", "3.8.6.2.1", "MUST-38")
def test_a_talking_peer_does_not_put_the_override_off(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    bench.arrives(ACK, 1, 1, wnd=10)
    bench.send(bytes(500))
    for n in range(10):
        bench.advance(0.1)
        bench.arrives(ACK, 1 + n, 1, b"x", wnd=10)
    assert (1, 10) in spans(bench)


def test_the_default_config_scales() -> None:
    assert Config().window_scaling


def test_all_that_is_sent_fits_the_window_to_the_last_octet_and_the_fin_waits(iss: int, irs: int) -> None:
    bench = shaken(iss, irs, wnd=1000)
    bench.send(bytes(1000))
    bench.close()
    assert [(seg.flags & FIN, len(seg.data)) for seg in bench.take()] == [(0, 1000)]
    bench.arrives(ACK, 1, 1001, wnd=1)
    assert bench.sent() == ["<SEQ=1001><ACK=1><CTL=FIN,ACK>"]


@pytest.mark.rfc("9293", "3.1", "REC-1")
def test_windows_beyond_16_bits_are_used(iss: int, irs: int) -> None:
    bench = shaken(iss, irs, replace(CONFIG, initial_window=200_000), options=Options(mss=MSS, window_scale=14))
    bench.arrives(ACK, 1, 1, wnd=65535)
    bench.send(bytes(150_000))
    assert len(spans(bench)) == 150


def test_two_ends_that_filled_the_other_ones_window_and_lost_its_beginning_hear_of_each_other(
    iss: int, irs: int
) -> None:
    """Both name the right edge as SEQ, for that is their SND.NXT; by Table 6 neither would take the other's ACK."""
    bench = established(iss, irs, replace(CONFIG, receive_buffer=3000))
    bench.arrives(ACK, 1, 1, wnd=2000)
    bench.send(bytes(2000))
    bench.arrives(ACK, 2001, 1, bytes(1000))
    bench.take()
    bench.arrives(ACK, 3001, 1001, wnd=2000)
    assert bench.tcp.status(bench.now).flight_size == 1000
    bench.arrives(RST | ACK, 3001, 2001)
    assert bench.state is State.ESTABLISHED
