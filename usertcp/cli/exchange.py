"""What `usertcp handshake` does: connect, exchange, half-close, close, wait out TIME-WAIT."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from math import ceil, inf
from typing import BinaryIO

import trio

from usertcp.cli import complain, first
from usertcp.cli.netcat import cause, first_that_answers
from usertcp.cli.options import View
from usertcp.cli.resolve import resolve
from usertcp.cli.screen import Screen
from usertcp.errors import (
    ConnectionAborted,
    ConnectionRefused,
    ConnectionReset,
    ConnectionTimedOut,
    HostUnreachable,
    SetupError,
    TcpError,
)
from usertcp.runtime.opening import open_stack
from usertcp.runtime.stack import Stack
from usertcp.runtime.stream import TcpStream
from usertcp.tcp.config import Config
from usertcp.tcp.segment import Flow

OUTCOMES: dict[type[TcpError], str] = {
    ConnectionRefused: "refused",
    ConnectionReset: "reset",
    ConnectionTimedOut: "timed-out",
    HostUnreachable: "unreachable",
    ConnectionAborted: "aborted",
}
"""What the summary calls an error; a connection that ended as it should is "closed"."""

CHUNK = 1 << 16
"""Octets handed to the stream at a time: the grain in which progress is seen."""
PREVIEW = 200
"""Octets of what was received that are shown."""


@dataclass(slots=True)
class Exchange:
    """What to do on the connection, and what came of it."""

    data: bytes = b""
    output: BinaryIO | None = None
    timeout: float = 20.0
    """Seconds without progress until we give up."""
    wait: bool = True
    """Wait out TIME-WAIT."""
    sent: int = 0
    received: int = 0
    preview: bytes = b""
    error: TcpError | None = None
    flow: Flow | None = None
    figures: dict[str, float | int | None] = field(default_factory=dict)

    @property
    def outcome(self) -> str:
        return OUTCOMES.get(type(self.error), "failed") if self.error else "closed"


async def handshake(host: str, port: int, family: int, exchange: Exchange, view: View, config: Config) -> int:
    """The whole command. Returns the exit status."""
    screen = Screen(view, sys.stdout)
    outcome, obstacle = "failed", None
    try:
        addresses = await resolve(host, port, family)
        async with screen.open(), open_stack(config=config, tracer=screen) as stack:
            await run_handshake(stack, addresses, port, exchange, screen)
            outcome = exchange.outcome
    except SetupError as error:
        obstacle = str(error)
        raise
    finally:
        cancelled = trio.current_effective_deadline() == -inf
        report(screen, exchange, "interrupted" if cancelled else outcome, obstacle)
    if exchange.error:
        complain(f"{exchange.error.strerror}")
    return 1 if exchange.error else 0


async def run_handshake(stack: Stack, addresses: list[str], port: int, exchange: Exchange, screen: Screen) -> None:
    """One whole connection on a stack that is there already; what came of it stands in *exchange*."""
    try:
        stream = await first_that_answers(stack, addresses, port)
        exchange.flow = stream.flow
        try:
            await _talk(stream, exchange)
            if exchange.wait:
                await _wait_out(stream, screen)
        finally:
            exchange.figures = _figures(stream)
    except* (TcpError, trio.BrokenResourceError) as errors:
        exchange.error = cause(first(errors))


async def _talk(stream: TcpStream, exchange: Exchange) -> None:
    """Send, half-close, read to the end; give up when nothing moves any more."""
    with trio.move_on_after(exchange.timeout) as patience:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_send, stream, exchange, patience)
            while data := await stream.receive_some(CHUNK):
                exchange.received += len(data)
                exchange.preview += data[: PREVIEW - len(exchange.preview)]
                if exchange.output:
                    exchange.output.write(data)
                _moved(patience, exchange)
        await stream.aclose()
    if patience.cancelled_caught:
        stream.abort()
        raise ConnectionAborted(f"the peer did not close within {exchange.timeout:g} s")


async def _send(stream: TcpStream, exchange: Exchange, patience: trio.CancelScope) -> None:
    for start in range(0, len(exchange.data), CHUNK):
        chunk = exchange.data[start : start + CHUNK]
        await stream.send_all(chunk)
        exchange.sent += len(chunk)
        _moved(patience, exchange)
    await stream.send_eof()


def _moved(patience: trio.CancelScope, exchange: Exchange) -> None:
    patience.deadline = trio.current_time() + exchange.timeout


async def _wait_out(stream: TcpStream, screen: Screen) -> None:
    """Wait for CLOSED, with a countdown of TIME-WAIT."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_count_down, stream, screen)
        await stream.wait_closed()
        nursery.cancel_scope.cancel()


async def _count_down(stream: TcpStream, screen: Screen) -> None:
    with screen.status() as status:
        while True:
            left = stream.status().timers.get("time_wait")
            what = f"{ceil(left)} s left of 2 MSL" if left is not None else "waiting for the peer"
            status(f"{stream.state}: {what} (Ctrl-C: leave now)")
            await trio.sleep((left or 0.0) % 1 or 1)


def _figures(stream: TcpStream) -> dict[str, float | int | None]:
    status = stream.status()
    return {
        "srtt": status.srtt,
        "retransmissions": status.counters.get("segments retransmitted", 0),
        "segments_out": status.counters.get("segments out", 0),
        "segments_in": status.counters.get("segments in", 0),
    }


def report(screen: Screen, exchange: Exchange, outcome: str, obstacle: str | None = None) -> None:
    """What came of it: a line under the ladder, or the last of the JSON. *obstacle*: what kept it from beginning."""
    flow = exchange.flow or next(reversed(screen.states), None)
    screen.summarize(
        outcome,
        flow,
        error=exchange.error.strerror if exchange.error else obstacle,
        sent=exchange.sent,
        received=exchange.received,
        **exchange.figures,
    )
    if exchange.received:
        text = exchange.preview.decode("utf-8", "backslashreplace")
        more = " ..." if exchange.received > len(exchange.preview) else ""
        screen.say(f"\nreceived {exchange.received:,} octets: {text!r}{more}")
    if outcome == "closed":
        srtt = exchange.figures.get("srtt")
        rtt = f", round trip {srtt * 1000:.1f} ms" if srtt else ""
        screen.say(f"{outcome}: {exchange.sent:,} octets sent, {exchange.received:,} received{rtt}")
