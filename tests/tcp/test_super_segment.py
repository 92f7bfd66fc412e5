"""Super-segments, for links that cut them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.tcp.builders import CONFIG, FLOW, MSS, Bench
from usertcp.tcp.config import Config
from usertcp.tcp.connection import Connection
from usertcp.tcp.options import Options
from usertcp.tcp.segment import ACK, FIN, PSH, SYN, URG, Segment
from usertcp.tcp.sequence import wrap
from usertcp.tcp.super_segment import cut

WIDE = replace(CONFIG, initial_window=100 * MSS, send_buffer=1 << 20, nagle=False)
SEGMENTS = 65
"""Of 1,000 octets, that fit into an IPv4 packet together, with headers of whatever length."""


def offloading(iss: int, irs: int, config: Config = WIDE, wnd: int = 65535, *, sack: bool = False) -> Bench:
    bench = Bench(iss, irs, config)
    bench.tcp = Connection(FLOW, config, iss=iss, mss=MSS, offload=True)
    bench.open()
    bench.arrives(SYN | ACK, 0, 1, wnd=wnd, options=Options(mss=MSS, sack_permitted=sack))
    bench.take()
    return bench


def texts(bench: Bench) -> list[tuple[int, int, int]]:
    """SEQ, length and the size that it is cut into, of what goes out."""
    return [((seg.seq - bench.iss) % 2**32, len(seg.data), seg.mss) for seg in bench.take()]


def test_as_much_as_the_windows_allow_goes_out_in_one(iss: int, irs: int) -> None:
    bench = offloading(iss, irs)
    bench.send(bytes(40_500))
    assert texts(bench) == [(1, 40_500, MSS)]


def test_what_nagles_algorithm_holds_back_is_not_in_it_but_before_a_fin(iss: int, irs: int) -> None:
    bench = offloading(iss, irs, replace(WIDE, nagle=True))
    bench.send(bytes(40_500))
    assert texts(bench) == [(1, 40_000, MSS)]
    bench = offloading(iss, irs, replace(WIDE, nagle=True))
    bench.tcp.send(bytes(40_500), bench.now)
    bench.close()
    (seg,) = bench.take()
    assert (len(seg.data), seg.mss, seg.flags & FIN) == (40_500, MSS, FIN)


def test_never_more_than_fits_into_an_ip_packet_while_nothing_is_known_of_the_path(iss: int, irs: int) -> None:
    bench = offloading(iss, irs)
    bench.tcp.tcb.snd.wnd = 1 << 20
    bench.tcp.tcb.rtt.srtt = None
    bench.send(bytes(100_000))
    assert texts(bench)[0] == (1, SEGMENTS * MSS, MSS)


@pytest.mark.parametrize(("srtt", "segments"), [(0.0005, 1048), (0.002, 500), (0.1, SEGMENTS)])
def test_then_what_is_sent_in_a_millisecond(iss: int, irs: int, srtt: float, segments: int) -> None:
    bench = offloading(iss, irs, replace(WIDE, initial_window=500 * MSS, send_buffer=2 << 20, auto_tuning=False))
    tcb = bench.tcp.tcb
    tcb.snd.wnd = 2 << 20
    tcb.rtt.srtt = srtt
    tcb.congestion.cwnd = 3000 * MSS if srtt < 0.001 else 500 * MSS
    bench.send(bytes(2 << 20))
    assert texts(bench)[0] == (1, segments * MSS, MSS)


def test_nothing_is_copied_where_a_large_piece_ends(iss: int, irs: int) -> None:
    """It ends the super-segment, but for what is too short for a segment, which is joined with what follows."""
    bench = offloading(iss, irs, replace(WIDE, initial_window=500 * MSS))
    tcb = bench.tcp.tcb
    tcb.snd.wnd, tcb.rtt.srtt = 1 << 20, 0.0001
    bench.tcp.send(bytes(100_500), bench.now)
    bench.send(bytes(100_000))
    assert texts(bench) == [(1, 100_000, MSS), (100_001, 65_000, MSS), (165_001, 35_500, MSS)]


def test_the_congestion_window_is_kept(iss: int, irs: int) -> None:
    bench = offloading(iss, irs, replace(WIDE, initial_window=7 * MSS + 300))
    bench.send(bytes(40_000))
    assert texts(bench) == [(1, 7 * MSS, MSS)]


def test_an_urgent_pointer_is_in_ordinary_segments(iss: int, irs: int) -> None:
    bench = offloading(iss, irs)
    bench.tcp.send(bytes(3 * MSS), bench.now, urgent=True)
    out = [seg for seg in bench.tcp.output(bench.now) if seg.data]
    assert [len(seg.data) for seg in out] == [MSS] * 3
    assert all(seg.flags & URG for seg in out)


@pytest.mark.parametrize("left", [0, 2**32 - 1500])
def test_what_a_link_makes_of_it(left: int) -> None:
    seg = Segment(left, 7, ACK | PSH | FIN, 5, data=bytes(range(250)) * 10, mss=MSS)
    parts = list(cut(seg))
    assert b"".join(part.data for part in parts) == seg.data
    assert [part.seq for part in parts] == [wrap(left + n * MSS) for n in range(3)]
    assert [part.flags for part in parts] == [ACK, ACK, ACK | PSH | FIN]
    assert {part.mss for part in parts} == {0}


def test_a_part_that_is_lost_is_sent_again_alone(iss: int, irs: int) -> None:
    config = replace(WIDE, rack=False)
    bench = Bench(iss, irs, config)
    bench.tcp = Connection(FLOW, config, iss=iss, mss=MSS, offload=True)
    bench.open()
    bench.arrives(SYN | ACK, 0, 1, wnd=65535, options=Options(mss=MSS, sack_permitted=True))
    bench.take()
    bench.send(bytes(20 * MSS))
    assert texts(bench) == [(1, 20 * MSS, MSS)]
    block = (wrap(iss + 1 + 5 * MSS), wrap(iss + 1 + 20 * MSS))
    bench.arrives(ACK, 1, 1 + 4 * MSS, wnd=65535, options=Options(sack=(block,)))
    assert texts(bench) == [(1 + 4 * MSS, MSS, 0)]


@pytest.mark.rfc("8985", "6.2", "step 5")
def test_a_hole_in_a_super_segment_is_found_by_what_of_it_arrived_behind(iss: int, irs: int) -> None:
    """Nothing has been sent later, and no probe is needed."""
    bench = offloading(iss, irs, sack=True)
    bench.send(bytes(10 * MSS))
    assert texts(bench) == [(1, 10 * MSS, MSS)]
    block = wrap(iss + 1 + 3 * MSS), wrap(iss + 1 + 7 * MSS)
    bench.arrives(ACK, 1, 1 + 2 * MSS, wnd=65535, options=Options(sack=(block,)))
    assert texts(bench) == [(1 + 2 * MSS, MSS, 0)], "the hole, and not what is behind the block"
