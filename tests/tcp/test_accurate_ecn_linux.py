"""Accurate ECN with Linux at the other end (RFC 9768), whose packets are here as the octets that it puts on the wire.

Its own habits: of the two AccECN options it sends the one that begins with ECT(1), with as many counters as there is
room for, and in every segment once it has had one; and not only new text is ECT, but all except SYNs, so that bare
acknowledgments come marked as well.
"""

from __future__ import annotations

import struct
from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from tests.tcp.builders import CONFIG, FLOW, Bench, closed, listen
from usertcp.ip.checksum import checksum, pseudo_header
from usertcp.tcp.segment import CE, ECT0, NOT_ECT, PSH, Segment
from usertcp.tcp.sequence import wrap
from usertcp.tcp.state import State
from usertcp.tcp.status import Status
from usertcp.tcp.tcb import EcnCounters
from usertcp.wire import Codec
from usertcp.wire.fast import FastCodec
from usertcp.wire.scapy import ScapyCodec

ACCURATE = replace(CONFIG, ecn="accurate", receive_buffer=60_000)
TCP = 6
WINDOW = 60_000
FULL = 988
"""Octets of text beside timestamps, where the MSS is 1,000."""
FIRST = 976
"""The same beside our first option too."""

MSS = bytes.fromhex("020405b4")
SACK_PERMITTED = bytes.fromhex("0402")
NOP = b"\x01"
SCALE = bytes.fromhex("030300")
"""By nothing, that windows may be read as they stand."""


def stamps(value: int) -> bytes:
    return struct.pack("!BBII", 8, 10, value, 0)


def counters(kind: int, *numbers: int) -> bytes:
    """An AccECN option: kind 172, ECT(0), CE, ECT(1), or kind 174, the other way round."""
    return bytes((kind, 2 + 3 * len(numbers))) + b"".join(number.to_bytes(3, "big") for number in numbers)


def told(value: int, *numbers: int) -> bytes:
    """The options of a segment of Linux: ECT(1), CE, ECT(0)."""
    return NOP + NOP + stamps(value) + counters(174, *numbers) + NOP


def found(options: bytes) -> bytes:
    """The AccECN option in a list."""
    while options and options[0] not in (172, 174):
        options = options[options[1] if options[0] > NOP[0] else 1 :]
    return options[: options[1]] if options else b""


class Linux:
    """The other end by hand. Numbers are relative to the initial ones."""

    def __init__(self, bench: Bench, codec: Codec) -> None:
        self.bench = bench
        self.codec = codec

    def sends(
        self, bits: str, seq: int, ack: int | None, options: bytes, *, codepoint: int = ECT0, octets: int = 0
    ) -> None:
        """A segment. *bits* are the two octets of its header with the data offset and the control bits."""
        number = 0 if ack is None else wrap(self.bench.iss + ack)
        tcp = struct.pack("!HHII", FLOW.remote_port, FLOW.local_port, wrap(self.bench.irs + seq), number)
        tcp += bytes.fromhex(bits) + struct.pack("!HHH", WINDOW, 0, 0) + options + bytes(octets)
        source, destination = IPv4Address(FLOW.remote).packed, IPv4Address(FLOW.local).packed
        covered = checksum(tcp, pseudo_header(source, destination, TCP, len(tcp)))
        ip = struct.pack("!BBHHHBBH", 0x45, codepoint, 20 + len(tcp), 0, 0x4000, 64, TCP, 0) + source + destination
        ip = ip[:10] + checksum(ip).to_bytes(2, "big") + ip[12:]
        decoded = self.codec.decode(ip + tcp[:16] + covered.to_bytes(2, "big") + tcp[18:])
        assert decoded is not None
        assert isinstance(decoded[1], Segment)
        self.bench.deliver(decoded[1])

    def hears(self) -> list[tuple[str, int, bytes]]:
        """Of each of our segments: the same octets, without PSH; the ECN field in the IP header; the AccECN option."""
        packets = [self.codec.encode(FLOW, seg) for seg in self.bench.take()]
        return [
            (bytes((tcp[12], tcp[13] & ~PSH)).hex(), traffic_class & 3, found(tcp[20 : (tcp[12] >> 4) * 4]))
            for traffic_class, tcp in ((packet[1], packet[20:]) for packet in packets)
        ]

    @property
    def status(self) -> Status:
        return self.bench.tcp.status(self.bench.now)


@pytest.fixture(params=[FastCodec, ScapyCodec])
def codec(request: pytest.FixtureRequest) -> Codec:
    return request.param()  # type: ignore[no-any-return]


@pytest.fixture
def server(iss: int, irs: int, codec: Codec) -> Linux:
    """Linux has our SYN, and has not answered yet."""
    linux = Linux(closed(iss, irs, ACCURATE), codec)
    linux.bench.open()
    assert linux.hears() == [("a1c2", NOT_ECT, b"")]
    return linux


@pytest.fixture
def client(iss: int, irs: int, codec: Codec) -> Linux:
    """Linux has sent its SYN, and has got our SYN,ACK."""
    linux = Linux(listen(iss, irs, ACCURATE), codec)
    linux.sends("a1c2", 0, None, MSS + SACK_PERMITTED + stamps(1) + NOP + SCALE, codepoint=NOT_ECT)
    assert linux.hears() == [("d092", NOT_ECT, counters(172, 1, 0, 1))]
    return linux


def agrees(linux: Linux) -> None:
    """Linux's SYN,ACK."""
    options = MSS + SACK_PERMITTED + stamps(1) + counters(174, 1, 0, 1) + NOP + NOP + SCALE
    linux.sends("d092", 0, 1, options, codepoint=NOT_ECT)
    assert linux.hears() == [("b090", NOT_ECT, counters(172, 1, 0, 1))]


def acknowledges(linux: Linux) -> None:
    """What Linux's handshake ends with."""
    linux.sends("b090", 1, 1, told(2, 1, 0, 1))
    assert linux.bench.state is State.ESTABLISHED
    assert linux.hears() == []


@pytest.mark.rfc("9768", "3.1.2")
@pytest.mark.rfc("9768", "3.2")
def test_with_linux_as_the_server_both_ends_count_the_same(server: Linux) -> None:
    agrees(server)
    server.bench.send(bytes(FIRST + 4 * FULL))
    assert server.hears() == [("b150", ECT0, counters(172, 1, 0, 1)), *[("8150", ECT0, b"")] * 4]

    # The second, the third and the fourth have been marked on their way.
    server.sends("b190", 1, 1 + FIRST + FULL, told(2, 1, FULL, 1 + FIRST))
    server.sends("b010", 1, 1 + FIRST + 3 * FULL, told(3, 1, 3 * FULL, 1 + FIRST))
    server.sends("b010", 1, 1 + FIRST + 4 * FULL, told(4, 1, 3 * FULL, 1 + FIRST + FULL))
    assert server.status.ecn_out == EcnCounters(cep=8, ceb=3 * FULL, e0b=1 + FIRST + FULL, e1b=1)
    assert server.status.counters["reductions by ECN"] == 1

    # So are text of Linux, a bare acknowledgment and its FIN.
    end = 1 + FIRST + 4 * FULL
    server.sends("b018", 1, end, told(5, 1, 3 * FULL, 1 + FIRST + FULL), codepoint=CE, octets=100)
    assert server.hears() == [("a190", NOT_ECT, counters(172, 1, 100))]
    server.sends("b010", 101, end, told(6, 1, 3 * FULL, 1 + FIRST + FULL), codepoint=CE)
    server.sends("b011", 101, end, told(7, 1, 3 * FULL, 1 + FIRST + FULL), codepoint=CE)
    assert server.hears() == [("8010", NOT_ECT, b"")]
    assert server.status.ecn_in == EcnCounters(cep=8, ceb=100, e0b=1, e1b=1)


@pytest.mark.rfc("9768", "3.1.2")
@pytest.mark.rfc("9768", "3.2")
def test_with_linux_as_the_client_both_ends_count_the_same(client: Linux) -> None:
    acknowledges(client)
    client.sends("b158", 1, 1, told(3, 1, 0, 1), octets=300)
    client.sends("b158", 301, 1, told(4, 1, 0, 1), codepoint=CE, octets=200)
    assert client.hears() == [("a150", NOT_ECT, counters(172, 301)), ("a190", NOT_ECT, counters(172, 301, 200))]
    assert client.status.ecn_in == EcnCounters(cep=6, ceb=200, e0b=301, e1b=1)

    client.bench.send(bytes(3 * FULL))
    assert client.hears() == [("8190", ECT0, b"")] * 3
    client.sends("b1d0", 501, 1 + 2 * FULL, told(5, 1, 2 * FULL, 1))
    client.sends("b1d0", 501, 1 + 3 * FULL, told(6, 1, 2 * FULL, 1 + FULL))
    assert client.status.ecn_out == EcnCounters(cep=7, ceb=2 * FULL, e0b=1 + FULL, e1b=1)
    assert client.status.counters["reductions by ECN"] == 1


@pytest.mark.rfc("9768", "3.2.3.1")
def test_an_option_that_sack_blocks_leave_less_room_is_read_and_so_is_ace_without_it(server: Linux) -> None:
    agrees(server)
    server.bench.send(bytes(FIRST + 5 * FULL))
    edges = [wrap(server.bench.iss + 1 + FIRST + place * FULL) for place in range(6)]
    third, fifth = (struct.pack("!II", edges[place], edges[place + 1]) for place in (1, 3))
    one = NOP * 2 + stamps(2) + counters(174, 1, FULL, 1) + NOP * 3 + bytes((5, 10)) + third
    two = NOP * 2 + stamps(3) + counters(174, 1, 2 * FULL) + NOP * 2 + bytes((5, 18)) + fifth + third
    sixth = struct.pack("!II", edges[3], edges[5])
    none = NOP * 2 + stamps(4) + NOP * 2 + bytes((5, 18)) + sixth + third
    server.sends("e190", 1, 1, one)
    assert server.status.ecn_out == EcnCounters(cep=6, ceb=FULL)
    server.sends("f1d0", 1, 1, two)
    assert server.status.ecn_out == EcnCounters(cep=7, ceb=2 * FULL)
    server.sends("d010", 1, 1, none)
    assert server.status.ecn_out == EcnCounters(cep=8, ceb=2 * FULL)


@pytest.mark.rfc("9768", "3.1.5", "MUST")
def test_the_syn_ack_that_linux_sends_when_two_went_unanswered_is_reflected_too(server: Linux) -> None:
    """It agrees, and sends the option; it leaves out the option; it says nothing. Our acknowledgments were lost."""
    agrees(server)
    without = MSS + SACK_PERMITTED + stamps(1001) + NOP + SCALE
    server.sends("a092", 0, 1, without, codepoint=NOT_ECT)
    server.sends("a012", 0, 1, without, codepoint=NOT_ECT)
    assert server.hears() == [("8090", NOT_ECT, b"")] * 2
    server.bench.send(b"question")
    assert server.hears() == [("8150", ECT0, b"")]


@pytest.mark.rfc("9768", "3.2.2.2", "MAY")
def test_linux_acknowledges_each_of_two_syn_acks(client: Linux) -> None:
    client.bench.advance(1.0)
    assert client.hears() == [("a092", NOT_ECT, b"")]
    acknowledges(client)
    client.sends("8090", 1, 1, NOP * 2 + stamps(1002))
    client.bench.send(b"greeting")
    client.sends("8150", 1, 9, NOP * 2 + stamps(1003))
    assert client.status.ecn_out == EcnCounters()
    assert "reductions by ECN" not in client.status.counters


@pytest.mark.rfc("9768", "3.1.5", "MUST NOT")
@pytest.mark.rfc("9768", "3.2.2.1", "MUST NOT")
def test_linux_that_saw_only_our_last_syn_ack_has_no_ecn(client: Linux) -> None:
    client.bench.advance(3.0)
    assert client.hears() == [("a092", NOT_ECT, b""), ("a012", NOT_ECT, b"")]
    client.sends("8010", 1, 1, NOP * 2 + stamps(3002), codepoint=NOT_ECT)
    client.bench.send(b"greeting")
    assert client.hears() == [("8150", NOT_ECT, b"")]


@pytest.mark.rfc("9768", "3.1.4.1", "SHOULD")
@pytest.mark.rfc("9768", "3.1.5", "SHOULD")
def test_linux_asks_twice_and_then_no_more_and_still_gets_an_answer_that_agrees(client: Linux) -> None:
    again = MSS + SACK_PERMITTED + stamps(1001) + NOP + SCALE
    client.sends("a1c2", 0, None, again, codepoint=NOT_ECT)
    client.sends("a002", 0, None, again, codepoint=NOT_ECT)
    assert client.hears() == [("a092", NOT_ECT, b"")] * 2
    client.sends("8090", 1, 1, NOP * 2 + stamps(3002))
    client.bench.send(b"greeting")
    assert client.hears() == [("8150", NOT_ECT, b"")]  # a SYN without the bits forbids ECT


@pytest.mark.rfc("9768", "3.1.2", "MUST")
@pytest.mark.parametrize(("bits", "text"), [("a052", ("8010", ECT0, b"")), ("a012", ("8010", NOT_ECT, b""))])
def test_linux_that_is_told_not_to_speak_it_answers_by_classic_ecn_or_none(
    server: Linux, bits: str, text: tuple[str, int, bytes]
) -> None:
    server.sends(bits, 0, 1, MSS + SACK_PERMITTED + stamps(1) + NOP + SCALE, codepoint=NOT_ECT)
    server.bench.send(b"question")
    assert server.hears() == [("8010", NOT_ECT, b""), text]
    assert server.status.ecn_out is None


def test_the_last_acknowledgment_of_linux_in_time_wait_has_no_counter_and_does_no_harm(server: Linux) -> None:
    agrees(server)
    server.sends("b151", 1, 1, told(2, 1, 0, 1))
    assert server.hears() == [("b150", NOT_ECT, counters(172, 1, 0, 1))]
    server.bench.close()
    assert server.hears() == [("8151", NOT_ECT, b"")]
    server.sends("8010", 2, 2, NOP * 2 + stamps(3))
    assert server.bench.state is State.CLOSED
    assert "reductions by ECN" not in server.status.counters
