"""For tests of programs that speak TCP, as `trio.testing` is for those on Trio: a network in memory, virtual time.

    async def hello() -> None:
        async with open_network(Path(delay=0.05, loss=0.1)) as network:
            client, server = await open_stream_pair(network)
            await client.send_all(b"hello")
            assert await server.receive_some() == b"hello"

    run(hello, seed=7)

With pytest-trio, a test that asks for `autojump_clock` needs no `run`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

import trio
from trio._core import _run as scheduler

from usertcp.link.memory import MemoryLink, memory_links
from usertcp.link.path import Path
from usertcp.link.virtual_time import VIRTUAL_TIME, VirtualTime
from usertcp.runtime.opening import open_stack
from usertcp.runtime.stack import Stack
from usertcp.runtime.stream import TcpStream
from usertcp.tcp.config import Config
from usertcp.tcp.events import Tracer

T = TypeVar("T")


@dataclass(slots=True, frozen=True)
class Network:
    """Two stacks, *a* and *b*, joined by a path each way. Each has an address of both families."""

    a: Stack
    b: Stack
    link_a: MemoryLink
    link_b: MemoryLink

    @property
    def address_a(self) -> str:
        """The IPv4 address of *a*."""
        return self.link_a.addresses[0]

    @property
    def address_b(self) -> str:
        """The IPv4 address of *b*."""
        return self.link_b.addresses[0]


@asynccontextmanager
async def open_network(
    path: Path | None = None,
    back: Path | None = None,
    *,
    config: Config | None = None,
    config_b: Config | None = None,
    tracer: Tracer | None = None,
    tracer_b: Tracer | None = None,
    seed: int = 0,
    mtu: int = 1500,
    linger: float = 5.0,
) -> AsyncIterator[Network]:
    """Two stacks for as long as the context lasts.

    Args:
      path: from *a* to *b*; perfect by default.
      back: from *b* to *a*; by default with the properties of *path*, and the next seed.
      config: of *a*, and unless *config_b* says otherwise of *b*.
      tracer, tracer_b: called with every trace record of *a*, of *b*.
      seed: of the ports and initial sequence numbers. The paths have seeds of their own.
      mtu: octets, both ways.
      linger: see `open_stack`; both are closed at the same time.
    """
    link_a, link_b = memory_links(path=path, back=back, mtu=mtu)
    secret_a, secret_b = b"a%d" % seed, b"b%d" % seed
    async with (
        open_stack(link_a, config, tracer=tracer, secret=secret_a, linger=linger) as a,
        open_stack(link_b, config_b or config, tracer=tracer_b, secret=secret_b, linger=linger) as b,
    ):
        try:
            yield Network(a, b, link_a, link_b)
        finally:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(a.close, linger)
                nursery.start_soon(b.close, linger)


async def open_stream_pair(network: Network, port: int = 7) -> tuple[TcpStream, TcpStream]:
    """A connection between the two: its stream at *a*, which opened it, and its stream at *b*, which listened."""
    async with await network.b.open_tcp_listener(port) as listener:
        stream = await network.a.open_tcp_stream(network.address_b, port)
        return stream, await listener.accept()


def run(async_fn: Callable[..., Awaitable[T]], *args: object, seed: int = 0) -> T:
    """`trio.run` on a virtual clock, which jumps when all tasks wait: seconds cost nothing.

    Trio runs tasks that are ready in random order, so that nobody relies on one. Here *seed* decides the order: what a
    program does with stacks and links in memory is then the same each time, to the octet.
    """
    before = scheduler._ALLOW_DETERMINISTIC_SCHEDULING
    scheduler._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]
    scheduler._r.seed(seed)
    virtual_time = VirtualTime()

    async def main() -> T:
        VIRTUAL_TIME.set(virtual_time)
        return await async_fn(*args)

    try:
        return trio.run(main, clock=virtual_time.clock)
    finally:
        scheduler._ALLOW_DETERMINISTIC_SCHEDULING = before  # type: ignore[misc]
