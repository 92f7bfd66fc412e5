"""Packets in memory on a virtual clock: they come when the path says, between the tasks' moments."""

from __future__ import annotations

import pytest
import trio

from usertcp.link.impair import ImpairedLink
from usertcp.link.memory import memory_links
from usertcp.link.path import Path
from usertcp.testing import open_network, open_stream_pair, run


def test_packets_come_at_their_time_and_those_of_one_moment_together() -> None:
    taken: list[tuple[float, list[bytes]]] = []

    async def main() -> None:
        a, b = memory_links(path=Path(delay=1.0))
        began = trio.current_time()
        with trio.move_on_after(10):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(b.deliver, lambda packets: taken.append((trio.current_time() - began, [*packets])))
                a.send(b"1")
                a.send(b"2")
                await trio.sleep(0.5)
                a.send(b"3")

    run(main)
    assert taken == [(1.0, [b"1", b"2"]), (1.5, [b"3"])]


def test_a_task_that_a_packet_wakes_runs_before_the_next_packet_comes() -> None:
    seen: list[tuple[float, str]] = []

    async def main() -> None:
        a, b = memory_links(path=Path(rate=8000.0, delay=1.0))
        event = trio.Event()

        def take(packets: object) -> None:
            seen.append((trio.current_time() - began, "packet"))
            event.set()

        async def woken() -> None:
            await event.wait()
            seen.append((trio.current_time() - began, "task"))

        began = trio.current_time()
        with trio.move_on_after(10):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(b.deliver, take)
                nursery.start_soon(woken)
                a.send(bytes(1000))
                a.send(bytes(1000))

    run(main)
    assert seen == [(2.0, "packet"), (2.0, "task"), (3.0, "packet")]


def test_what_nobody_takes_waits_for_receive() -> None:
    async def main() -> None:
        a, b = memory_links(path=Path(delay=1.0))
        a.send(b"early")
        await trio.sleep(5)
        assert await b.receive() == [b"early"]
        a.send(b"late")
        assert await ImpairedLink(b, Path()).receive() == [b"late"]
        assert b.counters()["received"] == 2

    run(main)


def test_an_error_of_the_taker_ends_deliver() -> None:
    def take(packets: object) -> None:
        raise ZeroDivisionError

    async def main() -> None:
        a, b = memory_links(path=Path(delay=1.0))
        a.send(b"x")
        await b.deliver(take)

    with pytest.raises(ZeroDivisionError):
        run(main)


def test_a_deadline_before_the_next_packet_is_kept() -> None:
    async def main() -> float:
        async with open_network(Path(delay=2.0)) as network:
            client, server = await open_stream_pair(network)
            began = trio.current_time()
            await client.send_all(b"x")
            with trio.move_on_after(0.5):
                await server.receive_some()
            woke = trio.current_time() - began
            assert await server.receive_some() == b"x"
            assert trio.current_time() - began == pytest.approx(2.0)
            return woke

    assert run(main) == pytest.approx(0.5)
