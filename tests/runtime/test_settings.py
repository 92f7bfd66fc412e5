"""Settings of one connection: at its opening, and changed while it lives."""

from __future__ import annotations

from dataclasses import replace

import pytest
import trio
from trio.testing import MockClock

from usertcp import Config, ConnectionTimedOut, KeepAlive, State
from usertcp.link.path import Path
from usertcp.testing import open_network, open_stream_pair

KEEP = KeepAlive(idle=60.0, interval=5.0, count=4)


@pytest.mark.rfc("9293", "3.8.4", "MUST-24")
async def test_keep_alives_are_switched_for_one_connection(autojump_clock: MockClock) -> None:
    async with open_network() as network, await network.b.open_tcp_listener(7) as listener:
        kept = await network.a.open_tcp_stream(network.address_b, 7, config=Config(keepalive=KEEP))
        switched = await network.a.open_tcp_stream(network.address_b, 7)
        other = await network.a.open_tcp_stream(network.address_b, 7)
        peers = [await listener.accept() for _ in range(3)]
        switched.configure(replace(switched.config, keepalive=KEEP))
        await trio.sleep(601)
        sent = [stream.status().counters.get("keep-alives out", 0) for stream in (kept, switched, other)]
        assert sent == [10, 10, 0]
        switched.configure(replace(switched.config, keepalive=None))
        await trio.sleep(600)
        assert switched.status().counters["keep-alives out"] == 10
        assert all(peer.state is State.ESTABLISHED for peer in peers)


@pytest.mark.rfc("9293", "3.8.4", "MUST-29")
async def test_who_waits_for_a_peer_that_is_gone_learns_it_from_keep_alives(autojump_clock: MockClock) -> None:
    async with open_network(config=Config(keepalive=KEEP), config_b=Config()) as network:
        stream, _ = await open_stream_pair(network)
        network.link_a.path = Path(loss=1)
        begin = trio.current_time()
        with pytest.raises(trio.BrokenResourceError, match="keep-alives") as failure:
            await stream.receive_some()
        assert trio.current_time() - begin == pytest.approx(60 + 4 * 5)
        assert isinstance(failure.value.__cause__, ConnectionTimedOut)
