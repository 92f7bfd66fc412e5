"""Trace records as JSON, one object on each line."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import fields
from enum import Enum
from typing import Any

from usertcp.tcp import events
from usertcp.tcp.segment import Flow, Segment, flag_names
from usertcp.tcp.state import State
from usertcp.trace.numbers import Numbers

REMEMBERED = 1000
"""Connections whose ISNs are kept, the last that were heard of."""


class JsonLines:
    """Turns each record into a line.

    Every object has `type` (the record's name: "segment-out", "state-entered" ...) and `time` (seconds since the
    first record). Segments have their numbers as on the wire and relative to the ISNs, and no data, only its length.
    """

    def __init__(self) -> None:
        self._numbers: dict[Flow, Numbers] = {}
        self._start: float | None = None

    def line(self, record: events.TraceRecord) -> str:
        """One record as one line, without the newline."""
        if self._start is None:
            self._start = record.time
        values: dict[str, Any] = {"type": kind(record), "time": round(record.time - self._start, 6)}
        for name in (field.name for field in fields(record) if field.name != "time"):
            value = getattr(record, name)
            if isinstance(value, Segment) and isinstance(record, events.Record):
                values |= self._segment(record, value)
            elif isinstance(value, bytes):
                values["octets"] = len(value)
            elif name == "at":
                values["at"] = round(value - self._start, 6)
            else:
                values[name] = _plain(value)
        return json.dumps(values)

    def _segment(self, record: events.Record, seg: Segment) -> dict[str, Any]:
        ours = isinstance(record, events.SegmentOut)
        numbers = self._numbers.pop(record.flow, None) or Numbers()
        self._numbers[record.flow] = numbers
        if len(self._numbers) > REMEMBERED:
            del self._numbers[next(iter(self._numbers))]
        if not isinstance(record, events.SegmentDiscarded):
            numbers.note(seg, ours=ours)
        options = {
            field.name: getattr(seg.options, field.name) for field in fields(seg.options) if field.name != "unknown"
        }
        present = {name: value for name, value in options.items() if value not in (None, False, ())}
        if seg.options.signature is not None:
            present["signature"] = str(seg.options.signature)
        if seg.options.accurate_ecn is not None:
            present["accurate_ecn"] = seg.options.accurate_ecn._asdict()
        if seg.options.unknown:
            present["unknown"] = [{"kind": kind, "data": data.hex()} for kind, data in seg.options.unknown]
        return {
            "from": "us" if ours else "peer",
            "flags": flag_names(seg.flags),
            "seq": seg.seq,
            "ack": seg.ack,
            "relative_seq": numbers.seq(seg.seq, ours=ours),
            "relative_ack": numbers.seq(seg.ack, ours=not ours),
            "length": len(seg.data),
            "window": numbers.window(seg, ours=ours),
            "options": present,
        }


def summary(outcome: str, states: Sequence[State], **more: Any) -> str:
    """The last line: how it ended, and our states in order."""
    return json.dumps({"type": "summary", "outcome": outcome, "states": [state.value for state in states], **more})


def kind(record: events.TraceRecord) -> str:
    """The name of a record's type as JSON and the comments of a capture have it: "segment-out"."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", type(record).__name__).lower()


def _plain(value: Any) -> Any:
    if isinstance(value, Flow):
        return value._asdict()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, OSError):
        return value.strerror or str(value)
    return value
