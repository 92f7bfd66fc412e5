"""A host of our own on an Ethernet, among kernels: at the other end of the cable, and beside us at this one."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trio
from pyroute2 import IPRoute
from scapy.layers.inet import TCP
from scapy.layers.inet6 import ICMPv6ND_NS, ICMPv6NDOptSrcLLAddr, IPv6
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet, Raw

from tests.link.exchange import CONFIG, DIGEST, ROUNDS, TEXT, exchange, serving, until
from tests.link.far_end import hardware_address
from usertcp.errors import HostUnreachable, SetupError
from usertcp.link.ethernet import EthernetLink
from usertcp.link.packet import PacketLink
from usertcp.link.packet_sockets import RECEIVE_BUFFER
from usertcp.link.raw import RawLink
from usertcp.link.resolution import IS_AT, UNRESOLVED, WHO_HAS
from usertcp.runtime.opening import open_stack
from usertcp.tcp.config import Config
from usertcp.tcp.segment import SYN, Flow, Segment
from usertcp.wire.fast import FastCodec

pytestmark = pytest.mark.lab

CAP_NET_ADMIN, SO_SNDBUFFORCE = 12, 32
OURS, OURS6 = "10.0.0.9", "fd00::9"
IFA_F_DADFAILED = 0x08
PEERS = ["10.0.0.2", "fd00::2"]


@pytest.fixture
def link(here: Any, peer: Any) -> Iterator[EthernetLink]:
    link = EthernetLink("veth0", f"{OURS}/24", f"{OURS6}/64")
    yield link
    link.close()


def counter(name: str, *, protocol: str = "Tcp") -> int:
    """What the kernel of this namespace has counted."""
    lines = [line.split() for line in Path("/proc/thread-self/net/snmp").read_text().splitlines()]
    names, values = (line for line in lines if line[0] == f"{protocol}:")
    return int(values[names.index(name)])


@pytest.mark.parametrize("remote", PEERS)
async def test_a_client_at_an_address_that_no_interface_has(here: Any, peer: Any, link: Any, remote: str) -> None:
    async with serving(peer, remote) as port, open_stack(link, CONFIG) as stack:
        counters = await exchange(stack, remote, port)
        assert link.neighbours[remote] == mac_of(peer)
    assert counters["octets out"] / counters["segments out"] > 5000, "super-segments out"
    with here:
        assert counter("OutRsts") == 0, "the kernel beside us has nothing to say"


@pytest.mark.parametrize(("ours", "theirs"), [(OURS, PEERS[0]), (OURS6, PEERS[1])])
async def test_a_kernel_calls_us(here: Any, peer: Any, link: Any, ours: str, theirs: str) -> None:
    async with open_stack(link, CONFIG) as stack, trio.open_nursery() as nursery:

        async def echo(stream: trio.abc.Stream) -> None:
            await stream.send_all(await stream.receive_some())

        await nursery.start(stack.serve_tcp, echo, 8000)
        with peer:
            client = trio.socket.socket(socket.AF_INET6 if ":" in ours else socket.AF_INET)
        await client.connect((ours, 8000))
        await client.send(b"who are you?")
        assert await client.recv(100) == b"who are you?"
        client.close()
        assert link.neighbours[theirs] == mac_of(peer), "who asks for us need not be asked for"
        nursery.cancel_scope.cancel()
    with peer, IPRoute() as netlink:
        known = {each.get("dst"): each.get("lladdr") for each in netlink.get_neighbours()}
    assert known[ours] == link.hardware_address.hex(":") != mac_of(here)


async def test_a_kernel_that_forwards_leaves_ours_alone(here: Any, peer: Any, link: Any) -> None:
    here.sysctl("ipv4/ip_forward", 1)
    async with serving(peer, "10.0.0.2") as port, open_stack(link, CONFIG) as stack:
        await exchange(stack, "10.0.0.2", port)
    with here:
        assert counter("ForwDatagrams", protocol="Ip") == 0


@pytest.mark.parametrize(("gateway", "remote"), [(PEERS[0], "192.0.2.50"), (PEERS[1], "2001:db8::50")])
async def test_a_host_behind_a_gateway(here: Any, peer: Any, gateway: str, remote: str) -> None:
    with peer, IPRoute() as netlink:
        netlink.addr("add", index=1, address=remote, prefixlen=128 if ":" in remote else 32)

    def usable() -> bool:
        """IPv6 addresses come into use a little later."""
        with suppress(OSError):
            peer.listen(remote).close()
            return True
        return False

    await until(usable)
    link = EthernetLink("veth0", f"{OURS}/24", f"{OURS6}/64", gateways=[gateway])
    async with serving(peer, remote) as port, open_stack(link, CONFIG) as stack:
        await exchange(stack, remote, port)
        assert list(link.neighbours) == [gateway]


@pytest.mark.parametrize(("which", "mtu"), [(0, 576), (0, 9000), (1, 1280), (1, 9000)])
async def test_other_mtus(here: Any, peer: Any, which: int, mtu: int) -> None:
    for end in here, peer:
        with end, IPRoute() as netlink:
            netlink.link("set", index=netlink.link_lookup(ifname="veth0")[0], mtu=mtu)
    link = EthernetLink("veth0", f"{OURS}/24", f"{OURS6}/64")
    assert link.mtu == mtu
    async with serving(peer, PEERS[which]) as port, open_stack(link, CONFIG) as stack:
        await exchange(stack, PEERS[which], port)


def test_where_to_and_from(here: Any, link: EthernetLink) -> None:
    assert link.source_address("10.0.0.77") == OURS
    assert link.source_address("fd00::77") == OURS6
    assert link.is_local(OURS6)
    assert not link.is_local("10.0.0.1"), "that is the kernel's"
    for nowhere in "192.0.2.1", "2001:db8::1":
        with pytest.raises(HostUnreachable):
            link.source_address(nowhere)


def test_what_cannot_be(here: Any, peer: Any, without_capability: Callable[[int], Any]) -> None:
    with pytest.raises(ValueError, match=r"192\.0\.2\.1"):
        EthernetLink("veth0", "10.0.0.9/24", gateways=["192.0.2.1"])
    with pytest.raises(SetupError, match="nowhere0"):
        EthernetLink("nowhere0", "10.0.0.9/24")
    with pytest.raises(SetupError, match="Ethernet"):
        EthernetLink("lo", "10.0.0.9/24")
    with without_capability(13), pytest.raises(SetupError, match="NET_RAW"):
        EthernetLink("veth0", "10.0.0.9/24")


async def test_the_next_one_at_an_address_is_not_taken_for_another(here: Any, peer: Any) -> None:
    addresses = [EthernetLink("veth0", f"{OURS}/24"), EthernetLink("veth0", f"{OURS}/24")]
    assert addresses[0].hardware_address == addresses[1].hardware_address
    for link in addresses:
        link.close()


def test_a_receive_buffer_that_cannot_be_forced_up_is_told(
    here: Any, peer: Any, without_capability: Callable[[int], Any]
) -> None:
    with without_capability(CAP_NET_ADMIN), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        granted = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2
        links = [EthernetLink("veth0", f"{OURS}/24"), PacketLink(), RawLink()]
    assert granted < RECEIVE_BUFFER
    assert [link.receive_queue for link in links] == [granted] * 3
    for link in links:
        link.close()


@pytest.mark.parametrize("config", [CONFIG, replace(CONFIG, auto_tuning=False)], ids=["auto-tuning", "fixed"])
async def test_no_window_is_larger_than_what_may_wait_in_the_socket(
    here: Any, peer: Any, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The peer sends all that it may while we look elsewhere."""
    monkeypatch.setattr("usertcp.link.packet_sockets.RECEIVE_BUFFER", 1 << 18)
    link = EthernetLink("veth0", f"{OURS}/24")
    assert link.receive_queue == 1 << 18
    peer.sysctl("ipv4/tcp_slow_start_after_idle", 0)
    with peer.listen("10.0.0.2") as listener:
        async with open_stack(link, config) as stack:
            stream = await stack.open_tcp_stream(*listener.getsockname())
            sender, _ = await trio.to_thread.run_sync(listener.accept)
            sender.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 1 << 24)
            with sender:
                for _ in range(2):  # first it finds out how much it may have in flight, then it has that at once
                    sender.sendall(TEXT * 10)
                    left = 10 * len(TEXT)
                    while left:
                        left -= len(await stream.receive_some())
                assert link.counters()["receive_queue_full"] == 0
                assert stream.status().receive_buffer <= link.receive_queue
                stream.abort()


# Neighbours


def mac_of(namespace: Any) -> str:
    with namespace:
        return hardware_address("veth0").hex(":")


class Wire:
    """The cable as it is, at the peer's end."""

    def __init__(self, peer: Any) -> None:
        with peer:
            self.socket = trio.socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            self.socket._sock.bind(("veth0", 3))
        self.mac = mac_of(peer)
        self.seen: list[Packet] = []

    async def send(self, frame: Packet) -> None:
        await self.socket.send(bytes(frame))

    async def ask(self, asker: str) -> Packet:
        """*asker* wants to know who has our address; the answer."""
        question = ARP(op="who-has", hwsrc=self.mac, psrc=asker, pdst=OURS)
        await self.send(Ether(src=self.mac, dst="ff:ff:ff:ff:ff:ff") / question)
        with trio.fail_after(5):
            while (frame := await self.next(ARP))[ARP].pdst != asker or frame[ARP].op != IS_AT:
                pass
        return frame

    async def next(self, *layers: type[Packet]) -> Packet:
        """The next frame from us that has these layers."""
        while True:
            octets, (_, _, kind, *_) = await self.socket.recvfrom(2048)
            frame = Ether(octets)
            self.seen.append(frame)
            if kind != 4 and all(layer in frame for layer in layers):
                return frame


@pytest.fixture
async def wire(peer: Any) -> AsyncIterator[Wire]:
    wire = Wire(peer)
    yield wire
    wire.socket.close()


def syn(remote: str) -> bytes:
    return FastCodec().encode(Flow(OURS, 61000, remote, 9), Segment(1, 0, SYN))


async def test_nobody_is_asked_for_more_than_once_a_second(wire: Wire, link: Any, autojump_clock: Any) -> None:
    autojump_clock.autojump_threshold = 0.02
    asked = 0

    async def count() -> None:
        nonlocal asked
        while True:
            arp = (await wire.next(ARP))[ARP]
            asked += (arp.op, arp.psrc, arp.pdst) == (1, OURS, "10.0.0.77")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(count)
        for _ in range(25):
            link.send(syn("10.0.0.77"))
            await trio.sleep(0.1)
        nursery.cancel_scope.cancel()
    assert asked == 3


async def test_what_was_to_be_sent_meanwhile_is_sent_when_the_neighbour_is_known(wire: Wire, link: Any) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(link.deliver, lambda packets: None)
        sent = [syn("10.0.0.77") for _ in range(3)]
        for each in sent:
            link.send(each)
        answer = ARP(op="is-at", hwsrc="02:00:00:00:00:77", psrc="10.0.0.77", pdst=OURS)
        await wire.send(Ether(src=wire.mac, dst=link.hardware_address.hex(":")) / answer)
        for each in sent:
            frame = await wire.next(TCP)
            assert frame.dst == "02:00:00:00:00:77"
            assert bytes(frame.payload) == each
        nursery.cancel_scope.cancel()


async def test_a_neighbour_that_moves_is_found_again(here: Any, peer: Any, link: Any) -> None:
    async with serving(peer, "10.0.0.2") as port, open_stack(link, replace(CONFIG, rto_min=0.2)) as stack:
        stream = await stack.open_tcp_stream("10.0.0.2", port)
        await stream.send_all(TEXT)
        with peer, IPRoute() as netlink:
            [index] = netlink.link_lookup(ifname="veth0")
            netlink.link("set", index=index, address="02:00:00:00:00:99")
        for _ in range(ROUNDS - 1):
            await stream.send_all(TEXT)
        with trio.fail_after(30):
            received = b"".join([chunk async for chunk in stream])
        assert received[:32] == DIGEST
        assert link.neighbours["10.0.0.2"] == "02:00:00:00:00:99"


async def test_strangers_fill_no_memory(wire: Wire, link: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """More ask for us than are to be remembered; and many are sent to who do not exist."""
    monkeypatch.setattr("usertcp.link.resolution.NEIGHBOURS", 50)
    async with open_stack(link, CONFIG):
        for number in range(1, 101):
            await wire.ask(f"10.0.0.{number + 100}")
        assert list(link.neighbours) == [f"10.0.0.{number + 100}" for number in range(51, 101)]
        wire.seen.clear()
        for number in range(5000):
            link.send(syn(f"10.0.0.{number % 90 + 10}"))
        assert await wire.ask("10.0.0.2")
    assert 0 < len([frame for frame in wire.seen if ARP in frame and frame[ARP].op == WHO_HAS]) <= UNRESOLVED
    assert link.counters()["too_many_unresolved"] > 1000


async def test_an_answer_that_nobody_asked_for_is_not_believed(wire: Wire, link: Any) -> None:
    async with open_stack(link, CONFIG):
        lie = ARP(op="is-at", hwsrc="02:00:00:00:00:66", psrc="10.0.0.66", pdst=OURS)
        await wire.send(Ether(src=wire.mac, dst=link.hardware_address.hex(":")) / lie)
        await wire.ask("10.0.0.2")
        assert link.neighbours == {"10.0.0.2": wire.mac}


async def test_who_would_have_our_address_is_told_that_it_is_ours(here: Any, peer: Any, wire: Wire, link: Any) -> None:
    """ARP probes (RFC 5227) are answered, and a kernel's duplicate address detection (RFC 4862) finds us."""
    async with open_stack(link, CONFIG):
        assert (await wire.ask("0.0.0.0"))[ARP].hwsrc == link.hardware_address.hex(":")
        assert link.neighbours == {}
        peer.sysctl("ipv6/conf/veth0/accept_dad", 1)
        peer.sysctl("ipv6/conf/veth0/dad_transmits", 1)
        with peer, IPRoute() as netlink:
            netlink.addr("add", index=netlink.link_lookup(ifname="veth0")[0], address=OURS6, prefixlen=64)

        def failed() -> bool:
            with peer, IPRoute() as netlink:
                flags = [each["flags"] for each in netlink.get_addr() if each.get("address") == OURS6]
            return not flags or bool(flags[0] & IFA_F_DADFAILED)

        await until(failed)


async def test_another_who_speaks_from_our_address_is_counted(wire: Wire, link: Any) -> None:
    async with open_stack(link, CONFIG):
        await wire.ask(OURS)
        assert link.counters()["address_conflicts"] == 1


GARBAGE = [
    Ether(type=0x0806) / Raw(os.urandom(40)),
    Ether(type=0x0806) / Raw(b""),
    Ether() / ARP(hwlen=0, plen=255, pdst=OURS),
    Ether() / ARP(hwsrc="ff:ff:ff:ff:ff:ff", psrc="10.0.0.66", pdst=OURS),
    Ether() / IPv6(src="fd00::66", dst=OURS6, hlim=254) / ICMPv6ND_NS(tgt=OURS6) / ICMPv6NDOptSrcLLAddr(lladdr="02::"),
    Ether() / IPv6(src="fd00::66", dst=OURS6, hlim=255) / ICMPv6ND_NS(tgt=OURS6, cksum=1) / ICMPv6NDOptSrcLLAddr(),
    Ether() / IPv6(src="fd00::66", dst=OURS6, hlim=255) / ICMPv6ND_NS(tgt=OURS6, code=1) / ICMPv6NDOptSrcLLAddr(),
    Ether() / IPv6(src="fd00::66", dst=OURS6, hlim=255, nh=58) / Raw(b"\x87\x00"),
]


@pytest.mark.parametrize("frame", GARBAGE, ids=lambda frame: frame.summary()[:40])
async def test_garbage_teaches_nothing(wire: Wire, link: Any, frame: Packet) -> None:
    async with open_stack(link, CONFIG):
        frame.dst = link.hardware_address.hex(":")
        await wire.send(frame)
        await wire.ask("10.0.0.2")
        assert link.neighbours == {"10.0.0.2": wire.mac}
