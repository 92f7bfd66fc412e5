"""Both endpoints over paths impaired alike, and the box that impairs a kernel's."""

import os
import re
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from math import inf

import pytest
import trio
from trio.testing import memory_stream_one_way_pair

from tests.lab.conftest import Child
from usertcp.bench import bad_path
from usertcp.bench.bad_path import PATH, WrongOctets, compare, of_kernel, of_usertcp, transfer
from usertcp.errors import SetupError
from usertcp.lab import Peer, enter, middle_box
from usertcp.link.path import Path
from usertcp.runtime.opening import open_stack
from usertcp.tcp.config import Config
from usertcp.tcp.status import Status
from usertcp.wire.fast import FastCodec

pytestmark = pytest.mark.lab
needs_tun = pytest.mark.skipif(not os.access("/dev/net/tun", os.R_OK | os.W_OK), reason="no TUN devices for us")


@pytest.fixture
def root() -> Child:
    """As `child`, but never an ordinary user, who may not open /dev/net/tun everywhere."""
    return Child(os.getuid())


def test_who_may_open_no_tun_devices_is_told_so(child: Child) -> None:
    def inside() -> None:
        peer = enter()
        try:
            os.close(os.open("/dev/net/tun", os.O_RDWR))
        except OSError:
            with pytest.raises(SetupError, match="/dev/net/tun"):
                trio.run(of_kernel, peer, 1, PATH)

    child(inside)


def test_over_a_bad_path_every_octet_arrives_each_way(child: Child) -> None:
    def inside() -> None:
        path = replace(PATH, delay=0.005)
        goodput = trio.run(of_usertcp, enter(), 5_000_000, path, bad_path.CONFIG)
        assert min(goodput) > 0

    child(inside)


@needs_tun
def test_it_is_compared_with_a_kernel_over_the_same_path(root: Child) -> None:
    def inside() -> None:
        comparison = trio.run(partial(compare, enter(), 300_000, replace(PATH, delay=0.005)))
        ratios = comparison.ratios
        assert ratios.sent == comparison.usertcp.sent / comparison.kernel.sent
        assert ratios.received == comparison.usertcp.received / comparison.kernel.received
        assert min(ratios) > 0.1  # so few octets say little, but for what is broken

    root(inside)


@needs_tun
def test_its_command_says_what_came_of_it_each_way() -> None:
    command = [sys.executable, "-m", "usertcp.bench.bad_path", "100000"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    numbers = r" +usertcp [\d.]+ Mbit/s, kernel [\d.]+ Mbit/s, ratio [\d.]+, must 0.8: (reached|below)\n"
    assert re.fullmatch(f"sent{numbers}received{numbers}", done.stdout)
    assert done.returncode == ("below" in done.stdout)
    assert not done.stderr


@needs_tun
@pytest.mark.parametrize(
    ("config", "longest"),
    [(Config(congestion="bbr"), 0.1), (Config(congestion="cubic", pacing=True), inf)],
    ids=["bbr", "cubic, paced"],
)
def test_a_paced_sender_fills_a_slow_path_to_a_kernel(root: Child, config: Config, longest: float) -> None:
    """A round trip takes 20 ms, and 170 if the queue is full, which BBR leaves nearly empty."""
    there = Path(rate=8e6, delay=0.01, queue_packets=100)
    octets = 1_500_000

    async def send(peer: Peer) -> tuple[float, Status]:
        async with (
            bad_path.listening(peer, middle_box.PEER) as listener,
            open_stack("raw", config, codec=FastCodec()) as stack,
            await stack.open_tcp_stream(middle_box.PEER, bad_path.PORT) as sender,
            await listener.accept() as receiver,
        ):
            return await transfer(sender, receiver, octets), sender.status()

    def inside() -> None:
        peer = enter()
        with middle_box.middle_box(peer.namespace, there, Path(delay=0.01)):
            seconds, status = trio.run(send, peer)
        assert 0.5 < octets * 8 / seconds / there.rate < 1
        assert (status.srtt or inf) < longest

    root(inside)


@needs_tun
def test_a_kernel_waits_for_the_delay_of_the_path(root: Child) -> None:
    def inside() -> None:
        peer = enter()

        async def seconds_to_connect() -> float:
            async with bad_path.listening(peer, middle_box.PEER):
                began = time.monotonic()
                async with await bad_path.kernel_stream():
                    return time.monotonic() - began

        for delay in (0.03, 0.1):
            with middle_box.middle_box(peer.namespace, Path(delay=delay), Path(delay=delay)):
                assert trio.run(seconds_to_connect) >= 2 * delay

    root(inside)


@needs_tun
def test_without_the_box_there_is_no_way(root: Child) -> None:
    def inside() -> None:
        peer = enter()
        with middle_box.middle_box(peer.namespace, Path(), Path()):
            pass
        with pytest.raises(OSError, match="Cannot assign"):
            trio.run(bad_path.kernel_stream)

    root(inside)


async def test_octets_that_differ_are_told() -> None:
    sender, receiver = memory_stream_one_way_pair()
    original = sender.send_all

    async def send_wrongly(data: bytes) -> None:
        await original(b"?" + data[1:])

    sender.send_all = send_wrongly  # type: ignore[method-assign,assignment]
    with pytest.RaisesGroup(WrongOctets, allow_unwrapped=True):
        await transfer(sender, receiver, 10_000)
