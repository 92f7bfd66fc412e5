"""One JSON object for each record."""

import json

import pytest

from tests.trace.script import FLOW, Script
from usertcp.errors import ConnectionRefused
from usertcp.tcp import events
from usertcp.tcp.options import Options
from usertcp.tcp.segment import ACK, SYN
from usertcp.tcp.state import State
from usertcp.trace.jsonl import JsonLines, summary
from usertcp.trace.wording import describe

OTHERS: list[events.TraceRecord] = [
    events.TimerStopped(1.0, FLOW, "retransmit"),
    events.RttSample(1.0, FLOW, 0.1, 0.1, 0.05, 1.0),
    events.CwndChanged(1.0, FLOW, 14600, 65535, "ack"),
    events.IcmpIn(1.0, FLOW, "port unreachable", True),
    events.PathMtuChanged(1.0, FLOW, 1200, "a router asks for it"),
    events.Failed(1.0, FLOW, ConnectionRefused()),
    events.PacketDiscarded(1.0, b"x", "malformed"),
    events.PathEvent(1.0, b"x", "out", "dropped", "lost"),
]


def test_segments_have_both_kinds_of_numbers(iss: int, irs: int) -> None:
    script = Script(iss, irs)
    script.open()
    writer = JsonLines()
    objects = [json.loads(writer.line(record)) for record in script.records]
    syn, syn_ack, ack = [o for o in objects if o["type"] in ("segment-in", "segment-out")]
    assert syn == {
        "type": "segment-out",
        "time": 0.0,
        "flow": {"local": "192.0.2.1", "local_port": 61847, "remote": "192.0.2.2", "remote_port": 80},
        "from": "us",
        "flags": ["SYN"],
        "seq": iss,
        "ack": 0,
        "relative_seq": 0,
        "relative_ack": 0,
        "length": 0,
        "window": 1000,
        "options": {"mss": 1460, "window_scale": 5, "sack_permitted": True, "timestamps": [70, 0]},
        "retransmission": False,
    }
    assert (syn_ack["from"], syn_ack["time"], syn_ack["relative_ack"]) == ("peer", 0.001, 1)
    assert (ack["relative_seq"], ack["relative_ack"], ack["window"]) == (1, 1, 32000)


def test_states_timers_and_packets() -> None:
    script = Script()
    script.open()
    writer = JsonLines()
    objects = [json.loads(writer.line(record)) for record in script.records]
    assert {"old": "CLOSED", "event": "active OPEN", "new": "SYN-SENT"}.items() <= objects[0].items()
    assert [(o["timer"], o["at"]) for o in objects if o["type"] == "timer-set"] == [("retransmit", 1.0)]
    assert [o["octets"] for o in objects if o["type"] == "packet-in"] == [60]


def test_unknown_options_are_hexadecimal() -> None:
    script = Script()
    script.out(SYN | ACK, 0, 1, options=Options(unknown=((254, b"\x01\xff"),)))
    assert json.loads(JsonLines().line(script.records[0]))["options"] == {"unknown": [{"kind": 254, "data": "01ff"}]}


@pytest.mark.parametrize("record", OTHERS, ids=lambda record: type(record).__name__)
def test_every_kind_of_record_has_a_line_and_words(record: events.TraceRecord) -> None:
    assert json.loads(JsonLines().line(record))["type"]
    assert describe(record)


def test_the_summary_names_the_states_as_the_rfc_does() -> None:
    assert json.loads(summary("closed", [State.CLOSED, State.SYN_SENT, State.FIN_WAIT_1], sent=3)) == {
        "type": "summary",
        "outcome": "closed",
        "states": ["CLOSED", "SYN-SENT", "FIN-WAIT-1"],
        "sent": 3,
    }
