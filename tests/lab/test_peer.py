"""The peer: its kernel's connections, driven from here, and what it tells of them. Both ends are kernels here."""

import socket
from collections.abc import Awaitable, Callable
from typing import Protocol

import pytest
import trio
from scapy.layers.inet import IP, TCP

from usertcp.lab import cable, namespaces
from usertcp.lab.peer import Peer, discard, echo, http, pattern, source
from usertcp.link.rst_guard import rst_guard
from usertcp.tcp.segment import Flow

pytestmark = pytest.mark.lab


class Child(Protocol):
    """The fixture of conftest.py: a process of its own."""

    def __call__(self, function: Callable[[], object]) -> None: ...


def run(body: Callable[[Peer], Awaitable[None]]) -> Callable[[], None]:
    """What a child calls: makes a lab and runs *body* in it, within a time limit."""

    async def limited() -> None:
        made = namespaces.enter()
        cable.plug(made)
        with trio.fail_after(30):
            await body(Peer(made.peer))

    return lambda: trio.run(limited)


def flow(stream: trio.SocketStream) -> Flow:
    return Flow(*stream.socket.getsockname()[:2], *stream.socket.getpeername()[:2])


async def call(port: int, host: str = cable.PEER.address) -> trio.SocketStream:
    return await trio.open_tcp_stream(host, port)


async def everything(stream: trio.SocketStream) -> bytes:
    return b"".join([data async for data in stream])


def test_services(child: Child) -> None:
    async def body(peer: Peer) -> None:
        async with trio.open_nursery() as nursery:
            for handler, port in ((echo, 7), (discard, 9), (source(100_000), 19), (http, 80)):
                await nursery.start(peer.serve, handler, port)
            for port, sent, expected in (
                (7, pattern(100_000), pattern(100_000)),
                (9, pattern(100_000), b""),
                (19, b"", pattern(100_000)),
            ):
                stream = await call(port)
                nursery.start_soon(send_and_finish, stream, sent)
                assert await everything(stream) == expected
            stream = await call(80)
            await stream.send_all(b"GET / HTTP/1.0\r\n\r\n")
            assert (await everything(stream)).startswith(b"HTTP/1.0 200 OK\r\n")
            nursery.cancel_scope.cancel()

    child(run(body))


async def send_and_finish(stream: trio.SocketStream, data: bytes) -> None:
    await stream.send_all(data)
    await stream.send_eof()


@pytest.mark.parametrize("host", [cable.PEER.address, cable.PEER.address6])
def test_states_of_a_connection_that_the_peer_accepts(child: Child, host: str) -> None:
    async def body(peer: Peer) -> None:
        nowhere = Flow(cable.OURS.address6 if ":" in host else cable.OURS.address, 61000, host, 80)
        assert peer.state(nowhere) is None
        listener = peer.listen(80, host=host)
        assert peer.state(nowhere) == "LISTEN"
        ours = await call(80, host)
        theirs = await peer.accept(listener)
        states = [peer.state(flow(ours))]
        await ours.send_eof()
        await peer.reaches(flow(ours), "CLOSE-WAIT")
        await theirs.send_all(b"still here")
        name = flow(ours)
        await theirs.aclose()
        assert await everything(ours) == b"still here"
        await peer.reaches(name, "CLOSED")
        assert states == ["ESTABLISHED"]

    child(run(body))


def test_states_of_a_connection_that_the_peer_makes(child: Child) -> None:
    async def body(peer: Peer) -> None:
        (listener,) = await trio.open_tcp_listeners(80, host=cable.OURS.address)
        theirs = await peer.connect(80, local_port=5000)
        ours = await listener.accept()
        assert flow(ours) == Flow(cable.OURS.address, 80, cable.PEER.address, 5000)
        assert peer.state(flow(ours)) == "ESTABLISHED"
        await theirs.send_eof()
        await peer.reaches(flow(ours), "FIN-WAIT-2")
        name = flow(ours)
        await ours.aclose()
        await peer.reaches(name, "TIME-WAIT")

    child(run(body))


def test_syn_received_is_seen_before_the_handshake_ends(child: Child) -> None:
    """The peer's kernel has handled a packet when the call that sends it returns."""

    async def body(peer: Peer) -> None:
        peer.listen(80)
        syn = IP(src=cable.OURS.address, dst=cable.PEER.address) / TCP(sport=61000, dport=80, flags="S")
        name = Flow(cable.OURS.address, 61000, cable.PEER.address, 80)
        with rst_guard(61000), socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
            raw.sendto(bytes(syn), (cable.PEER.address, 0))
            assert peer.state(name) == "SYN-RECEIVED"

    child(run(body))


def test_tcp_info_and_queues(child: Child) -> None:
    async def body(peer: Peer) -> None:
        listener = peer.listen(80)
        ours = await call(80)
        await peer.accept(listener)
        await ours.send_all(bytes(1000))
        found = peer.info(flow(ours))
        assert found
        assert found.receive_queue == 1000
        assert (found.info["snd_mss"], found.info["pmtu"]) == (1448, 1500)

    child(run(body))


def test_a_small_receive_buffer_closes_the_window(child: Child) -> None:
    async def body(peer: Peer) -> None:
        listener = peer.listen(80, receive_buffer=4096)
        ours = await call(80)
        await peer.accept(listener)
        with trio.move_on_after(0.3):
            await ours.send_all(bytes(10_000_000))
        found = peer.info(flow(ours))
        assert found
        assert 0 < found.receive_queue <= 8192

    child(run(body))


def test_reset_sends_a_rst(child: Child) -> None:
    async def body(peer: Peer) -> None:
        listener = peer.listen(80)
        ours = await call(80)
        theirs = await peer.accept(listener)
        peer.reset(theirs)
        with pytest.raises(trio.BrokenResourceError):
            await ours.receive_some()

    child(run(body))


def test_reset_all_resets_every_connection(child: Child) -> None:
    async def body(peer: Peer) -> None:
        listener = peer.listen(80)
        ours = await call(80)
        await peer.accept(listener)
        peer.reset_all()
        with pytest.raises(trio.BrokenResourceError):
            await ours.receive_some()

    child(run(body))
