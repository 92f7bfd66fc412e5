"""Runs a scenario: two stacks, a path each way, connections over it, a virtual clock."""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Awaitable, Callable
from functools import partial
from math import inf
from random import Random
from time import process_time
from typing import Any

import trio

from usertcp.link import Deed, Direction
from usertcp.runtime.listener import TcpListener
from usertcp.runtime.stream import TcpStream
from usertcp.sim.programs import Reader, Text, WrongOctets, write
from usertcp.sim.result import FlowResult, Result
from usertcp.sim.scenario import Scenario
from usertcp.tcp.congestion import CONTROLLERS, CongestionControl, Controller
from usertcp.tcp.events import PacketOut, Tracer, TraceRecord
from usertcp.testing import Network, open_network, run

PORT = 7
"""Of the first connection's listener; the others follow."""
A_DAY = 86_400.0
"""Virtual seconds after which a scenario is not going to end."""


class Digest:
    """A tracer: what it has seen of packets, and when, in one number. Equal runs have equal ones."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()

    def __call__(self, record: TraceRecord) -> None:
        if isinstance(record, PacketOut):
            self._sha256.update(b"%r %s" % (record.time, record.packet))

    def __str__(self) -> str:
        return self._sha256.hexdigest()


def play(scenario: Scenario, *, tracer: Tracer | None = None, tracer_b: Tracer | None = None) -> Result:
    """Run a scenario to its end, which comes at once.

    Args:
      tracer, tracer_b: of the end that opens the connections, of the other. They change nothing of what happens.

    An exception is a bug of ours, or a tracer's; a note on it says how to repeat it.
    """
    result = Result(scenario, [])
    gc.freeze()  # What is there stays: to look through it again and again would take a twentieth of the time.
    began = process_time()
    try:
        run(_play, scenario, result, tracer, tracer_b, seed=scenario.seed)
    except BaseException as error:
        error.add_note(scenario.command_line())
        raise
    finally:
        gc.unfreeze()
    result.cpu = process_time() - began
    return result


async def _play(scenario: Scenario, result: Result, tracer: Tracer | None, tracer_b: Tracer | None) -> None:
    path, back = scenario.paths()
    controllers = scenario.controller * scenario.flows
    config = scenario.config(controllers[0])
    async with open_network(path, back, config=config, tracer=tracer, tracer_b=tracer_b, seed=scenario.seed) as network:
        _count_losses(network, result)
        result.flows.extend(map(FlowResult, controllers))
        with trio.move_on_after(A_DAY) as day:
            async with trio.open_nursery() as nursery:
                for index in range(len(controllers)):
                    nursery.start_soon(_Flow(network, scenario, index, result).run)
        if day.cancelled_caught:
            result.problems.append("a connection has not ended after a day")
        elif network.a.endpoint.connections or network.b.endpoint.connections:
            result.problems.append("a connection was left over")
    result.segments = sum(link.counters().get("sent", 0) for link in (network.link_a, network.link_b))


class _Flow:
    """One connection from its beginning to its end."""

    def __init__(self, network: Network, scenario: Scenario, index: int, result: Result) -> None:
        self.network = network
        self.scenario = scenario
        self.result = result
        self.flow = result.flows[index]
        self.port = PORT + index
        self.config = scenario.config(measured(self.flow.controller, self.flow.rtts))
        self.there, self.back = Text(2 * scenario.seed), Text(2 * scenario.seed + 1)
        self.far, self.near = Reader(), Reader()
        self.time_over: int | None = None
        """What had arrived then, if the scenario has a duration."""
        self.accepting = trio.CancelScope()
        self.streams: list[TcpStream] = []

    async def run(self) -> None:
        """Connect, exchange, close both ends, wait until nothing is left of it."""
        began = trio.current_time()
        async with await self.network.b.open_tcp_listener(self.port) as listener, trio.open_nursery() as nursery:
            nursery.start_soon(self._attempt, "the far end", partial(self._serve, listener))
            await self._attempt("the near end", self._call)
        duration = self.scenario.duration
        self.flow.octets = self.far.octets + self.near.octets if self.time_over is None else self.time_over
        self.flow.seconds = max(self.far.last, self.near.last, began) - began if self.time_over is None else duration
        self.result.seconds = max(self.result.seconds, began + self.flow.seconds)
        if not duration and self.far.octets != self.scenario.octets:
            self.result.problems.append(f"port {self.port}: {self.far.octets} octets arrived")

    async def _attempt(self, who: str, what: Callable[[], Awaitable[None]]) -> None:
        try:
            await what()
        except trio.ClosedResourceError:
            assert self.time_over is not None
        except (OSError, trio.BrokenResourceError, WrongOctets) as error:
            self.flow.error = f"{who}: {error}"
            self.result.problems.append(f"port {self.port}, {self.flow.error}")
            self.accepting.cancel()

    async def _call(self) -> None:
        network = self.network
        stream = await network.a.open_tcp_stream(network.address_b, self.port, config=self.config)
        self.streams.append(stream)
        try:
            if self.scenario.program == "erratic":
                await self._both_ways(stream, self.there, self.near, self.back)
            else:
                await self._send(stream)
                if self.time_over is None:
                    await self.near.read(stream, self.back)
        finally:
            await self._end(stream)

    async def _serve(self, listener: TcpListener) -> None:
        with self.accepting:
            stream = await listener.accept()
        if self.accepting.cancelled_caught:
            return
        self.streams.append(stream)
        try:
            if self.scenario.program == "erratic":
                await self._both_ways(stream, self.back, self.far, self.there)
            else:
                await self.far.read(stream, self.there)
        finally:
            await self._end(stream)

    async def _send(self, stream: TcpStream) -> None:
        duration = self.scenario.duration
        with trio.move_on_after(duration or inf):
            await write(stream, self.there, inf if duration else self.scenario.octets)
            await stream.send_eof()
        if duration:
            self.time_over = self.far.octets
            self.accepting.cancel()
            for each in self.streams:
                each.abort()  # What is in the buffers would take its time, and does not count.

    async def _both_ways(self, stream: TcpStream, ours: Text, reader: Reader, theirs: Text) -> None:
        """Send and read at once. The first error of the two ends both."""
        errors: list[Exception] = []

        async def until_error(what: Callable[[], Awaitable[None]], scope: trio.CancelScope) -> None:
            try:
                await what()
            except (trio.BrokenResourceError, WrongOctets) as error:
                errors.append(error)
                scope.cancel()

        async def send() -> None:
            await write(stream, ours, self.scenario.octets, Random(self.scenario.seed))
            await stream.send_eof()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(until_error, send, nursery.cancel_scope)
            read = partial(reader.read, stream, theirs, Random(self.scenario.seed + 1))
            nursery.start_soon(until_error, read, nursery.cancel_scope)
        if errors:
            raise errors[0]

    async def _end(self, stream: TcpStream) -> None:
        await stream.aclose()
        await stream.wait_closed()
        counters = stream.status().counters
        self.flow.retransmissions += counters.get("segments retransmitted", 0)
        self.flow.timeouts += counters.get("retransmission timeouts", 0)
        self.flow.fast_retransmits += counters.get("fast retransmits", 0)


def measured(name: str, rtts: list[float]) -> Controller:
    """The controller of this name, which also puts every sample of the RTT into a list: no trace is needed for it."""
    kind: Any = CONTROLLERS[name]

    def on_rtt(self: CongestionControl, rtt: float, srtt: float, now: float) -> None:
        rtts.append(rtt)
        kind.on_rtt(self, rtt, srtt, now)

    made: Controller = type(kind.__name__, (kind,), {"on_rtt": on_rtt})
    return made


def _count_losses(network: Network, result: Result) -> None:
    """Every packet passes one link's "out" and the other's "in": the first counts. Marks are counted too."""

    def watcher(packet: bytes, direction: Direction, deed: Deed, detail: str) -> None:
        if direction == "out" and deed == "dropped":
            result.overflowed += detail == "queue full"
            result.lost += detail != "queue full"
        result.marked += direction == "out" and deed == "marked"

    network.link_a.watch(watcher)
    network.link_b.watch(watcher)
