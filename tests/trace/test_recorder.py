"""Records are kept within bounds and handed on."""

from tests.trace.script import FLOW, Script
from usertcp.tcp import events
from usertcp.tcp.state import State
from usertcp.trace.recorder import Recorder


def recorded(script: Script, recorder: Recorder) -> Recorder:
    for record in script.records:
        recorder(record)
    return recorder


def test_every_listener_hears_every_record_in_order() -> None:
    one: list[events.TraceRecord] = []
    other: list[events.TraceRecord] = []
    script = Script()
    script.open()
    recorder = recorded(script, Recorder(one.append, other.append))
    assert one == other == list(recorder) == script.records


def test_states_and_flows() -> None:
    script = Script()
    script.open()
    recorder = recorded(script, Recorder())
    assert recorder.flows == [FLOW]
    assert recorder.states(FLOW) == [State.CLOSED, State.SYN_SENT, State.ESTABLISHED]
    assert recorder.states(FLOW.reversed) == []


def test_old_records_make_room() -> None:
    script = Script()
    script.open()
    recorder = recorded(script, Recorder(limit=3))
    assert list(recorder) == script.records[-3:]
    assert recorder.dropped == len(script.records) - 3


def test_octets_are_bounded_too() -> None:
    recorder = Recorder(octets=1000)
    for _ in range(10):
        recorder(events.PacketIn(0.0, bytes(300)))
    assert len(recorder) == 3
