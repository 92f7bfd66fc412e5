"""Two links joined in memory, and a link made worse."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from usertcp.link import Link
from usertcp.link.impair import ImpairedLink
from usertcp.link.memory import memory_links
from usertcp.link.path import Path

MISFORTUNE = Path(rate=1e6, delay=0.03, loss=0.1, reordering=0.1, duplication=0.1, corruption=0.1, seed=4)


async def received(link: Link, seconds: float = 5) -> list[tuple[float, bytes]]:
    got: list[tuple[float, bytes]] = []
    start = trio.current_time()
    with trio.move_on_after(seconds):
        while True:
            got += [(round(trio.current_time() - start, 6), packet) for packet in await link.receive()]
    return got


def test_each_end_has_addresses_of_both_families() -> None:
    a, b = memory_links()
    assert a.source_address("192.0.2.2") == "192.0.2.1"
    assert a.source_address("2001:db8::2") == "2001:db8::1"
    assert b.is_local("2001:db8::2")


def test_addresses_are_made_canonical() -> None:
    a, _ = memory_links("2001:DB8:0::0:7")
    assert a.addresses == ("2001:db8::7",)
    with pytest.raises(ValueError, match="not an IP address"):
        memory_links("example.org")


async def test_packets_arrive_when_the_path_says(autojump_clock: MockClock) -> None:
    a, b = memory_links(path=Path(rate=8000, delay=0.5), back=Path(delay=2))
    a.send(bytes(500))
    a.send(bytes(1000))
    b.send(b"back")
    assert await received(b) == [(1.0, bytes(500)), (2.0, bytes(1000))]
    b.send(b"again")
    assert await received(a) == [(0.0, b"back"), (2.0, b"again")]


async def test_an_earlier_packet_overtakes_the_wait_for_a_later_one(autojump_clock: MockClock) -> None:
    a, b = memory_links()
    a.path = Path(delay=3)
    a.send(b"slow")
    a.path = Path(delay=1)
    a.send(b"fast")
    assert await received(b) == [(1.0, b"fast"), (3.0, b"slow")]


async def test_the_same_seed_gives_the_same_packets(autojump_clock: MockClock) -> None:
    async def run(path: Path) -> list[tuple[float, bytes]]:
        a, b = memory_links(path=path)
        for number in range(300):
            a.send(bytes([number % 256]) * 100)
        return await received(b)

    first = await run(MISFORTUNE.another())
    assert first == await run(MISFORTUNE.another())
    assert first != await run(MISFORTUNE.another().another())


async def test_both_ends_hear_of_misfortune(autojump_clock: MockClock) -> None:
    a, b = memory_links(path=Path(loss=1))
    heard: list[tuple[str, bytes, str, str, str]] = []
    a.watch(lambda *deed: heard.append(("a", *deed)))
    b.watch(lambda *deed: heard.append(("b", *deed)))
    a.send(b"x")
    assert heard == [("a", b"x", "out", "dropped", "lost"), ("b", b"x", "in", "dropped", "lost")]


async def test_what_nobody_receives_is_bounded(autojump_clock: MockClock) -> None:
    a, b = memory_links()
    for _ in range(100_010):
        a.send(b"x")
    assert b.counters() == {"receive_queue_full": 10}


@pytest.mark.parametrize("direction", ["out", "in"])
async def test_an_impaired_link_does_what_its_paths_do(direction: str, autojump_clock: MockClock) -> None:
    path = MISFORTUNE.another()
    model = [path.carry(bytes([number]) * 50, 0.0).arrivals for number in range(100)]
    expected = sorted((round(time, 6), octets) for arrivals in model for time, octets in arrivals)
    a, b = memory_links()
    link = ImpairedLink(a, MISFORTUNE.another(), back=MISFORTUNE.another())
    source, sink = (link, b) if direction == "out" else (b, link)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(received, source)
        for number in range(100):
            source.send(bytes([number]) * 50)
        assert sorted(await received(sink)) == expected
    assert link.counters()[f"{direction}_dropped"] > 0


async def test_the_way_back_is_like_the_way_out_unless_said_otherwise(autojump_clock: MockClock) -> None:
    a, _ = memory_links()
    assert ImpairedLink(a, Path(loss=0.5, seed=8)).back == Path(loss=0.5, seed=9)
    assert ImpairedLink(a, Path(loss=0.5), back=Path()).back == Path()


async def test_what_an_impaired_link_holds_goes_out_when_it_is_closed(autojump_clock: MockClock) -> None:
    a, b = memory_links()
    link = ImpairedLink(a, Path(delay=1))
    link.send(b"x")
    link.close()
    assert await received(b) == [(0.0, b"x")]
