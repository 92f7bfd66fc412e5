"""Buffers that grow with what the connection needs, up to the config's limits (`usertcp.tcp.auto_tuning`)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.tcp.builders import CONFIG, MSS, Bench
from tests.tcp.pairs import Path, connected, shaken
from usertcp.tcp.config import Config
from usertcp.tcp.options import Options
from usertcp.tcp.segment import ACK

FIRST = 1 << 18
"""What a buffer begins with."""
TUNED = replace(CONFIG, auto_tuning=True, receive_buffer=1 << 22, send_buffer=1 << 22)
OFFER = Options(mss=MSS, window_scale=7)
ROUND_TRIP = 0.1


def opened(iss: int, irs: int, config: Config = TUNED) -> Bench:
    return shaken(iss, irs, config, OFFER, wnd=65535)


def space(bench: Bench) -> int:
    return bench.tcp.status(bench.now).receive_buffer


def round_trips(bench: Bench, *sizes: int, read: bool = True) -> list[int]:
    """In each round trip the peer sends so many octets, and the user reads them, or not. The size of the buffer after
    each."""
    seen, seq = [], 1
    for size in sizes:
        bench.advance(ROUND_TRIP)
        for begin in range(seq, seq + size, MSS):
            bench.arrives(ACK, begin, 1, bytes(min(MSS, seq + size - begin)))
        seq += size
        if read:
            bench.receive(1 << 22)
        seen.append(space(bench))
    return seen


def test_the_syn_scales_for_the_limit_and_the_first_window_is_small(iss: int, irs: int) -> None:
    bench = Bench(iss, irs, TUNED)
    bench.open()
    [syn] = bench.take()
    assert (syn.wnd, syn.options.window_scale) == (65535, 6)
    opening = opened(iss, irs)
    opening.arrives(ACK, 1, 1, b"x")
    [ack] = opening.take()
    assert ack.wnd << 6 == FIRST  # one octet is unread: rounded up


def test_it_grows_with_what_the_user_takes_in_a_round_trip(iss: int, irs: int) -> None:
    bench = opened(iss, irs)
    sizes = round_trips(bench, 20_000, 40_000, 80_000, 160_000, 240_000)
    assert sizes == [FIRST, FIRST, 320_000, 640_000, 960_000]
    assert bench.take()[-1].wnd << 6 >= 960_000


def test_a_steady_stream_stops_growing(iss: int, irs: int) -> None:
    assert set(round_trips(opened(iss, irs), *[80_000] * 20)[1:]) == {320_000}


def test_it_grows_to_the_limit_and_no_further(iss: int, irs: int) -> None:
    bench = opened(iss, irs, replace(TUNED, receive_buffer=500_000))
    assert round_trips(bench, 50_000, 200_000, 250_000)[1:] == [500_000, 500_000]


def test_nor_for_a_user_who_does_not_read(iss: int, irs: int) -> None:
    bench = opened(iss, irs)
    assert set(round_trips(bench, *[40_000] * 10, read=False)) == {FIRST}
    status = bench.tcp.status(bench.now)
    assert status.unread + status.out_of_order <= FIRST + (1 << 6)


def test_a_small_limit_is_a_fixed_buffer(iss: int, irs: int) -> None:
    bench = opened(iss, irs, replace(TUNED, receive_buffer=5000))
    assert set(round_trips(bench, *[5000] * 10)) == {5000}


def test_without_it_the_limit_is_there_at_once(iss: int, irs: int) -> None:
    bench = opened(iss, irs, replace(TUNED, auto_tuning=False))
    assert space(bench) == 1 << 22
    assert bench.send(bytes(1 << 22)) == 1 << 22


@pytest.mark.rfc("9293", "3.8.6", "SHLD-14")
def test_a_lower_limit_does_not_take_back_what_was_offered(iss: int, irs: int) -> None:
    bench = opened(iss, irs)
    bench.arrives(ACK, 1, 1, b"x")
    bench.take()
    bench.tcp.configure(replace(TUNED, receive_buffer=4000), bench.now)
    assert space(bench) == 4000
    bench.arrives(ACK, 2, 1, b"y")
    [ack] = bench.take()
    assert FIRST - 64 <= (ack.wnd << 6) + 1 <= FIRST


def test_the_send_buffer_is_three_times_the_congestion_window(iss: int, irs: int) -> None:
    bench = opened(iss, irs)
    assert bench.send(bytes(1 << 22)) == 1 << 20
    acked = 1
    for _ in range(400):
        acked += sum(len(seg.data) for seg in bench.take())
        bench.advance(0.01)
        bench.arrives(ACK, 1, acked, wnd=65535)
        bench.send(bytes(1 << 22))
    status = bench.tcp.status(bench.now)
    assert status.send_buffer == 3 * status.cwnd > 1 << 20


def test_it_grows_to_its_limit_and_no_further(iss: int, irs: int) -> None:
    bench = opened(iss, irs, replace(TUNED, send_buffer=1_100_000))
    bench.send(bytes(1 << 22))
    acked = 1 + sum(len(seg.data) for seg in bench.take())
    bench.tcp.tcb.congestion.cwnd = 1_000_000
    bench.arrives(ACK, 1, acked, wnd=65535)
    assert bench.tcp.status(bench.now).send_buffer == 1_100_000


@pytest.mark.parametrize(("short", "limit"), [(False, 3_001_000), (True, 1 << 20)])
def test_short_of_memory_the_send_buffer_stays_what_it_is(iss: int, irs: int, short: bool, limit: int) -> None:
    bench = opened(iss, irs, replace(TUNED, cwnd_validation=False))
    bench.send(bytes(MSS))
    bench.take()
    bench.tcp.tcb.congestion.cwnd = 1_000_000
    bench.tcp.tcb.memory.short = short
    bench.arrives(ACK, 1, 1 + MSS, wnd=65535)
    assert bench.tcp.status(bench.now).send_buffer == pytest.approx(limit, abs=3000)


def test_and_so_does_the_receive_buffer(iss: int, irs: int) -> None:
    bench = opened(iss, irs)
    bench.tcp.tcb.memory.short = True
    assert round_trips(bench, 20_000, 40_000, 80_000) == [FIRST] * 3


@pytest.mark.parametrize("timestamps", [True, False])
def test_a_long_path_is_filled_and_a_short_one_costs_little(timestamps: bool) -> None:
    """10 MB over a path of 0.2 s: with a window of 256 KiB they would take 8 s."""
    config = Config(nagle=False, timestamps=timestamps, cwnd_validation=False)
    pair, client, server = connected(config, config, out=Path(delay=0.1), back=Path(delay=0.1))
    start, left, got = pair.now, 10_000_000, 0
    while got < 10_000_000:
        left -= client.send(bytes(min(left, 1 << 17)), pair.now)
        got += len(server.receive(1 << 20, pair.now))
        pair.client.touch(client)
        pair.server.touch(server)
        pair.settle()
        if got < 10_000_000:
            pair.step()
    assert pair.now - start < 4.0
    assert server.status(pair.now).receive_buffer > 1 << 20
    assert client.status(pair.now).receive_buffer == FIRST
