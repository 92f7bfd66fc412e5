"""Streams: what Trio promises of any, and what TCP adds."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from math import inf

import pytest
import trio
from trio.testing import (
    MockClock,
    assert_checkpoints,
    check_half_closeable_stream,
    check_two_way_stream,
    wait_all_tasks_blocked,
)

from usertcp import Config, ConnectionAborted, ConnectionReset, ConnectionTimedOut, State, TcpStream
from usertcp.link.path import Path
from usertcp.testing import Network, open_network, open_stream_pair

Pair = tuple[TcpStream, TcpStream]
Maker = Callable[[], Awaitable[Pair]]
MSL = 30.0
SMALL = Config(send_buffer=10_000, receive_buffer=10_000)
BLACK_HOLE = Path(loss=1)


@asynccontextmanager
async def pair(path: Path | None = None, config: Config | None = None) -> AsyncIterator[Pair]:
    async with open_network(path, config=config) as network:
        yield await open_stream_pair(network)


def maker(network: Network) -> Maker:
    return lambda: open_stream_pair(network)


def clogged_maker(network: Network) -> Maker:
    """Streams whose buffers are full at both ends."""

    async def make() -> Pair:
        streams = await open_stream_pair(network)
        for stream in streams:
            await clog(stream)
        return streams

    return make


async def clog(stream: TcpStream) -> int:
    """Fill the buffers until nothing moves any more; returns how much it took."""
    octets = 0
    with trio.move_on_after(10):
        while True:
            await stream.send_all(bytes(100))
            octets += 100
    return octets


async def received(stream: TcpStream) -> bytes:
    """Everything up to the end."""
    return b"".join([data async for data in stream])


@pytest.mark.parametrize("path", [Path(), Path(delay=0.03, rate=1e7)], ids=["perfect", "slow"])
async def test_two_way_stream(path: Path, autojump_clock: MockClock) -> None:
    async with open_network(path, config=SMALL) as network:
        await check_two_way_stream(maker(network), clogged_maker(network))


@pytest.mark.parametrize("path", [Path(), Path(delay=0.03, rate=1e7)], ids=["perfect", "slow"])
async def test_half_closeable_stream(path: Path, autojump_clock: MockClock) -> None:
    async with open_network(path, config=SMALL) as network:
        await check_half_closeable_stream(maker(network), clogged_maker(network))


async def test_half_closeable_stream_on_a_lossy_path(autojump_clock: MockClock) -> None:
    async with open_network(Path(delay=0.01, loss=0.05, reordering=0.05), config=SMALL) as network:
        await check_half_closeable_stream(maker(network), None)


@pytest.mark.rfc("9293", "3.6")
async def test_a_half_close_lasts_as_long_as_the_other_direction(autojump_clock: MockClock) -> None:
    data = bytes(range(256)) * 4096
    async with pair(Path(delay=0.05, rate=1e7)) as (client, server), trio.open_nursery() as nursery:
        await client.send_eof()
        await client.send_eof()
        assert await server.receive_some() == b""
        await trio.sleep(1000)
        assert (client.state, server.state) == (State.FIN_WAIT_2, State.CLOSE_WAIT)

        @nursery.start_soon
        async def send() -> None:
            await server.send_all(data)
            await server.aclose()

        assert await received(client) == data
        assert client.state is State.TIME_WAIT


async def test_nothing_can_be_sent_after_send_eof(autojump_clock: MockClock) -> None:
    async with pair() as (client, _):
        await client.send_eof()
        with pytest.raises(trio.ClosedResourceError, match="send_eof"):
            await client.send_all(b"x")
        with pytest.raises(trio.ClosedResourceError, match="send_eof"):
            await client.wait_send_all_might_not_block()


async def test_data_sent_before_aclose_arrives_though_aclose_does_not_wait(autojump_clock: MockClock) -> None:
    data = bytes(1 << 20)
    async with pair(Path(delay=0.1, rate=1e7)) as (client, server):
        await client.send_all(data)
        before = trio.current_time()
        await client.aclose()
        assert trio.current_time() == before
        assert await received(server) == data


async def test_aclose_that_is_cancelled_delivers_what_was_sent_too(autojump_clock: MockClock) -> None:
    """As with a kernel's socket. `trio.serve_listeners` relies on it: it closes streams like this."""
    async with pair(Path(delay=0.1)) as (client, server):
        await client.send_all(b"goodbye")
        await trio.aclose_forcefully(client)
        assert await received(server) == b"goodbye"


@pytest.mark.parametrize("deadline", [-inf, inf])
async def test_aclose_is_a_checkpoint_the_second_time_too(deadline: float, autojump_clock: MockClock) -> None:
    async with pair() as (client, _):
        for _ in range(2):
            with trio.CancelScope(deadline=deadline) as scope, trio.CancelScope(shield=True):
                scope.cancel()
                with assert_checkpoints():
                    await client.aclose()
            with trio.CancelScope(deadline=deadline) as scope:
                if deadline == inf:
                    scope.cancel()
                await client.aclose()
            assert scope.cancelled_caught


@pytest.mark.rfc("9293", "3.6.1", "MUST-13")
async def test_aclose_leaves_time_wait_to_the_stack(autojump_clock: MockClock) -> None:
    async with pair(Path(delay=0.1)) as (client, server):
        await client.aclose()
        assert client.state is State.FIN_WAIT_1
        assert await server.receive_some() == b""
        await server.aclose()
        closed = trio.current_time()
        await trio.sleep(0.15)
        assert client.state is State.TIME_WAIT
        await client.wait_closed()
        assert trio.current_time() == pytest.approx(closed + 0.1 + 2 * MSL)
        assert (client.state, server.state) == (State.CLOSED, State.CLOSED)
        assert (client.error, server.error) == (None, None)


async def test_wait_closed_closes_nothing(autojump_clock: MockClock) -> None:
    async with pair() as (client, server):
        with trio.move_on_after(1000) as scope:
            await client.wait_closed()
        assert scope.cancelled_caught
        server.abort()
        await client.wait_closed()
        await server.wait_closed()


@pytest.mark.rfc("9293", "3.6.1", "SHLD-3")
async def test_closing_with_unread_data_resets(autojump_clock: MockClock) -> None:
    async with pair() as (client, server):
        await client.send_all(b"nobody reads this")
        await trio.sleep(1)
        await server.aclose()
        with pytest.raises(trio.BrokenResourceError) as broken:
            await client.receive_some()
        assert isinstance(broken.value.__cause__, ConnectionReset)


@pytest.mark.rfc("9293", "3.6.1", "SHLD-3")
async def test_data_after_the_close_is_answered_by_a_reset(autojump_clock: MockClock) -> None:
    async with pair() as (client, server):
        await server.aclose()
        assert await client.receive_some() == b""
        await client.send_all(b"too late")
        await trio.sleep(1)
        with pytest.raises(trio.BrokenResourceError) as broken:
            await client.send_all(b"x")
        assert isinstance(broken.value.__cause__, ConnectionReset)
        assert isinstance(client.error, ConnectionReset)


@pytest.mark.rfc("9293", "3.10.5")
async def test_abort_resets_and_leaves_no_time_wait(autojump_clock: MockClock) -> None:
    async with pair() as (client, server):
        await client.send_all(b"last words")
        client.abort()
        client.abort()
        assert client.state is State.CLOSED
        assert isinstance(client.error, ConnectionAborted)
        with pytest.raises(trio.ClosedResourceError):
            await client.send_all(b"x")
        with pytest.raises(trio.ClosedResourceError):
            await client.receive_some()
        with pytest.raises(trio.BrokenResourceError) as broken:
            await received(server)
        assert isinstance(broken.value.__cause__, ConnectionReset)


async def test_abort_wakes_those_who_wait(autojump_clock: MockClock) -> None:
    async with pair() as (client, _), trio.open_nursery() as nursery:

        @nursery.start_soon
        async def receive() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await client.receive_some()

        await wait_all_tasks_blocked()
        client.abort()


@pytest.mark.rfc("9293", "3.8.3", "R2")
async def test_a_peer_that_vanishes_breaks_the_stream(autojump_clock: MockClock) -> None:
    async with open_network() as network:
        client, _ = await open_stream_pair(network)
        network.link_a.path = BLACK_HOLE
        began = trio.current_time()
        await client.send_all(b"x")
        with pytest.raises(trio.BrokenResourceError) as broken:
            await client.receive_some()
        assert isinstance(broken.value.__cause__, ConnectionTimedOut)
        assert 100 <= trio.current_time() - began < 200


async def test_send_all_waits_for_a_reader_and_then_delivers_all_in_order(autojump_clock: MockClock) -> None:
    data = bytes(range(250)) * 1000
    async with pair(Path(delay=0.01), SMALL) as (client, server), trio.open_nursery() as nursery:

        @nursery.start_soon
        async def send() -> None:
            await client.send_all(data)
            await client.send_eof()

        await trio.sleep(100)
        assert client.status().unsent + client.status().flight_size <= SMALL.send_buffer
        assert await received(server) == data


@pytest.mark.parametrize("view", [bytes, bytearray, memoryview, lambda data: memoryview(data).cast("I")])
async def test_any_buffer_can_be_sent(view: Callable[[bytes], bytes], autojump_clock: MockClock) -> None:
    async with pair() as (client, server):
        await client.send_all(view(b"12345678"))
        assert await server.receive_some() == b"12345678"


async def test_receive_some_returns_no_more_than_asked(autojump_clock: MockClock) -> None:
    async with pair() as (client, server):
        await client.send_all(b"abcdef")
        assert await server.receive_some(2) == b"ab"
        assert await server.receive_some(3) == b"cde"
        assert await server.receive_some(100) == b"f"


async def test_what_arrived_can_be_read_after_a_reset(autojump_clock: MockClock) -> None:
    async with pair() as (client, server):
        await client.send_all(b"arrived")
        await trio.sleep(1)
        client.abort()
        await trio.sleep(1)
        assert await server.receive_some() == b"arrived"
        with pytest.raises(trio.BrokenResourceError):
            await server.receive_some()


# Cancellation, at every checkpoint


@pytest.mark.parametrize("at", [0, 0.05, 0.1, 0.15, 0.25])
async def test_receive_some_cancelled_loses_nothing(at: float, autojump_clock: MockClock) -> None:
    async with pair(Path(delay=0.1)) as (client, server):
        await client.send_all(b"hello")
        got = b""
        with trio.move_on_after(at):
            got = await server.receive_some(5)
        assert got or await server.receive_some(5) == b"hello"


@pytest.mark.parametrize("at", [0, 0.1, 0.15, 0.21, 0.35])
async def test_send_all_cancelled_has_sent_a_beginning(at: float, autojump_clock: MockClock) -> None:
    data = bytes(range(256)) * 1000
    async with pair(Path(delay=0.05), SMALL) as (client, server), trio.open_nursery() as nursery:

        @nursery.start_soon
        async def receive() -> None:
            got = await received(server)
            assert data.startswith(got)
            assert len(got) < len(data)
            if at > 0:
                assert got

        with trio.move_on_after(at) as scope:
            await client.send_all(data)
        assert scope.cancelled_caught
        await client.aclose()


async def test_send_eof_cancelled_has_not_happened(autojump_clock: MockClock) -> None:
    async with pair() as (client, server):
        with trio.CancelScope() as scope:
            scope.cancel()
            await client.send_eof()
        await client.send_all(b"still open")
        assert await server.receive_some() == b"still open"


async def test_waiting_cancelled_leaves_the_stream_as_it_was(autojump_clock: MockClock) -> None:
    async with pair(config=SMALL) as (client, server):
        octets = await clog(client)
        for method in client.wait_send_all_might_not_block, client.wait_closed:
            with trio.move_on_after(1) as scope:
                await method()
            assert scope.cancelled_caught
        with trio.move_on_after(1):
            while True:
                octets -= len(await server.receive_some())
        assert octets <= 0
        await client.wait_send_all_might_not_block()


# STATUS


@pytest.mark.rfc("9293", "3.9.1.5")
async def test_status_before_and_after_the_end(autojump_clock: MockClock) -> None:
    async with pair(Path(delay=0.1)) as (client, server):
        await client.send_all(bytes(1000))
        assert await server.receive_some() == bytes(1000)
        await trio.sleep(1)
        ours, theirs = client.status(), server.status()
        assert ours.state is theirs.state is State.ESTABLISHED
        assert ours.flow == theirs.flow.reversed == client.flow
        assert ours.snd_nxt == theirs.rcv_nxt
        assert ours.srtt == pytest.approx(0.2)
        assert ours.timers == {}
        assert ours.counters["octets out"] == 1000
        client.abort()
        assert client.status().state is State.CLOSED
        assert "aborted" in str(client.status().error)
