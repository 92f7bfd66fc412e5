"""The programs on Trio: each runs over usertcp and over the kernel's TCP, and cannot tell which."""

from __future__ import annotations

import gc
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from itertools import cycle
from pathlib import Path
from time import process_time
from typing import Any

import trio
from trio.abc import HalfCloseableStream, Stream

from usertcp.bench import sockets
from usertcp.bench.measure import (
    DIGEST_SIZE,
    MESSAGE,
    SLICE,
    SOURCE,
    Meter,
    Sample,
    Setting,
    Slices,
    WrongOctets,
    digest,
    kernel_memory,
    meters,
    resident,
)
from usertcp.bench.tls import NAME, client_context
from usertcp.lab import cable
from usertcp.runtime.opening import open_stack
from usertcp.runtime.stack import Stack
from usertcp.tcp.config import Config

CONFIG = Config(congestion="cubic", nagle=False, backlog=sockets.BACKLOG)
"""As the kernel's bulk transfers: CUBIC, and without Nagle as Trio's sockets are."""
MANY, SOME, FEW = 10_000, 500, 10
TURNS = 4

Listener = trio.abc.Listener[Any]


class Host(ABC):
    """Our end of the cable, and whose TCP is there."""

    address = cable.OURS.address

    @abstractmethod
    async def connect(self, port: int) -> HalfCloseableStream:
        """To a port of the peer."""

    @abstractmethod
    async def listen(self) -> tuple[Listener, int]:
        """At any port, which is returned too."""

    @abstractmethod
    def segments(self) -> int:
        """Sent and received so far."""


class UserTcp(Host):
    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.address = stack.link.source_address(cable.PEER.address)

    async def connect(self, port: int) -> HalfCloseableStream:
        return await self.stack.open_tcp_stream(cable.PEER.address, port)

    async def listen(self) -> tuple[Listener, int]:
        listener = await self.stack.open_tcp_listener(0)
        return listener, listener.port

    def segments(self) -> int:
        counters = self.stack.link.counters()
        return counters["sent"] + counters["received"]


class Kernel(Host):
    async def connect(self, port: int) -> HalfCloseableStream:
        return await trio.open_tcp_stream(cable.PEER.address, port)

    async def listen(self) -> tuple[Listener, int]:
        [listener] = await trio.open_tcp_listeners(0, host=self.address, backlog=sockets.BACKLOG)
        return listener, listener.socket.getsockname()[1]

    def segments(self) -> int:
        names, values = (line.split() for line in Path("/proc/net/snmp").read_text().splitlines() if "Tcp:" in line)
        counts = dict(zip(names, values, strict=True))
        return int(counts["InSegs"]) + int(counts["OutSegs"])


Program = Callable[[Host, Setting], Awaitable[Sample]]


def over_usertcp(program: Program, setting: Setting) -> Sample:
    """Run it over our TCP."""

    async def main() -> Sample:
        async with open_stack(setting.open_link(), CONFIG, linger=1.0) as stack:
            return await program(UserTcp(stack), setting)

    return trio.run(main)


def over_kernel(program: Program, setting: Setting) -> Sample:
    """Run it over the kernel's TCP."""
    return trio.run(program, Kernel(), setting)


async def bulk(host: Host, setting: Setting, way: bytes, *, write: int, tls: bool = False) -> Sample:
    """One stream: octets, seconds, CPU seconds of this process."""
    async with opened(host, setting.channel.recv(), tls) as stream:
        region, slices = sockets.new_region(), Slices(setting.seconds)
        for shift, text in slices:
            size = len(text)
            request = SLICE.pack(way, size, write, shift)
            if way == SOURCE:
                with slices.timed():
                    await stream.send_all(request)
                    await read(stream, region[:size])
                told = digest(region[:size])
            else:
                await stream.send_all(request)
                with slices.timed():
                    for at in range(0, size, write):
                        await stream.send_all(text[at : at + write])
                    got = bytes(await stream.receive_some())  # That all has been taken, and maybe of its digest.
                rest = region[: 1 + DIGEST_SIZE - len(got)]
                await read(stream, rest)
                told = (got + rest)[1:]
            if told != digest(text):
                raise WrongOctets(f"in {size} octets")
    return slices.sample()


@asynccontextmanager
async def opened(host: Host, port: int, tls: bool) -> AsyncIterator[Stream]:
    stream: Stream = await host.connect(port)
    if isinstance(stream, trio.SocketStream):
        sockets.use_cubic(stream.socket)
    if tls:
        stream = trio.SSLStream(stream, client_context(), server_hostname=NAME, https_compatible=True)
    async with stream:
        yield stream


async def read(stream: Stream, region: memoryview) -> None:
    """Fill *region*, with what the stream has been asked for and no more."""
    at, size = 0, len(region)
    while at < size:
        data = await stream.receive_some()
        if not data or len(data) > size - at:
            raise WrongOctets(f"{len(data)} octets where {size - at} were to come")
        region[at : at + len(data)] = data
        at += len(data)


async def round_trips(host: Host, setting: Setting, *, streams: int) -> Sample:
    """A message there and back, again and again, on so many streams at once."""
    port = setting.channel.recv()
    opened = [await host.connect(port) for _ in range(streams)]
    for meter in meters(setting.seconds):
        async with trio.open_nursery() as nursery:
            for stream in opened:
                nursery.start_soon(exchange_again, stream, meter)
        sample = meter.sample()
    for stream in opened:
        await stream.aclose()
    return sample


async def exchange_again(stream: Stream, meter: Meter) -> None:
    while not meter.over():
        await exchange(stream)
        meter.count += 1


async def exchange(stream: Stream) -> None:
    await stream.send_all(MESSAGE)
    answer = bytes(await stream.receive_some())
    while len(answer) < len(MESSAGE) and (more := await stream.receive_some()):
        answer += more
    if answer != MESSAGE:
        raise WrongOctets("not what the message was")


async def connections(host: Host, setting: Setting, *, at_once: int) -> Sample:
    """Connections opened, used for one exchange and closed."""
    port = setting.channel.recv()

    async def visit(meter: Meter) -> None:
        while not meter.over():
            async with await host.connect(port) as stream:
                await exchange(stream)
                if await stream.receive_some():
                    raise WrongOctets("more than the message")
            meter.count += 1

    for meter in meters(setting.seconds):
        async with trio.open_nursery() as nursery:
            for _ in range(at_once):
                nursery.start_soon(visit, meter)
        sample = meter.sample()
    return sample


async def accepts(host: Host, setting: Setting) -> Sample:
    """The same, called by the peer."""
    served, somebody = 0, trio.Event()

    async def serve(stream: Stream) -> None:
        nonlocal served
        message = await stream.receive_some()
        await stream.send_all(message)
        await stream.aclose()
        served += 1
        somebody.set()

    listener, port = await host.listen()
    setting.channel.send((host.address, port))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, serve, [listener])
        for meter in meters(setting.seconds):
            before, somebody = served, trio.Event()
            await trio.sleep(meter.seconds)
            await somebody.wait()  # On a machine that has much else to do.
            meter.count = served - before
            sample = meter.sample()
        nursery.cancel_scope.cancel()
    return sample


async def hold(host: Host, setting: Setting) -> Sample:
    """Many connections, opened by the peer: what an idle one takes of memory, and what a segment costs among them."""
    listener, port = await host.listen()
    setting.channel.send((host.address, port, MANY))
    streams: list[Stream] = []
    memory, in_kernel = resident(), kernel_memory()
    async with listener:
        while len(streams) < MANY:
            stream = await listener.accept()
            streams.append(stream)
            await stream.send_all(b"!")
            if len(streams) % SOME == 0:
                setting.tell(f"{len(streams):,} connections open")
    await trio.sleep(0.2)
    gc.collect()
    memory, in_kernel = resident() - memory, kernel_memory() - in_kernel
    for done, stream in enumerate(streams):  # The first message takes more than the next.
        await exchange(stream)
        if done % SOME == 0:
            setting.tell(f"{done:,} of them in use")
    few, many = await costs(host, [cycle(streams[:FEW]), cycle(streams)], setting.seconds)
    return {
        "memory": memory / len(streams),
        # Half of it is the peer's; all of it, where our end is no socket.
        "kernel memory": in_kernel / len(streams) / 2 if isinstance(host, Kernel) else 0.0,
        "few": few,
        "many": many,
    }


async def costs(host: Host, groups: Sequence[Iterator[Stream]], seconds: float) -> list[float]:
    """CPU seconds of this process for each segment, when the streams of a group exchange messages in turn: for each
    group, measured by turns, since a machine is not equally fast at all times."""
    cpu, segments = [0.0] * len(groups), [0] * len(groups)
    for _ in range(TURNS):
        for i, group in enumerate(groups):
            for meter in meters(seconds / TURNS):
                cpu_before, before = process_time(), host.segments()
                while not meter.over():
                    await exchange(next(group))
            cpu[i] += process_time() - cpu_before
            segments[i] += host.segments() - before
    return [each / number for each, number in zip(cpu, segments, strict=True)]


async def scapy_segments(host: Host, setting: Setting) -> Sample:
    """Segments sent and received while octets are sent without end."""
    async with await host.connect(setting.channel.recv()) as stream:
        await stream.send_all(SLICE.pack(b"<", 1 << 24, 1, 0))
        for meter in meters(setting.seconds):
            before = host.segments()
            while not meter.over():
                await stream.send_all(bytes(1 << 14))
            meter.count = host.segments() - before
            sample = meter.sample()
        stream.abort()  # type: ignore[attr-defined]
    return sample


async def scapy_handshakes(host: Host, setting: Setting) -> Sample:
    """Connections opened, and given up at once."""
    port = setting.channel.recv()
    for meter in meters(setting.seconds):
        while not meter.over():
            stream = await host.connect(port)
            stream.abort()  # type: ignore[attr-defined]
            meter.count += 1
        sample = meter.sample()
    return sample
