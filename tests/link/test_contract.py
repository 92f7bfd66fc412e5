"""What every link promises, whatever it is made of: the contract of `Link`."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import pytest
import trio
import trio.testing
from pyroute2 import IPRoute
from trio.testing import MockClock

from tests.link.far_end import FarEnd, hardware_address
from usertcp.errors import HostUnreachable
from usertcp.link import Buffer, Link
from usertcp.link.ethernet import EthernetLink
from usertcp.link.impair import ImpairedLink
from usertcp.link.memory import memory_links
from usertcp.link.packet import PacketLink
from usertcp.link.path import Path
from usertcp.link.raw import RawLink
from usertcp.link.rewrite import RewrittenLink
from usertcp.link.tun import TunLink
from usertcp.tcp.segment import ACK, PSH, Flow, Segment
from usertcp.wire.fast import FastCodec

OURS, THEIRS = "10.0.0.1", "10.0.0.2"
NUD_PERMANENT = 0x80
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


def beside_kernel(link: Callable[[], Link]) -> Callable[..., Pair]:
    def make(here: Any, peer: Any) -> Pair:
        ours = hardware_address("veth0")
        with peer:
            theirs = hardware_address("veth0")
            far = FarEnd("veth0", ours)
        with IPRoute() as netlink:
            [index] = netlink.link_lookup(ifname="veth0")
            netlink.neigh("add", ifindex=index, dst=THEIRS, lladdr=theirs.hex(":"), state=NUD_PERMANENT)
        return link(), far

    return make


def tun(here: Any) -> Pair:
    if not os.path.exists("/dev/net/tun"):
        pytest.skip("no /dev/net/tun")
    here.sysctl("ipv6/conf/default/disable_ipv6", 1)  # It would speak without being asked.
    link = TunLink(OURS, kernel=[f"{THEIRS}/24"])
    return link, FarEnd(link.name)


def ethernet(here: Any, peer: Any) -> Pair:
    link = EthernetLink("veth0", f"{OURS}/24")
    with peer:
        return link, FarEnd("veth0", link.hardware_address)


IN_MEMORY = (memory, slow_memory, impaired, rewritten, rewritten_and_impaired)
WITH_KERNEL = {"raw": beside_kernel(RawLink), "packet": beside_kernel(PacketLink), "ethernet": ethernet, "tun": tun}
PATIENCE = 0.05
"""Seconds of real time in which nothing has come out of a kernel: then nothing will, and virtual time may pass."""


@pytest.fixture(
    params=[*IN_MEMORY, *(pytest.param(make, id=name, marks=pytest.mark.lab) for name, make in WITH_KERNEL.items())],
    ids=lambda make: make.__name__,
)
def pair(request: pytest.FixtureRequest, autojump_clock: MockClock) -> Iterator[Pair]:
    """The link under test, and the far end to drive it from."""
    make: Callable[..., Pair] = request.param
    if make in IN_MEMORY:
        yield make()
        return
    autojump_clock.autojump_threshold = PATIENCE
    ends = [request.getfixturevalue(name) for name in inspect.signature(make).parameters]
    with one_processor():
        link, far = make(*ends)
        yield link, far
        link.close()
        far.close()


@contextmanager
def one_processor() -> Iterator[None]:
    """Each has a queue of its own between two namespaces: one keeps the order."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    yield
    os.sched_setaffinity(0, before)


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


async def test_deliver_hands_over_what_receive_would_return(pair: Pair, autojump_clock: MockClock) -> None:
    link, far = pair
    sent, got = [packet(number, to=OURS, octets=number) for number in range(100)], list[bytes]()

    def take(packets: Sequence[Buffer]) -> None:
        assert packets
        got.extend(map(bytes, packets))
        if len(got) == len(sent):
            raise StopAsyncIteration

    for each in sent[:50]:
        far.send(each)
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def deliver() -> None:
            with pytest.raises(StopAsyncIteration):
                await link.deliver(take)

        await trio.sleep(0.01)
        for each in sent[50:]:
            far.send(each)
    assert got == sent


@pytest.mark.parametrize("segment_size", [0, 1000])
async def test_an_unfinished_packet_goes_out_whole_or_not_at_all(
    pair: Pair, segment_size: int, autojump_clock: MockClock
) -> None:
    link, far = pair
    flow, text = Flow(OURS, 61000, THEIRS, 80), os.urandom(2500 if segment_size else 500)
    segment = Segment(1, 0, PSH | ACK, data=text, mss=segment_size)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(keep_receiving, link, nursery.cancel_scope)
        link.send(packet(1))
        assert await receive(far, 1) == [packet(1)]
        taken = link.send_unfinished([(FastCodec().headers(flow, segment), memoryview(text))], segment_size)
        assert taken or not link.offloads, "to a neighbour that is known it can be done"
        link.send(packet(2))
        arrived = [FastCodec().decode(each, unfinished_checksum=True) for each in await receive(far, 1 + taken)]
        nursery.cancel_scope.cancel()
    segments = [content[1] for content in arrived if isinstance(content, tuple)]
    assert segments[-1].seq == 2
    assert b"".join(each.data for each in segments[:-1]) == (text if taken else b"")


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


# To attend to a link: who waits for something reads for all.

attended = pytest.mark.parametrize(
    "pair",
    [pytest.param(WITH_KERNEL[name], id=name, marks=pytest.mark.lab) for name in ("packet", "ethernet", "tun")],
    indirect=True,
)


async def come(got: list[bytes], count: int) -> None:
    """Wait in real time: a kernel needs some."""
    while len(got) < count:  # noqa: ASYNC110
        await trio.sleep(0.001)


@attended
async def test_who_attends_gets_what_comes_until_he_leaves(pair: Pair, autojump_clock: MockClock) -> None:
    link, far = pair
    assert link.attends
    delivered: list[bytes] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(link.deliver, lambda packets: delivered.extend(map(bytes, packets)))
        far.send(packet(1, to=OURS))
        await come(delivered, 1)
        attended: list[bytes] = []

        @nursery.start_soon
        async def attend() -> None:
            attended.extend(map(bytes, await link.attend()))

        await trio.testing.wait_all_tasks_blocked(0.001)
        far.send(packet(2, to=OURS))
        await come(attended, 1)
        far.send(packet(3, to=OURS))
        while len(attended) < 2:
            attended.extend(map(bytes, link.at_hand()))
            await trio.sleep(0.001)
        far.send(packet(4, to=OURS))
        await trio.sleep(0.1)
        assert (delivered, attended) == ([packet(1, to=OURS)], [packet(2, to=OURS), packet(3, to=OURS)])
        link.leave()
        await come(delivered, 2)
        assert delivered[1] == packet(4, to=OURS)
        nursery.cancel_scope.cancel()


@attended
async def test_who_attends_can_be_dismissed_and_cancelled(pair: Pair, autojump_clock: MockClock) -> None:
    link, far = pair
    async with trio.open_nursery() as nursery:
        returned: list[Sequence[Buffer]] = []

        @nursery.start_soon
        async def attend() -> None:
            returned.append(await link.attend())

        await trio.testing.wait_all_tasks_blocked(0.001)
        link.dismiss()
        await trio.testing.wait_all_tasks_blocked(0.001)
        assert [list(packets) for packets in returned] == [[]]
        with trio.move_on_after(0.1) as scope:
            await link.attend()
        assert scope.cancelled_caught
        far.send(packet(1, to=OURS))
        link.leave()
        assert await receive(link, 1) == [packet(1, to=OURS)]


@attended
async def test_closing_wakes_who_attends(pair: Pair, autojump_clock: MockClock) -> None:
    link, _ = pair
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def attend() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await link.attend()

        await trio.testing.wait_all_tasks_blocked(0.001)
        link.close()
    assert list(link.at_hand()) == []
    link.leave()
    with pytest.raises(trio.ClosedResourceError):
        await link.attend()


async def test_sending_after_close_harms_nobody(pair: Pair, autojump_clock: MockClock) -> None:
    link, far = pair
    link.close()
    link.send(packet(1))
    far.send(packet(2, to=OURS))
    with trio.move_on_after(1):
        while True:
            assert packet(1) not in await far.receive()


async def test_garbage_harms_nobody(pair: Pair, autojump_clock: MockClock) -> None:
    """It may be passed on, for sorting out is the stack's business."""
    link, far = pair
    garbage = [b"\x00", b"\x45", b"\x60" + bytes(50), bytes(range(256)), packet(1, to=OURS)[:-3]]
    for each in garbage:
        far.send(each)
    far.send(packet(2, to=OURS))
    got: list[bytes] = []
    while packet(2, to=OURS) not in got:
        got += await link.receive()
    assert got == [each for each in garbage if each in got] + [packet(2, to=OURS)]


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
