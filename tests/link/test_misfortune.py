"""Links that offload, on bad networks and with bad programs: nothing is lost, and nothing piles up."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
import trio
import trio.testing
from pyroute2 import IPRoute

from tests.link.exchange import CONFIG, SIZE, TEXT, exchange, serving, until
from usertcp.errors import ConnectionTimedOut
from usertcp.link import Link
from usertcp.link.packet import PacketLink
from usertcp.runtime.opening import open_stack
from usertcp.runtime.stack import Stack
from usertcp.runtime.stream import TcpStream

pytestmark = pytest.mark.lab

MANY = 32 * len(TEXT)


class Place(NamedTuple):
    """A link, and who is at the other end."""

    link: Link
    where: Any
    remote: str
    interface: str
    """Of that end."""


@pytest.fixture(params=["packet", "tun"])
def place(here: Any, request: pytest.FixtureRequest) -> Iterator[Place]:
    if request.param == "packet":
        place = Place(PacketLink(), request.getfixturevalue("peer"), "10.0.0.2", "veth0")
    else:
        link = request.getfixturevalue("tun")
        place = Place(link, here, "10.9.0.1", link.name)
    yield place
    place.link.close()


def narrow(namespace: Any, rate: str, limit: int) -> None:
    """From now on the interface sends no faster than at *rate*, and keeps *limit* octets that wait for it."""
    with namespace, IPRoute() as netlink:
        [index] = netlink.link_lookup(ifname="veth0")
        netlink.tc("add", "tbf", index, 0x10000, rate=rate, burst=16_000, limit=limit)


@pytest.mark.parametrize("remote", ["10.0.0.2", "fd00::2"])
async def test_a_slow_cable_that_drops_what_it_has_no_room_for(here: Any, peer: Any, remote: str) -> None:
    for end in here, peer:
        narrow(end, "200mbit", 40_000)
    async with serving(peer, remote) as port, open_stack("packet", replace(CONFIG, rto_min=0.2)) as stack:
        counters = await exchange(stack, remote, port)
    assert counters["segments retransmitted"] > 0
    assert counters["octets out"] < 1.5 * SIZE


async def connected(stack: Stack, place: Place) -> tuple[TcpStream, socket.socket]:
    with place.where.listen(place.remote) as listener:
        stream = await stack.open_tcp_stream(*listener.getsockname())
        sock, _ = await trio.to_thread.run_sync(listener.accept)
        sock.settimeout(20)
        return stream, sock


def send_many(sock: socket.socket) -> None:
    for _ in range(MANY // len(TEXT)):
        sock.sendall(TEXT)
    sock.shutdown(socket.SHUT_WR)


def digest_of(sock: socket.socket) -> bytes:
    digest = hashlib.sha256()
    while data := sock.recv(1 << 20):
        digest.update(data)
    return digest.digest()


DIGEST = hashlib.sha256(TEXT * (MANY // len(TEXT))).digest()


async def test_a_program_that_does_not_read_for_a_while(place: Place) -> None:
    async with open_stack(place.link, CONFIG) as stack, trio.open_nursery() as nursery:
        stream, sock = await connected(stack, place)
        nursery.start_soon(trio.to_thread.run_sync, send_many, sock)
        await until(lambda: stream.status().rcv_wnd < stream.status().rcv_mss)
        status = stream.status()
        assert status.unread <= status.receive_buffer + (1 << status.rcv_scale), "a window is rounded up"
        digest = hashlib.sha256()
        async for data in stream:
            digest.update(data)
            assert stack.endpoint.memory.used <= 1.1 * CONFIG.receive_buffer
        assert digest.digest() == DIGEST
        await stream.aclose()
        sock.close()


async def test_a_peer_that_does_not_read_for_a_while(place: Place) -> None:
    async with open_stack(place.link, CONFIG) as stack, trio.open_nursery() as nursery:
        stream, sock = await connected(stack, place)

        @nursery.start_soon
        async def send() -> None:
            for _ in range(MANY // len(TEXT)):
                await stream.send_all(TEXT)
                assert stack.endpoint.memory.used <= CONFIG.send_buffer
            await stream.send_eof()

        await until(lambda: stream.status().snd_wnd == 0)
        assert await trio.to_thread.run_sync(digest_of, sock) == DIGEST
        sock.close()


async def test_a_reader_that_is_cancelled_all_the_time_loses_nothing(place: Place) -> None:
    async with open_stack(place.link, CONFIG) as stack, trio.open_nursery() as nursery:
        stream, sock = await connected(stack, place)
        nursery.start_soon(trio.to_thread.run_sync, send_many, sock)
        digest, data, attempts, cancelled = hashlib.sha256(), b"?", 0, 0
        while data:
            with trio.move_on_after(0.0005 * (attempts % 2)) as scope:
                data = await stream.receive_some()
                digest.update(data)
            attempts += 1
            cancelled += scope.cancelled_caught
        assert cancelled >= attempts // 2 > 10
        assert digest.digest() == DIGEST
        await stream.aclose()
        sock.close()


async def test_of_a_writer_that_is_cancelled_the_peer_gets_the_beginning(place: Place) -> None:
    text = TEXT * (MANY // len(TEXT))
    async with open_stack(place.link, CONFIG) as stack:
        stream, sock = await connected(stack, place)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.send_all, text)
            await until(lambda: stream.status().unsent > 0)
            nursery.cancel_scope.cancel()
        with sock:
            await stream.send_eof()
            got = await trio.to_thread.run_sync(lambda: b"".join(iter(lambda: sock.recv(1 << 20), b"")))
        assert 0 < len(got) < len(text)
        assert text.startswith(got)


# Whoever waits reads the link for all. What else may happen to him than that something comes:


async def test_the_connection_of_who_reads_for_all_times_out(place: Place) -> None:
    async with open_stack(place.link, replace(CONFIG, user_timeout=0.5, rto_min=0.1), linger=0) as stack:
        stream, sock = await connected(stack, place)
        with place.where, IPRoute() as netlink:
            netlink.link("set", index=socket.if_nametoindex(place.interface), state="down")
        await stream.send_all(b"Is anybody there?")
        with trio.fail_after(20), pytest.raises(trio.BrokenResourceError) as broken:
            await stream.receive_some()
        assert isinstance(broken.value.__cause__, ConnectionTimedOut)
        sock.close()


async def test_the_stream_of_who_reads_for_all_is_closed(place: Place) -> None:
    async with open_stack(place.link, CONFIG) as stack, trio.open_nursery() as nursery:
        (first, near), (second, far) = [await connected(stack, place) for _ in range(2)]

        async def wait() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await first.receive_some()

        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked(0.01)
        await first.aclose()
        far.sendall(b"And the others?")
        with trio.fail_after(20):
            assert await second.receive_some() == b"And the others?"
        near.close()
        far.close()


async def test_many_wait_and_each_gets_its_own(place: Place) -> None:
    async with open_stack(place.link, CONFIG) as stack, trio.open_nursery() as nursery:
        pairs = [await connected(stack, place) for _ in range(20)]

        async def read(number: int, stream: TcpStream) -> None:
            for turn in range(20):
                with trio.fail_after(20):
                    assert await stream.receive_some() == b"%d %d" % (number, turn)
                await stream.send_all(b"thanks")

        def write() -> None:
            for turn in range(20):
                for number, (_, sock) in enumerate(pairs):
                    sock.sendall(b"%d %d" % (number, turn))
                for _, sock in pairs:
                    assert sock.recv(100) == b"thanks"

        for number, (stream, _) in enumerate(pairs):
            nursery.start_soon(read, number, stream)
        await trio.to_thread.run_sync(write)
        for _, sock in pairs:
            sock.close()


async def test_a_device_that_goes_away_while_somebody_reads_for_all_ends_the_stack(here: Any, tun: Any) -> None:
    async def unplugged() -> None:
        async with (
            open_stack(tun, linger=0) as stack,
            await stack.open_tcp_listener(80) as listener,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(listener.accept)
            await trio.testing.wait_all_tasks_blocked(0.01)
            with IPRoute() as netlink:
                netlink.link("del", index=socket.if_nametoindex(tun.name))

    with trio.fail_after(20), pytest.raises(OSError, match="descriptor"):
        await unplugged()
