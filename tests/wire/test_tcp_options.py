"""The list of TCP options, octet by octet."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usertcp.errors import MalformedPacket
from usertcp.tcp.options import NO_OPTIONS, Options
from usertcp.wire.options import read, write

MSS = b"\x02\x04\x05\xb4"
TIMESTAMPS = b"\x08\x0a\x00\x00\x00\x01\x00\x00\x00\x02"


@pytest.mark.rfc("9293", "3.1", "MUST-68")
@pytest.mark.parametrize(
    ("options", "octets"),
    [
        (NO_OPTIONS, ""),
        (Options(), ""),
        (Options(mss=1460), "020405b4"),
        (Options(mss=0), "02040000"),
        (Options(window_scale=7), "01030307"),
        (Options(window_scale=0), "01030300"),
        (Options(sack_permitted=True), "01010402"),
        (Options(timestamps=(1, 2)), "0101080a0000000100000002"),
        (Options(timestamps=(0, 0)), "0101080a0000000000000000"),
        (Options(sack_permitted=True, timestamps=(1, 2)), "0402080a0000000100000002"),
        (Options(sack=((1, 2),)), "0101050a0000000100000002"),
        (Options(sack=((1, 2), (3, 4))), "0101051200000001000000020000000300000004"),
        (Options(user_timeout=1), "1c040001"),
        (Options(user_timeout=32767), "1c047fff"),
        (Options(user_timeout=32820), "1c048223"),
        (Options(user_timeout=32767 * 60), "1c04ffff"),
        (Options(fast_open=b""), "22020000"),
        (Options(fast_open=b"four"), "2206666f75720000"),
        (Options(fast_open=b"a cookie"), "220a6120636f6f6b69650000"),
        (Options(fast_open=bytes(16)), "2212" + 16 * "00" + "0000"),
        (Options(mss=1460, window_scale=7, sack_permitted=True, timestamps=(1, 2)),
         "020405b40402080a000000010000000201030307"),
    ],
)  # fmt: skip
def test_known_options_have_the_layout_of_their_rfcs(options: Options, octets: str) -> None:
    assert write(options).hex() == octets
    assert read(bytes.fromhex(octets)) == options


@pytest.mark.rfc("5482", "3.4")
@pytest.mark.parametrize("octets", ["1c040000", "1c048000"])
def test_the_reserved_user_timeouts_are_ignored(octets: str) -> None:
    assert read(bytes.fromhex(octets)) == Options()


@pytest.mark.rfc("5482", "3.3")
def test_minutes_are_rounded_up_to() -> None:
    assert read(write(Options(user_timeout=32768))).user_timeout == 32820


@pytest.mark.rfc("9293", "3.1", "MUST-69")
def test_the_list_is_padded_with_zeros() -> None:
    assert write(Options(unknown=((253, b"abc"),))) == b"\xfd\x05abc\0\0\0"


@pytest.mark.rfc("9293", "3.1", "MUST-4")
def test_end_and_no_operation_and_mss_are_understood() -> None:
    assert read(b"\x01" + MSS + b"\x00\x00\x00") == Options(mss=1460)
    assert read(b"\x01\x01\x01\x01") == Options()
    assert read(b"\x00\x00\x00\x00") == Options()


@pytest.mark.rfc("9293", "3.2")
def test_what_follows_the_end_of_the_list_is_ignored() -> None:
    assert read(b"\x00" + MSS + b"\xff\xff\xff") == Options()


@pytest.mark.rfc("9293", "3.2", "MUST-64")
@pytest.mark.parametrize("before", [0, 1, 2, 3, 5])
def test_options_may_begin_on_any_octet(before: int) -> None:
    octets = b"\x01" * before + TIMESTAMPS + b"\x03\x03\x07" + MSS
    assert read(octets) == Options(mss=1460, timestamps=(1, 2), window_scale=7)


@pytest.mark.rfc("9293", "3.1", "MUST-6")
def test_unknown_options_are_skipped_by_their_length_and_kept_for_whoever_looks() -> None:
    octets = b"\xfd\x02" + MSS + b"\x23\x0aoctets!!" + b"\x1b\x04\x01\x02"
    assert read(octets) == Options(mss=1460, unknown=((253, b""), (35, b"octets!!"), (27, b"\x01\x02")))


@pytest.mark.rfc("7413", "4.1.1")
@pytest.mark.parametrize("octets", [1, 2, 3, 5, 15, 17, 18, 36])
def test_a_fast_open_option_of_another_length_is_ignored(octets: int) -> None:
    """It is not malformed, and what else the SYN says counts."""
    data = bytes(octets)
    assert read(MSS + bytes((34, 2 + octets)) + data) == Options(mss=1460, unknown=((34, data),))


@pytest.mark.rfc("7413", "4.1.1")
def test_a_fast_open_option_need_not_be_aligned() -> None:
    assert read(MSS + b"\x01\x22\x08cookie\x22\x03?") == Options(mss=1460, fast_open=b"cookie", unknown=((34, b"?"),))


@pytest.mark.rfc("9293", "3.1", "MUST-7")
@pytest.mark.parametrize(
    "octets",
    [
        b"\x02\x00\x05\xb4",  # zero
        b"\xfd\x00\x00\x00",
        b"\xfd\x01\x00\x00",  # less than kind and length
        b"\xfd\x05\x00\x00",  # past the end
        b"\x01\x01\x01\x02",  # no length octet
        b"\x01\x01\x01\xfd",
        b"\x02\x03\x05\x01",  # not that of its kind
        b"\x02\x02\x01\x01",
        b"\x02\x05\x05\xb4\x00",
        b"\x03\x02\x01\x01",
        b"\x03\x04\x01\x01",
        b"\x04\x03\x00\x00",
        b"\x08\x09" + bytes(10),
        b"\x08\x0b" + bytes(10),
        b"\x05\x02\x01\x01",  # SACK without a block
        b"\x05\x06" + bytes(6),
        b"\x05\x0b" + bytes(9),
        b"\x1c\x03\x00\x00",
        b"\x1d\x03\x00\x00",  # authentication without its two key identifiers
    ],
)
def test_an_illegal_option_length_is_malformed(octets: bytes) -> None:
    with pytest.raises(MalformedPacket, match="length"):
        read(octets)


def test_of_an_option_that_comes_twice_the_last_counts() -> None:
    octets = MSS + b"\x02\x04\x02\x18" + TIMESTAMPS + b"\x08\x0a" + bytes(8)
    assert read(octets) == Options(mss=536, timestamps=(0, 0))


def test_more_than_forty_octets_of_options_are_the_callers_mistake() -> None:
    assert len(write(Options(sack=((1, 2),) * 4, mss=1460))) == 40
    with pytest.raises(ValueError, match="40 octets"):
        write(Options(sack=((1, 2),) * 4, timestamps=(1, 2)))
    with pytest.raises(ValueError, match="40 octets"):
        write(Options(unknown=((253, bytes(39)),)))


@given(st.binary(max_size=40))
def test_whatever_the_octets_only_malformed_packet_comes_out(octets: bytes) -> None:
    try:
        options = read(octets)
    except MalformedPacket:
        return
    if len(write(Options(unknown=options.unknown))) <= 16:
        assert read(write(options)) == options
