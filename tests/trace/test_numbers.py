"""Numbers counted from the ISNs, windows in octets."""

from tests.trace.script import Script
from usertcp.tcp.options import Options
from usertcp.tcp.segment import ACK, SYN
from usertcp.trace.numbers import Numbers


def test_a_window_is_scaled_only_after_both_syns_had_the_option() -> None:
    script, numbers = Script(), Numbers()
    numbers.note(script.ours(SYN, 0, options=Options(window_scale=3)), ours=True)
    assert numbers.window(script.ours(ACK, 1, 1, wnd=10), ours=True) == 10
    numbers.note(script.theirs(SYN | ACK, 0, 1, options=Options(window_scale=200)), ours=False)
    assert numbers.window(script.ours(ACK, 1, 1, wnd=10), ours=True) == 10 << 3
    assert numbers.window(script.theirs(ACK, 1, 1, wnd=10), ours=False) == 10 << 14
    assert numbers.window(script.theirs(SYN | ACK, 0, 1, wnd=10), ours=False) == 10


def test_a_trace_that_begins_in_the_middle_counts_from_its_first_segment() -> None:
    script, numbers = Script(iss=2**32 - 5), Numbers()
    numbers.note(script.ours(ACK, 100, 50), ours=True)
    assert numbers.seq(script.ours(ACK, 110, 50).seq, ours=True) == 11
    assert numbers.seq(script.theirs(ACK, 50, 110).seq, ours=False) == 1


def test_an_isn_is_not_learned_again_from_another_syn() -> None:
    script, numbers = Script(), Numbers()
    numbers.note(script.theirs(SYN, 0), ours=False)
    numbers.note(script.theirs(SYN, 5), ours=False)
    assert numbers.seq(script.theirs(ACK, 1, 1).seq, ours=False) == 1
