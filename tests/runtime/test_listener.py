"""Listeners and servers."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock, assert_checkpoints, wait_all_tasks_blocked

from usertcp import (
    Config,
    ConnectionReset,
    ConnectionTimedOut,
    InvalidAddress,
    Md5Key,
    PortInUse,
    State,
    TcpListener,
    TcpStream,
)
from usertcp.link.path import Path
from usertcp.testing import Network, open_network

HERE, HERE6 = "192.0.2.2", "2001:db8::2"


async def connect(network: Network, count: int, port: int = 80) -> list[TcpStream]:
    return [await network.a.open_tcp_stream(HERE, port) for _ in range(count)]


async def test_connections_are_accepted_in_order(autojump_clock: MockClock) -> None:
    async with open_network() as network:
        listener = await network.b.open_tcp_listener(80)
        streams = await connect(network, 5)
        for stream in streams:
            with assert_checkpoints():
                accepted = await listener.accept()
            assert accepted.flow == stream.flow.reversed


async def test_accept_waits(autojump_clock: MockClock) -> None:
    async with open_network(Path(delay=0.1)) as network, trio.open_nursery() as nursery:
        listener = await network.b.open_tcp_listener(80)
        began = trio.current_time()

        @nursery.start_soon
        async def accept() -> None:
            await listener.accept()
            assert trio.current_time() - began == pytest.approx(0.3)

        await connect(network, 1)


async def test_several_tasks_may_accept(autojump_clock: MockClock) -> None:
    accepted: list[TcpStream] = []
    async with open_network() as network, trio.open_nursery() as nursery:
        listener = await network.b.open_tcp_listener(80)

        async def accept() -> None:
            accepted.append(await listener.accept())

        for _ in range(3):
            nursery.start_soon(accept)
        await wait_all_tasks_blocked()
        streams = await connect(network, 3)
        await wait_all_tasks_blocked()
        assert {stream.flow for stream in accepted} == {stream.flow.reversed for stream in streams}


async def test_accept_cancelled_loses_no_connection(autojump_clock: MockClock) -> None:
    async with open_network(Path(delay=0.1)) as network:
        listener = await network.b.open_tcp_listener(80)
        for at in 0.1, 0.2, 0.3, 0.4:
            async with trio.open_nursery() as nursery:

                @nursery.start_soon
                async def open_soon() -> None:
                    await connect(network, 1)

                with trio.move_on_after(at) as scope:
                    await listener.accept()
            if scope.cancelled_caught:
                await listener.accept()


async def test_a_full_backlog_makes_clients_wait(autojump_clock: MockClock) -> None:
    """They believe that they are connected; what they send is taken once there is room."""
    async with open_network(Path(delay=0.01)) as network, trio.open_nursery() as nursery:
        listener = await network.b.open_tcp_listener(80, backlog=2)
        opened: list[TcpStream] = []

        async def open_one() -> None:
            stream = await network.a.open_tcp_stream(HERE, 80)
            await stream.send_all(b"here I am")
            opened.append(stream)

        for _ in range(5):
            nursery.start_soon(open_one)
        await trio.sleep(0.5)
        status = listener.status()
        assert (status.waiting, status.half_open) == (2, 3)
        assert status.counters["ignored: the backlog is full"] >= 3
        accepted = [await listener.accept() for _ in range(5)]
        assert {stream.flow for stream in accepted} == {stream.flow.reversed for stream in opened}
        for stream in accepted:
            assert await stream.receive_some() == b"here I am"


async def test_a_flood_of_syns_is_counted_where_one_looks(autojump_clock: MockClock) -> None:
    async with open_network(Path(delay=0.01), config=Config(half_open_limit=0)) as network:
        listener = await network.b.open_tcp_listener(80)
        async with await network.a.open_tcp_stream(HERE, 80) as client, await listener.accept() as server:
            await client.send_all(b"hello")
            assert await server.receive_some() == b"hello"
        counts = {"SYN cookies sent": 1, "SYN cookies returned": 1}
        assert listener.status().counters == counts
        assert counts.items() <= network.b.counters().items()


@pytest.mark.rfc("2385", "2.0")
async def test_in_a_flood_there_is_room_for_who_signs_and_no_answer_to_who_should(autojump_clock: MockClock) -> None:
    key = Md5Key("192.0.2.1", b"shared")
    async with open_network(Path(delay=0.01)) as network:
        listener = await network.b.open_tcp_listener(80, config=Config(half_open_limit=0, md5_keys=(key,)))
        with pytest.raises(ConnectionTimedOut):
            await network.a.open_tcp_stream(HERE, 80, config=Config(user_timeout=10.0))
        signing = Config(md5_keys=(Md5Key(HERE, b"shared"),))
        async with await network.a.open_tcp_stream(HERE, 80, config=signing), await listener.accept() as server:
            assert server.status().md5
        assert "SYN cookies sent" not in listener.status().counters


async def test_closing_wakes_accept(autojump_clock: MockClock) -> None:
    async with open_network() as network, trio.open_nursery() as nursery:
        listener = await network.b.open_tcp_listener(80)

        @nursery.start_soon
        async def accept() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await listener.accept()

        await wait_all_tasks_blocked()
        with assert_checkpoints():
            await listener.aclose()
        with assert_checkpoints():
            await listener.aclose()
        with pytest.raises(trio.ClosedResourceError):
            await listener.accept()


async def test_closing_resets_whom_nobody_accepted_and_nobody_else(autojump_clock: MockClock) -> None:
    async with open_network() as network:
        listener = await network.b.open_tcp_listener(80)
        first, second = await connect(network, 2)
        accepted = await listener.accept()
        await listener.aclose()
        await trio.sleep(1)
        assert isinstance(second.error, ConnectionReset)
        await accepted.send_all(b"still here")
        assert await first.receive_some() == b"still here"


async def test_a_port_is_free_again_when_its_listener_is_closed(autojump_clock: MockClock) -> None:
    async with open_network() as network:
        for _ in range(2):
            async with await network.b.open_tcp_listener(80):
                with pytest.raises(PortInUse):
                    await network.b.open_tcp_listener(80)
                with pytest.raises(PortInUse):
                    await network.b.open_tcp_listener(80, HERE)


async def test_port_0_takes_a_free_port(autojump_clock: MockClock) -> None:
    async with open_network() as network:
        listeners = [await network.b.open_tcp_listener(0) for _ in range(3)]
        assert len({listener.port for listener in listeners}) == 3
        await connect(network, 1, listeners[1].port)


async def test_without_a_host_every_address_is_listened_to(autojump_clock: MockClock) -> None:
    async with open_network() as network:
        listener = await network.b.open_tcp_listener(80)
        assert listener.addresses == ("",)
        for host in HERE, HERE6:
            stream = await network.a.open_tcp_stream(host, 80)
            assert (await listener.accept()).flow == stream.flow.reversed


async def test_with_a_host_only_its_address_is(autojump_clock: MockClock) -> None:
    async with open_network() as network:
        listener = await network.b.open_tcp_listener(80, "2001:DB8::0002")
        assert listener.addresses == (HERE6,)
        await network.a.open_tcp_stream(HERE6, 80)
        with pytest.raises(ConnectionRefusedError):
            await network.a.open_tcp_stream(HERE, 80)
        await network.b.open_tcp_listener(80, HERE)
        await network.a.open_tcp_stream(HERE, 80)


async def test_an_address_of_somebody_else_is_refused(autojump_clock: MockClock) -> None:
    async with open_network() as network:
        with pytest.raises(InvalidAddress):
            await network.b.open_tcp_listener(80, "192.0.2.1")
        with pytest.raises(InvalidAddress):
            await network.b.open_tcp_listener(65536)


async def test_what_a_handler_sent_last_arrives(autojump_clock: MockClock) -> None:
    """Though `serve_tcp` closes its stream as soon as the handler returns."""
    data = bytes(1 << 20)

    async def handler(stream: TcpStream) -> None:
        await stream.send_all(data)

    async with open_network(Path(delay=0.1, rate=1e7)) as network, trio.open_nursery() as nursery:
        await nursery.start(network.b.serve_tcp, handler, 80)
        [stream] = await connect(network, 1)
        assert b"".join([chunk async for chunk in stream]) == data
        nursery.cancel_scope.cancel()


async def test_serve_tcp_serves_many_at_a_time(autojump_clock: MockClock) -> None:
    async def echo(stream: TcpStream) -> None:
        async for data in stream:
            await stream.send_all(data)

    async with open_network(Path(delay=0.1)) as network, trio.open_nursery() as server:
        [listener] = await server.start(network.b.serve_tcp, echo, 0)
        assert isinstance(listener, TcpListener)
        async with trio.open_nursery() as clients:

            async def talk(number: int) -> None:
                stream = await network.a.open_tcp_stream(HERE, listener.port)
                async with stream:
                    for _ in range(3):
                        await stream.send_all(b"%d" % number)
                        assert await stream.receive_some() == b"%d" % number

            began = trio.current_time()
            for number in range(50):
                clients.start_soon(talk, number)
        assert trio.current_time() - began == pytest.approx(0.8, abs=0.01)
        server.cancel_scope.cancel()


async def test_what_a_handler_raises_ends_the_server(autojump_clock: MockClock) -> None:
    async def handler(stream: TcpStream) -> None:
        raise ZeroDivisionError

    async with open_network() as network:
        ended = False
        try:
            async with trio.open_nursery() as nursery:
                await nursery.start(network.b.serve_tcp, handler, 80)
                await connect(network, 1)
                await trio.sleep_forever()
        except* ZeroDivisionError:
            ended = True
        assert ended
        with pytest.raises(ConnectionRefusedError):
            await connect(network, 1)


async def test_connections_outlive_their_server(autojump_clock: MockClock) -> None:
    async with open_network() as network:
        async with trio.open_nursery() as connections:

            async def handler(stream: TcpStream) -> None:
                assert await stream.receive_some() == b"late"

            async with trio.open_nursery() as nursery:
                await nursery.start(
                    lambda **started: network.b.serve_tcp(handler, 80, handler_nursery=connections, **started)
                )
                [stream] = await connect(network, 1)
                await wait_all_tasks_blocked()
                nursery.cancel_scope.cancel()
            await stream.send_all(b"late")
        assert stream.state is not State.CLOSED
