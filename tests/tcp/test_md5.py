"""The TCP MD5 Signature option (RFC 2385). Segments go through a codec, and digests are made anew from the octets of
the packet."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
import trio
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from trio.testing import MockClock

from tests.tcp.builders import CONFIG, FLOW, MSS, SECRET, Bench
from usertcp import Config, ConnectionTimedOut, KeepAlive, Md5Key, UserTimeoutOption
from usertcp.link.path import Path
from usertcp.tcp.endpoint import Endpoint
from usertcp.tcp.events import PacketOut, SegmentOut, TraceRecord
from usertcp.tcp.options import NO_OPTIONS, Options, Signature
from usertcp.tcp.segment import ACK, FIN, RST, SYN, Flow, Segment
from usertcp.tcp.sequence import wrap
from usertcp.tcp.state import State
from usertcp.testing import open_network, open_stream_pair
from usertcp.wire import Codec, IcmpError
from usertcp.wire.fast import FastCodec
from usertcp.wire.scapy import ScapyCodec

KEY = b"a secret of two routers"
KEYED = replace(CONFIG, md5_keys=(Md5Key(FLOW.remote, KEY),))
FLOW6 = Flow("2001:db8::1", 61000, "2001:db8::2", 80)
KIND = 19
NONE, WRONG, UNEXPECTED = (
    "discarded: no MD5 signature, though we have a key for this peer",
    "discarded: wrong MD5 signature",
    "discarded: MD5 signature, but we have no key for this peer",
)


def digest(packet: bytes, key: bytes) -> bytes:
    """The digest that a packet should have, made of what Scapy sees in it (RFC 2385, 2.0)."""
    ip = IP(packet) if packet[0] >> 4 == 4 else IPv6(packet)
    tcp = ip[TCP]
    segment = bytes(tcp)
    length = len(segment)
    if IP in ip:
        pseudo = packet[12:20] + bytes((0, 6)) + length.to_bytes(2, "big")
    else:
        pseudo = packet[8:40] + length.to_bytes(4, "big") + bytes((0, 0, 0, 6))
    header = segment[:16] + b"\0\0" + segment[18:20]
    return hashlib.md5(pseudo + header + segment[tcp.dataofs * 4 :] + key).digest()


def signature(packet: bytes) -> bytes | None:
    """The digest that a packet does have."""
    ip = IP(packet) if packet[0] >> 4 == 4 else IPv6(packet)
    return next((value for name, value in ip[TCP].options if name == "MD5"), None)


def signed(packet: bytes, key: bytes = KEY) -> bool:
    return signature(packet) == digest(packet, key)


def arrives(bench: Bench, flags: int, seq: int, ack: int = 0, data: bytes = b"", key: bytes | None = KEY) -> None:
    """A segment of the peer's, numbers relative, signed with *key*."""
    seg = Segment(wrap(bench.irs + seq), wrap(bench.iss + ack) if flags & ACK else 0, flags, 5000, data=data)
    bench.deliver(over_the_wire(bench.tcp.flow.reversed, seg, key))


def over_the_wire(flow: Flow, seg: Segment, key: bytes | None) -> Segment:
    """A segment as it is read at the other end."""
    if key is not None:
        seg.options = replace(seg.options, signature=Signature(bytes(16)))
        made = digest(FastCodec().encode(flow, seg), key)
        seg.options = replace(seg.options, signature=Signature(made))
    decoded = FastCodec().decode(FastCodec().encode(flow, seg))
    assert decoded is not None
    assert not isinstance(decoded, IcmpError)
    return decoded[1]


def sent(bench: Bench) -> list[int]:
    """The flags of what went out; all of it must be signed."""
    segments = bench.take()
    for seg in segments:
        packet = FastCodec().encode(bench.tcp.flow, seg)
        assert packet == ScapyCodec().encode(bench.tcp.flow, seg)
        assert signed(packet)
    return [seg.flags for seg in segments]


def established(iss: int, irs: int, config: Config = KEYED, flow: Flow = FLOW) -> Bench:
    bench = Bench(iss, irs, config, flow)
    bench.open()
    arrives(bench, SYN | ACK, 0, 1)
    assert bench.state is State.ESTABLISHED
    assert sent(bench) == [SYN, ACK]
    return bench


@pytest.mark.rfc("2385", "2.0")
@pytest.mark.parametrize("flow", [FLOW, FLOW6], ids=["ipv4", "ipv6"])
def test_every_segment_of_a_connection_is_signed_to_its_end(iss: int, irs: int, flow: Flow) -> None:
    bench = established(iss, irs, replace(CONFIG, md5_keys=(Md5Key(flow.remote, KEY),)), flow)
    bench.send(b"text")
    arrives(bench, ACK, 1, 5, b"answer")
    assert sent(bench) == [0x08 | ACK, ACK]
    assert bench.receive() == b"answer"
    bench.close()
    arrives(bench, FIN | ACK, 7, 6)
    assert bench.state is State.TIME_WAIT
    assert sent(bench) == [FIN | ACK, ACK]
    arrives(bench, FIN | ACK, 7, 6)
    assert sent(bench) == [ACK]  # out of TIME-WAIT


@pytest.mark.rfc("2385", "2.0")
def test_the_answer_to_a_signed_syn_is_signed(iss: int, irs: int) -> None:
    bench = Bench(iss, irs, KEYED)
    bench.open(passive=True)
    arrives(bench, SYN, 0)
    assert sent(bench) == [SYN | ACK]
    arrives(bench, ACK, 1, 1)
    assert bench.state is State.ESTABLISHED


@pytest.mark.rfc("2385", "2.0")
def test_a_reset_is_signed_and_counts_only_if_it_is(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    arrives(bench, RST, 1, key=None)
    assert bench.state is State.ESTABLISHED
    bench.abort()
    assert sent(bench) == [RST]
    bench = established(iss, irs)
    arrives(bench, RST, 1)
    assert bench.state is State.CLOSED


@pytest.mark.rfc("2385", "2.0")
@pytest.mark.parametrize(("key", "reason"), [(None, NONE), (b"another", WRONG)], ids=["unsigned", "wrong"])
@pytest.mark.parametrize("flags", [ACK, SYN, RST, FIN | ACK, SYN | ACK])
def test_what_is_not_signed_with_the_key_is_dropped_silently_and_counted(
    iss: int, irs: int, flags: int, key: bytes | None, reason: str
) -> None:
    bench = established(iss, irs)
    arrives(bench, flags, 1, 1, b"forged", key=key)
    assert sent(bench) == []
    assert bench.state is State.ESTABLISHED
    assert bench.receive() == b""
    assert bench.tcp.status(bench.now).counters[reason] == 1


@pytest.mark.rfc("2385", "2.0")
@pytest.mark.parametrize("at", [20, 22, 24, 28, 32, 34, 38, 45, 60], ids="octet {}".format)
def test_a_change_to_any_part_of_a_segment_shows(iss: int, irs: int, at: int) -> None:
    """Ports, numbers, reserved bits, window, urgent pointer, digest, text; the checksum has been made right."""
    bench = established(iss, irs)
    seg = Segment(wrap(irs + 1), wrap(iss + 1), ACK, 5000, Options(signature=Signature(bytes(16))), b"text")
    codec, flow = FastCodec(), FLOW.reversed
    seg.options = Options(signature=Signature(digest(codec.encode(flow, seg), KEY)))
    packet = IP(codec.encode(flow, seg))
    octets = bytearray(bytes(packet))
    octets[at] ^= 1
    forged = IP(bytes(octets))
    del forged[TCP].chksum
    decoded = codec.decode(bytes(forged))
    assert decoded is not None
    assert not isinstance(decoded, IcmpError)
    bench.deliver(decoded[1])
    assert bench.receive() == b""
    assert sent(bench) == []
    assert bench.tcp.status(bench.now).counters[WRONG] == 1


@pytest.mark.rfc("2385", "2.0")
def test_a_signature_of_a_peer_without_a_key_is_dropped(iss: int, irs: int) -> None:
    bench = Bench(iss, irs)
    bench.open()
    bench.take()
    arrives(bench, SYN | ACK, 0, 1)
    assert bench.state is State.SYN_SENT
    assert bench.take() == []
    assert bench.tcp.status(bench.now).counters[UNEXPECTED] == 1


@pytest.mark.rfc("2385", "2.0")
def test_a_forged_segment_does_not_pass_for_a_sign_of_life(iss: int, irs: int) -> None:
    keep = KeepAlive(idle=10.0, interval=1.0, count=2)
    bench = established(iss, irs, replace(KEYED, keepalive=keep))
    for _ in range(20):
        bench.advance(1.0)
        arrives(bench, ACK, 1, 1, key=b"another")
    assert isinstance(bench.tcp.error, ConnectionTimedOut)


@pytest.mark.rfc("2385", "4.3")
@pytest.mark.rfc("9293", "3.7.1", "MUST-16")
@pytest.mark.parametrize(
    ("sack", "timestamps", "text", "blocks"),
    [(True, False, MSS - 20, 2), (False, True, MSS - 32, 0), (False, False, MSS - 20, 0)],
)
def test_the_options_leave_so_much_room_for_text_and_blocks(
    iss: int, irs: int, sack: bool, timestamps: bool, text: int, blocks: int
) -> None:
    bench = Bench(iss, irs, replace(KEYED, sack=sack, timestamps=timestamps))
    bench.open()
    offer = Options(mss=MSS, sack_permitted=sack, timestamps=(1, 0) if timestamps else None)
    seg = Segment(irs, wrap(iss + 1), SYN | ACK, 5000, offer)
    bench.deliver(over_the_wire(FLOW.reversed, seg, KEY))
    bench.take()
    bench.send(bytes(2 * MSS))
    assert len(bench.take()[0].data) == text == bench.tcp.status(bench.now).snd_mss
    for hole in range(4):
        stamps = (1, 0) if timestamps else None
        piece = Segment(wrap(irs + 2 + 2 * hole), wrap(iss + 1), ACK, 5000, Options(timestamps=stamps), b"x")
        bench.deliver(over_the_wire(FLOW.reversed, piece, KEY))
    last = bench.take()[-1]
    assert len(last.options.sack) == blocks
    assert signed(FastCodec().encode(FLOW, last))


@pytest.mark.rfc("2385", "4.3")
def test_a_syn_with_everything_fits_and_prefers_sack_to_timestamps(iss: int, irs: int) -> None:
    everything = replace(KEYED, user_timeout_option=UserTimeoutOption())
    for config, expected in [(everything, (True, None)), (replace(everything, sack=False), (False, 2))]:
        bench = Bench(iss, irs, config)
        bench.open()
        [syn] = bench.take()
        stamps = syn.options.timestamps
        assert (syn.options.sack_permitted, stamps and len(stamps)) == expected
        assert signed(FastCodec().encode(FLOW, syn))


@pytest.mark.rfc("2385", "2.0")
@pytest.mark.parametrize("codec", [FastCodec(), ScapyCodec()], ids=["fast", "scapy"])
@pytest.mark.parametrize("length", [2, 17, 19])
def test_an_option_of_another_length_is_malformed(codec: Codec, length: int) -> None:
    packet = IP(src="192.0.2.2", dst="192.0.2.1") / TCP(options=[(KIND, bytes(length - 2))])
    with pytest.raises(ValueError, match="wrong length"):
        codec.decode(bytes(packet))


# Which key


@pytest.mark.parametrize(
    ("remote", "port", "key"),
    [
        ("192.0.2.2", 80, b"address and port"),
        ("192.0.2.2", 81, b"address"),
        ("192.0.2.3", 80, b"prefix"),
        ("198.51.100.1", 80, b"any"),
        ("2001:db8::7", 80, b"six"),
        ("2001:db9::7", 80, None),
    ],
)
def test_the_key_that_fits_best_decides(remote: str, port: int, key: bytes | None) -> None:
    keys = (
        Md5Key("0.0.0.0/0", b"any"),
        Md5Key("192.0.2.2", b"address"),
        Md5Key("192.0.2.2", b"address and port", port=80),
        Md5Key("192.0.2.0/24", b"prefix", port=80),
        Md5Key("2001:db8::/32", b"six"),
    )
    flow = Flow("2001:db8::1" if ":" in remote else "192.0.2.1", 61000, remote, port)
    bench = Bench(0, 0, replace(CONFIG, md5_keys=keys), flow)
    bench.open()
    [syn] = bench.take()
    packet = FastCodec().encode(flow, syn)
    assert signed(packet, key) if key is not None else signature(packet) is None


def test_what_is_no_key_is_refused_and_a_key_is_not_shown() -> None:
    for wrong in (b"", bytes(81)):
        with pytest.raises(ValueError, match="1 to 80 octets"):
            Md5Key("192.0.2.2", wrong)
    with pytest.raises(ValueError, match="port"):
        Md5Key("192.0.2.2", KEY, port=0)
    with pytest.raises(ValueError, match="nonsense"):
        Md5Key("nonsense", KEY)
    assert KEY.decode() not in repr(Config(md5_keys=(Md5Key("192.0.2.2", KEY),)))


# Whole hosts


def host(config: Config) -> Endpoint:
    return Endpoint(config, SECRET, mss=lambda remote: MSS, answers=lambda local, port: True)


@pytest.mark.rfc("2385", "2.0")
def test_where_there_is_no_connection_only_a_signed_segment_is_reset_and_signed(irs: int) -> None:
    endpoint = host(KEYED)
    for key, answers in ((None, 0), (b"another", 0), (KEY, 1)):
        endpoint.segment_arrives(FLOW, over_the_wire(FLOW.reversed, Segment(irs, 0, SYN), key), 0.0)
        out = endpoint.output(0.0)
        assert len(out) == answers
        assert all(seg.flags & RST and signed(FastCodec().encode(FLOW, seg)) for _, seg in out)
    unkeyed = host(CONFIG)
    unkeyed.segment_arrives(FLOW, over_the_wire(FLOW.reversed, Segment(irs, 0, SYN), KEY), 0.0)
    assert unkeyed.output(0.0) == []
    assert unkeyed.counters["ignored: MD5 signature, but we have no key for this peer"] == 1


@pytest.mark.rfc("2385", "2.0")
def test_a_listener_drops_a_syn_that_is_not_signed_and_the_stack_counts_it(irs: int) -> None:
    endpoint = host(CONFIG)
    endpoint.listen("", FLOW.local_port, config=KEYED)
    for key in (None, b"another"):
        endpoint.segment_arrives(FLOW, over_the_wire(FLOW.reversed, Segment(irs, 0, SYN), key), 0.0)
        assert endpoint.output(0.0) == []
    assert not endpoint.connections
    assert (endpoint.counters[NONE], endpoint.counters[WRONG]) == (1, 1)
    endpoint.segment_arrives(FLOW, over_the_wire(FLOW.reversed, Segment(irs, 0, SYN), KEY), 0.0)
    [(_, seg)] = endpoint.output(0.0)
    assert seg.flags == SYN | ACK
    assert signed(FastCodec().encode(FLOW, seg))


@pytest.mark.rfc("2385", "2.0")
def test_who_does_not_sign_does_not_use_up_what_fast_open_allows(irs: int) -> None:
    endpoint = host(CONFIG)
    listener = endpoint.listen("", FLOW.local_port, config=replace(KEYED, fast_open=1))
    for key, answered in ((None, 0), (KEY, 1)):
        syn = Segment(irs, 0, SYN, options=Options(fast_open=b"not valid"[:8]))
        endpoint.segment_arrives(FLOW, over_the_wire(FLOW.reversed, syn, key), 0.0)
        assert len(endpoint.output(0.0)) == listener.counters["fast open: the cookie is not valid"] == answered


@pytest.mark.rfc("2385", "2.0")
def test_an_unsigned_syn_does_not_end_time_wait(irs: int) -> None:
    """A listener has the port, and the SYN is new enough (RFC 6191)."""
    endpoint = host(CONFIG)
    listener = endpoint.listen("", FLOW.local_port, config=KEYED)
    now = 1000.0

    def deliver(seg: Segment, key: bytes | None = KEY) -> list[Segment]:
        endpoint.segment_arrives(FLOW, over_the_wire(FLOW.reversed, seg, key), now)
        return [out for _, out in endpoint.output(now)]

    [syn_ack] = deliver(Segment(irs, 0, SYN, 5000))
    nxt = wrap(syn_ack.seq + 1)
    deliver(Segment(wrap(irs + 1), nxt, ACK, 5000))
    conn = listener.accept()
    assert conn is not None
    conn.close(now)
    endpoint.touch(conn)
    endpoint.output(now)
    deliver(Segment(wrap(irs + 1), wrap(nxt + 1), FIN | ACK, 5000))
    assert conn.state is State.TIME_WAIT
    assert deliver(Segment(wrap(irs + 1000), 0, SYN, 5000), key=None) == []
    assert endpoint.connections[FLOW] is conn
    assert conn.state is State.TIME_WAIT
    [again] = deliver(Segment(wrap(irs + 1000), 0, SYN, 5000))
    assert again.flags == SYN | ACK


async def test_two_stacks_with_a_key_exchange_text_over_a_lossy_path(autojump_clock: MockClock) -> None:
    trace: list[TraceRecord] = []
    config = Config(md5_keys=(Md5Key("192.0.2.0/24", KEY),))
    path = Path(loss=0.05, delay=0.01, reordering=0.02, corruption=0.02, seed=3)
    async with open_network(path, config=config, tracer=trace.append) as network:
        stream, peer = await open_stream_pair(network)
        text = bytes(range(256)) * 1000

        async def read() -> None:
            received = b""
            while len(received) < len(text):
                received += await peer.receive_some()
            assert received == text

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            await stream.send_all(text)
        assert stream.status().md5
    packets = [record.packet for record in trace if isinstance(record, PacketOut)]
    assert len(packets) > 180
    assert all(signed(packet) for packet in packets)


async def test_without_the_key_of_the_peer_nothing_comes_of_it(autojump_clock: MockClock) -> None:
    """No answer, as if nobody were there, and both stacks say why."""
    ours, theirs = Config(md5_keys=(Md5Key("192.0.2.2", KEY),), user_timeout=5.0), Config()
    async with open_network(config=ours, config_b=theirs) as network, await network.b.open_tcp_listener(7):
        with pytest.raises(ConnectionTimedOut):
            await network.a.open_tcp_stream(network.address_b, 7)
        assert network.b.counters()[UNEXPECTED] >= 2


async def test_a_connection_and_a_listener_may_have_keys_of_their_own(autojump_clock: MockClock) -> None:
    trace: list[TraceRecord] = []
    keyed = Config(md5_keys=(Md5Key("192.0.2.1", KEY), Md5Key("192.0.2.2", KEY)))
    async with (
        open_network(tracer=trace.append) as network,
        await network.b.open_tcp_listener(7, config=keyed) as listener,
        await network.b.open_tcp_listener(8),
    ):
        stream = await network.a.open_tcp_stream(network.address_b, 7, config=keyed)
        other = await network.a.open_tcp_stream(network.address_b, 8)
        assert (stream.status().md5, other.status().md5) == (True, False)
        assert (await listener.accept()).status().md5
    for record in trace:
        if isinstance(record, SegmentOut):
            assert (record.seg.options.signature is not None) == (record.flow.remote_port == 7)
            assert record.flow.remote_port == 7 or record.seg.options is NO_OPTIONS or record.seg.options.timestamps
