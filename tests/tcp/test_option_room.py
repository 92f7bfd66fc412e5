"""All that a config can switch on at once has room in 40 octets of options, or gives way."""

from __future__ import annotations

from itertools import product

import pytest
import trio
from trio.testing import MockClock

from usertcp import Config, MasterKey, Md5Key, UserTimeoutOption
from usertcp.link.path import Path
from usertcp.testing import open_network

KEYS = {
    "unsigned": {},
    "md5": {"md5_keys": (Md5Key("192.0.2.0/24", b"key"),)},
    "ao": {"ao_keys": (MasterKey("192.0.2.0/24", b"key", 1, 1),)},
}
TEXT = bytes(range(256)) * 200


@pytest.mark.rfc("9293", "3.1")
@pytest.mark.parametrize("signed", KEYS)
@pytest.mark.parametrize(("sack", "timestamps"), list(product((True, False), repeat=2)))
@pytest.mark.parametrize("ecn", ["off", "accurate"])
async def test_text_flows_both_ways_over_a_bad_path(
    autojump_clock: MockClock, signed: str, sack: bool, timestamps: bool, ecn: str
) -> None:
    """The path marks, loses and duplicates, so that each option has something to say. What is too long for a header
    would end the stack. The second connection has a cookie, and text in its SYN."""
    config = Config(
        sack=sack,
        timestamps=timestamps,
        ecn=ecn,  # type: ignore[arg-type]
        fast_open=10,
        user_timeout_option=UserTimeoutOption(),
        **KEYS[signed],  # type: ignore[arg-type]
    )
    path = Path(delay=0.01, rate=20e6, mark_packets=3, loss=0.02, duplication=0.02, reordering=0.02, seed=1)
    async with open_network(path, config=config) as network, await network.b.open_tcp_listener(7) as listener:
        for first in (b"", TEXT[:500]):
            client = await network.a.open_tcp_stream(network.address_b, 7, fast_open=first)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(client.send_all, TEXT[len(first) :])
                server = await listener.accept()
                nursery.start_soon(server.send_all, TEXT)
                for stream in (client, server):
                    received = b""
                    while len(received) < len(TEXT):
                        received += await stream.receive_some()
                    assert received == TEXT
            status = client.status()
            assert (status.md5, status.ao is not None) == (signed == "md5", signed == "ao")
            assert status.sack_permitted == sack
            await client.aclose()
