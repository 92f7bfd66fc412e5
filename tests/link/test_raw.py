"""RawLink beside real kernels: loopback, and a veth pair to a peer in another namespace."""

import os
import resource
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import pytest
import trio
from pyroute2 import IPRoute
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6

from usertcp.errors import HostUnreachable, PortInUse, SetupError
from usertcp.link import beside_kernel, nftables
from usertcp.link.raw import RawLink
from usertcp.link.routes import Route
from usertcp.link.rst_guard import kernel_resets

pytestmark = pytest.mark.lab

PORT = 61234
CAP_NET_RAW = 13
PLACES = [("127.0.0.1", "127.0.0.1"), ("10.0.0.1", "10.0.0.2"), ("::1", "::1"), ("fd00::1", "fd00::2")]


@pytest.fixture
async def link(here: Any) -> AsyncIterator[RawLink]:
    link = RawLink()
    yield link
    link.close()


def packet(source: str, destination: str, **tcp: Any) -> bytes:
    data = tcp.pop("data", b"")
    header = IPv6(src=source, dst=destination) if ":" in source else IP(src=source, dst=destination, flags="DF")
    return bytes(header / TCP(**tcp) / data)


def read(octets: bytes) -> Any:
    """A packet as Scapy sees it."""
    return IPv6(octets) if octets[0] >> 4 == 6 else IP(octets)


class Hand:
    """A TCP connection made by hand over a link: no state, no timers, just the next segment."""

    def __init__(self, link: RawLink, local: str, remote: str, remote_port: int) -> None:
        self.link, self.local, self.remote = link, local, remote
        self.ports = {"sport": PORT, "dport": remote_port}
        self.seq, self.ack = 1000, 0
        self.inbox: list[Any] = []

    def send(self, flags: str, data: bytes = b"", **fields: Any) -> None:
        segment = {**self.ports, "seq": self.seq, "ack": self.ack, "flags": flags, "data": data, **fields}
        self.link.send(packet(self.local, self.remote, **segment))
        self.seq += len(data) + ("S" in flags)

    async def receive(self) -> Any:
        """The next packet for our port."""
        while not self.inbox:
            packets = [read(octets) for octets in await self.link.receive()]
            self.inbox += [each for each in packets if TCP in each and each[TCP].dport == PORT]
        return self.inbox.pop(0)

    async def shake(self, **fields: Any) -> None:
        self.send("S", **fields)
        answer = (await self.receive())[TCP]
        assert str(answer.flags) == "SA"
        self.ack = answer.seq + 1
        self.send("A")


async def accepted(listener: socket.socket) -> trio.SocketStream:
    with trio.fail_after(5):
        connection, _ = await trio.socket.from_stdlib_socket(listener).accept()
        return trio.SocketStream(connection)


def listening(here: Any, peer: Any, remote: str) -> tuple[socket.socket, int]:
    listener = (peer if remote.endswith("2") else here).listen(remote)
    listener.setblocking(False)
    return listener, listener.getsockname()[1]


@pytest.mark.parametrize(("local", "remote"), PLACES)
async def test_a_handshake_with_a_kernel_holds_where_the_port_is_claimed(
    here: Any, peer: Any, link: RawLink, local: str, remote: str
) -> None:
    listener, port = listening(here, peer, remote)
    with listener, link.claim(local, PORT, remote):
        hand = Hand(link, local, remote, port)
        await hand.shake()
        hand.send("PA", b"from us")
        stream = await accepted(listener)
        assert await stream.receive_some() == b"from us"
        await stream.send_all(b"from the kernel")
        while not (answer := await hand.receive())[TCP].payload:
            pass
        assert bytes(answer[TCP].payload).startswith(b"from the kernel")
        await stream.aclose()


@pytest.mark.parametrize(("local", "remote"), PLACES)
async def test_the_kernel_resets_it_where_the_port_is_not_claimed(
    here: Any, peer: Any, link: RawLink, local: str, remote: str
) -> None:
    listener, port = listening(here, peer, remote)
    with listener:
        hand = Hand(link, local, remote, port)
        await hand.shake()  # The kernel's RST overtook our ACK.
        assert str((await hand.receive())[TCP].flags) == "R"


@pytest.mark.parametrize(("local", "remote"), PLACES)
async def test_our_own_reset_gets_out(here: Any, peer: Any, link: RawLink, local: str, remote: str) -> None:
    listener, port = listening(here, peer, remote)
    with listener, link.claim(local, PORT, remote):
        hand = Hand(link, local, remote, port)
        await hand.shake()
        stream = await accepted(listener)
        hand.send("R")
        with trio.fail_after(5), pytest.raises(trio.BrokenResourceError):
            await stream.receive_some()
        await stream.aclose()
    assert "forbidden_by_netfilter" not in link.counters()


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_a_packet_on_loopback_is_delivered_exactly_once(link: RawLink, address: str) -> None:
    sent = [packet(address, address, sport=PORT, dport=9, seq=seq, flags="A") for seq in range(1, 301)]
    for each in sent:
        link.send(each)
    arrived: list[int] = []
    while len(arrived) < len(sent):
        arrived += [seg.seq for each in await link.receive() if (seg := read(each)[TCP]).dport == 9]
    with trio.move_on_after(0.05):
        arrived += [seg.seq for each in await link.receive() if (seg := read(each)[TCP]).dport == 9]
    assert arrived == list(range(1, 301))


async def test_other_protocols_do_not_wake_us(link: RawLink) -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sink,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
    ):
        sink.bind(("127.0.0.1", 0))
        udp.sendto(b"not TCP", sink.getsockname())
    link.send(packet("127.0.0.1", "127.0.0.1", sport=PORT, dport=9, flags="A"))
    assert UDP not in read((await link.receive())[0])


@pytest.mark.parametrize(("local", "remote"), PLACES[1::2])
async def test_super_segments_arrive_whole_with_an_unfinished_checksum(
    here: Any, peer: Any, link: RawLink, local: str, remote: str
) -> None:
    assert link.unfinished_checksums
    listener, port = listening(here, peer, remote)
    with listener, link.claim(local, PORT, remote):
        hand = Hand(link, local, remote, port)
        await hand.shake(window=65535, options=[("MSS", 1440), ("WScale", 14)])
        stream = await accepted(listener)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.send_all, bytes(20_000_000))
            with trio.fail_after(20):
                largest = await acknowledge_until(hand, 40_000)
            nursery.cancel_scope.cancel()
        hand.send("R")
        await trio.aclose_forcefully(stream)
    assert int(largest[TCP].chksum) == unfinished_checksum(largest)


async def acknowledge_until(hand: Hand, octets: int) -> Any:
    """Take the peer's data and acknowledge it until it sends a segment of more than *octets*; that one."""
    lengths: dict[int, int] = {}
    while True:
        arrived = await hand.receive()
        segment = arrived[TCP]
        if len(segment.payload) > octets:
            return arrived
        lengths[segment.seq] = len(segment.payload)
        while hand.ack in lengths:
            hand.ack += lengths.pop(hand.ack)
        hand.send("A", window=65535)


def unfinished_checksum(arrived: Any) -> int:
    """What a kernel leaves there for an interface to finish: the sum of the pseudo-header."""
    family = socket.AF_INET6 if IPv6 in arrived else socket.AF_INET
    addresses = b"".join(socket.inet_pton(family, address) for address in (arrived.src, arrived.dst))
    length = len(bytes(arrived[TCP]))
    words = [int.from_bytes(addresses[at : at + 2], "big") for at in range(0, len(addresses), 2)]
    return (sum(words) + 6 + length) % 65535


@pytest.mark.parametrize(("local", "remote"), PLACES[1::2])
async def test_a_packet_larger_than_the_mtu_is_dropped_and_counted(
    here: Any, peer: Any, link: RawLink, local: str, remote: str
) -> None:
    assert link.mtu_to(remote) == 1500
    headers = len(packet(local, remote))
    link.send(packet(local, remote, dport=9, data=bytes(1501 - headers)))
    link.send(packet(local, remote, dport=9, data=bytes(1500 - headers)))
    assert link.counters()["larger_than_mtu"] == 1
    assert link.counters()["sent"] == 1


async def test_the_largest_ip_packet_goes_over_loopback(link: RawLink) -> None:
    assert link.mtu_to("127.0.0.1") == 65535
    largest = packet("127.0.0.1", "127.0.0.1", sport=PORT, dport=9, flags="A", data=bytes(65495))
    link.send(largest)
    assert len((await link.receive())[0]) == len(largest) == 65535


async def test_the_mtu_is_one_that_every_interface_carries(here: Any, peer: Any) -> None:
    with IPRoute() as netlink:
        netlink.link("set", index=netlink.link_lookup(ifname="veth0")[0], mtu=1400)
    link = RawLink()
    assert link.mtu == 1400
    link.close()


@pytest.fixture
def patient_neighbours(here: Any, peer: Any) -> None:
    """Packets wait for a neighbour that does not answer, in a queue that is larger than any socket may fill."""
    here.sysctl("ipv4/neigh/veth0/unres_qlen_bytes", 1 << 30)


async def test_a_full_send_queue_drops_and_counts(patient_neighbours: None, link: RawLink) -> None:
    waiting = packet("10.0.0.1", "10.0.0.99", dport=9, data=bytes(1400))
    for _ in range(10_000):
        link.send(waiting)
    counts = link.counters()
    assert counts["send_queue_full"] > 0
    assert counts["send_queue_full"] + counts["sent"] == 10_000


async def test_no_route_drops_and_counts(link: RawLink) -> None:
    link.send(packet("10.0.0.1", "192.0.2.1", dport=9))
    link.send(packet("fd00::1", "2001:db8::1", dport=9))
    assert link.counters()["no_route"] == 2


async def test_what_netfilter_forbids_is_dropped_and_counted(link: RawLink) -> None:
    table = nftables.OwnedTable()
    table.add_chain("output")
    port = nftables.field_is(nftables.DESTINATION_PORT, (9).to_bytes(2, "big"))
    table.add_rule("output", [*nftables.tcp(), *port, *nftables.drop()])
    link.send(packet("127.0.0.1", "127.0.0.1", sport=PORT, dport=9))
    assert link.counters()["forbidden_by_netfilter"] == 1
    table.close()


async def test_the_source_address_is_that_of_the_route(here: Any, peer: Any, link: RawLink) -> None:
    assert link.source_address("10.0.0.77") == "10.0.0.1"
    assert link.source_address("127.0.0.1") == "127.0.0.1"
    assert link.source_address("fd00::77") == "fd00::1"
    assert link.source_address("::1") == "::1"
    for unreachable in ("192.0.2.1", "2001:db8::1", "no address"):
        with pytest.raises(HostUnreachable):
            link.source_address(unreachable)


async def test_an_address_is_local_as_soon_as_an_interface_has_it(here: Any, peer: Any, link: RawLink) -> None:
    assert link.is_local("10.0.0.1")
    assert link.is_local("fd00::1")
    assert link.is_local("127.0.0.2")
    assert not link.is_local("10.0.0.2")
    assert not link.is_local("10.0.0.255")
    assert not link.is_local("10.0.0.3")
    with IPRoute() as netlink:
        netlink.addr("add", index=netlink.link_lookup(ifname="veth0")[0], address="10.0.0.3", prefixlen=24)
    assert link.is_local("10.0.0.3")


async def test_a_route_is_another_as_soon_as_the_kernel_has_another(here: Any, peer: Any, link: RawLink) -> None:
    with pytest.raises(HostUnreachable):
        link.source_address("192.0.2.1")
    with IPRoute() as netlink:
        veth0 = netlink.link_lookup(ifname="veth0")[0]
        netlink.addr("add", index=veth0, address="10.0.0.3", prefixlen=24)
        netlink.route("add", dst="192.0.2.0/24", gateway="10.0.0.2")
        assert (link.source_address("192.0.2.1"), link.mtu_to("192.0.2.1")) == ("10.0.0.1", 1500)
        netlink.route("replace", dst="192.0.2.0/24", gateway="10.0.0.2", prefsrc="10.0.0.3")
        assert link.source_address("192.0.2.1") == "10.0.0.3"
        netlink.link("set", index=veth0, mtu=1400)
        assert link.mtu_to("192.0.2.1") == 1400
        netlink.rule("add", dst="192.0.2.1/32", action="unreachable")
        with pytest.raises(HostUnreachable):
            link.source_address("192.0.2.1")
        netlink.rule("del", dst="192.0.2.1/32", action="unreachable")
        assert link.source_address("192.0.2.1") == "10.0.0.3"


async def test_what_the_kernel_does_not_tell_is_asked_for_in_time(
    link: RawLink, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, mtu = 1000.0, 1500
    monkeypatch.setattr(beside_kernel, "monotonic", lambda: now)
    monkeypatch.setattr(beside_kernel, "route", lambda remote: Route("192.0.2.1", mtu))
    assert link.mtu_to("192.0.2.2") == 1500
    mtu = 1400
    assert link.mtu_to("192.0.2.2") == 1500
    now += 1.0
    assert link.mtu_to("192.0.2.2") == 1400


async def test_link_local_addresses_find_their_interface(here: Any, peer: Any, link: RawLink) -> None:
    assert link.source_address("fe80::2%veth0") == "fe80::1"
    with link.claim("fe80::1", PORT, "fe80::2"):
        hand = Hand(link, "fe80::1", "fe80::2", 9)
        hand.send("S")
        with trio.fail_after(5):
            assert str((await hand.receive())[TCP].flags) == "RA"


async def test_cancelling_receive_loses_no_packet(link: RawLink) -> None:
    with trio.move_on_after(0.01) as scope:
        await link.receive()
    assert scope.cancelled_caught
    link.send(packet("127.0.0.1", "127.0.0.1", sport=PORT, dport=9, seq=77, flags="A"))
    with trio.CancelScope() as scope:
        scope.cancel()
        await link.receive()
    assert scope.cancelled_caught
    assert read((await link.receive())[0])[TCP].seq == 77


async def test_close_wakes_the_receiver_and_ends_the_claims(link: RawLink) -> None:
    async def receive() -> Sequence[bytes]:
        with pytest.raises(trio.ClosedResourceError):
            return await link.receive()
        return []

    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive)
        await trio.testing.wait_all_tasks_blocked()
        with link.claim("", PORT):
            link.close()
        link.close()
    await receive()
    assert link.counters() == {"sent": 0, "received": 0}


async def test_a_claimed_port_is_nobody_elses(here: Any, link: RawLink) -> None:
    with link.claim("", PORT):
        for address in ("127.0.0.1", "::1", "0.0.0.0", "::"):
            with pytest.raises(OSError, match="in use"):
                here.listen(address, PORT)
    here.listen("127.0.0.1", PORT).close()


async def test_a_port_may_be_claimed_more_than_once(here: Any, link: RawLink) -> None:
    with link.claim("127.0.0.1", PORT, "127.0.0.1"):
        with link.claim("127.0.0.1", PORT, "127.0.0.2"), link.claim("127.0.0.1", PORT, "127.0.0.1"):
            pass
        with pytest.raises(OSError, match="in use"):
            here.listen("127.0.0.1", PORT)
    with link.claim("", PORT), link.claim("127.0.0.1", PORT, "127.0.0.1"):
        pass
    here.listen("127.0.0.1", PORT).close()


async def test_ports_are_claimed_at_once(here: Any, link: RawLink) -> None:
    block = link.claim_block(PORT, 3)
    assert block is not None
    with block as ports, link.claim("127.0.0.1", PORT + 1, "127.0.0.1"):
        assert ports == range(PORT, PORT + 3)
        for port in ports:
            assert not kernel_resets("127.0.0.1", port)
            assert not kernel_resets("::1", port)
            with pytest.raises(OSError, match="in use"):
                here.listen("127.0.0.1", port)
        assert kernel_resets("127.0.0.1", PORT + 3)
    for port in range(PORT, PORT + 3):
        assert kernel_resets("127.0.0.1", port)
        here.listen("127.0.0.1", port).close()


async def test_a_block_ends_before_a_port_that_somebody_has(here: Any, link: RawLink) -> None:
    with here.listen("127.0.0.1", PORT + 2):
        for first, most, expected in [(PORT, 5, 2), (PORT + 1, 5, 1), (65534, 5, 2)]:
            block = link.claim_block(first, most)
            assert block is not None
            with block as ports:
                assert ports == range(first, first + expected)
        block = link.claim_block(PORT + 2, 5)
        assert block is not None
        with pytest.raises(PortInUse):
            block.__enter__()


async def test_a_block_ends_where_descriptors_do(link: RawLink) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with link.claim("", PORT + 9):  # has opened whatever else it takes
        free = os.open(os.devnull, os.O_RDONLY)
        os.close(free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free + 2, hard))
        try:
            block = link.claim_block(PORT, 5)
            assert block is not None
            with block as ports:
                assert ports.start == PORT
                assert len(ports) < 5
                with pytest.raises(OSError, match="open files"):
                    link.claim("", PORT + 8).__enter__()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_a_port_that_is_taken_says_by_whom(here: Any, link: RawLink) -> None:
    claim = link.claim("", PORT)
    with here.listen("127.0.0.1", PORT), pytest.raises(PortInUse, match=rf"{PORT}, by LISTEN, process \d+ \(\w+"):
        claim.__enter__()


async def test_without_the_capability_the_remedy_is_named(
    here: Any, without_capability: Callable[[int], AbstractContextManager[None]]
) -> None:
    with without_capability(CAP_NET_RAW), pytest.raises(SetupError, match="setcap cap_net_raw"):
        RawLink()
