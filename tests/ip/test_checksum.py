"""The Internet checksum, against a sum of words done by hand (RFC 1071)."""

from __future__ import annotations

from socket import AF_INET6, inet_pton

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usertcp.ip.checksum import checksum, pseudo_header


def by_words(octets: bytes) -> int:
    """RFC 1071, 4.1, literally."""
    total = 0
    for at in range(0, len(octets) - 1, 2):
        total += octets[at] << 8 | octets[at + 1]
    if len(octets) % 2:
        total += octets[-1] << 8
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


@given(st.binary(min_size=1, max_size=1000))
def test_equals_the_sum_of_words(octets: bytes) -> None:
    assert checksum(octets) % 65535 == by_words(octets) % 65535


@pytest.mark.parametrize("octets", [b"\x45", b"\xff\xff", b"\x00\x01\xf2\x03\xf4\xf5\xf6\xf7", b"\x12\x34\x56"])
def test_octets_with_their_checksum_sum_up_to_nothing(octets: bytes) -> None:
    even = octets + bytes(len(octets) % 2)
    assert checksum(octets) == by_words(octets)
    assert checksum(even + checksum(octets).to_bytes(2, "big")) == 0


@pytest.mark.rfc("9293", "3.1")
def test_a_pseudo_header_sums_like_its_octets() -> None:
    source, destination = inet_pton(AF_INET6, "2001:db8::1"), inet_pton(AF_INET6, "2001:db8:ffff::2")
    written_out = source + destination + (70_000).to_bytes(4, "big") + bytes(3) + b"\x06"
    assert checksum(b"", pseudo_header(source, destination, 6, 70_000)) == by_words(written_out)
