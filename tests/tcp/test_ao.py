"""The TCP Authentication Option (RFC 5925, RFC 5926): by the published vectors (RFC 9235), and against Scapy's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_address
from itertools import count

import pytest
import trio
from scapy.contrib import tcpao
from scapy.layers.inet import IP, TCP
from scapy.layers.inet6 import IPv6
from trio.testing import MockClock

from tests.tcp.builders import CONFIG, FLOW, MSS, Bench, host
from usertcp import Config, ConnectionTimedOut, MalformedPacket, MasterKey, Md5Key
from usertcp.aes import AES_128_CMAC_96
from usertcp.link.path import Path
from usertcp.tcp.ao import HMAC_SHA_1_96, Algorithm
from usertcp.tcp.events import PacketOut, TraceRecord
from usertcp.tcp.options import Options, Signature
from usertcp.tcp.segment import ACK, FIN, PSH, RST, SYN, Flow, Segment
from usertcp.tcp.sequence import wrap
from usertcp.tcp.state import State
from usertcp.testing import open_network, open_stream_pair
from usertcp.wire import Codec, IcmpError
from usertcp.wire.fast import FastCodec
from usertcp.wire.scapy import ScapyCodec

SCAPYS = {HMAC_SHA_1_96: tcpao.get_alg("HMAC-SHA-1-96"), AES_128_CMAC_96: tcpao.get_alg("AES-128-CMAC-96")}
CODECS = pytest.mark.parametrize("codec", [FastCodec(), ScapyCodec()], ids=["fast", "scapy"])
SHA, AES = HMAC_SHA_1_96, AES_128_CMAC_96

# Published vectors


@dataclass
class Vector:
    """A segment of RFC 9235. Initial numbers are those of the key: of the sender, and of the receiver or 0."""

    section: str
    algorithm: Algorithm
    covers_options: bool
    isns: tuple[int, int]
    packet: str


BGP = """
    ffffffffffffffffffffffffffffffff00430104{}00b4{}26020601040001000102028000020202
    00020242000206410400 00{}020840060064000101 00
"""
CLIENT_TEXT, SERVER_TEXT = BGP.format("dabf", "0a0b0c0d", "dabf"), BGP.format("dac0", "ac1b1c1d", "dac0")
TEXT6 = BGP.format("fde8", "0101017a", "fde8")
C41, S41, C42, S42 = 0xFBFBAB5A, 0x11C14261, 0xCB0EFBEE, 0xACD5B5E1
S61, C61, S62, C62, S71, C71 = 0x3F51994B, 0x176A833F, 0xEBA3734D, 0x020C1E69, 0xA6744ECB, 0x193CCCEC
TO_SERVER, TO_CLIENT = "0a0b0c0d ac1b1c1d", "ac1b1c1d 0a0b0c0d"
FROM_SERVER6 = "fd000000000000000000000000000002 fd000000000000000000000000000001"
FROM_CLIENT6 = "fd000000000000000000000000000001 fd000000000000000000000000000002"
SYN_OPTIONS, SYN_OPTIONS6 = "020405b4 01030308 0402080a", "020405a0 01030308 0402080a"
VECTORS = [
    Vector(
        "4.1.1", SHA, True, (C41, 0),
        f"45e0004cdd0f4000ff06bf6b {TO_SERVER} e9d700b3 fbfbab5a 00000000 e002ffffcac40000 {SYN_OPTIONS}"
        "00155ab700000000 1d103d54 2ee437c6f8ede6d7c4d602e7",
    ),
    Vector(
        "4.1.2", SHA, True, (S41, C41),
        f"45e0004c65064000ff063775 {TO_CLIENT} 00b3e9d7 11c14261 fbfbab5b e012ffff37760000 {SYN_OPTIONS}"
        "84a50beb00155ab7 1d10543d eeab0fe24c3010815116b3be",
    ),
    Vector(
        "4.1.3", SHA, True, (C41, S41),
        f"45e0008736a14000ff06659f {TO_SERVER} e9d700b3 fbfbab5b 11c14262 c0180104a1620000"
        f"0101080a00155ac184a50beb 1d103d54 7064cf998cc6c315c2c2e2bf {CLIENT_TEXT}",
    ),
    Vector(
        "4.1.4", SHA, True, (S41, C41),
        f"45e000871fa94000ff067c97 {TO_CLIENT} 00b3e9d7 11c14262 fbfbab9e c0180100400c0000"
        f"0101080a84a50bf500155ac1 1d10543d a63f0ecbbb2e635c954deac7 {SERVER_TEXT}",
    ),
    Vector(
        "4.2.1", SHA, False, (C42, 0),
        f"45e0004c53994000ff0648e2 {TO_SERVER} ff1200b3 cb0efbee 00000000 e002ffff541f0000 {SYN_OPTIONS}"
        "00024cce00000000 1d103d54 80af3cfeb85368937b8f9ec2",
    ),
    Vector(
        "4.2.2", SHA, False, (S42, C42),
        f"45e0004c32844000ff0669f7 {TO_CLIENT} 00b3ff12 acd5b5e1 cb0efbef e012ffff388e0000 {SYN_OPTIONS}"
        "576772f300024cce 1d10543d 09306f9acea63a8c68cb9a70",
    ),
    Vector(
        "4.2.3", SHA, False, (C42, S42),
        f"45e00087a8f54000ff06f34a {TO_SERVER} ff1200b3 cb0efbef acd5b5e2 c01801046c450000"
        f"0101080a00024cce576772f3 1d103d54 710608cc696c03a271c93aa5 {CLIENT_TEXT}",
    ),
    Vector(
        "5.1.1", AES, True, (0x787A1DDF, 0),
        f"45e0004c7b9f4000ff0620dc {TO_SERVER} c4fa00b3 787a1ddf 00000000 e002ffff5a0f0000 {SYN_OPTIONS}"
        "00017ed000000000 1d103d54 e477e99c8040765498e55091",
    ),
    Vector(
        "6.1.1", SHA, True, (C61, 0),
        f"6e0891dc00380640 {FROM_CLIENT6} f7e400b3 176a833f 00000000 e002ffff47210000 {SYN_OPTIONS6}"
        "0041d08700000000 1d103d54 9033ec3d7334b64c5edd039f",
    ),
    Vector(
        "6.1.2", SHA, True, (S61, C61),
        f"6e01009e00380640 {FROM_SERVER6} 00b3f7e4 3f51994b 176a8340 e012ffffbfec0000 {SYN_OPTIONS6}"
        "bd33129b0041d087 1d10543d f1cba346c3526163f71f1f55",
    ),
    Vector(
        "6.2.4", SHA, False, (S62, C62),
        f"6e0a7e1f00730640 {FROM_SERVER6} 00b3c6cd eba3734e 020c1ead c0180100716a0000"
        f"0101080a5ec99b7a009db965 1d10543d 559a819445b4fde98d9e1317 {TEXT6}",
    ),
    Vector(
        "7.1.2", AES, True, (S71, C71),
        f"6e06152000380640 {FROM_SERVER6} 00b3f85a a6744ecb 193ccced e012ffffeabb0000 {SYN_OPTIONS6}"
        "71daabc813e4ab99 1d10543d dc2843a84e78a6bcfdc5ed80",
    ),
    Vector(
        "7.1.4", AES, True, (S71, C71),
        f"6e06152000730640 {FROM_SERVER6} 00b3f85a a6744ecc 193ccd30 c018010052f40000"
        f"0101080a71daabd313e4aba3 1d10543d c1069b7dfd3d693a6df3f289 {TEXT6}",
    ),
]  # fmt: skip
KEYS = {"4.1.1": "6d63ef1b02fe1509d4b1402707fd7b0416abb74f", "5.1.1": "f5b8b3d5f34fdbb6eb8d4ab9660e60e3"}
"""Traffic keys that the vectors tell."""


def read(codec: Codec, packet: bytes) -> tuple[Flow, Segment]:
    decoded = codec.decode(packet)
    assert decoded is not None
    assert not isinstance(decoded, IcmpError)
    return decoded


def dissected(packet: bytes) -> IP | IPv6:
    return IP(packet) if packet[0] >> 4 == 4 else IPv6(packet)


def vector(section: str, codec: Codec) -> tuple[Vector, Flow, Segment]:
    [found] = [each for each in VECTORS if each.section == section]
    packet = dissected(bytes.fromhex(found.packet))
    del packet[TCP].chksum  # not right in the IPv4 ones; no MAC covers it
    return found, *read(codec, bytes(packet))


@pytest.mark.rfc("5925", "5.2")
@pytest.mark.parametrize("section", KEYS)
def test_traffic_keys_are_those_of_the_vectors(section: str) -> None:
    found, flow, _ = vector(section, FastCodec())
    addresses = [part.packed for part in map(ip_address, (flow.remote, flow.local))]
    ports = flow.remote_port.to_bytes(2, "big") + flow.local_port.to_bytes(2, "big")
    isns = b"".join(number.to_bytes(4, "big") for number in found.isns)
    assert found.algorithm.derive(b"testvector", b"".join(addresses) + ports + isns).hex() == KEYS[section]


def vector_config(found: Vector, flow: Flow) -> Config:
    """Of the receiver: KeyIDs are 61 from the client and 84 from the server."""
    send, receive = (84, 61) if flow.local_port == 179 else (61, 84)
    key = MasterKey(
        flow.remote,
        b"testvector",
        send,
        receive,
        algorithm=found.algorithm,
        covers_options=found.covers_options,
    )
    return replace(CONFIG, ao_keys=(key,))


@CODECS
@pytest.mark.rfc("5925", "5.1")
@pytest.mark.rfc("5926", "3.2")
@pytest.mark.parametrize("syn", ["4.1.1", "4.2.1", "5.1.1", "6.1.1"])
def test_the_syn_of_a_vector_is_accepted_by_a_listener(codec: Codec, syn: str) -> None:
    found, flow, seg = vector(syn, codec)
    bench = Bench(S41, found.isns[0], vector_config(found, flow), flow)
    bench.open(passive=True)
    bench.deliver(seg)
    assert bench.state is State.SYN_RECEIVED
    wrong = replace(bench.tcp.config.ao_keys[0], secret=b"testvectos")
    bench = Bench(S41, found.isns[0], replace(CONFIG, ao_keys=(wrong,)), flow)
    bench.open(passive=True)
    bench.deliver(seg)
    assert bench.state is State.LISTEN
    assert bench.tcp.status(bench.now).counters["discarded: wrong TCP-AO"] == 1


@CODECS
@pytest.mark.rfc("5925", "5.1")
@pytest.mark.parametrize(("syn", "text", "iss"), [("4.1.1", "4.1.3", S41), ("4.2.1", "4.2.3", S42)])
def test_a_server_understands_the_client_of_the_vectors(codec: Codec, syn: str, text: str, iss: int) -> None:
    found, flow, seg = vector(syn, codec)
    bench = Bench(iss, found.isns[0], vector_config(found, flow), flow)
    bench.open(passive=True)
    bench.deliver(seg)
    _, _, seg = vector(text, codec)
    bench.deliver(seg)
    assert bench.state is State.ESTABLISHED
    assert bench.receive() == seg.data == bytes.fromhex(CLIENT_TEXT)


@CODECS
@pytest.mark.rfc("5925", "5.1")
@pytest.mark.parametrize(
    ("syn_ack", "text", "iss"),
    [("4.1.2", "4.1.4", C41), ("4.2.2", None, C42), ("6.1.2", None, C61), ("7.1.2", "7.1.4", C71)],
)
def test_a_client_understands_the_server_of_the_vectors(codec: Codec, syn_ack: str, text: str | None, iss: int) -> None:
    found, flow, seg = vector(syn_ack, codec)
    bench = Bench(iss, found.isns[0], vector_config(found, flow), flow)
    bench.open()
    bench.deliver(seg)
    assert bench.state is State.ESTABLISHED
    if text is not None:
        bench.send(bytes(67))
        _, _, seg = vector(text, codec)
        bench.deliver(seg)
        assert bench.tcp.all_acked
        assert bench.receive() == seg.data


# A peer made of Scapy's implementation

KEY = MasterKey(FLOW.remote, b"what both know", 1, 2)
KEYED = replace(CONFIG, ao_keys=(KEY,))
SECOND = MasterKey(FLOW.remote, b"what both will know", 3, 4)


def mac(packet: bytes, key: MasterKey, isns: tuple[int, int], extension: int) -> bytes:
    """What Scapy makes of a packet."""
    p, algorithm = dissected(packet), SCAPYS[key.algorithm]
    traffic_key = tcpao.calc_tcpao_traffic_key(p, algorithm, key.secret, *isns)
    return bytes(tcpao.calc_tcpao_mac(p, algorithm, traffic_key, key.covers_options, extension))


def arrives(
    bench: Bench,
    flags: int,
    seq: int,
    ack: int = 0,
    data: bytes = b"",
    *,
    key: MasterKey | None = KEY,
    rnext: int | None = None,
    extension: int | None = None,
    options: Options | None = None,
) -> None:
    """A segment of the peer's, numbers relative, signed with the peer's form of *key*."""
    options = options or Options(timestamps=(1, 0))
    seg = Segment(wrap(bench.irs + seq), wrap(bench.iss + ack) if flags & ACK else 0, flags, 5000, options, data)
    flow = bench.tcp.flow.reversed
    if key is not None:
        ids = (key.receive_id, key.send_id if rnext is None else rnext)
        seg.options = replace(options, signature=Signature(bytes(key.algorithm.octets), ids))
        isns = (bench.irs, 0 if flags & (SYN | ACK) == SYN else bench.iss)
        extension = (bench.irs + seq) >> 32 if extension is None else extension
        made = mac(FastCodec().encode(flow, seg), key, isns, extension)
        seg.options = replace(options, signature=Signature(made, ids))
    bench.deliver(read(FastCodec(), FastCodec().encode(flow, seg))[1])


def sent(bench: Bench, key: MasterKey = KEY, rnext: MasterKey | None = None) -> list[int]:
    """The flags of what went out; all of it must be signed with *key*, as Scapy would sign it."""
    segments = bench.take()
    for seg in segments:
        packet = FastCodec().encode(bench.tcp.flow, seg)
        assert packet == ScapyCodec().encode(bench.tcp.flow, seg)
        [option] = [value for name, value in dissected(packet)[TCP].options if name == "AO"]
        assert (option.keyid, option.rnextkeyid) == (key.send_id, (rnext or key).receive_id)
        position = bench.iss + ((seg.seq - bench.iss) % 2**32)
        isns = (bench.iss, 0 if seg.flags & (SYN | ACK) == SYN else bench.irs)
        assert option.mac == mac(packet, key, isns, position >> 32)
    return [seg.flags for seg in segments]


def established(iss: int, irs: int, config: Config = KEYED, key: MasterKey = KEY, flow: Flow = FLOW) -> Bench:
    bench = Bench(iss, irs, config, flow)
    bench.open()
    assert sent(bench, key) == [SYN]
    arrives(bench, SYN | ACK, 0, 1, key=key)
    assert bench.state is State.ESTABLISHED
    assert sent(bench, key) == [ACK]
    return bench


FORMS = [
    replace(KEY, algorithm=algorithm, covers_options=covers, peer=peer)
    for algorithm in (SHA, AES)
    for covers in (True, False)
    for peer in (FLOW.remote, "2001:db8::2")
]


@pytest.mark.rfc("5925", "7.4")
@pytest.mark.rfc("5925", "6.2")
@pytest.mark.parametrize(
    "key", FORMS, ids=lambda key: f"{key.algorithm.__class__.__name__} {key.covers_options} {key.peer}"
)
def test_every_segment_is_signed_to_the_end_and_where_numbers_wrap(iss: int, irs: int, key: MasterKey) -> None:
    """The fixtures begin two below 2**32: the extension is 1 from the second octet of text on."""
    flow = Flow("2001:db8::1", 61000, key.peer, 80) if ":" in key.peer else FLOW
    bench = established(iss, irs, replace(CONFIG, ao_keys=(key,)), key, flow)
    bench.send(b"text")
    arrives(bench, PSH | ACK, 1, 5, b"answer", key=key)
    assert bench.receive() == b"answer"
    assert sent(bench, key) == [PSH | ACK, ACK]
    bench.close()
    arrives(bench, FIN | ACK, 7, 6, key=key)
    assert bench.state is State.TIME_WAIT
    arrives(bench, FIN | ACK, 7, 6, key=key)
    assert sent(bench, key) == [FIN | ACK, ACK, ACK]


@pytest.mark.rfc("5925", "6.2")
def test_a_segment_of_another_round_of_the_sequence_space_is_a_replay(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    right = (irs + 3) >> 32
    arrives(bench, ACK, 1, 1, b"xy")
    for wrong in {right - 1, right + 1} - {-1}:
        arrives(bench, ACK, 3, 1, b"forged", extension=wrong)
    assert bench.receive() == b"xy"
    arrives(bench, ACK, 3, 1, b"true", extension=right)
    assert bench.receive() == b"true"
    assert bench.tcp.status(bench.now).counters["discarded: wrong TCP-AO"] == (2 if right else 1)


@pytest.mark.rfc("5925", "7.3")
@pytest.mark.rfc("5925", "7.5")
@pytest.mark.parametrize("flags", [ACK, SYN, RST, FIN | ACK])
@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (None, "no TCP-AO, though we have a key for this peer"),
        (replace(KEY, secret=b"another"), "wrong TCP-AO"),
        (replace(KEY, receive_id=9), "TCP-AO with an unknown KeyID"),
        (replace(KEY, covers_options=False), "wrong TCP-AO"),
    ],
    ids=["unsigned", "another key", "unknown id", "options left out"],
)
def test_what_is_not_signed_with_a_key_is_dropped_silently_and_counted(
    iss: int, irs: int, flags: int, key: MasterKey | None, reason: str
) -> None:
    bench = established(iss, irs)
    arrives(bench, flags, 1, 1, b"forged", key=key)
    assert sent(bench) == []
    assert (bench.state, bench.receive()) == (State.ESTABLISHED, b"")
    assert bench.tcp.status(bench.now).counters["discarded: " + reason] == 1


@pytest.mark.rfc("5925", "7.5")
def test_a_mac_of_another_length_is_not_even_looked_at(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    short = Options(signature=Signature(bytes(8), (KEY.receive_id, KEY.send_id)))
    bench.deliver(
        read(FastCodec(), FastCodec().encode(FLOW.reversed, Segment(irs + 1 & 0xFFFFFFFF, 0, RST, 0, short)))[1]
    )
    assert bench.state is State.ESTABLISHED
    assert bench.tcp.status(bench.now).counters["discarded: TCP-AO with a MAC of another length"] == 1


@pytest.mark.rfc("5925", "7.7")
def test_resets_are_signed_and_count_only_if_they_are(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    bench.abort()
    assert sent(bench) == [RST]
    bench = established(iss, irs)
    arrives(bench, RST, 1)
    assert bench.state is State.CLOSED


@pytest.mark.rfc("5925", "5.2")
def test_a_syn_in_a_synchronized_state_has_a_key_of_its_own(iss: int, irs: int) -> None:
    """It is the peer's, and so is answered by a challenge ACK (RFC 5961, 4)."""
    bench = established(iss, irs)
    arrives(bench, SYN, 0)
    assert sent(bench) == [ACK]


@pytest.mark.rfc("5925", "3.1")
@pytest.mark.parametrize("covers", [True, False])
def test_a_box_on_the_path_may_change_options_only_if_they_are_not_covered(iss: int, irs: int, covers: bool) -> None:
    key = replace(KEY, covers_options=covers)
    bench = established(iss, irs, replace(CONFIG, ao_keys=(key,)), key)
    ids = (key.receive_id, key.send_id)
    seg = Segment(
        wrap(irs + 1), wrap(iss + 1), ACK, 5000, Options(timestamps=(5, 6), signature=Signature(bytes(12), ids))
    )
    seg.data = b"text"
    made = mac(FastCodec().encode(FLOW.reversed, seg), key, (irs, iss), (irs + 1) >> 32)
    seg.options = Options(timestamps=(7, 6), signature=Signature(made, ids))
    bench.deliver(read(FastCodec(), FastCodec().encode(FLOW.reversed, seg))[1])
    assert bench.receive() == (b"" if covers else b"text")


@CODECS
@pytest.mark.rfc("5925", "2.2")
@pytest.mark.parametrize(
    "signatures", [[(29, bytes(14)), (29, bytes(14))], [(29, bytes(14)), (19, bytes(16))]], ids=["twice", "both kinds"]
)
def test_two_signatures_are_malformed(codec: Codec, signatures: list[tuple[int, bytes]]) -> None:
    packet = IP(src=FLOW.remote, dst=FLOW.local) / TCP(options=signatures)
    with pytest.raises(MalformedPacket, match="more than one"):
        codec.decode(bytes(packet))


@pytest.mark.rfc("5925", "7.6")
def test_timestamps_and_one_sack_block_fit_beside_it(iss: int, irs: int) -> None:
    bench = Bench(iss, irs, KEYED)
    bench.open()
    [syn] = bench.take()
    assert syn.options.sack_permitted
    assert syn.options.timestamps
    offer = Options(mss=MSS, sack_permitted=True, timestamps=(1, 0))
    arrives(bench, SYN | ACK, 0, 1, options=offer)
    for hole in range(3):
        arrives(bench, ACK, 2 + 2 * hole, 1, b"x")
    bench.send(bytes(2 * MSS))
    *_, last = bench.take()
    assert len(last.options.sack) == 1
    assert bench.tcp.status(bench.now).snd_mss == MSS - 16 - 12


# Which keys, and their change


@pytest.mark.rfc("5925", "6.1")
@pytest.mark.rfc("5925", "7.1")
def test_a_key_change_is_asked_for_and_followed_in_each_direction(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    bench.tcp.configure(replace(KEYED, ao_keys=(SECOND, KEY)), bench.now)
    bench.send(b"a")
    assert sent(bench, KEY, rnext=SECOND) == [PSH | ACK]  # we ask, and go on as before until we are asked
    arrives(bench, ACK, 1, 2, b"b", key=SECOND, rnext=KEY.send_id)
    assert sent(bench, KEY, rnext=SECOND) == [ACK]
    arrives(bench, ACK, 2, 2, b"c", key=SECOND)
    assert sent(bench, SECOND) == [ACK]
    assert bench.receive() == b"bc"
    status = bench.tcp.status(bench.now).ao
    assert status is not None
    assert status == ((3, 4), (3, 4), ((3, 4), (1, 2)), (4, 3))
    arrives(bench, ACK, 3, 2, b"d", key=KEY)  # overtaken on its way, or "backing up"
    assert sent(bench, KEY, rnext=SECOND) == [ACK]
    bench.tcp.configure(replace(KEYED, ao_keys=(SECOND,)), bench.now)
    arrives(bench, ACK, 4, 2, b"e", key=KEY)
    assert sent(bench) == []
    assert bench.tcp.status(bench.now).counters["discarded: TCP-AO with an unknown KeyID"] == 1
    bench.send(b"f")
    assert sent(bench, SECOND) == [PSH | ACK]


@pytest.mark.rfc("5925", "7.5")
def test_a_forged_segment_changes_no_key(iss: int, irs: int) -> None:
    bench = established(iss, irs, replace(KEYED, ao_keys=(KEY, SECOND)))
    arrives(bench, ACK, 1, 1, b"forged", key=replace(KEY, secret=b"another"), rnext=SECOND.send_id)
    bench.send(b"a")
    assert sent(bench, KEY) == [PSH | ACK]


def test_keys_with_one_number_for_one_peer_are_refused() -> None:
    for twin in (replace(SECOND, send_id=1), replace(SECOND, receive_id=2)):
        with pytest.raises(ValueError, match="the same"):
            Config(ao_keys=(KEY, twin))
    Config(ao_keys=(KEY, replace(KEY, peer="198.51.100.1")))
    with pytest.raises(ValueError, match="0 to 255"):
        MasterKey("192.0.2.2", b"secret", 1, 256)
    with pytest.raises(ValueError, match="octet"):
        MasterKey("192.0.2.2", b"", 1, 2)
    assert "what both know" not in repr(KEYED)


@pytest.mark.rfc("5925", "7.3")
@pytest.mark.parametrize("unknown", ["accept", "drop"])
def test_a_signature_of_a_peer_without_a_key_is_accepted_or_not(iss: int, irs: int, unknown: str) -> None:
    bench = Bench(iss, irs, replace(CONFIG, unknown_ao=unknown))
    bench.open()
    arrives(bench, SYN | ACK, 0, 1)
    assert bench.state is (State.ESTABLISHED if unknown == "accept" else State.SYN_SENT)


@pytest.mark.rfc("5925", "2.2")
def test_of_both_kinds_of_keys_the_newer_is_used(iss: int, irs: int) -> None:
    established(iss, irs, replace(KEYED, md5_keys=(Md5Key(FLOW.remote, b"key"),)))


@pytest.mark.rfc("5925", "5.2")
def test_where_there_is_no_connection_nothing_can_be_signed_and_nothing_is_said(irs: int) -> None:
    endpoint = host(config=KEYED)
    seg = Segment(irs, 0, SYN, 0, Options(signature=Signature(bytes(12), (2, 1))))
    for each in (seg, Segment(irs, 0, SYN)):
        endpoint.segment_arrives(FLOW, read(FastCodec(), FastCodec().encode(FLOW.reversed, each))[1], 0.0)
        assert endpoint.output(0.0) == []
    assert sum(endpoint.counters.values()) == 2


@dataclass
class Icmp:
    """About a segment of ours."""

    seq: int
    version: int
    type: int
    code: int
    source: str = "198.51.100.9"
    flow: Flow = FLOW
    mtu: int = 600


@pytest.mark.rfc("5925", "7.8")
@pytest.mark.parametrize(("kind", "code"), [(3, 2), (3, 3), (3, 4)])
def test_icmp_errors_are_not_believed_where_segments_are_signed(iss: int, irs: int, kind: int, code: int) -> None:
    bench = established(iss, irs)
    before = bench.tcp.path_mtu
    bench.send(bytes(MSS))
    bench.tcp.icmp_arrives(Icmp(wrap(iss + 1), 4, kind, code), bench.now)
    assert (bench.tcp.path_mtu, bench.tcp.soft_error) == (before, None)
    assert bench.tcp.status(bench.now).counters["ignored: ICMP, which is not signed"] == 1


# Whole stacks


def keys(numbers: Iterator[int], peer: str, other: str) -> tuple[MasterKey, MasterKey]:
    """A fresh key, as each of two ends has it."""
    mine, theirs = next(numbers), next(numbers)
    secret = b"secret %d" % mine
    return MasterKey(peer, secret, mine, theirs), MasterKey(other, secret, theirs, mine)


@pytest.mark.rfc("5925", "6.1")
@pytest.mark.parametrize("seed", range(3))
async def test_keys_change_during_a_transfer_over_a_bad_path_and_nothing_is_dropped_for_it(
    autojump_clock: MockClock, seed: int
) -> None:
    trace: list[TraceRecord] = []
    numbers = count(10)
    a, b = keys(numbers, "192.0.2.2", "192.0.2.1")
    path = Path(loss=0.03, delay=0.02, reordering=0.03, duplication=0.02, seed=seed)
    text = bytes(range(256)) * 400
    config, config_b = Config(ao_keys=(a,)), Config(ao_keys=(b,))
    async with open_network(path, config=config, config_b=config_b, tracer=trace.append, seed=seed) as network:
        stream, peer = await open_stream_pair(network)
        for _ in range(4):
            new_a, new_b = keys(numbers, "192.0.2.2", "192.0.2.1")
            peer.configure(replace(peer.config, ao_keys=(b, new_b)))  # known to both first ...
            stream.configure(replace(stream.config, ao_keys=(new_a, a)))  # ... then asked for
            received = b""
            async with trio.open_nursery() as nursery:
                nursery.start_soon(stream.send_all, text)
                while len(received) < len(text):
                    received += await peer.receive_some()
            assert received == text
            peer.configure(replace(peer.config, ao_keys=(new_b, b)))
            await peer.send_all(b"change, please")
            assert await stream.receive_some() == b"change, please"
            status = stream.status().ao
            assert status is not None
            assert status.current_key == (new_a.send_id, new_a.receive_id)
            a, b = new_a, new_b
        for end in (stream, peer):
            counters = end.status().counters
            assert not [name for name in counters if "TCP-AO" in name], counters
    used = {
        value.keyid
        for record in trace
        if isinstance(record, PacketOut)
        for name, value in IP(record.packet)[TCP].options
        if name == "AO"
    }
    assert len(used) == 5


async def test_without_the_right_key_nothing_comes_of_it(autojump_clock: MockClock) -> None:
    ours = Config(ao_keys=(MasterKey("192.0.2.2", b"one", 1, 1),), user_timeout=5.0)
    theirs = Config(ao_keys=(MasterKey("192.0.2.1", b"another", 1, 1),))
    async with open_network(config=ours, config_b=theirs) as network, await network.b.open_tcp_listener(7):
        with pytest.raises(ConnectionTimedOut):
            await network.a.open_tcp_stream(network.address_b, 7)
        assert network.b.counters()["discarded: wrong TCP-AO"] >= 2
