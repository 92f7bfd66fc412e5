"""Whole stacks over bad paths: every octet arrives intact, every connection ends, and a seed repeats it all."""

from __future__ import annotations

import hashlib
from random import Random

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from usertcp import Config, State, TcpStream
from usertcp.link.path import Path
from usertcp.tcp.events import PacketOut, TraceRecord
from usertcp.testing import open_network, open_stream_pair, run

CONFIG = Config(receive_buffer=30_000, send_buffer=50_000, r2=3600, r2_syn=3600)
"""Small buffers, and patience: over the worst of these paths a hundred seconds of bad luck do happen."""


async def send(stream: TcpStream, data: bytes, seed: int) -> None:
    """In pieces of all sizes, with pauses, and close."""
    random, at = Random(seed), 0
    while at < len(data):
        size = random.choice([1, 100, 1460, 5000, 40_000])
        await stream.send_all(data[at : at + size])
        at += size
        if random.random() < 0.2:
            await trio.sleep(random.random())
    await stream.send_eof()


async def check(stream: TcpStream, expected: bytes, seed: int) -> None:
    """Read in pieces of all sizes, now fast, now slowly."""
    random, got = Random(seed), bytearray()
    while data := await stream.receive_some(random.choice([1, 500, 3000, 65536])):
        got += data
        assert expected.startswith(got[-100:], len(got) - min(len(got), 100))
        if random.random() < 0.02:
            await trio.sleep(random.random())
    assert got == expected


async def exchange(path: Path, seed: int, octets: int, config: Config = CONFIG) -> str:
    """Both ends send, read and close; returns a digest of every packet and its time."""
    digest = hashlib.sha256()

    def tracer(record: TraceRecord) -> None:
        if isinstance(record, PacketOut):
            digest.update(b"%r %s" % (record.time, record.packet))

    async with open_network(path, config=config, tracer=tracer, tracer_b=tracer, seed=seed) as network:
        client, server = await open_stream_pair(network)
        data = Random(seed).randbytes(octets)
        async with trio.open_nursery() as nursery:
            for stream, here, there in (client, data, data[::-1]), (server, data[::-1], data):
                nursery.start_soon(send, stream, here, seed + 1)
                nursery.start_soon(check, stream, there, seed + 2)
        for stream in client, server:
            await stream.aclose()
            await stream.wait_closed()  # In a reset, if all ACKs of the last FIN are lost until TIME-WAIT is over.
            assert stream.state is State.CLOSED
        assert not network.a.endpoint.connections
        assert not network.b.endpoint.connections
    return digest.hexdigest()


chance = st.sampled_from([0, 0.01, 0.03, 0.1, 0.15])
paths = st.builds(
    Path,
    rate=st.sampled_from([1e5, 1e6, 1e8, float("inf")]),
    delay=st.sampled_from([0, 0.001, 0.05, 0.3]),
    queue_packets=st.sampled_from([3, 20, 1000]),
    loss=chance,
    reordering=chance,
    reordering_delay=st.sampled_from([0.0001, 0.01, 0.5]),
    duplication=chance,
    corruption=chance,
    seed=st.integers(0, 1000),
)


@settings(max_examples=25, deadline=None, print_blob=True)
@given(path=paths, seed=st.integers(0, 1000))
def test_every_octet_arrives_over_any_path(path: Path, seed: int) -> None:
    run(exchange, path, seed, 20_000, seed=seed)


@pytest.mark.parametrize(
    "config", [Config(), Config(sack=False, timestamps=False, window_scaling=False)], ids=["modern", "plain"]
)
async def test_a_megabyte_each_way_over_a_lossy_path(config: Config, autojump_clock: MockClock) -> None:
    path = Path(rate=2e7, delay=0.02, queue_packets=50, loss=0.01, reordering=0.02, duplication=0.01, corruption=0.01)
    await exchange(path, 1, 1 << 20, config)


def test_the_same_seeds_give_the_same_packets() -> None:
    def play(path_seed: int, seed: int) -> str:
        path = Path(rate=1e6, delay=0.05, loss=0.05, reordering=0.05, duplication=0.05, corruption=0.05, seed=path_seed)
        return run(exchange, path, seed, 50_000, seed=seed)

    first = play(1, 1)
    assert [play(1, 1) for _ in range(3)] == [first] * 3
    assert play(2, 1) != first
    assert play(1, 2) != first
