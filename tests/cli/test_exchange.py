"""What `usertcp handshake` does, on a network in memory and a virtual clock."""

from __future__ import annotations

import io
import json
from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.testing import MockClock

from usertcp.cli.exchange import Exchange, report, run_handshake
from usertcp.cli.options import View
from usertcp.cli.relay import discard, echo
from usertcp.cli.screen import Screen
from usertcp.link.path import Path
from usertcp.runtime.stream import TcpStream
from usertcp.tcp.config import Config
from usertcp.testing import open_network

Handler = Callable[[TcpStream], Awaitable[None]]


async def shake(
    exchange: Exchange, handler: Handler | None = None, path: Path | None = None, *, json: bool = False
) -> tuple[str, float]:
    """Make the exchange with a handler at port 7. Returns what was printed, and how long it took."""
    file = io.StringIO()
    screen = Screen(View(json=json), file)
    config = Config(user_timeout=exchange.timeout)
    started = trio.current_time()
    async with (
        screen.open(),
        open_network(path or Path(delay=0.01), config=config, tracer=screen) as network,
        trio.open_nursery() as nursery,
    ):
        if handler:
            await nursery.start(network.b.serve_tcp, handler, 7)
        await run_handshake(network.a, [network.address_b], 7, exchange, screen)
        took = trio.current_time() - started
        nursery.cancel_scope.cancel()
    report(screen, exchange, exchange.outcome)
    return file.getvalue(), took


async def test_time_wait_is_waited_out(autojump_clock: MockClock) -> None:
    exchange = Exchange(b"hello")
    out, took = await shake(exchange, echo)
    assert (exchange.outcome, exchange.sent, exchange.received, exchange.preview) == ("closed", 5, 5, b"hello")
    assert 60 < took < 61
    assert "60.040  CLOSED       │ ∙ 2 MSL have passed (60 s)" in out
    assert "received 5 octets: 'hello'\nclosed: 5 octets sent, 5 received, round trip 20.0 ms" in out


async def test_without_waiting_the_end_is_time_wait(autojump_clock: MockClock) -> None:
    exchange = Exchange(b"hello", wait=False)
    out, took = await shake(exchange, discard, json=True)
    summary = json.loads(out.splitlines()[-1])
    assert summary["outcome"] == "closed"
    assert summary["states"][-2:] == ["FIN-WAIT-2", "TIME-WAIT"]
    assert took < 1


async def test_a_refusal(autojump_clock: MockClock) -> None:
    exchange = Exchange()
    await shake(exchange)
    assert exchange.outcome == "refused"


async def test_silence(autojump_clock: MockClock) -> None:
    exchange = Exchange(timeout=20.0)
    out, took = await shake(exchange, echo, Path(loss=1.0))
    assert exchange.outcome == "timed-out"
    assert took == pytest.approx(20.0)
    assert out.count("SYN seq=0") == 5


async def test_a_reset(autojump_clock: MockClock) -> None:
    async def rude(stream: TcpStream) -> None:
        await stream.receive_some()
        stream.abort()

    exchange = Exchange(b"hello")
    await shake(exchange, rude)
    assert exchange.outcome == "reset"


async def test_a_peer_that_never_closes_is_given_up_after_a_time_of_silence(autojump_clock: MockClock) -> None:
    async def talkative(stream: TcpStream) -> None:
        for _ in range(3):
            await trio.sleep(15)
            await stream.send_all(b".")
        await trio.sleep_forever()

    exchange = Exchange(timeout=20.0)
    _, took = await shake(exchange, talkative)
    assert (exchange.outcome, exchange.received) == ("aborted", 3)
    assert took == pytest.approx(45 + 20, abs=1)


async def test_the_next_address_is_tried(autojump_clock: MockClock, capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen(View(), io.StringIO())
    exchange = Exchange(wait=False, timeout=2.0)
    async with open_network(config=Config(user_timeout=2.0), tracer=screen) as network, trio.open_nursery() as nursery:
        await nursery.start(network.b.serve_tcp, echo, 7)
        await run_handshake(network.a, ["192.0.2.77", network.address_b], 7, exchange, screen)
        nursery.cancel_scope.cancel()
    assert exchange.outcome == "closed"
    assert capsys.readouterr().err.startswith("usertcp: 192.0.2.77: connection timed out: ")


async def test_large_data_flows_both_ways_at_once(autojump_clock: MockClock) -> None:
    data = bytes(range(256)) * 20_000
    output = io.BytesIO()
    exchange = Exchange(data, output, wait=False)
    out, _ = await shake(exchange, echo, Path(delay=0.005, rate=1e9))
    assert output.getvalue() == data
    assert "more from the peer" in out
