"""From a link to a stack, and its end. (Interpreted: asynchronous generators mypyc does not know.)"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal, get_args

import trio

from usertcp.errors import SetupError
from usertcp.link import Link
from usertcp.runtime.lower_level import LowerLevel
from usertcp.runtime.stack import Stack
from usertcp.tcp.config import Config
from usertcp.tcp.events import Tracer
from usertcp.wire import Codec

LinkName = Literal["raw", "packet", "auto"]


@asynccontextmanager
async def open_stack(
    link: Link | LinkName = "raw",
    config: Config | None = None,
    *,
    tracer: Tracer | None = None,
    codec: Codec | None = None,
    secret: bytes | None = None,
    linger: float = 5.0,
) -> AsyncIterator[Stack]:
    """A TCP endpoint for as long as the context lasts.

    Args:
      link: how packets travel; it is closed with the stack. "raw" is `RawLink()`, Scapy's raw sockets beside the
        kernel; "packet" `PacketLink()`, packet sockets beside the kernel that leave checksums and the cutting of
        segments to it; "auto" the fastest of the two that this machine allows.
      config: of connections and listeners that bring none of their own.
      tracer: called with every trace record (`usertcp.tcp.events`), in the order of the events.
      codec: how segments become octets. By default Scapy beside a kernel, `struct` on other links.
      secret: 32 octets, from which ports and initial sequence numbers come; random, unless a run is to be repeated.
      linger: seconds that connections have to close in good order at the end; what is left then is reset.

    Raises:
      SetupError: the machine does not let us; the message says what to do. Also later, which cancels the body.

    Leaving does not wait for TIME-WAIT.
    """
    if isinstance(link, str):
        link = named_link(link)
    config = config or Config()
    try:
        lower = LowerLevel(link, config, codec or codec_for(link), secret or os.urandom(32), tracer)
        stack = Stack(lower, config)
        error: BaseException | None = None
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(lower.run)
                try:
                    yield stack
                finally:
                    await stack.close(linger)
                    nursery.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            if len(group.exceptions) > 1:
                raise
            error = group.exceptions[0]  # The nursery is ours, so nobody expects its group.
        if error is not None:
            raise error
    finally:
        link.close()


def named_link(name: LinkName) -> Link:
    """A link beside the kernel. Imported when it is used, for Scapy takes its time.

    Raises:
      SetupError: the machine does not let us.
      ValueError: no such name.
    """
    if name not in get_args(LinkName):
        raise ValueError(f"a link is {', '.join(get_args(LinkName))}, or a Link")
    if name != "raw":
        from usertcp.link.packet import PacketLink

        try:
            return PacketLink()
        except SetupError:
            if name == "packet":
                raise
    from usertcp.link.raw import RawLink

    return RawLink()


def codec_for(link: Link) -> Codec:
    """The default codec: Scapy's where people look at packets."""
    if link.beside_kernel and not link.offloads:
        from usertcp.wire.scapy import ScapyCodec

        return ScapyCodec()
    from usertcp.wire.fast import FastCodec

    return FastCodec()
