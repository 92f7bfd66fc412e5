"""Larger segments are tried one by one after a black hole was suspected (RFC 4821; RFC 8899)."""

from __future__ import annotations

from dataclasses import replace

import pytest
import trio

from tests.tcp import builders
from tests.tcp.builders import FLOW, Bench
from tests.tcp.pairs import spans
from usertcp.link.path import Path
from usertcp.tcp.config import Config
from usertcp.tcp.congestion.reno import Reno
from usertcp.tcp.connection import Connection
from usertcp.tcp.options import Options
from usertcp.tcp.segment import ACK, SYN
from usertcp.tcp.sequence import wrap
from usertcp.tcp.status import Status
from usertcp.testing import open_network, open_stream_pair, run
from usertcp.wire import IcmpError

BIG, BASE = 1400, 984
"""MSS, and what it falls to: text of a packet of 1024 octets."""
MIDDLE = (BASE + BIG) // 2
WIDE = 65_535
START = 1 + BIG


class Steady(Reno):
    """Not impressed by timeouts, so that there is a window when the search begins."""

    def __init__(self, smss: int, initial_window: int) -> None:
        super().__init__(smss, initial_window)
        self.ssthresh = initial_window

    def on_rto(self, flight_size: int, now: float, first: bool) -> None:
        pass


CONFIG = replace(builders.CONFIG, initial_window=12 * BASE, congestion=Steady)


def suspected(iss: int, irs: int, config: Config = CONFIG, *, sack: bool = True) -> Bench:
    """One segment of 1400 octets went unanswered, and arrived in smaller ones. Nothing is in flight."""
    bench = Bench(iss, irs)
    bench.tcp = Connection(FLOW, config, iss=iss, mss=BIG)
    bench.open()
    bench.arrives(SYN | ACK, 0, 1, options=Options(mss=BIG, sack_permitted=sack), wnd=WIDE)
    bench.send(bytes(BIG))
    bench.advance(7.5)
    assert spans(bench)[-1] == (1, BASE)
    acks(bench, 1 + BASE)
    acks(bench, START)
    assert status(bench).path_mtu == 1024
    return bench


def probed(iss: int, irs: int, config: Config = CONFIG) -> Bench:
    """The first probe is in flight, from START, and six segments behind it."""
    bench = suspected(iss, irs, config)
    bench.send(bytes(BIG + 6 * BASE))
    assert spans(bench) == [(START, BIG), *((behind(n), BASE) for n in range(6))]
    return bench


def behind(n: int, size: int = BIG, start: int = START) -> int:
    """Where the segment with this number begins behind the probe."""
    return start + size + n * BASE


def acks(bench: Bench, ack: int, *blocks: tuple[int, int]) -> list[tuple[int, int]]:
    """The peer has everything before *ack*, and these blocks; what goes out because of it."""
    sack = tuple((wrap(bench.iss + left), wrap(bench.iss + right)) for left, right in blocks)
    bench.arrives(ACK, 1, ack, wnd=WIDE, options=Options(sack=sack))
    return spans(bench)


def status(bench: Bench) -> Status:
    return bench.tcp.status(bench.now)


def count(bench: Bench, what: str) -> int:
    return status(bench).counters.get(what, 0)


def router_names(bench: Bench, position: int, mtu: int) -> None:
    """A router says of the packet with this octet that it was larger than *mtu*. Nothing is sent for it."""
    error = IcmpError("203.0.113.9", bench.tcp.flow, wrap(bench.iss + position), 4, 3, 4, mtu)
    bench.tcp.icmp_arrives(error, bench.now)
    bench.deliver()
    assert spans(bench) == []


def lose_probe(bench: Bench) -> None:
    """The peer reports all that was sent behind the first probe, until it is sent again; then everything."""
    out = acks(bench, START, (behind(0), behind(6)))
    assert out == [(START, BASE), (START + BASE, BIG - BASE)]
    acks(bench, behind(6))


@pytest.mark.rfc("4821", "7.3")
@pytest.mark.rfc("8899", "5.3.2")
def test_the_first_probe_has_the_size_that_both_ends_allow(iss: int, irs: int) -> None:
    bench = probed(iss, irs)
    assert count(bench, "path MTU probes") == 1
    assert status(bench).path_mtu == 1024


@pytest.mark.rfc("4821", "7.6.1")
def test_when_it_has_arrived_segments_have_its_size(iss: int, irs: int) -> None:
    bench = probed(iss, irs)
    acks(bench, behind(6))
    assert status(bench).path_mtu == BIG + 40
    bench.send(bytes(3 * BIG))
    assert [size for _, size in spans(bench)] == [BIG] * 3
    acks(bench, behind(6) + 3 * BIG)
    bench.advance(700)
    assert status(bench).path_mtu == BIG + 40


@pytest.mark.rfc("4821", "7.6.2")
@pytest.mark.rfc("8899", "3")
def test_a_probe_that_alone_is_lost_is_no_sign_of_congestion(iss: int, irs: int) -> None:
    bench = probed(iss, irs)
    before = status(bench)
    lose_probe(bench)
    after = status(bench)
    assert (after.cwnd, after.ssthresh) == (before.cwnd, before.ssthresh)
    assert not after.in_fast_recovery
    assert count(bench, "path MTU probes lost") == 1
    assert after.path_mtu == 1024


@pytest.mark.rfc("4821", "7.4")
def test_the_next_one_is_halfway(iss: int, irs: int) -> None:
    bench = probed(iss, irs)
    lose_probe(bench)
    start = behind(6)
    bench.send(bytes(12 * BASE))
    out = spans(bench)
    assert out[:2] == [(start, MIDDLE), (start + MIDDLE, BASE)]
    assert {size for _, size in out[1:]} == {BASE}, "one at a time"
    acks(bench, start + MIDDLE)
    assert status(bench).path_mtu == MIDDLE + 40


@pytest.mark.rfc("4821", "7.6.2")
def test_losses_beside_the_probe_are_signs_of_congestion(iss: int, irs: int) -> None:
    bench = probed(iss, irs)
    before = status(bench).cwnd
    acks(bench, START, (behind(1), behind(6)))
    assert status(bench).cwnd < before
    assert status(bench).in_fast_recovery


def test_losses_that_show_later_are_too(iss: int, irs: int) -> None:
    bench = suspected(iss, irs)
    bench.send(bytes(40 * BASE))
    assert len(spans(bench)) == 11
    before = status(bench).cwnd
    acks(bench, START, (behind(0), behind(4)))
    assert status(bench).cwnd == before
    acks(bench, START, (behind(0), behind(4)), (behind(5), behind(10)))
    bench.advance(0.1)
    assert status(bench).cwnd < before


@pytest.mark.rfc("4821", "7.6.3")
def test_a_timeout_ends_the_probe(iss: int, irs: int) -> None:
    bench = probed(iss, irs)
    bench.advance(30)
    assert {size for left, size in spans(bench) if left == START} == {BASE}
    assert count(bench, "path MTU probes lost") == 1


@pytest.mark.rfc("4821", "7.4")
@pytest.mark.parametrize("text", [BIG, BIG + 3 * BASE])
def test_without_text_to_follow_it_there_is_no_probe(iss: int, irs: int, text: int) -> None:
    bench = suspected(iss, irs)
    bench.send(bytes(text))
    assert max(size for _, size in spans(bench)) == BASE


@pytest.mark.rfc("4821", "7.4")
def test_nor_in_a_window_without_room_for_it(iss: int, irs: int) -> None:
    bench = suspected(iss, irs)
    bench.arrives(ACK, 1, START, wnd=5 * BASE)
    bench.send(bytes(20 * BASE))
    assert {size for _, size in spans(bench)} == {BASE}


@pytest.mark.rfc("4821", "7.4")
def test_in_a_full_congestion_window_it_waits_for_room(iss: int, irs: int) -> None:
    bench = suspected(iss, irs, replace(CONFIG, initial_window=6 * BASE))
    bench.send(bytes(3 * BASE))
    assert len(spans(bench)) == 3
    bench.send(bytes(30 * BASE))
    probe, *rest = spans(bench)
    assert probe == (START + 3 * BASE, BIG)
    assert len(rest) == 1
    bench.arrives(ACK, 1, START + BASE, wnd=WIDE)
    assert [size for _, size in spans(bench)] == [BASE]


@pytest.mark.rfc("8899", "4.6.2")
def test_a_router_that_names_a_size_for_the_probe_is_taken_at_its_word(iss: int, irs: int) -> None:
    bench = probed(iss, irs)
    router_names(bench, START, 1200)
    lose_probe(bench)
    bench.send(bytes(12 * BASE))
    assert spans(bench)[0] == (behind(6), 1160)


@pytest.mark.rfc("8899", "4.6.2")
@pytest.mark.rfc("8201", "4")
@pytest.mark.parametrize(("position", "mtu"), [(behind(0), 1200), (behind(6) - 1, 1200), (START, 1440), (START, 1023)])
def test_nor_of_another_segment_nor_a_size_that_the_probe_cannot_have_had(
    iss: int, irs: int, position: int, mtu: int
) -> None:
    bench = probed(iss, irs)
    router_names(bench, position, mtu)
    lose_probe(bench)
    bench.send(bytes(12 * BASE))
    assert spans(bench)[0] == (behind(6), MIDDLE)


@pytest.mark.rfc("8899", "5.1.1")
def test_the_search_begins_anew_every_ten_minutes(iss: int, irs: int) -> None:
    bench = probed(iss, irs)
    lose_probe(bench)
    bench.advance(600)
    bench.send(bytes(BIG + 6 * BASE))
    assert BIG in [size for _, size in spans(bench)]


def test_without_sack_the_full_size_is_tried_after_ten_minutes(iss: int, irs: int) -> None:
    bench = suspected(iss, irs, sack=False)
    bench.send(bytes(12 * BASE))
    assert {size for _, size in spans(bench)} == {BASE}
    acks(bench, START + 12 * BASE)
    bench.advance(600)
    assert status(bench).path_mtu == BIG + 40


def test_it_can_be_turned_off(iss: int, irs: int) -> None:
    bench = suspected(iss, irs, replace(CONFIG, path_mtu_probing=False))
    bench.send(bytes(12 * BASE))
    assert {size for _, size in spans(bench)} == {BASE}


def pattern(octets: int) -> bytes:
    return bytes(i % 251 for i in range(octets))


def path_mtu_after(path: Path, octets: int, config: Config) -> int:
    """What a sender takes for the path MTU when so many octets have arrived, intact."""

    async def program() -> int:
        async with open_network(path, config=config) as network:
            client, server = await open_stream_pair(network)
            read = bytearray()

            async def read_all() -> None:
                async for data in server:
                    read.extend(data)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(read_all)
                await client.send_all(pattern(octets))
                await client.send_eof()
            assert bytes(read) == pattern(octets)
            return client.status().path_mtu

    return run(program)


@pytest.mark.rfc("4821", "7")
@pytest.mark.rfc("8899", "5.2")
@pytest.mark.parametrize("mtu", [1100, 1300, 1492])
@pytest.mark.parametrize("rack", [False, True])
def test_behind_a_black_hole_the_size_of_the_path_is_found(mtu: int, rack: bool) -> None:
    path = Path(mtu=mtu, delay=0.02, rate=10e6)
    assert mtu - 16 < path_mtu_after(path, 1_500_000, Config(rack=rack)) <= mtu


@pytest.mark.parametrize("seed", range(5))
def test_on_a_lossy_path_no_octet_is_lost_to_it(seed: int) -> None:
    path = Path(mtu=1300, delay=0.02, loss=0.02, reordering=0.02, seed=seed)
    assert 1024 <= path_mtu_after(path, 500_000, Config()) <= 1300
