"""Writes a capture that Wireshark opens: each packet, with what it brought about as its comment.

The format is that of draft-ietf-opsawg-pcapng. Blocks are written by hand: Scapy's writer offers no comments when it
is given octets, and a capture of many megabytes must not be dissected to be stored.
"""

from __future__ import annotations

import struct
from collections import deque
from itertools import chain
from typing import BinaryIO

from usertcp.tcp import events
from usertcp.tcp.state import Event
from usertcp.trace.rows import CALLS
from usertcp.trace.wording import describe

LINKTYPE_RAW = 101
"""IPv4 or IPv6, from the first octet of its header."""
SECTION, INTERFACE, ENHANCED_PACKET = 0x0A0D0D0A, 1, 6
OPT_END, OPT_COMMENT, IF_NAME, IF_TSRESOL, SHB_USERAPPL, EPB_FLAGS = 0, 1, 2, 9, 4, 2
NOT_BY_SEGMENT = CALLS | {Event.TIMEOUT, Event.TIMEOUT_2MSL}
INBOUND, OUTBOUND = 1, 2
NANOSECONDS = 9


class PcapngWriter:
    """A tracer that writes packets and comments to a binary file. Close it, or the last packet is missing.

    Records between two packets go with the one that caused them: a segment's with its packet; what the user called or a
    timer did with the packet that follows, or with the last one when none does.

    Args:
      file: open for writing octets; the caller's to close.
      wall: what to add to the records' time to have seconds since 1970.
    """

    def __init__(self, file: BinaryIO, *, wall: float = 0.0) -> None:
        self._file = file
        self._wall = wall
        self._packet: tuple[float, bytes, int] | None = None
        """Time, octets and direction of the packet whose comment is still growing."""
        self._comments: list[str] = []
        self._segments: deque[list[str]] = deque()
        """Comments of the segments whose packets are going to follow."""
        self._before: list[str] = []
        """Comments of the segment that is going to follow."""
        self._arriving: list[str] = []
        """What the path did to packets that are going to arrive."""
        header = struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)
        self._block(SECTION, header + _option(SHB_USERAPPL, b"usertcp") + _option(OPT_END))
        interface = struct.pack("<HHI", LINKTYPE_RAW, 0, 0)
        options = _option(IF_NAME, b"usertcp") + _option(IF_TSRESOL, bytes([NANOSECONDS])) + _option(OPT_END)
        self._block(INTERFACE, interface + options)

    def __call__(self, record: events.TraceRecord) -> None:
        match record:
            case events.PacketIn():
                self._begin(record, INBOUND, self._arriving)
                self._arriving = []
            case events.PacketOut():
                self._begin(record, OUTBOUND, self._segments.popleft() if self._segments else [])
            case events.PathEvent():
                (self._comments if record.direction == "out" else self._arriving).append(describe(record))
            case events.SegmentOut():
                self._segments.append([*self._before, describe(record)])
                self._before = []
            case events.TimerExpired():
                self._before.append(describe(record))
            case events.StateEntered() if record.event in NOT_BY_SEGMENT:
                self._before.append(describe(record))
            case _:
                (self._segments[-1] if self._segments else self._before or self._comments).append(describe(record))

    def flush(self) -> None:
        """Write what is complete. The last packet is kept back: its comment may still grow."""
        self._file.flush()

    def close(self) -> None:
        """Write the last packet too. The file stays open."""
        self._comments += [*chain(*self._segments), *self._before]
        self._write()
        self._file.flush()

    def _begin(self, record: events.PacketIn | events.PacketOut, direction: int, comments: list[str]) -> None:
        self._write()
        self._packet = record.time, record.packet, direction
        self._comments = comments

    def _write(self) -> None:
        if not self._packet:
            return
        time, packet, direction = self._packet
        stamp = round((time + self._wall) * 10**NANOSECONDS)
        body = struct.pack("<IIIII", 0, stamp >> 32, stamp & 0xFFFFFFFF, len(packet), len(packet)) + _padded(packet)
        comment = "\n".join(self._comments).encode("ascii", "replace")[:0xFFFF]
        if comment:
            body += _option(OPT_COMMENT, comment)
        self._block(ENHANCED_PACKET, body + _option(EPB_FLAGS, struct.pack("<I", direction)) + _option(OPT_END))
        self._packet = None

    def _block(self, kind: int, body: bytes) -> None:
        length = len(body) + 12
        self._file.write(struct.pack("<II", kind, length) + body + struct.pack("<I", length))


def _option(code: int, value: bytes = b"") -> bytes:
    return struct.pack("<HH", code, len(value)) + _padded(value)


def _padded(octets: bytes) -> bytes:
    return octets + bytes(-len(octets) % 4)
