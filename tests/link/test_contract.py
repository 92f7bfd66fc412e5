"""What every link promises, whatever it is made of: the contract of `Link`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from usertcp.errors import HostUnreachable
from usertcp.link import Link
from usertcp.link.impair import ImpairedLink
from usertcp.link.memory import memory_links
from usertcp.link.path import Path
from usertcp.link.rewrite import RewrittenLink
from usertcp.tcp.segment import ACK, PSH, Flow, Segment
from usertcp.wire.fast import FastCodec

OURS, THEIRS = "192.0.2.1", "192.0.2.2"
Pair = tuple[Link, Link]


def memory() -> Pair:
    return memory_links(OURS, THEIRS)


def slow_memory() -> Pair:
    return memory_links(OURS, THEIRS, path=Path(rate=1e6, delay=0.1))


def impaired() -> Pair:
    ours, theirs = memory_links(OURS, THEIRS)
    return ImpairedLink(ours, Path(delay=0.05)), theirs


def rewritten() -> Pair:
    ours, theirs = memory_links(OURS, THEIRS)
    return RewrittenLink(ours, lambda packet, direction: packet), theirs


def rewritten_and_impaired() -> Pair:
    ours, theirs = memory_links(OURS, THEIRS)
    return RewrittenLink(ImpairedLink(ours, Path(rate=1e7)), lambda packet, direction: packet), theirs


@pytest.fixture(
    params=[memory, slow_memory, impaired, rewritten, rewritten_and_impaired], ids=lambda make: make.__name__
)
def pair(request: pytest.FixtureRequest) -> Pair:
    """The link under test, and the far end to drive it from."""
    make: Callable[[], Pair] = request.param
    return make()


def packet(number: int, *, to: str = THEIRS, octets: int = 8) -> bytes:
    flow = Flow(OURS if to == THEIRS else THEIRS, 61000, to, 80)
    return FastCodec().encode(flow, Segment(number, 0, PSH | ACK, data=bytes(octets)))


async def receive(link: Link, count: int) -> list[bytes]:
    packets: list[bytes] = []
    while len(packets) < count:
        batch = await link.receive()
        assert batch
        packets += batch
    return packets


async def test_what_is_sent_arrives_whole_and_in_order(pair: Pair, autojump_clock: MockClock) -> None:
    link, far = pair
    out = [packet(number, octets=number) for number in range(20)]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keep_receiving, link, nursery.cancel_scope)
        for each in out:
            link.send(each)
        assert await receive(far, len(out)) == out
        nursery.cancel_scope.cancel()


async def keep_receiving(link: Link, scope: trio.CancelScope) -> None:
    """What a stack does all the time: it is what lets a link send later."""
    while True:
        await link.receive()


async def test_what_comes_is_received_in_order(pair: Pair, autojump_clock: MockClock) -> None:
    link, far = pair
    sent = [packet(number, to=OURS) for number in range(20)]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keep_receiving, far, nursery.cancel_scope)
        for each in sent:
            far.send(each)
        assert await receive(link, len(sent)) == sent
        nursery.cancel_scope.cancel()


async def test_receive_waits_for_a_packet(pair: Pair, autojump_clock: MockClock) -> None:
    link, far = pair
    with trio.move_on_after(1) as scope:
        await link.receive()
    assert scope.cancelled_caught
    far.send(packet(1, to=OURS))
    assert list(await link.receive()) == [packet(1, to=OURS)]


async def test_receive_is_a_checkpoint_even_with_packets_at_hand(pair: Pair, autojump_clock: MockClock) -> None:
    link, far = pair
    far.send(packet(1, to=OURS))
    await trio.sleep(1)
    with trio.testing.assert_checkpoints():
        await link.receive()


async def test_cancelling_receive_loses_no_packet(pair: Pair, autojump_clock: MockClock) -> None:
    link, far = pair
    sent, got = [packet(number, to=OURS) for number in range(30)], list[bytes]()
    for number, each in enumerate(sent):
        far.send(each)
        with trio.move_on_after(0.013 * (number % 3)):
            got += await link.receive()
    with trio.move_on_after(1):
        while True:
            got += await link.receive()
    assert got == sent


async def test_a_packet_above_the_mtu_is_dropped_not_raised(pair: Pair, autojump_clock: MockClock) -> None:
    link, far = pair
    link.send(packet(1, octets=link.mtu))
    link.send(packet(2))
    with trio.move_on_after(1):
        await link.receive()
    assert await receive(far, 1) == [packet(2)]
    assert link.counters()["larger_than_mtu"] == 1


def test_addresses(pair: Pair) -> None:
    link, _ = pair
    assert link.source_address(THEIRS) == OURS
    assert link.is_local(OURS)
    assert not link.is_local(THEIRS)
    assert not link.is_local("2001:db8::1")
    with pytest.raises(HostUnreachable):
        link.source_address("2001:db8::2")


def test_mtu_is_known_towards_everybody(pair: Pair) -> None:
    link, _ = pair
    assert link.mtu_to(THEIRS) == link.mtu == 1500


def test_a_port_can_be_claimed(pair: Pair) -> None:
    link, _ = pair
    with link.claim(OURS, 61000, THEIRS), link.claim("", 80):
        pass


def test_ports_can_be_claimed_at_once_if_that_is_cheaper(pair: Pair) -> None:
    link, _ = pair
    if (block := link.claim_block(61000, 3)) is not None:
        with block as ports:
            assert ports == range(61000, 61003)


async def test_closing_wakes_receive(pair: Pair, autojump_clock: MockClock) -> None:
    link, _ = pair
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def wait() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await link.receive()

        await trio.testing.wait_all_tasks_blocked()
        link.close()
    link.close()
    with pytest.raises(trio.ClosedResourceError):
        await link.receive()


async def test_sending_after_close_harms_nobody(pair: Pair, autojump_clock: MockClock) -> None:
    link, far = pair
    link.close()
    link.send(packet(1))
    far.send(packet(2, to=OURS))
    with trio.move_on_after(1):
        assert await far.receive() == []


async def test_garbage_passes(pair: Pair, autojump_clock: MockClock) -> None:
    """Sorting out is the stack's business."""
    link, far = pair
    garbage = [b"\x00", b"\x45", b"\x60" + bytes(50), bytes(range(256)), packet(1, to=OURS)[:-3]]
    for each in garbage:
        far.send(each)
    assert await receive(link, len(garbage)) == garbage


async def test_a_watcher_is_told_nothing_of_an_uneventful_journey(pair: Pair, autojump_clock: MockClock) -> None:
    link, far = pair
    deeds: list[str] = []
    link.watch(lambda packet, direction, deed, detail: deeds.append(deed))
    link.send(packet(1))
    far.send(packet(2, to=OURS))
    with suppress(trio.TooSlowError), trio.fail_after(1):
        while True:
            await link.receive()
    assert deeds == []
