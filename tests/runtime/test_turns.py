"""When a stack on a fast link sends: after the application has had its turn."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from random import Random

import pytest
import trio
import trio.testing

from usertcp.link import Buffer, Link
from usertcp.link.memory import MemoryLink, memory_links
from usertcp.runtime.opening import open_stack
from usertcp.runtime.stack import Stack
from usertcp.runtime.turns import Turns
from usertcp.tcp.config import Config
from usertcp.tcp.options import Options
from usertcp.tcp.segment import ACK, FIN, PSH, SYN, Flow, Segment
from usertcp.tcp.sequence import wrap
from usertcp.wire.fast import FastCodec


class Offloading(Link):
    """A link in memory that finishes checksums and cuts super-segments, as a kernel would."""

    offloads = True
    unfinished_checksums = True

    def __init__(self, inner: MemoryLink) -> None:
        self.inner = inner
        self.sent: list[tuple[int, int]] = []
        """Control bits and octets of text of each."""

    def send(self, packet: bytes) -> None:
        self.inner.send(packet)

    def send_unfinished(self, packets: Sequence[tuple[bytes, Buffer]], segment_size: int) -> bool:
        [(headers, text)] = packets
        self.sent.append((headers[33], len(text)))
        if len(text) > segment_size > 0:
            return False
        self.inner.send(headers + bytes(text))
        # Trio may be about to sleep: what comes by a cable wakes it, and what comes from its own memory does not.
        trio.lowlevel.current_trio_token().run_sync_soon(int)
        return True

    async def receive(self) -> Sequence[bytes]:
        return await self.inner.receive()

    def source_address(self, remote: str) -> str:
        return self.inner.source_address(remote)

    def close(self) -> None:
        self.inner.close()


@pytest.fixture
async def pair() -> AsyncIterator[tuple[Stack, Stack, Offloading]]:
    """Two stacks; the second one's link is watched."""
    ours, theirs = memory_links("192.0.2.1", "192.0.2.2")
    theirs.unfinished_checksums = ours.unfinished_checksums = True
    watched = Offloading(theirs)
    config = Config(msl=0.01)
    async with open_stack(ours, config) as client, open_stack(watched, config) as server:
        yield client, server, watched


async def echo(stream: trio.abc.Stream) -> None:
    while data := await stream.receive_some():
        await stream.send_all(data)


async def test_an_answer_carries_the_acknowledgment_of_the_request(pair: tuple[Stack, Stack, Offloading]) -> None:
    client, server, watched = pair

    async with trio.open_nursery() as nursery:
        await nursery.start(server.serve_tcp, echo, 80)
        stream = await client.open_tcp_stream("192.0.2.2", 80)
        await stream.send_all(b"first")
        await stream.receive_some()
        watched.sent.clear()
        for _ in range(10):
            await stream.send_all(b"request")
            assert await stream.receive_some() == b"request"
        assert [octets for _, octets in watched.sent] == [7] * 10
        nursery.cancel_scope.cancel()


async def test_without_an_answer_the_request_is_acknowledged_all_the_same(
    pair: tuple[Stack, Stack, Offloading],
) -> None:
    client, server, watched = pair

    async def listen(stream: trio.abc.Stream) -> None:
        while await stream.receive_some():
            pass

    async with trio.open_nursery() as nursery:
        await nursery.start(server.serve_tcp, listen, 80)
        stream = await client.open_tcp_stream("192.0.2.2", 80)
        watched.sent.clear()
        await stream.send_all(b"request")
        with trio.fail_after(1):
            await stream.changes.until(lambda: stream.status().flight_size == 0)
        assert watched.sent == [(ACK, 0)]
        nursery.cancel_scope.cancel()


async def test_who_answers_first_does_not_end_the_turn_of_the_others(pair: tuple[Stack, Stack, Offloading]) -> None:
    """Of many requests that come at one time, each is acknowledged by its answer."""
    client, server, watched = pair

    async with trio.open_nursery() as nursery:
        await nursery.start(server.serve_tcp, echo, 80)
        streams = [await client.open_tcp_stream("192.0.2.2", 80) for _ in range(10)]
        watched.sent.clear()
        for stream in streams:
            await stream.send_all(b"request")
        for stream in streams:
            assert await stream.receive_some() == b"request"
        assert [octets for _, octets in watched.sent] == [7] * 10
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(("clients", "expected"), [(1, [(PSH | ACK, 7), (FIN | ACK, 0)]), (10, [(FIN | PSH | ACK, 7)])])
async def test_where_many_are_answered_what_follows_goes_with_it(
    pair: tuple[Stack, Stack, Offloading], clients: int, expected: list[tuple[int, int]]
) -> None:
    """And where one is, nothing waits for it."""
    client, server, watched = pair

    async def answer(stream: trio.abc.Stream) -> None:
        await stream.send_all(await stream.receive_some())

    async with trio.open_nursery() as nursery:
        await nursery.start(server.serve_tcp, answer, 80)
        streams = [await client.open_tcp_stream("192.0.2.2", 80) for _ in range(clients)]
        await trio.testing.wait_all_tasks_blocked()
        watched.sent.clear()
        for stream in streams:
            nursery.start_soon(stream.send_all, b"request")
        for stream in streams:
            assert await stream.receive_some() == b"request"
            assert await stream.receive_some() == b""
        assert sorted(watched.sent) == sorted(expected * clients)
        nursery.cancel_scope.cancel()


async def test_where_many_are_answered_each_is_before_somebody_goes_on(pair: tuple[Stack, Stack, Offloading]) -> None:
    """Who computes after an answer holds up neither his own nor those of others."""
    client, server, watched = pair
    gone_on = 0

    async def answer(stream: trio.abc.Stream) -> None:
        nonlocal gone_on
        await stream.send_all(await stream.receive_some())
        request = await stream.receive_some()
        await stream.send_all(request)
        gone_on += 1
        assert watched.sent.count((PSH | ACK, 7)) >= gone_on

    async with trio.open_nursery() as nursery:
        await nursery.start(server.serve_tcp, answer, 80)
        streams = [await client.open_tcp_stream("192.0.2.2", 80) for _ in range(10)]
        for stream in streams:
            await stream.send_all(b"first")
            assert await stream.receive_some() == b"first"
        watched.sent.clear()
        for stream in streams:
            nursery.start_soon(stream.send_all, b"request")
        for stream in streams:
            assert await stream.receive_some() == b"request"
        assert gone_on == 10
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("then", ["answered", "read", "left"])
async def test_a_request_that_waits_for_accept_is_acknowledged_by_its_answer(
    pair: tuple[Stack, Stack, Offloading], then: str
) -> None:
    """Or soon after it was accepted; or, if nobody accepts, after the delay of any acknowledgment."""
    client, server, watched = pair
    listener = await server.open_tcp_listener(80, config=Config(delayed_ack=0.2))
    stream = await client.open_tcp_stream("192.0.2.2", 80)
    await trio.testing.wait_all_tasks_blocked()
    watched.sent.clear()
    before = trio.current_time()
    await stream.send_all(b"request")
    await trio.testing.wait_all_tasks_blocked(0.001)
    assert not watched.sent
    if then == "left":
        await stream.changes.until(lambda: stream.status().flight_size == 0)
        assert 0.2 <= trio.current_time() - before < 0.9
    else:
        accepted = await listener.accept()
        assert await accepted.receive_some() == b"request"
        if then == "answered":
            await accepted.send_all(b"answer!")
        await trio.testing.wait_all_tasks_blocked(0.001)
    assert watched.sent == [(PSH | ACK, 7) if then == "answered" else (ACK, 0)]
    stream.abort()


async def test_who_opens_a_connection_does_not_end_the_turn_of_the_others(
    pair: tuple[Stack, Stack, Offloading],
) -> None:
    client, server, watched = pair
    requests = 0

    async def echo(stream: trio.abc.Stream) -> None:
        nonlocal requests
        while data := await stream.receive_some():
            requests += 1
            if requests == 1:
                nursery.start_soon(server.open_tcp_stream, "192.0.2.1", 81)
            for _ in range(2):  # It gets that far meanwhile.
                await trio.lowlevel.checkpoint()
            await stream.send_all(data)

    async with trio.open_nursery() as nursery:
        listener = await client.open_tcp_listener(81)
        await nursery.start(server.serve_tcp, echo, 80)
        streams = [await client.open_tcp_stream("192.0.2.2", 80) for _ in range(10)]
        watched.sent.clear()
        for stream in streams:
            await stream.send_all(b"request")
        for stream in streams:
            assert await stream.receive_some() == b"request"
        await listener.accept()
        assert sorted(watched.sent) == [(SYN, 0), (ACK, 0), *[(PSH | ACK, 7)] * 10]
        nursery.cancel_scope.cancel()


async def test_tasks_that_never_rest_hold_nothing_up() -> None:
    flushes: list[int] = []

    def flush(turn: int) -> bool:
        flushes.append(turn)
        return False

    turns = Turns(flush, lambda conns: None, lambda: None)
    trio.lowlevel.add_instrument(turns)
    turns.expect(1)
    await trio.lowlevel.checkpoint()
    turns.expect(2)
    for expected in [], [], [1], [1, 2]:
        assert turns.running
        await trio.lowlevel.checkpoint()
        assert flushes == expected
    assert not turns.running
    trio.lowlevel.remove_instrument(turns)


async def test_what_goes_wrong_when_a_turn_ends_ends_the_stack() -> None:
    """As it does anywhere else, though Trio only switches off an instrument that fails."""
    ours, theirs = memory_links("192.0.2.1", "192.0.2.2")
    theirs.unfinished_checksums = ours.unfinished_checksums = True
    link = Offloading(theirs)

    def fail(packets: Sequence[tuple[bytes, Buffer]], segment_size: int) -> bool:
        del link.send_unfinished
        raise RuntimeError("a bug")

    async def acknowledge() -> None:
        async with open_stack(ours) as client, open_stack(link) as server:
            listener = await server.open_tcp_listener(80)
            stream = await client.open_tcp_stream("192.0.2.2", 80)
            accepted = await listener.accept()
            link.send_unfinished = fail  # type: ignore[method-assign]
            await stream.send_all(b"request")
            await accepted.receive_some()
            await trio.sleep_forever()

    with trio.fail_after(1), pytest.raises(RuntimeError, match="a bug"):
        await acknowledge()


async def test_however_many_turns_begin_in_a_pass_they_end_with_one() -> None:
    flushes: list[int] = []

    def flush(turn: int) -> bool:
        flushes.append(turn)
        return False

    turns = Turns(flush, lambda conns: None, lambda: None)
    trio.lowlevel.add_instrument(turns)
    for turn in range(0, 100, 2):
        turns.expect(turn)
        turns.expect(turn + 1)
        await trio.lowlevel.checkpoint()
    assert flushes == list(range(1, 95, 2))
    trio.lowlevel.remove_instrument(turns)


class Sleeps(trio.abc.Instrument):
    """How long Trio sleeps, each time that it does not only look for news."""

    def __init__(self) -> None:
        self.timeouts: list[float] = []

    def before_io_wait(self, timeout: float) -> None:
        if timeout > 0:
            self.timeouts.append(timeout)


@pytest.mark.parametrize("comes_of_it", ["a task", "an alarm", "nothing"])
async def test_where_there_is_nothing_to_do_nothing_waits_and_what_comes_of_it_is_done(comes_of_it: str) -> None:
    """And if it is nothing, Trio does not wake up for it."""
    woken = trio.Event()
    alarm = trio.CancelScope(deadline=trio.current_time() + 60)

    def flush(turn: int) -> bool:
        assert turn == 1
        if comes_of_it == "a task":
            woken.set()
        elif comes_of_it == "an alarm":
            alarm.deadline = trio.current_time() + 0.05
        return True

    turns, sleeps = Turns(flush, lambda conns: None, lambda: None), Sleeps()
    trio.lowlevel.add_instrument(turns)
    trio.lowlevel.add_instrument(sleeps)
    turns.expect(1)
    with trio.move_on_after(0.1 if comes_of_it == "nothing" else 10) as given_up, alarm:
        await woken.wait()
    trio.lowlevel.remove_instrument(turns)
    trio.lowlevel.remove_instrument(sleeps)
    assert given_up.cancelled_caught == (comes_of_it == "nothing")
    if comes_of_it != "an alarm":
        assert len(sleeps.timeouts) == 1


def test_the_codec_leaves_the_sum_of_the_pseudo_header() -> None:
    """What `send_unfinished` gets is what `Codec.encode` makes, but for the checksum."""
    for flow in Flow("192.0.2.1", 1, "192.0.2.2", 2), Flow("2001:db8::1", 1, "2001:db8::2", 2):
        seg = Segment(1, 2, ACK, 3, Options(timestamps=(4, 5)), b"text" * 9)
        whole = FastCodec().encode(flow, seg)
        part = FastCodec().headers(flow, seg)
        at = len(part) - 32 + 16
        assert part[:at] == whole[:at]
        assert part[at + 2 :] + bytes(seg.data) == whole[at + 2 :]
        decoded = FastCodec().decode(part + bytes(seg.data), unfinished_checksum=True)
        assert decoded == (flow.reversed, seg)


@pytest.mark.parametrize("flow", [Flow("192.0.2.1", 1, "192.0.2.2", 2), Flow("2001:db8::1", 1, "2001:db8::2", 2)])
@pytest.mark.parametrize("size", [0, 999, 1000, 65_000, 65_001, 130_000, 200_500])
def test_a_long_super_segment_leaves_in_several_packets(flow: Flow, size: int) -> None:
    text = Random(size).randbytes(size)
    seg = Segment(2**32 - 70_000, 2, ACK | PSH | FIN, 3, Options(timestamps=(4, 5)), memoryview(text), mss=1000)
    packets = FastCodec().unfinished(flow, replace(seg, mss=1000 if size > 1000 else 0))
    assert len({len(headers) for headers, _ in packets}) == 1
    parts, begins, left = [], [], 0
    for headers, octets in packets:
        packet = headers + bytes(octets)
        assert len(packet) <= 65_535
        begins.append(left)
        left += len(octets)
        content = FastCodec().decode(packet, unfinished_checksum=True)
        assert isinstance(content, tuple)
        assert content[0] == flow.reversed
        parts.append(content[1])
    assert b"".join(bytes(part.data) for part in parts) == text
    assert [part.seq for part in parts] == [wrap(seg.seq + begin) for begin in begins]
    assert [part.flags for part in parts] == [ACK] * (len(parts) - 1) + [ACK | PSH | FIN]
    assert all(len(part.data) % 1000 == 0 for part in parts[:-1])
