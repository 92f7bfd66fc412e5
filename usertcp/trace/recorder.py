"""Keeps trace records, within bounds, and hands each on as it comes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from usertcp.tcp.events import Record, SegmentIn, SegmentOut, StateEntered, Tracer, TraceRecord
from usertcp.tcp.segment import Flow
from usertcp.tcp.state import State


class Recorder:
    """A tracer for a stack: `open_stack(tracer=Recorder())`.

    Args:
      listeners: called with every record, in this order, before it is kept. What they raise reaches the stack, so
        they should not.
      limit: records kept; older ones make room for newer.
      octets: the most that the kept records hold in packets and data together; older ones make room.
    """

    def __init__(self, *listeners: Tracer, limit: int = 100_000, octets: int = 64 << 20) -> None:
        self.listeners = list(listeners)
        self.limit = limit
        self.octets = octets
        self.dropped = 0
        """Records that had to make room."""
        self._records: deque[tuple[int, TraceRecord]] = deque()
        self._held = 0

    def __call__(self, record: TraceRecord) -> None:
        for listener in self.listeners:
            listener(record)
        size = _size(record)
        self._records.append((size, record))
        self._held += size
        while len(self._records) > self.limit or self._held > self.octets:
            self._held -= self._records.popleft()[0]
            self.dropped += 1

    def __iter__(self) -> Iterator[TraceRecord]:
        return (record for _, record in self._records)

    def __len__(self) -> int:
        return len(self._records)

    @property
    def flows(self) -> list[Flow]:
        """Every pair of sockets that the records speak of, in the order of appearance."""
        return list(dict.fromkeys(record.flow for record in self if isinstance(record, Record)))

    def states(self, flow: Flow) -> list[State]:
        """The states of one connection in order, from the one it began in."""
        entered = [record for record in self if isinstance(record, StateEntered) and record.flow == flow]
        return [entered[0].old, *(record.new for record in entered)] if entered else []


def _size(record: TraceRecord) -> int:
    """Octets of payload that a record keeps alive."""
    if isinstance(record, SegmentIn | SegmentOut):
        return len(record.seg.data)
    return 0 if isinstance(record, Record) else len(record.packet)
