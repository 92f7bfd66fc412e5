"""What `usertcp connect` and `usertcp listen` do."""

from __future__ import annotations

import sys

import trio

from usertcp.cli import complain, first
from usertcp.cli.options import Behind, View
from usertcp.cli.relay import serve
from usertcp.cli.resolve import resolve
from usertcp.cli.screen import Screen
from usertcp.errors import TcpError
from usertcp.runtime.opening import open_stack
from usertcp.runtime.stack import Stack
from usertcp.runtime.stream import TcpStream
from usertcp.tcp.config import Config


async def connect(host: str, port: int, family: int, behind: Behind, verbose: bool, config: Config, view: View) -> int:
    """The whole command. Returns the exit status."""
    addresses = await resolve(host, port, family)
    screen = _screen(verbose, view)
    async with screen.open(), open_stack(config=config, tracer=screen.tracer) as stack:
        stream = await first_that_answers(stack, addresses, port)
        await _serve(stream, behind)
    return 0


async def listen(
    port: int, host: str | None, keep_open: bool, behind: Behind, verbose: bool, config: Config, view: View
) -> int:
    """The whole command. Returns the exit status, which with *keep_open* only a signal brings about."""
    screen = _screen(verbose, view)
    async with screen.open(), open_stack(config=config, tracer=screen.tracer) as stack:
        listener = await stack.open_tcp_listener(port, host)
        complain(f"listening on {host or 'every address'}, port {port}")
        if not keep_open:
            async with listener:
                stream = await listener.accept()
            await _serve(stream, behind)
            return 0
        at_once = behind.echo or behind.discard or behind.exec is not None
        async with listener, trio.open_nursery() as nursery:
            while True:
                stream = await listener.accept()
                if at_once:
                    nursery.start_soon(_serve_one, stream, behind)
                else:
                    await _serve_one(stream, behind)


async def first_that_answers(stack: Stack, addresses: list[str], port: int) -> TcpStream:
    """Try the addresses one after the other, so that each has a ladder of its own."""
    for address in addresses[:-1]:
        try:
            return await stack.open_tcp_stream(address, port)
        except TcpError as error:
            complain(f"{address}: {error.strerror}; trying the next address")
    return await stack.open_tcp_stream(addresses[-1], port)


def cause(error: BaseException) -> TcpError:
    """What TCP says of an error, if it says anything of it; else it is raised again."""
    found = error.__cause__ if isinstance(error, trio.BrokenResourceError) else error
    if not isinstance(found, TcpError):
        raise error
    return found


async def _serve(stream: TcpStream, behind: Behind) -> None:
    """One connection; its failure is ours."""
    try:
        await serve(stream, behind)
    except* trio.BrokenResourceError as errors:
        raise cause(first(errors)) from errors


async def _serve_one(stream: TcpStream, behind: Behind) -> None:
    """One connection of many: its failure is told and harms no other."""
    try:
        await serve(stream, behind)
    except* trio.BrokenResourceError as errors:
        complain(f"{stream.flow.remote} port {stream.flow.remote_port}: {cause(first(errors)).strerror}")


def _screen(verbose: bool, view: View) -> Screen:
    """On stderr: standard output belongs to the data."""
    return Screen(view, sys.stderr if verbose or view.json or view.explain or view.absolute else None)
