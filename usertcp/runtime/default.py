"""Functions that need no stack to be opened: they open one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import NoReturn

import trio

from usertcp.link import Link
from usertcp.runtime.connect import STAGGER
from usertcp.runtime.listener import TcpListener
from usertcp.runtime.opening import named_link, open_stack
from usertcp.runtime.stack import Stack
from usertcp.runtime.stream import TcpStream
from usertcp.tcp.config import Config


async def open_tcp_stream(
    host: str,
    port: int,
    *,
    local_address: str | None = None,
    local_port: int | None = None,
    config: Config | None = None,
    fast_open: bytes | None = None,
    happy_eyeballs_delay: float = STAGGER,
) -> TcpStream:
    """Connect to a host, beside the kernel: `trio.open_tcp_stream`, with the TCP of this package.

    Arguments and exceptions are those of `Stack.open_tcp_stream`; SetupError too if raw sockets are not for us. All
    calls share a stack. It ends with `trio.run`, which gives open connections five seconds to close in good order.
    """
    stack = await default_stack()
    return await stack.open_tcp_stream(
        host,
        port,
        local_address=local_address,
        local_port=local_port,
        config=config,
        fast_open=fast_open,
        happy_eyeballs_delay=happy_eyeballs_delay,
    )


async def serve_tcp(
    handler: Callable[[TcpStream], Awaitable[object]],
    port: int,
    *,
    host: str | None = None,
    backlog: int | None = None,
    config: Config | None = None,
    handler_nursery: trio.Nursery | None = None,
    task_status: trio.TaskStatus[list[TcpListener]] = trio.TASK_STATUS_IGNORED,
) -> NoReturn:
    """Serve connections beside the kernel, on a stack of its own: `trio.serve_tcp`, with the TCP of this package.

    Arguments and exceptions are those of `Stack.serve_tcp`; SetupError too if raw sockets are not for us.
    """
    async with open_stack(config=config) as stack:
        await stack.serve_tcp(
            handler, port, host=host, backlog=backlog, handler_nursery=handler_nursery, task_status=task_status
        )


class Keeper:
    """A stack that lives as long as `trio.run`, in a system task."""

    def __init__(self, link: Link) -> None:
        self.ready = trio.Event()
        self.stack: Stack | None = None
        self._link = link
        self._end = trio.Event()

    async def run(self) -> None:
        """Trio cancels this when the main task has ended; the stack gets its time to close nevertheless."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._hold)
            try:
                await trio.sleep_forever()
            finally:
                self._end.set()

    async def _hold(self) -> None:
        # A failure is not Trio's: the users of the stack see it, for it closes their streams.
        with trio.CancelScope(shield=True), suppress(Exception):
            async with open_stack(self._link) as self.stack:
                self.ready.set()
                await self._end.wait()


_keeper: trio.lowlevel.RunVar[Keeper | None] = trio.lowlevel.RunVar("usertcp.runtime.default.keeper", None)


async def default_stack() -> Stack:
    """The stack that all calls of this `trio.run` share."""
    keeper = _keeper.get()
    if keeper is None or (keeper.stack is not None and keeper.stack.closed):
        keeper = Keeper(named_link("raw"))
        _keeper.set(keeper)
        trio.lowlevel.spawn_system_task(keeper.run)
    await keeper.ready.wait()
    assert keeper.stack is not None
    return keeper.stack
