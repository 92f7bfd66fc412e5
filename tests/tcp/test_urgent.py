"""Urgent data: the pointer, both ways, and what the users see of it (RFC 9293, 3.8.5; RFC 6093)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.tcp.builders import (
    CONFIG,
    MSS,
    Bench,
    close_wait,
    established,
    established_passive,
    fin_wait_1,
    fin_wait_2,
    listen,
    syn_received,
    syn_sent,
)
from usertcp.tcp.options import Options
from usertcp.tcp.segment import ACK, FIN, SYN, URG

LARGE = replace(CONFIG, receive_buffer=1 << 20, initial_window=1 << 20)


def send_urgent(bench: Bench, data: bytes) -> int:
    taken = bench.tcp.send(data, bench.now, urgent=True)
    bench.send(b"")
    return taken


def pointers(bench: Bench) -> list[tuple[int, int, int | None]]:
    """First octet, how many, and the position that the urgent pointer names, relative, of what was sent."""
    out = []
    for seg in bench.take():
        first = (seg.seq - bench.iss) % 2**32
        assert seg.up == 0 or seg.flags & URG
        out.append((first, len(seg.data), first + seg.up if seg.flags & URG else None))
    return out


# Sending


@pytest.mark.rfc("9293", "3.8.5", "MUST-30")
@pytest.mark.rfc("9293", "3.8.5", "MUST-62")
@pytest.mark.rfc("6093", "4")
def test_the_pointer_names_the_octet_after_the_urgent_data(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    assert send_urgent(bench, b"hurry") == 5
    assert pointers(bench) == [(1, 5, 6)]


def test_nagle_does_not_hold_it_back(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    bench.send(b"then")
    bench.take()
    send_urgent(bench, b"hurry")
    assert pointers(bench) == [(5, 5, 10)]
    bench.send(b"later")
    assert bench.take() == []


@pytest.mark.rfc("9293", "3.8.5", "MUST-30")
def test_segments_beyond_it_do_not_have_one(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    bench.tcp.send(b"then", bench.now)
    bench.tcp.send(b"hurry", bench.now, urgent=True)
    bench.send(bytes(2 * MSS))
    assert pointers(bench) == [(1, MSS, 10), (1001, MSS, None)]
    bench.arrives(ACK, 1, 2001)
    assert pointers(bench) == [(2001, 9, None)]


@pytest.mark.rfc("9293", "3.8.5", "MUST-30")
def test_a_segment_sent_again_has_the_pointer_of_now(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    bench.send(bytes(MSS))
    send_urgent(bench, bytes(MSS))
    assert pointers(bench) == [(1, MSS, None), (1001, MSS, 2001)]
    bench.advance(1.0)
    assert pointers(bench) == [(1, MSS, 2001)]
    bench.arrives(ACK, 1, 1001)
    assert pointers(bench) == [(1001, MSS, 2001)]
    bench.arrives(ACK, 1, 2001)
    bench.send(b"calm")
    assert pointers(bench) == [(2001, 4, None)]


@pytest.mark.rfc("9293", "3.8.5", "MUST-30")
@pytest.mark.parametrize("wnd", [0, 500])
def test_the_peer_is_told_even_if_its_window_has_no_room(iss: int, irs: int, wnd: int) -> None:
    bench = established(iss, irs)
    bench.arrives(ACK, 1, 1, wnd=wnd)
    bench.send(bytes(500))
    bench.take()
    send_urgent(bench, b"hurry")
    assert pointers(bench) == [(1 + wnd, 0, 506)]


@pytest.mark.rfc("9293", "3.8.5", "MUST-30")
def test_the_peer_is_told_even_if_the_send_buffer_has_no_room(iss: int, irs: int) -> None:
    bench = established(iss, irs, replace(CONFIG, send_buffer=500))
    bench.arrives(ACK, 1, 1, wnd=0)
    bench.send(bytes(500))
    assert send_urgent(bench, b"hurry") == 0
    assert pointers(bench) == [(1, 0, 501)]


@pytest.mark.rfc("9293", "3.8.5")
def test_an_urgent_send_of_nothing_says_nothing(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    assert send_urgent(bench, b"") == 0
    assert bench.take() == []


@pytest.mark.rfc("9293", "3.8.5", "MUST-31")
def test_urgent_data_may_be_longer_than_the_pointer_reaches(iss: int, irs: int) -> None:
    bench = syn_sent(iss, irs, LARGE)
    bench.arrives(SYN | ACK, 0, 1, options=Options(mss=MSS, window_scale=7))
    bench.arrives(ACK, 1, 1, wnd=65535)
    bench.take()
    send_urgent(bench, bytes(100 * MSS))
    sent = pointers(bench)
    assert len(sent) == 100
    for first, _, pointer in sent:
        assert pointer == min(first + 65535, 1 + 100 * MSS)


@pytest.mark.rfc("9293", "3.10.2")
@pytest.mark.parametrize("make", [syn_sent, syn_received])
def test_what_is_urgent_before_the_connection_is_there_goes_with_the_first_text(
    iss: int, irs: int, make: Callable[..., Bench]
) -> None:
    bench = make(iss, irs)
    send_urgent(bench, b"hurry")
    assert pointers(bench) == []
    if make is syn_sent:
        bench.arrives(SYN | ACK, 0, 1)
    else:
        bench.arrives(ACK, 1, 1)
    assert pointers(bench) == [(1, 5, 6)]


@pytest.mark.rfc("9293", "3.8.5")
def test_a_syn_that_is_sent_again_has_no_pointer(iss: int, irs: int) -> None:
    bench = syn_sent(iss, irs)
    send_urgent(bench, b"hurry")
    bench.advance(1.0)
    assert bench.sent() == ["<SEQ=0><CTL=SYN>"]


# Receiving


@pytest.mark.rfc("9293", "3.8.5", "MUST-30")
@pytest.mark.rfc("9293", "3.8.5", "MUST-33")
@pytest.mark.rfc("9293", "3.10.7.4", "sixth")
@pytest.mark.parametrize("make", [established, established_passive, fin_wait_1, fin_wait_2])
def test_the_user_can_see_how_much_urgent_data_remains(iss: int, irs: int, make: Callable[..., Bench]) -> None:
    bench = make(iss, irs)
    assert bench.tcp.urgent == 0
    bench.arrives(URG | ACK, 1, 1, b"hurry up", up=8)
    assert bench.tcp.urgent == 8
    assert bench.receive(5) == b"hurry"
    assert bench.tcp.urgent == 3
    assert bench.receive() == b" up"
    assert bench.tcp.urgent == 0


@pytest.mark.rfc("9293", "3.8.5", "MUST-33")
def test_what_has_not_arrived_yet_counts(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    bench.arrives(URG | ACK, 1, 1, up=100)
    assert bench.tcp.urgent == 100
    assert not bench.tcp.readable


@pytest.mark.rfc("9293", "3.8.5", "MUST-31")
def test_there_may_be_more_of_it_than_the_window_holds(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    for n in range(100):
        bench.arrives(URG | ACK, 1 + n * MSS, 1, bytes(MSS), up=min((100 - n) * MSS, 65535))
        assert bench.tcp.urgent == min(100 * MSS - n * MSS, 65535)
        assert len(bench.receive()) == MSS
    assert bench.tcp.urgent == 0


@pytest.mark.rfc("9293", "3.8.5", "MUST-62")
@pytest.mark.rfc("6093", "4")
@pytest.mark.rfc("9293", "3.9.1.3")
def test_one_receive_returns_nothing_beyond_the_pointer_with_what_is_before_it(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    bench.arrives(URG | ACK, 1, 1, b"hurry, then rest", up=5)
    assert bench.receive() == b"hurry"
    assert bench.receive() == b", then rest"


@pytest.mark.rfc("9293", "3.8.5")
def test_the_pointer_advances_and_never_recedes(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    for seq, up, remaining in (1, 10, 10), (1, 5, 10), (1, 20, 20), (3, 18, 20), (3, 19, 21), (1, 0, 21):
        bench.arrives(URG | ACK, seq, 1, up=up)
        assert bench.tcp.urgent == remaining


@pytest.mark.rfc("9293", "3.8.5")
def test_one_that_names_what_was_read_already_says_nothing(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    bench.arrives(ACK, 1, 1, bytes(100))
    bench.receive()
    bench.arrives(URG | ACK, 1, 1, bytes(100), up=100)
    bench.arrives(URG | ACK, 101, 1, up=0)
    assert bench.tcp.urgent == 0


@pytest.mark.rfc("9293", "3.8.5")
def test_without_urg_the_field_means_nothing(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    bench.arrives(ACK, 1, 1, b"text", up=4)
    assert bench.tcp.urgent == 0


@pytest.mark.rfc("9293", "3.8.5")
def test_a_pointer_behind_the_end_means_the_end(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    bench.arrives(URG | FIN | ACK, 1, 1, b"hurry", up=1000)
    assert bench.tcp.urgent == 5
    assert bench.receive() == b"hurry"
    assert (bench.tcp.urgent, bench.tcp.at_eof) == (0, True)


@pytest.mark.rfc("9293", "3.10.7.4", "sixth")
def test_after_the_fin_it_is_ignored(iss: int, irs: int) -> None:
    bench = close_wait(iss, irs)
    bench.arrives(URG | ACK, 2, 1, up=10)
    assert bench.tcp.urgent == 0


@pytest.mark.rfc("9293", "3.10.7.4", "sixth")
def test_a_segment_that_is_not_acceptable_says_nothing(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    bench.arrives(URG | ACK, 5000, 1, up=10)
    assert bench.tcp.urgent == 0


@pytest.mark.rfc("9293", "3.10.7.2")
def test_what_came_with_the_syn_is_urgent_once_it_may_be_read(iss: int, irs: int) -> None:
    bench = listen(iss, irs)
    bench.arrives(SYN | URG, 0, data=b"hurry", up=6)
    assert bench.tcp.urgent == 0
    bench.arrives(ACK, 6, 1)
    assert bench.tcp.urgent == 5
    assert bench.receive() == b"hurry"


@pytest.mark.rfc("9293", "3.10.7.3")
def test_so_is_what_came_with_the_syn_ack(iss: int, irs: int) -> None:
    bench = syn_sent(iss, irs)
    bench.arrives(SYN | ACK | URG, 0, 1, b"hurry", up=6)
    assert bench.tcp.urgent == 5


# Both


@pytest.mark.rfc("9293", "3.8.5", "MUST-62")
@pytest.mark.rfc("6093", "4")
def test_two_ends_mean_the_same_by_it(iss: int, irs: int) -> None:
    bench, peer = established(iss, irs), established_passive(irs, iss)
    bench.tcp.send(b"then ", bench.now)
    bench.tcp.send(b"hurry", bench.now, urgent=True)
    bench.send(b"")
    peer.deliver(*bench.take())
    assert peer.tcp.urgent == 10
    assert peer.receive() == b"then hurry"
    assert peer.tcp.urgent == 0
