"""Connecting: names, addresses of both families, ports, and all the ways in which it fails."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from usertcp import (
    Config,
    ConnectionAlreadyExists,
    ConnectionRefused,
    ConnectionTimedOut,
    Flow,
    HostUnreachable,
    InvalidAddress,
    PortInUse,
    SetupError,
    State,
    TcpError,
    TcpStream,
    open_stack,
)
from usertcp.link.memory import memory_links
from usertcp.link.path import Path
from usertcp.tcp.events import SegmentOut, TraceRecord
from usertcp.tcp.segment import RST, SYN
from usertcp.testing import Network, open_network

NOBODY, NOBODY6 = "192.0.2.99", "2001:db8::99"
HERE, HERE6 = "192.0.2.2", "2001:db8::2"


class Names(trio.abc.HostnameResolver):
    """Resolves the names that a test has made up."""

    def __init__(self, **addresses: list[str]) -> None:
        self.addresses = addresses
        trio.socket.set_custom_hostname_resolver(self)

    async def getaddrinfo(self, host: Any, port: Any, *_: Any, **__: Any) -> Any:
        await trio.sleep(0.01)
        if host.decode() not in self.addresses:
            raise socket.gaierror(socket.EAI_NONAME, "no such host")
        return [
            (socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in self.addresses[host.decode()]
        ]

    async def getnameinfo(self, sockaddr: Any, flags: Any) -> Any:
        raise AssertionError("nobody asks for names")


class Sent:
    """A tracer that keeps the segments that went out."""

    def __init__(self) -> None:
        self.records: list[SegmentOut] = []

    def __call__(self, record: TraceRecord) -> None:
        if isinstance(record, SegmentOut):
            self.records.append(record)

    def times(self, remote: str, flag: int = SYN) -> list[float]:
        """When segments with a flag went to an address, seconds after the first segment of all."""
        first = self.records[0].time
        return [r.time - first for r in self.records if r.flow.remote == remote and r.seg.flags & flag]


async def listen(network: Network, port: int = 80) -> None:
    await network.b.open_tcp_listener(port)


@pytest.mark.parametrize("host", [HERE, HERE6, "2001:0DB8:0:0::2"])
async def test_an_address_is_never_looked_up(host: str, autojump_clock: MockClock) -> None:
    Names()
    async with open_network() as network:
        await listen(network)
        stream = await network.a.open_tcp_stream(host, 80)
        assert stream.flow.remote == (HERE if "." in host else HERE6)
        assert stream.state is State.ESTABLISHED


async def test_a_name_is_resolved(autojump_clock: MockClock) -> None:
    Names(server=[HERE])
    async with open_network() as network:
        await listen(network)
        assert (await network.a.open_tcp_stream("server", 80)).flow.remote == HERE
        with pytest.raises(socket.gaierror):
            await network.a.open_tcp_stream("unknown", 80)


# Several addresses


async def test_after_a_quarter_of_a_second_the_next_address_is_tried_too(autojump_clock: MockClock) -> None:
    Names(server=[NOBODY6, HERE])
    sent = Sent()
    async with open_network(Path(delay=0.05), tracer=sent) as network:
        await listen(network)
        stream = await network.a.open_tcp_stream("server", 80)
        assert stream.flow.remote == HERE
        assert sent.times(NOBODY6) == [0]
        assert sent.times(HERE) == [pytest.approx(0.25)]
        assert list(network.a.endpoint.connections) == [stream.flow]  # The loser was given up.


async def test_an_address_that_refuses_lets_the_next_be_tried_at_once(autojump_clock: MockClock) -> None:
    Names(server=[HERE6, HERE])
    sent = Sent()
    async with open_network(Path(delay=0.05), tracer=sent) as network:
        await network.b.open_tcp_listener(80, HERE)
        assert (await network.a.open_tcp_stream("server", 80)).flow.remote == HERE
        assert sent.times(HERE) == [pytest.approx(0.1)]


async def test_the_second_address_tried_is_of_the_other_family(autojump_clock: MockClock) -> None:
    Names(server=["2001:db8::97", "2001:db8::98", NOBODY6, NOBODY, HERE])
    sent = Sent()
    async with open_network(tracer=sent) as network:
        await listen(network)
        await network.a.open_tcp_stream("server", 80)
    order = list(dict.fromkeys(record.flow.remote for record in sent.records))
    assert order == ["2001:db8::97", NOBODY, "2001:db8::98", NOBODY6, HERE]


async def test_a_slow_first_address_can_still_win(autojump_clock: MockClock) -> None:
    Names(server=[HERE6, NOBODY])
    sent = Sent()
    async with open_network(Path(delay=0.3), tracer=sent) as network:
        await listen(network)
        assert (await network.a.open_tcp_stream("server", 80)).flow.remote == HERE6
        assert sent.times(NOBODY) == [pytest.approx(0.25)]


async def test_a_loser_that_was_answered_meanwhile_is_reset(autojump_clock: MockClock) -> None:
    Names(server=[HERE6, HERE])
    sent = Sent()
    async with open_network(Path(delay=0.2), tracer=sent) as network:
        listener = await network.b.open_tcp_listener(80)
        stream = await network.a.open_tcp_stream("server", 80)
        assert stream.flow.remote == HERE6
        await trio.sleep(1)
        assert sent.times(HERE, RST)
        assert (await listener.accept()).flow == stream.flow.reversed
        assert list(network.b.endpoint.connections) == [stream.flow.reversed]


async def test_a_family_without_a_route_is_no_reason_to_wait(autojump_clock: MockClock) -> None:
    Names(server=[HERE6, HERE])
    ours, theirs = memory_links("192.0.2.1", HERE)
    sent = Sent()
    async with open_stack(ours, tracer=sent) as a, open_stack(theirs) as b:
        await b.open_tcp_listener(80)
        await a.open_tcp_stream("server", 80)
        assert sent.times(HERE) == [0]
        with pytest.raises(ConnectionRefused):  # And not "no route", which says less.
            await a.open_tcp_stream("server", 81)


# Failures


async def test_one_address_fails_with_its_own_error(autojump_clock: MockClock) -> None:
    async with open_network() as network:
        with pytest.raises(ConnectionRefused) as refused:
            await network.a.open_tcp_stream(HERE, 81)
        assert refused.value.__cause__ is None
        assert isinstance(refused.value, ConnectionRefusedError)


async def test_addresses_that_fail_alike_fail_with_that_error(autojump_clock: MockClock) -> None:
    Names(server=[HERE6, HERE])
    async with open_network() as network:
        with pytest.raises(ConnectionRefused, match=f"server port 81.*{HERE6}.*{HERE}") as refused:
            await network.a.open_tcp_stream("server", 81)
        assert isinstance(refused.value.__cause__, ExceptionGroup)
        assert len(refused.value.__cause__.exceptions) == 2


async def test_addresses_that_fail_differently_fail_with_all_errors(autojump_clock: MockClock) -> None:
    Names(server=[NOBODY6, HERE])
    async with open_network() as network:
        with pytest.raises(TcpError, match=r"timed out.*refused") as failed:
            await network.a.open_tcp_stream("server", 81)
        assert isinstance(failed.value.__cause__, ExceptionGroup)
        assert [type(e) for e in failed.value.__cause__.exceptions] == [ConnectionTimedOut, ConnectionRefused]


@pytest.mark.rfc("9293", "3.8.3", "MUST-23")
async def test_a_black_hole_times_out_after_three_minutes(autojump_clock: MockClock) -> None:
    async with open_network() as network:
        began = trio.current_time()
        with pytest.raises(ConnectionTimedOut):
            await network.a.open_tcp_stream(NOBODY, 80)
        assert trio.current_time() - began == pytest.approx(180)


@pytest.mark.rfc("9293", "3.8.3", "MUST-21")
async def test_the_user_can_have_less_patience(autojump_clock: MockClock) -> None:
    async with open_network() as network:
        began = trio.current_time()
        with pytest.raises(ConnectionTimedOut):
            await network.a.open_tcp_stream(NOBODY, 80, config=Config(user_timeout=5))
        assert trio.current_time() - began == pytest.approx(5)


async def test_no_route_to_the_only_address(autojump_clock: MockClock) -> None:
    ours, _ = memory_links("192.0.2.1", HERE)
    async with open_stack(ours) as stack:
        with pytest.raises(HostUnreachable):
            await stack.open_tcp_stream(HERE6, 80)


@pytest.mark.rfc("9293", "3.9.1.1", "MUST-46")
@pytest.mark.parametrize("host", ["224.0.0.1", "0.0.0.0", "255.255.255.255", "ff02::1", "::"])
async def test_invalid_addresses_are_refused(host: str, autojump_clock: MockClock) -> None:
    async with open_network() as network:
        with pytest.raises(InvalidAddress):
            await network.a.open_tcp_stream(host, 80)


@pytest.mark.parametrize("port", [0, 65536, -1])
async def test_invalid_ports_are_refused(port: int, autojump_clock: MockClock) -> None:
    async with open_network() as network:
        with pytest.raises(InvalidAddress):
            await network.a.open_tcp_stream(HERE, port)
        with pytest.raises(InvalidAddress):
            await network.a.open_tcp_stream(HERE, 80, local_port=port)


@pytest.mark.parametrize("at", [0, 0.005, 0.05, 0.1, 0.15, 0.25, 0.4])
async def test_cancelling_aborts_the_attempts_and_gives_the_ports_back(at: float, autojump_clock: MockClock) -> None:
    Names(server=[NOBODY6, HERE])
    async with open_network(Path(delay=0.1)) as network:
        await listen(network)
        with trio.move_on_after(at) as scope:
            await network.a.open_tcp_stream("server", 80, local_port=5000)
        assert scope.cancelled_caught
        assert not network.a.endpoint.connections
        await trio.sleep(1)
        assert not network.b.endpoint.connections
        await network.a.open_tcp_stream(HERE, 80, local_port=5000)


# Local ports


async def test_the_local_port_can_be_chosen(autojump_clock: MockClock) -> None:
    async with open_network() as network:
        await listen(network)
        stream = await network.a.open_tcp_stream(HERE, 80, local_port=5000)
        assert stream.flow == Flow("192.0.2.1", 5000, HERE, 80)
        with pytest.raises(ConnectionAlreadyExists):
            await network.a.open_tcp_stream(HERE, 80, local_port=5000)


@pytest.mark.rfc("6056", "3")
async def test_ports_are_taken_from_the_range_of_the_config(autojump_clock: MockClock) -> None:
    async with open_network(config=Config(port_range=(5000, 5003))) as network:
        await listen(network)
        ports = {(await network.a.open_tcp_stream(HERE, 80)).flow.local_port for _ in range(4)}
        assert ports == {5000, 5001, 5002, 5003}
        with pytest.raises(PortInUse):
            await network.a.open_tcp_stream(HERE, 80)


class Claiming:
    """Makes a memory link keep account of claims, and have some of its ports taken by others."""

    def __init__(self, network: Network, *taken: int, forbidden: bool = False) -> None:
        self.held: list[tuple[str, int, str]] = []
        self.taken = taken
        self.forbidden = forbidden
        network.link_a.claim = self.claim

    @contextmanager
    def claim(self, local: str, port: int, remote: str = "") -> Iterator[None]:
        if self.forbidden:
            raise SetupError("run this first")
        if port in self.taken:
            raise PortInUse(f"{port}, by somebody else")
        self.held.append((local, port, remote))
        yield
        self.held.remove((local, port, remote))


async def test_a_port_is_claimed_until_the_connection_is_closed(autojump_clock: MockClock) -> None:
    async with open_network() as network:
        claiming = Claiming(network)
        listener = await network.b.open_tcp_listener(80)
        stream = await network.a.open_tcp_stream(HERE, 80, local_port=5000)
        assert claiming.held == [("192.0.2.1", 5000, HERE)]
        await stream.aclose()
        await (await listener.accept()).aclose()
        await trio.sleep(1)
        assert stream.state is State.TIME_WAIT
        assert claiming.held
        await stream.wait_closed()
        assert claiming.held == []


async def test_a_claim_ends_when_the_attempt_fails(autojump_clock: MockClock) -> None:
    async with open_network() as network:
        claiming = Claiming(network)
        for host in HERE, "224.0.0.1":
            with pytest.raises(TcpError):
                await network.a.open_tcp_stream(host, 81)
        assert claiming.held == []


async def test_ports_that_others_have_are_passed_over(autojump_clock: MockClock) -> None:
    async with open_network(config=Config(port_range=(5000, 5003))) as network:
        await listen(network)
        Claiming(network, 5000, 5001, 5003)
        assert (await network.a.open_tcp_stream(HERE, 80)).flow.local_port == 5002
        with pytest.raises(PortInUse, match="somebody else"):
            await network.a.open_tcp_stream(HERE, 80, local_port=5000)


async def test_what_must_be_run_first_is_said(autojump_clock: MockClock) -> None:
    async with open_network() as network:
        Claiming(network, forbidden=True)
        with pytest.raises(SetupError, match="run this first"):
            await network.a.open_tcp_stream(HERE, 80)
        with pytest.raises(SetupError, match="run this first"):
            await network.a.open_tcp_listener(80)


@pytest.mark.rfc("6191", "2")
@pytest.mark.rfc("6056", "3")
async def test_who_calls_often_does_not_run_out_of_ports(autojump_clock: MockClock) -> None:
    """Two ports, and a call each second: TIME-WAIT would keep both for a minute."""
    config = Config(port_range=(61000, 61001))
    async with open_network(Path(delay=0.01), config=config) as network:
        listener = await network.b.open_tcp_listener(80)
        began = trio.current_time()
        streams: list[TcpStream] = []
        for _ in range(10):
            client = await network.a.open_tcp_stream(HERE, 80)
            server = await listener.accept()
            await client.send_all(b"hello")
            await client.send_eof()
            assert [data async for data in server] == [b"hello"]
            await server.aclose()
            await client.aclose()
            streams.append(client)
            await trio.sleep(1.0)
        assert trio.current_time() - began < 15
        assert [stream.state for stream in streams] == [State.CLOSED] * 8 + [State.TIME_WAIT] * 2
        config = replace(config, time_wait_reuse=None)
        with pytest.raises(PortInUse):
            await network.a.open_tcp_stream(HERE, 80, config=config)
