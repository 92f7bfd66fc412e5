"""The Internet checksum (RFC 1071): the complement of a ones' complement sum of 16-bit words.

2**16 is 1 modulo 65535, so a ones' complement sum is an ordinary number modulo 65535, and the words of a packet can be
added up by reading the packet as one big number.
"""

from typing import Final

Buffer = bytes | bytearray | memoryview
"""Octets that are looked at where they are."""

MODULUS: Final = 65535
LARGE: Final = 256
"""Octets of which the division costs more than to read them in four parts and to divide the sum of these."""


def checksum(octets: Buffer, pseudo: int = 0) -> int:
    """The checksum of *octets* and the sum of a pseudo-header.

    0 if the octets contain their own checksum and are intact. An odd octet at the end counts as if a zero followed.
    """
    size = len(octets)
    if size > LARGE:
        quarter = size // 8 * 2
        first, second, third = octets[:quarter], octets[quarter : 2 * quarter], octets[2 * quarter : 3 * quarter]
        pseudo += int.from_bytes(first, "big") + int.from_bytes(second, "big") + int.from_bytes(third, "big")
        octets = octets[3 * quarter :]
    number = int.from_bytes(octets, "big")
    if size & 1:
        number <<= 8
    return -(pseudo + number) % MODULUS


def pseudo_header(source: bytes, destination: bytes, protocol: int, length: int) -> int:
    """The sum of a pseudo-header (RFC 9293, 3.1; RFC 8200, 8.1), 0 to 65534.

    Both families have the same fields, in different places and widths, which a sum does not see. *length* is that of
    the transport header and its data, octets.
    """
    return (int.from_bytes(source + destination, "big") + protocol + length) % MODULUS
