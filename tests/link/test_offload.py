"""Links that leave checksums and the cutting of segments to the kernel, with whole stacks on them, against kernels."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import trio
import trio.lowlevel
from pyroute2 import IPRoute

from tests.link.exchange import CONFIG, DIGEST, ROUNDS, SIZE, TEXT, exchange, serving
from usertcp.errors import HostUnreachable, SetupError
from usertcp.link import Direction, Link, packet_filter
from usertcp.link.impair import ImpairedLink
from usertcp.link.interfaces import PROC_NET
from usertcp.link.neighbours import Neighbours
from usertcp.link.packet import PacketLink
from usertcp.link.packet_sockets import PACKET_VNET_HDR, SOL_PACKET
from usertcp.link.path import Path
from usertcp.link.tun import TunLink
from usertcp.runtime.opening import named_link, open_stack
from usertcp.wire.fast import FastCodec

pytestmark = pytest.mark.lab

SIOCETHTOOL = 0x8946


def set_mtu(where: Any, mtu: int) -> None:
    with where, IPRoute() as netlink:
        [index] = netlink.link_lookup(ifname="veth0")
        netlink.link("set", index=index, mtu=mtu)


@pytest.mark.parametrize("remote", ["10.0.0.2", "fd00::2"])
async def test_what_is_sent_and_received_by_packet_sockets_is_what_the_kernel_has(
    here: Any, peer: Any, remote: str
) -> None:
    async with serving(peer, remote) as port, open_stack("packet", CONFIG) as stack:
        counters = await exchange(stack, remote, port)
    assert counters["octets out"] / counters["segments out"] > 5000, "super-segments out"
    assert counters["octets in"] / counters["segments in"] > 5000, "super-segments in"


@pytest.mark.parametrize(
    ("remote", "mtu"), [("10.0.0.2", 576), ("10.0.0.2", 9000), ("fd00::2", 1280), ("fd00::2", 9000)]
)
async def test_other_mtus(here: Any, peer: Any, remote: str, mtu: int) -> None:
    for end in here, peer:
        set_mtu(end, mtu)
    async with serving(peer, remote) as port, open_stack("packet", CONFIG) as stack:
        await exchange(stack, remote, port)


@pytest.mark.parametrize("remote", ["10.0.0.2", "fd00::2"])
async def test_a_peer_that_neither_cuts_nor_leaves_checksums_open(here: Any, peer: Any, remote: str) -> None:
    with peer:
        for feature in 0x17, 0x1F, 0x24:  # checksums out, TSO, GSO
            ethtool("veth0", feature, 0)
    async with serving(peer, remote) as port, open_stack("packet", CONFIG) as stack:
        await exchange(stack, remote, port)
        assert stack.counters()["received"] > SIZE / 1460, "a packet for each segment"


def ethtool(interface: str, command: int, value: int) -> None:
    import array
    import fcntl

    data = array.array("B", struct.pack("=II", command, value))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, SIOCETHTOOL, struct.pack("16sP16x", interface.encode(), data.buffer_info()[0]))


class Lengths(ImpairedLink):
    """Notes what its paths carry."""

    def handle(self, packet: bytes, direction: Direction, now: float) -> None:
        self.longest[direction] = max(self.longest[direction], len(packet))
        super().handle(packet, direction, now)

    longest: dict[Direction, int]


@pytest.mark.parametrize("kind", ["packet", "tun"])
async def test_on_an_impaired_path_each_segment_has_a_fate_of_its_own(
    here: Any, kind: str, request: pytest.FixtureRequest
) -> None:
    """The kernel sends super-segments, and those of ours would be cut by nobody but it."""
    if kind == "packet":
        peer, inner, remote = request.getfixturevalue("peer"), PacketLink(), "10.0.0.2"
    else:
        peer, inner, remote = here, request.getfixturevalue("tun"), "10.9.0.1"
    link = Lengths(inner, Path(loss=0.01, seed=3))
    link.longest = {"out": 0, "in": 0}
    config = replace(CONFIG, rto_min=0.2)
    async with serving(peer, remote) as port, open_stack(link, config, codec=FastCodec()) as stack:
        await exchange(stack, remote, port)
        counters = stack.counters()
    assert link.longest == {"out": 1500, "in": 1500}
    assert min(counters["in_dropped"], counters["out_dropped"]) > 10


@pytest.mark.parametrize("remote", ["10.0.0.2", "fd00::2"])
async def test_our_kernel_does_nothing_about_our_segments(here: Any, peer: Any, remote: str) -> None:
    """It does not even make the RSTs that a guard of raw sockets drops."""
    async with serving(peer, remote) as port, open_stack("packet", CONFIG) as stack:
        before = resets_made()
        await exchange(stack, remote, port)
        assert resets_made() == before


def resets_made() -> int:
    names, values = (line.split() for line in (PROC_NET / "snmp").read_text().splitlines() if line.startswith("Tcp:"))
    return int(dict(zip(names, values, strict=True))["OutRsts"])


@pytest.mark.parametrize("remote", ["127.0.0.1", "::1"])
async def test_loopback_where_packet_sockets_reach_nobody(here: Any, remote: str) -> None:
    async with serving(here, remote) as port, open_stack("packet", CONFIG) as stack:
        await exchange(stack, remote, port)


async def test_a_listener_on_packet_sockets(here: Any, peer: Any) -> None:
    async with open_stack("packet", CONFIG) as stack, trio.open_nursery() as nursery:

        async def echo(stream: trio.abc.Stream) -> None:
            await stream.send_all(await stream.receive_some())

        listener = (await nursery.start(stack.serve_tcp, echo, 8000))[0]
        with peer:
            client = socket.socket()
        with client:
            await trio.to_thread.run_sync(client.connect, ("10.0.0.1", listener.port))
            client.sendall(b"over packet sockets")
            assert await trio.to_thread.run_sync(client.recv, 100) == b"over packet sockets"
        nursery.cancel_scope.cancel()


async def test_a_stack_that_was_closed_says_so(here: Any, peer: Any) -> None:
    async with open_stack("packet", CONFIG) as stack:
        pass
    with trio.fail_after(5), pytest.raises(trio.ClosedResourceError):
        await stack.open_tcp_stream("10.0.0.2", 80)
    with pytest.raises(OSError, match="Bad file descriptor"):
        stack.link.source_address("10.0.0.2")


async def test_one_interface_only(here: Any, peer: Any) -> None:
    async with open_stack(PacketLink("veth0"), CONFIG) as stack, serving(peer, "10.0.0.2") as port:
        await exchange(stack, "10.0.0.2", port)
    with pytest.raises(SetupError, match="nowhere0"):
        PacketLink("nowhere0")


def test_what_was_queued_before_there_was_a_filter_is_thrown_away(here: Any) -> None:
    with (
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.htons(3)) as sock,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
    ):
        sock.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        udp.sendto(b"before", ("127.0.0.1", 9))
        packet_filter.attach(sock, packet_filter.BOTH)
        with pytest.raises(BlockingIOError):
            sock.recv(1000)


async def test_a_neighbour_that_moves_is_found_again(here: Any, peer: Any) -> None:
    async with serving(peer, "10.0.0.2") as port, open_stack("packet", replace(CONFIG, rto_min=0.2)) as stack:
        stream = await stack.open_tcp_stream("10.0.0.2", port)
        await stream.send_all(TEXT)
        with peer, IPRoute() as netlink:
            [index] = netlink.link_lookup(ifname="veth0")
            netlink.link("set", index=index, address="02:00:00:00:00:99")
        with IPRoute() as netlink:  # what the kernel does some time later by itself
            [index] = netlink.link_lookup(ifname="veth0")
            netlink.neigh("del", ifindex=index, dst="10.0.0.2")
        for _ in range(ROUNDS - 1):
            await stream.send_all(TEXT)
        with trio.fail_after(30):
            received = b"".join([chunk async for chunk in stream])
        assert received[:32] == DIGEST


def test_a_rule_of_routing_is_heeded_as_soon_as_there_is_one(here: Any, peer: Any) -> None:
    neighbours, destination = Neighbours(), bytes([10, 0, 0, 2])
    with IPRoute() as netlink:
        [index] = netlink.link_lookup(ifname="veth0")
        netlink.neigh("replace", ifindex=index, dst="10.0.0.2", lladdr="02:00:00:00:00:99", state="permanent")
        neighbours.forget()
        assert neighbours.hop(destination) is not None
        netlink.rule("add", dst="10.0.0.2/32", action="unreachable")
        neighbours.forget()
        assert neighbours.hop(destination) is None
        netlink.rule("del", dst="10.0.0.2/32", action="unreachable")
        neighbours.forget()
        assert neighbours.hop(destination) is not None
    neighbours.close()


def test_destinations_are_not_remembered_without_bound(here: Any, peer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("usertcp.link.neighbours.MOST", 10)
    neighbours = Neighbours()
    for number in range(25):
        neighbours.hop(bytes([10, 0, 0, number]))
        assert len(neighbours) <= 10
    neighbours.close()


async def test_without_the_capability_auto_says_what_to_do(here: Any, without_capability: Callable[[int], Any]) -> None:
    with without_capability(13), pytest.raises(SetupError, match="NET_RAW"):
        named_link("auto")
    link = named_link("auto")
    assert isinstance(link, PacketLink)
    link.close()


@pytest.mark.parametrize("remote", ["10.9.0.1", "fd09::1"])
async def test_what_is_sent_and_received_over_tun_is_what_the_kernel_has(here: Any, tun: Link, remote: str) -> None:
    await trio.lowlevel.checkpoint()
    async with serving(here, "10.9.0.1" if "." in remote else "::") as port, open_stack(tun, CONFIG) as stack:
        counters = await exchange(stack, remote, port)
    assert counters["octets out"] / counters["segments out"] > 5000
    assert counters["octets in"] / counters["segments in"] > 5000


@pytest.mark.skipif(not os.path.exists("/dev/net/tun"), reason="no /dev/net/tun")
@pytest.mark.parametrize("mtu", [576, 9000])
async def test_other_mtus_on_tun(here: Any, mtu: int) -> None:
    """Of a device that was there before."""
    with IPRoute() as netlink:
        netlink.link("add", ifname="tun9", kind="tuntap", mode="tun")
        netlink.link("set", index=netlink.link_lookup(ifname="tun9")[0], mtu=mtu)
    link = TunLink("10.9.0.2", name="tun9", kernel=["10.9.0.1/24"])
    assert link.mtu == mtu
    async with serving(here, "10.9.0.1") as port, open_stack(link, CONFIG) as stack:
        await exchange(stack, "10.9.0.1", port)


async def test_tun_knows_its_own_addresses_only(tun: Link) -> None:
    assert tun.source_address("10.9.0.77") == "10.9.0.2"
    assert tun.is_local("10.9.0.2")
    assert not tun.is_local("10.9.0.1")
    lonely = TunLink("10.8.0.2")
    with pytest.raises(HostUnreachable):
        lonely.source_address("fd09::1")
    lonely.close()


async def test_a_device_that_is_taken_says_so(here: Any, tun: TunLink) -> None:
    with pytest.raises(SetupError, match="usertcp0"):
        TunLink("10.9.0.3", name=tun.name)
