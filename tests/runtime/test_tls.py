"""TLS by `trio.SSLStream` on our streams."""

from __future__ import annotations

import ssl

import pytest
import trio
import trustme
from trio.testing import MockClock, check_two_way_stream

from usertcp import TcpStream
from usertcp.link.path import Path
from usertcp.testing import Network, open_network, open_stream_pair

Tls = trio.SSLStream[TcpStream]


@pytest.fixture(scope="module")
def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Of a client and of the server that it trusts."""
    authority = trustme.CA()
    client = ssl.create_default_context()
    authority.configure_trust(client)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("server.example").configure_cert(server)
    # Else what the server sends last, unasked, is lost when the client closes without reading it.
    server.num_tickets = 0
    return client, server


async def open_tls(network: Network, contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> tuple[Tls, Tls]:
    ours, theirs = await open_stream_pair(network, 443)
    client = trio.SSLStream(ours, contexts[0], server_hostname="server.example", https_compatible=True)
    server = trio.SSLStream(theirs, contexts[1], server_side=True, https_compatible=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.do_handshake)
        nursery.start_soon(server.do_handshake)
    return client, server


@pytest.mark.parametrize("path", [Path(delay=0.02), Path(delay=0.02, rate=2e7, loss=0.02, reordering=0.02, seed=1)])
async def test_a_megabyte_each_way(
    path: Path, contexts: tuple[ssl.SSLContext, ssl.SSLContext], autojump_clock: MockClock
) -> None:
    data = bytes(range(256)) * 4096
    async with open_network(path) as network:
        client, server = await open_tls(network, contexts)

        async def receive(stream: Tls) -> None:
            got = bytearray()
            while len(got) < len(data):
                got += await stream.receive_some()
            assert got == data

        async with trio.open_nursery() as nursery:
            for stream in client, server:
                nursery.start_soon(stream.send_all, data)
                nursery.start_soon(receive, stream)
        await client.aclose()
        assert await server.receive_some() == b""


async def test_tls_on_our_streams_is_a_trio_stream(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext], autojump_clock: MockClock
) -> None:
    async with open_network(Path(delay=0.02)) as network:
        await check_two_way_stream(lambda: open_tls(network, contexts), None)
