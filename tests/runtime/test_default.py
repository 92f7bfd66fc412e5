"""`usertcp.open_tcp_stream` and `usertcp.serve_tcp`: no stack to open."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.testing import MockClock

import usertcp
from usertcp import ConnectionRefused, SetupError, State, TcpStream, open_stack
from usertcp.link.memory import MemoryLink, memory_links
from usertcp.link.path import Path

HERE = "192.0.2.2"


class Raw:
    """Stands in for the raw link: opening one gives an end of a pair in memory, or says that it is forbidden."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.links: list[MemoryLink] = []
        monkeypatch.setattr("usertcp.runtime.opening.named_link", self.open)
        monkeypatch.setattr("usertcp.runtime.default.named_link", self.open)

    def plug(self) -> MemoryLink:
        """The far end of the link that will be opened next."""
        ours, theirs = memory_links(path=Path(delay=0.1))
        self.links.append(ours)
        return theirs

    def open(self, name: str) -> MemoryLink:
        if not self.links:
            raise SetupError("run it as root")
        return self.links.pop()


@pytest.fixture
def raw(monkeypatch: pytest.MonkeyPatch) -> Raw:
    return Raw(monkeypatch)


def run(main: Callable[[], Awaitable[None]]) -> None:
    trio.run(main, clock=MockClock(autojump_threshold=0))


async def echo(stream: TcpStream) -> None:
    async for data in stream:
        await stream.send_all(data)


async def talk() -> None:
    async with await usertcp.open_tcp_stream(HERE, 7) as stream:
        await stream.send_all(b"hello")
        assert await stream.receive_some() == b"hello"


def test_streams_share_a_stack_that_needs_no_opening(raw: Raw) -> None:
    async def main() -> None:
        async with open_stack(raw.plug()) as far, trio.open_nursery() as nursery:
            await nursery.start(far.serve_tcp, echo, 7)
            async with trio.open_nursery() as clients:
                for _ in range(3):
                    clients.start_soon(talk)
            with pytest.raises(ConnectionRefused):
                await usertcp.open_tcp_stream(HERE, 8)
            nursery.cancel_scope.cancel()

    run(main)
    run(main)  # With a stack of its own.


def test_connections_get_time_to_close_when_the_program_ends(raw: Raw) -> None:
    received: list[bytes] = []
    streams: list[TcpStream] = []

    async def peer(link: MemoryLink) -> None:
        """Outlives the main task."""
        with trio.CancelScope(shield=True):
            async with open_stack(link) as stack:
                listener = await stack.open_tcp_listener(7)
                stream = await listener.accept()
                received.extend([data async for data in stream])
                await stream.aclose()
                await stream.wait_closed()

    async def main() -> None:
        trio.lowlevel.spawn_system_task(peer, raw.plug())
        streams.append(await usertcp.open_tcp_stream(HERE, 7))
        await streams[0].send_all(bytes(100_000))

    run(main)
    assert b"".join(received) == bytes(100_000)
    assert streams[0].state is State.TIME_WAIT
    assert streams[0].error is None


def test_a_stack_that_failed_is_replaced(raw: Raw) -> None:
    async def main() -> None:
        for _ in range(2):
            far = raw.plug()
            async with open_stack(far) as stack, trio.open_nursery() as nursery:
                await nursery.start(stack.serve_tcp, echo, 7)
                await talk()
                far.peer.close()
                nursery.cancel_scope.cancel()

    run(main)


async def test_without_permission_it_is_said_what_to_do(raw: Raw, autojump_clock: MockClock) -> None:
    for _ in range(2):
        with pytest.raises(SetupError, match="run it as root"):
            await usertcp.open_tcp_stream(HERE, 7)
        with pytest.raises(SetupError, match="run it as root"):
            await usertcp.serve_tcp(echo, 7)


async def test_serve_tcp_has_a_stack_of_its_own(raw: Raw, autojump_clock: MockClock) -> None:
    far = raw.plug()
    async with trio.open_nursery() as nursery:
        [listener] = await nursery.start(usertcp.serve_tcp, echo, 0)
        async with open_stack(far) as stack:
            stream = await stack.open_tcp_stream("192.0.2.1", listener.port)
            await stream.send_all(b"hello")
            assert await stream.receive_some() == b"hello"
        nursery.cancel_scope.cancel()
    with pytest.raises(trio.ClosedResourceError):
        await far.peer.receive()
