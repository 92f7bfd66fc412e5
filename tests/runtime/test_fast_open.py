"""TCP Fast Open through streams and listeners: a request in the SYN, its answer a round trip later (RFC 7413)."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from usertcp.link.path import Path
from usertcp.runtime.stack import Stack
from usertcp.runtime.stream import TcpStream
from usertcp.tcp.config import Config
from usertcp.tcp.state import State
from usertcp.testing import Network, open_network

DELAY = 0.1
SERVER = Config(fast_open=10)


async def ask(stack: Stack, address: str, request: bytes) -> tuple[TcpStream, bytes, float]:
    """The connection, its answer, and how long that took."""
    began = trio.current_time()
    stream = await stack.open_tcp_stream(address, 7, fast_open=request)
    answer = await stream.receive_some()
    return stream, answer, trio.current_time() - began


async def shout_back(stream: TcpStream) -> None:
    async with stream:
        async for data in stream:
            await stream.send_all(data.upper())


async def fetch_cookie(network: Network) -> None:
    async with await network.a.open_tcp_stream(network.address_b, 7, fast_open=b"") as stream:
        assert not stream.status().fast_open


async def test_the_answer_comes_a_round_trip_earlier_from_the_second_time_on(autojump_clock: MockClock) -> None:
    async with (
        open_network(Path(delay=DELAY), config_b=SERVER) as network,
        trio.open_nursery() as nursery,
    ):
        await nursery.start(network.b.serve_tcp, shout_back, 7)
        for round_trips, used in ((2, False), (1, True), (1, True)):
            stream, answer, took = await ask(network.a, network.address_b, b"hello")
            assert (answer, stream.status().fast_open) == (b"HELLO", used)
            assert took == pytest.approx(round_trips * 2 * DELAY, abs=0.01)
            await stream.aclose()
        nursery.cancel_scope.cancel()


async def test_a_listener_hands_out_the_text_before_the_handshake_is_done(autojump_clock: MockClock) -> None:
    async with (
        open_network(Path(delay=DELAY), config_b=SERVER) as network,
        await network.b.open_tcp_listener(7) as listener,
        trio.open_nursery() as nursery,
    ):
        await fetch_cookie(network)
        await listener.accept()
        began = trio.current_time()
        nursery.start_soon(ask, network.a, network.address_b, b"hello")
        server = await listener.accept()
        assert await server.receive_some() == b"hello"
        assert (server.state, server.status().fast_open) == (State.SYN_RECEIVED, True)
        assert trio.current_time() - began == pytest.approx(DELAY, abs=0.01)
        await server.send_all(b"HELLO")


async def test_without_being_asked_for_nobody_does_it(autojump_clock: MockClock) -> None:
    async with open_network(config_b=SERVER) as network, await network.b.open_tcp_listener(7) as listener:
        for _ in range(2):
            stream = await network.a.open_tcp_stream(network.address_b, 7)
            assert not stream.status().fast_open
            assert not (await listener.accept()).status().fast_open


@pytest.mark.parametrize("seed", range(8))
async def test_every_octet_arrives_once_over_a_bad_path(seed: int, autojump_clock: MockClock) -> None:
    """However much of it is in the SYN, and more than a send buffer holds."""
    path = Path(delay=0.02, loss=0.15, duplication=0.1, reordering=0.1, seed=seed)
    small = Config(send_buffer=5000, auto_tuning=False)
    request = bytes(range(256)) * 40
    async with (
        open_network(path, config=small, config_b=SERVER, seed=seed) as network,
        await network.b.open_tcp_listener(7) as listener,
    ):
        for _ in range(6):
            got = b""
            async with trio.open_nursery() as nursery:

                async def call() -> None:
                    stream = await network.a.open_tcp_stream(network.address_b, 7, fast_open=request)
                    await stream.send_eof()
                    assert await stream.receive_some() == b"thanks"

                nursery.start_soon(call)
                server = await listener.accept()
                async for data in server:
                    got += data
                await server.send_all(b"thanks")
            assert got == request


async def test_a_cancelled_call_leaves_no_connection(autojump_clock: MockClock) -> None:
    """Neither in SYN-SENT nor while it waits for room for the rest of its text."""
    small = Config(send_buffer=1000, auto_tuning=False)
    deaf = Config(fast_open=1, receive_buffer=2000, auto_tuning=False)
    async with (
        open_network(Path(delay=DELAY), config=small, config_b=deaf, linger=0.1) as network,
        await network.b.open_tcp_listener(7),
    ):
        for patience in (DELAY / 2, 20.0):
            with trio.move_on_after(patience) as scope:
                await network.a.open_tcp_stream(network.address_b, 7, fast_open=bytes(100_000))
            assert scope.cancelled_caught
            assert not network.a.endpoint.connections
