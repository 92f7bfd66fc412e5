"""Urgent data between streams: told at once, read in line (RFC 9293, 3.8.5)."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from usertcp import Config, TcpStream
from usertcp.testing import open_network, open_stream_pair


@pytest.mark.rfc("9293", "3.8.5", "MUST-32")
@pytest.mark.rfc("9293", "3.9.1.8", "MUST-47")
async def test_the_user_is_told_at_once_though_all_buffers_are_full(autojump_clock: MockClock) -> None:
    small = Config(send_buffer=10_000, receive_buffer=10_000)
    async with open_network(config=small) as network:
        sender, receiver = await open_stream_pair(network)
        with trio.move_on_after(10):
            await sender.send_all(bytes(50_000))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(sender.send_urgent, b"hurry")
            assert await receiver.wait_urgent() == receiver.urgent > 0
            assert receiver.urgent >= 10_000
            octets = b""
            while not octets.endswith(b"hurry"):
                octets += await receiver.receive_some()
        assert receiver.urgent == 0


@pytest.mark.rfc("9293", "3.8.5", "MUST-32")
async def test_the_user_is_told_again_when_the_pointer_advances_and_only_then(autojump_clock: MockClock) -> None:
    async with open_network() as network:
        sender, receiver = await open_stream_pair(network)
        told = []

        async def listen() -> None:
            while octets := await receiver.wait_urgent():
                told.append(octets)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen)
            await sender.send_all(b"calm ")
            await sender.send_urgent(b"hurry ")
            await trio.sleep(1)
            await sender.send_all(b"calm ")
            await trio.sleep(1)
            await sender.send_urgent(b"more ")
            await trio.sleep(1)
            assert told == [11, 21]
            assert await receiver.receive_some() == b"calm hurry calm more "
            await sender.send_urgent(b"last")
            await trio.sleep(1)
            await sender.send_eof()
        assert told == [11, 21, 4]


async def ended(stream: TcpStream) -> None:
    with pytest.raises(trio.ClosedResourceError):
        await stream.wait_urgent()


async def test_who_waits_learns_that_the_stream_was_closed(autojump_clock: MockClock) -> None:
    async with open_network() as network, trio.open_nursery() as nursery:
        stream, _ = await open_stream_pair(network)
        nursery.start_soon(ended, stream)
        await wait_all_tasks_blocked()
        await stream.aclose()


async def test_who_waits_learns_that_the_connection_was_reset(autojump_clock: MockClock) -> None:
    async with open_network() as network:
        stream, peer = await open_stream_pair(network)
        peer.abort()
        with pytest.raises(trio.BrokenResourceError, match="reset"):
            await stream.wait_urgent()
