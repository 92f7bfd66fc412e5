"""The ladder, line by line, as it is printed."""

from __future__ import annotations

from textwrap import dedent

import pytest

from tests.trace.script import FLOW, FLOW6, Script
from usertcp.tcp import events
from usertcp.tcp.options import EcnFeedback, Options
from usertcp.tcp.segment import ACE, ACK, AE, CWR, ECE, FIN, PSH, RST, SYN, Flow
from usertcp.tcp.state import TRANSITIONS, Event, State
from usertcp.trace import explain
from usertcp.trace.ladder import Ladders
from usertcp.trace.rows import Row
from usertcp.trace.rung import ASCII, STYLES


def lines(script: Script, ladders: Ladders | None = None) -> list[str]:
    ladders = ladders or Ladders(width=100)
    for record in script.records:
        ladders(record)
    return [str(line) for line in ladders.finish()]


def rungs(script: Script, ladders: Ladders | None = None) -> list[str]:
    """The picture without its heading and the states at the beginning, and with arrows of no length."""
    drawn = [line.strip() for line in lines(script, ladders)[3:]]
    return [" ".join(line.replace("─►", "►").replace("◄─", "◄").replace("─", "").split()) for line in drawn]


def picture(text: str) -> list[str]:
    return dedent(text).strip("\n").splitlines()


def test_a_whole_connection(iss: int, irs: int) -> None:
    script = Script(iss, irs)
    script.open()
    script.request()
    script.close()
    assert lines(script) == picture(
        r"""
        seconds  usertcp                                                                     peer (inferred)
                 192.0.2.1:61847                                                                192.0.2.2:80
                 CLOSED       │                                                             │
          0.000  SYN-SENT     ├─ SYN seq=0 win=1000 mss=1460 ws=5 sackOK ts=0/0 ───────────►│
          0.001  ESTABLISHED  │◄───────────────────────────── SYN,ACK seq=0 ack=1 win=2000 ─┤ (SYN-RECEIVED)
                              │                              mss=1400 ws=7 sackOK ts=0/0    │
          0.001               ├─ ACK seq=1 ack=1 win=32000 ts=1/0 ─────────────────────────►│ (ESTABLISHED)
          0.002               ├─ PSH,ACK seq=1 ack=1 len=18 win=32000 ts=2/0 ──────────────►│
                              │    "GET / HTTP/1.0\r\n\r\n"                                 │
          0.003               │◄───────────── PSH,ACK seq=1 ack=19 len=5 win=256000 ts=3/2 ─┤
                              │                                                  "hello"    │
          0.003               ├─ ACK seq=19 ack=6 win=32000 ts=3/3 ────────────────────────►│
          0.004  FIN-WAIT-1   ├─ FIN,ACK seq=19 ack=6 win=32000 ───────────────────────────►│
          0.005  FIN-WAIT-2   │◄────────────────────────────── ACK seq=6 ack=20 win=256000 ─┤ (CLOSE-WAIT)
          0.006  TIME-WAIT    │◄────────────────────────── FIN,ACK seq=6 ack=20 win=256000 ─┤ (LAST-ACK)
                              │    2 MSL timer: 60 s                                        │
          0.006               ├─ ACK seq=20 ack=7 win=32000 ───────────────────────────────►│ (CLOSED)
         60.006  CLOSED       │ ∙ 2 MSL have passed (60 s)                                  │
        """
    )


def test_a_narrow_terminal_and_absolute_numbers() -> None:
    script = Script(iss=0, irs=2**32 - 2)
    script.open()
    script.request()
    assert lines(script, Ladders(width=80, absolute=True)) == picture(
        r"""
        seconds  usertcp                                                 peer (inferred)
                 192.0.2.1:61847                                            192.0.2.2:80
                 CLOSED       │                                         │
          0.000  SYN-SENT     ├─ SYN seq=0 win=1000 ───────────────────►│
                              │    mss=1460 ws=5 sackOK ts=70/0         │
          0.001  ESTABLISHED  │◄───────── SYN,ACK seq=4294967294 ack=1 ─┤ (SYN-RECEIVED)
                              │        win=2000 mss=1400 ws=7 sackOK    │
                              │                              ts=9/70    │
          0.001               ├─ ACK seq=1 ack=4294967295 win=32000 ───►│ (ESTABLISHED)
                              │    ts=71/9                              │
          0.002               ├─ PSH,ACK seq=1 ack=4294967295 len=18 ──►│
                              │    win=32000 ts=72/9                    │
                              │    "GET / HTTP/1.0\r\n\r\n"             │
          0.003               │◄── PSH,ACK seq=4294967295 ack=19 len=5 ─┤
                              │                  win=256000 ts=12/72    │
                              │                              "hello"    │
          0.003               ├─ ACK seq=19 ack=4 win=32000 ts=73/12 ──►│
        """
    )


def test_long_addresses_have_a_line_each() -> None:
    script = Script(flow=FLOW6)
    script.out(SYN, 0)
    heading = lines(script, Ladders(width=80))[1:3]
    assert heading == [
        "         [2001:db8:1234:5678:9abc:def0:1234:5678]:61847",
        "[2001:db8:1234:5678:9abc:def0:8765:4321]:80".rjust(80),
    ]


def test_a_lost_syn_does_not_arrive_and_is_resent_on_timeout() -> None:
    script = Script()
    script.state(State.CLOSED, Event.ACTIVE_OPEN, State.SYN_SENT)
    script.path("out", script.out(SYN, 0), "dropped", "lost")
    script.set_timer("retransmit", 1.0)
    script.now += 1
    script.expire("retransmit")
    script.out(SYN, 0, resent=True)
    assert [line.strip() for line in lines(script)[3:]] == picture(
        """
        0.000  SYN-SENT     ├─ SYN seq=0 win=1000 ───× lost                               │
        1.000               │ ∙ retransmission timeout (1 s)                              │
        1.000               ├─ SYN seq=0 win=1000 (resent) ──────────────────────────────►│
        """
    )


def test_what_the_path_does_to_segments_that_come() -> None:
    script = Script()
    script.path("in", script.theirs(SYN | ACK, 0, 1), "dropped", "queue full")
    script.path("in", script.theirs(SYN | ACK, 0, 1), "delayed", "0.2 s")
    script.now += 0.2
    script.arrive(SYN | ACK, 0, 1)
    script.path("in", script.theirs(ACK, -5, 1, b"old"), "injected")
    script.discard(script.arrive(ACK, -5, 1, b"old"), "left of the window")
    script.path("in", script.theirs(ACK, 1, 1, b"new"), "corrupted")
    script.records.append(events.PacketDiscarded(script.now, b"", "TCP checksum"))
    assert rungs(script) == [
        "0.000 │ queue full × SYN,ACK seq=0 ack=1 win=2000 ┤ (SYN-RECEIVED)",
        "0.200 │◄ SYN,ACK seq=0 ack=1 win=2000 (delayed 0.2 s) ┤",
        "0.200 │◄ ACK seq=-5 ack=1 len=3 win=2000 (injected) ∙│",
        '│ "old" │',
        "│ discarded: left of the window │",
        "0.200 │◄ ACK seq=1 ack=1 len=3 win=2000 (corrupted) ┤ (ESTABLISHED)",
        '│ "new" │',
        "0.200 │ ∙ packet discarded: TCP checksum │",
    ]


def test_what_the_path_does_to_segments_that_go() -> None:
    script = Script()
    script.path("out", script.out(ACK, 1, 1), "duplicated")
    script.path("out", script.out(PSH | ACK, 1, 1, b"abc"), "edited", "TCP.seq 5 -> 6")
    script.path("out", script.ours(RST, 9), "injected")
    assert rungs(script) == [
        "0.000 ├ ACK seq=1 ack=1 win=1000 (duplicated) ►│",
        "0.000 ├ PSH,ACK seq=1 ack=1 len=3 win=1000 (edited) ►│",
        '│ "abc" │',
        "│ edited: TCP.seq 5 -> 6 │",
        "0.000 │∙ RST seq=9 win=1000 (injected) ►│",
    ]


def test_a_discarded_segment_says_why_and_a_repeated_one_is_marked() -> None:
    script = Script()
    script.arrive(FIN | ACK, 1, 1)
    script.discard(script.arrive(FIN | ACK, 1, 1), "received before")
    assert rungs(script)[1:] == [
        "0.000 │◄ FIN,ACK seq=1 ack=1 win=2000 (again) ┤",
        "│ discarded: received before │",
    ]


def test_two_states_entered_by_one_segment_are_both_shown() -> None:
    script = Script()
    script.arrive(FIN | ACK, 1, 2)
    script.state(State.FIN_WAIT_1, Event.RCV_ACK_OF_FIN, State.FIN_WAIT_2)
    script.state(State.FIN_WAIT_2, Event.RCV_FIN, State.TIME_WAIT)
    assert rungs(script) == ["0.000 FIN-WAIT-2 │◄ FIN,ACK seq=1 ack=1 win=2000 ┤ (FIN-WAIT-1)", "TIME-WAIT │ │"]


def test_a_call_that_sends_nothing_is_shown_by_itself() -> None:
    script = Script()
    script.state(State.SYN_SENT, Event.CLOSE, State.CLOSED)
    assert rungs(script) == ["0.000 CLOSED │ ∙ CLOSE │"]


def test_a_listener_begins_in_listen() -> None:
    script = Script()
    script.state(State.CLOSED, Event.PASSIVE_OPEN, State.LISTEN)
    script.arrive(SYN, 0)
    script.state(State.LISTEN, Event.RCV_SYN, State.SYN_RECEIVED)
    script.out(SYN | ACK, 0, 1)
    assert lines(script)[2].split() == ["LISTEN", "│", "│"]
    assert rungs(script)[0] == "0.000 SYN-RECEIVED │◄ SYN seq=0 win=2000 ┤ (SYN-SENT)"


def test_a_new_incarnation_counts_from_its_own_isns() -> None:
    script = Script()
    script.open()
    script.now += 1
    script.state(State.ESTABLISHED, Event.ABORT, State.CLOSED)
    script.out(RST, 1)
    script.iss, script.irs = script.iss + 7000, script.irs - 9000
    script.open()
    assert [line.split(" win")[0] for line in rungs(script)[-5:]] == [
        "CLOSED │ │",
        "1.001 SYN-SENT ├ SYN seq=0",
        "1.002 ESTABLISHED │◄ SYN,ACK seq=0 ack=1",
        "│ mss=1400 ws=7 sackOK ts=0/0 │",
        "1.002 ├ ACK seq=1 ack=1",
    ]


def test_icmp_errors_and_unknown_options_are_shown() -> None:
    script = Script()
    script.out(SYN, 0, options=Options(unknown=((254, b"\x01\x02"),)))
    script.records.append(events.IcmpIn(script.now, FLOW, "port unreachable", hard=True))
    assert rungs(script) == [
        "0.000 ├ SYN seq=0 win=1000 option 254 (2 octets) ►│",
        "0.000 │ ∙ ICMP: port unreachable │",
    ]


def test_sack_blocks_count_in_our_numbers() -> None:
    script = Script(iss=2**32 - 2)
    script.out(SYN, 0)
    script.arrive(ACK, 1, 1, options=Options(sack=((999, 1999),)))
    assert rungs(script)[1] == "0.000 │◄ ACK seq=1 ack=1 win=2000 sack=1001..2001 ┤ (ESTABLISHED)"


def test_many_ordinary_segments_are_counted_instead_of_drawn() -> None:
    script = Script()
    script.open()
    for number in range(100):
        script.arrive(ACK, 1 + 1000 * number, 1, bytes(1000))
        script.out(ACK, 1, 1001 + 1000 * number)
    script.arrive(FIN | ACK, 100_001, 1)
    script.state(State.ESTABLISHED, Event.RCV_FIN, State.CLOSE_WAIT)
    assert rungs(script, Ladders(width=100, fold=4))[-4:] == [
        "0.001 ├ ACK seq=1 ack=2001 win=32000 ►│",
        "│ ⋮ 98 more from us, 0 octets │",
        "│ ⋮ 98 more from the peer, 98,000 octets │",
        "0.001 CLOSE-WAIT │◄ FIN,ACK seq=100001 ack=1 win=256000 ┤ (FIN-WAIT-1)",
    ]
    assert len(rungs(script, Ladders(width=100, fold=0))) == 3 + 1 + 200 + 1


def test_states_from_the_peers_kernel_have_no_parentheses() -> None:
    states = iter(["LISTEN", "SYN-RECEIVED", "SYN-RECEIVED", "ESTABLISHED"])
    script = Script()
    script.open()
    drawn = lines(script, Ladders(width=100, peer="Linux kernel", peer_state=lambda flow: next(states)))
    assert drawn[0].endswith("Linux kernel")
    assert [line.rsplit("│", 1)[-1].rsplit("┤", 1)[-1].strip() for line in drawn[2:]] == [
        "LISTEN",
        "SYN-RECEIVED",
        "",
        "",
        "ESTABLISHED",
    ]


def test_connections_that_alternate_have_headings() -> None:
    one, other = Script(), Script(flow=Flow("192.0.2.1", 61848, "192.0.2.2", 80))
    ladders = Ladders(width=100)
    for script in one, other:
        script.out(SYN, 0)
        ladders(script.records[0])
    drawn = [str(line) for line in ladders.finish()]
    assert [line.split()[0] for line in drawn if "192.0.2.2:80" in line] == ["192.0.2.1:61847", "192.0.2.1:61848"]


def test_explanations_stand_below_and_are_given_once() -> None:
    script = Script()
    script.open()
    script.request()
    drawn = " ".join(" ".join(lines(script, Ladders(width=100, explain=True))).replace("│", "").split())
    for sentence in (
        "We call. SYN announces",
        "The peer has acknowledged our SYN",
        "Data: SEQ numbers its first octet",
    ):
        assert drawn.count(sentence) == 1
    assert "(RFC 9293, 3.4.1, 3.5)" in drawn


@pytest.mark.parametrize("state", State, ids=str)
def test_every_transition_is_explained(state: State) -> None:
    for event in TRANSITIONS[state]:
        assert explain.transition(state, event).endswith((").", "."))


def test_no_transition_is_explained_that_does_not_exist() -> None:
    for state, explained in explain.TRANSITIONS.items():
        assert explained.keys() <= TRANSITIONS[state].keys()


@pytest.mark.parametrize("width", [72, 80, 100, 120])
@pytest.mark.parametrize("flow", [FLOW, FLOW6], ids=["IPv4", "IPv6"])
def test_nothing_is_wider_than_asked(width: int, flow: Flow) -> None:
    script = Script(flow=flow)
    script.open()
    script.request()
    script.path("in", script.theirs(ACK, 6, 19, b"x" * 100), "dropped", "queue full")
    script.path("out", script.out(PSH | ACK, 19, 6, b"\r\n" * 100), "delayed", "0.25 s")
    script.close()
    for absolute in False, True:
        drawn = lines(script, Ladders(width=width, absolute=absolute, explain=True))
        assert max(map(len, drawn)) <= width
        middle = [line for line in drawn if line[23:24] and line[22] in "│├"]
        assert {line[width - 16] for line in middle} <= set("│┤")


def test_every_piece_has_a_known_style_and_an_ascii_form() -> None:
    script = Script()
    script.open()
    script.path("out", script.out(ACK, 1, 1), "dropped")
    ladders = Ladders(explain=True)
    for record in script.records:
        ladders(record)
    for line in ladders.finish():
        assert {style for _, style in line.pieces} <= set(STYLES)
        assert str(line).translate(ASCII).isascii()


def test_rows_of_a_bulk_transfer_are_plain_and_special_ones_are_not() -> None:
    script = Script()
    assert Row(0.0, "in", script.theirs(ACK, 1, 1)).plain
    assert not Row(0.0, "in", script.theirs(ACK, 1, 1, wnd=0)).plain
    assert not Row(0.0, "in", script.theirs(FIN | ACK, 1, 1)).plain
    assert not Row(0.0, "event", text="CLOSE").plain


def test_with_accurate_ecn_three_bits_are_a_number() -> None:
    script = Script()
    script.out(SYN | ACE, 0)
    script.arrive(SYN | ACK | CWR, 0, 1, options=Options(accurate_ecn=EcnFeedback(0, (1, 0, 1))))
    script.out(ACK | CWR, 1, 1)
    script.arrive(ACK | AE | ECE, 1, 1, options=Options(accurate_ecn=EcnFeedback(1, ())))
    drawn = rungs(script)
    assert any("SYN,ECE,CWR,AE seq=0" in line for line in drawn)
    assert any("SYN,ACK,CWR seq=0 ack=1" in line for line in drawn)
    assert any("accecn=e0b:1,ceb:0,e1b:1" in line for line in drawn)
    assert any("ACK seq=1 ack=1 ace=2" in line for line in drawn)
    assert any("ACK seq=1 ack=1 ace=5" in line and "accecn=empty" in line for line in drawn)
