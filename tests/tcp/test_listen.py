"""LISTEN: a passive OPEN waits for a SYN (RFC 9293, 3.10.7.2)."""

from __future__ import annotations

import pytest

from tests.tcp.builders import CONFIG, FLOW, MSS, Bench, delivered, host, listen
from usertcp.errors import ConnectionReset
from usertcp.tcp.endpoint import Endpoint
from usertcp.tcp.listener import Listener
from usertcp.tcp.options import Options
from usertcp.tcp.segment import ACK, FIN, PSH, RST, SYN, URG, Flow, Segment
from usertcp.tcp.state import State

# Calls


@pytest.mark.rfc("9293", "3.10.1")
def test_active_open_turns_a_passive_connection_into_an_active_one(iss: int, irs: int) -> None:
    bench = listen(iss, irs)
    bench.open()
    assert (bench.state, bench.sent()) == (State.SYN_SENT, ["<SEQ=0><CTL=SYN>"])


@pytest.mark.rfc("9293", "3.10.2")
def test_send_opens_actively_and_its_text_waits_for_established(iss: int, irs: int) -> None:
    bench = listen(iss, irs)
    assert bench.send(b"text") == 4
    assert (bench.state, bench.sent()) == (State.SYN_SENT, ["<SEQ=0><CTL=SYN>"])
    bench.arrives(SYN | ACK, 0, 1)
    assert bench.sent() == ["<SEQ=1><ACK=1><CTL=ACK>text"]


@pytest.mark.rfc("9293", "3.10.1")
@pytest.mark.rfc("9293", "3.10.2")
def test_neither_is_possible_while_the_remote_socket_is_unspecified(iss: int, irs: int) -> None:
    bench = Bench(iss, irs, flow=FLOW._replace(remote="", remote_port=0))
    bench.open(passive=True)
    with pytest.raises(ValueError, match="remote socket unspecified"):
        bench.open()
    with pytest.raises(ValueError, match="remote socket unspecified"):
        bench.send(b"text")
    assert (bench.state, bench.sent()) == (State.LISTEN, [])


@pytest.mark.rfc("9293", "3.10.3")
def test_receive_waits(iss: int, irs: int) -> None:
    bench = listen(iss, irs)
    assert (bench.receive(), bench.tcp.readable, bench.tcp.at_eof) == (b"", False, False)


@pytest.mark.rfc("9293", "3.10.4")
def test_close_deletes_the_tcb(iss: int, irs: int) -> None:
    bench = listen(iss, irs)
    bench.close()
    assert (bench.state, bench.sent()) == (State.CLOSED, [])


@pytest.mark.rfc("9293", "3.10.5")
def test_abort_deletes_the_tcb_and_sends_nothing(iss: int, irs: int) -> None:
    bench = listen(iss, irs)
    bench.abort()
    assert (bench.state, bench.sent()) == (State.CLOSED, [])


@pytest.mark.rfc("9293", "3.10.6")
def test_status_says_listen(iss: int, irs: int) -> None:
    bench = listen(iss, irs)
    assert bench.tcp.status(bench.now).state is State.LISTEN


# Segments


@pytest.mark.rfc("9293", "3.10.7.2", "first")
@pytest.mark.parametrize("flags", [RST, RST | SYN, RST | FIN])
def test_a_reset_is_ignored(iss: int, irs: int, flags: int) -> None:
    bench = listen(iss, irs)
    bench.arrives(flags, 0)
    bench.arrives(flags | ACK, 0, 1)
    assert (bench.state, bench.sent()) == (State.LISTEN, [])


@pytest.mark.rfc("9293", "3.10.7.2", "second")
@pytest.mark.parametrize("flags", [ACK, SYN | ACK, FIN | ACK, PSH | ACK, SYN | FIN | ACK])
def test_an_ack_is_answered_by_a_reset_and_goes_no_further(iss: int, irs: int, flags: int) -> None:
    bench = listen(iss, irs)
    bench.arrives(flags, 0, 77, b"text")
    assert (bench.state, bench.sent()) == (State.LISTEN, ["<SEQ=77><CTL=RST>"])


@pytest.mark.rfc("9293", "3.10.7.2", "third")
def test_a_syn_is_answered_by_syn_ack(iss: int, irs: int) -> None:
    bench = listen(iss, irs)
    bench.arrives(SYN, 0)
    assert (bench.state, bench.sent()) == (State.SYN_RECEIVED, ["<SEQ=0><ACK=1><CTL=SYN,ACK>"])
    status = bench.tcp.status(bench.now)
    assert (status.irs, status.rcv_nxt) == (irs, (irs + 1) % 2**32)
    assert (status.snd_una, status.snd_nxt) == (iss, (iss + 1) % 2**32)


@pytest.mark.rfc("9293", "3.10.7.2", "third")
@pytest.mark.parametrize("flags", [SYN | PSH, SYN | URG, SYN | FIN])
def test_what_comes_with_the_syn_waits_for_established(iss: int, irs: int, flags: int) -> None:
    bench = listen(iss, irs)
    bench.arrives(flags, 0, None, b"text")
    assert bench.sent() == ["<SEQ=0><ACK=1><CTL=SYN,ACK>"]
    assert bench.receive() == b""
    bench.arrives(ACK, 1, 1)
    after = (State.CLOSE_WAIT, 6) if flags & FIN else (State.ESTABLISHED, 5)
    assert (bench.state, bench.sent()) == (after[0], [f"<SEQ=1><ACK={after[1]}><CTL=ACK>"])
    assert bench.receive() == b"text"


@pytest.mark.rfc("9293", "3.10.7.2", "fourth")
@pytest.mark.parametrize("flags", [0, FIN, PSH, URG, FIN | PSH])
def test_anything_else_is_dropped(iss: int, irs: int, flags: int) -> None:
    bench = listen(iss, irs)
    bench.arrives(flags, 0, None, b"text")
    assert (bench.state, bench.sent()) == (State.LISTEN, [])


@pytest.mark.rfc("7323", "1.3")
def test_syn_ack_offers_only_what_the_syn_offered(iss: int, irs: int) -> None:
    bench = listen(iss, irs)
    bench.arrives(SYN, 0)
    [syn_ack] = bench.take()
    assert syn_ack.options == Options(mss=MSS)

    bench = listen(iss, irs)
    bench.arrives(SYN, 0, options=Options(mss=MSS, window_scale=7, sack_permitted=True, timestamps=(5, 0)))
    [syn_ack] = bench.take()
    assert (syn_ack.options.window_scale, syn_ack.options.sack_permitted) == (0, True)
    assert syn_ack.options.timestamps is not None
    assert syn_ack.options.timestamps[1] == 5


# A listener, which never leaves LISTEN: each SYN gets a connection of its own

SYN_1 = Segment(100, 0, SYN, wnd=5000, options=Options(mss=MSS))
OTHER = FLOW._replace(remote_port=81)


def serving(backlog: int = 10, local: str = "") -> tuple[Endpoint, Listener]:
    endpoint = host()
    return endpoint, endpoint.listen(local, FLOW.local_port, backlog)


def handshake(endpoint: Endpoint, flow: Flow = FLOW) -> None:
    [syn_ack] = delivered(endpoint, SYN_1, flow)
    assert syn_ack.flags == SYN | ACK
    assert delivered(endpoint, Segment(101, (syn_ack.seq + 1) % 2**32, ACK, wnd=5000), flow) == []


@pytest.mark.rfc("9293", "3.9.1.1")
def test_a_listener_takes_one_connection_after_the_other() -> None:
    endpoint, listener = serving()
    handshake(endpoint)
    handshake(endpoint, OTHER)
    accepted = [listener.accept(), listener.accept(), listener.accept()]
    assert [conn and conn.flow for conn in accepted] == [FLOW, OTHER, None]


def test_a_connection_is_accepted_when_the_handshake_is_over_and_not_before() -> None:
    endpoint, listener = serving()
    told = []
    listener.on_change = lambda: told.append("ready")
    delivered(endpoint, SYN_1)
    assert (listener.accept(), told) == (None, [])
    syn_received = endpoint.connections[FLOW]
    iss = syn_received.status(0.0).iss
    delivered(endpoint, Segment(101, (iss + 1) % 2**32, ACK))
    assert told == ["ready"]
    assert listener.accept() is syn_received


def test_a_listener_of_one_address_does_not_hear_the_others() -> None:
    endpoint, _ = serving(local="192.0.2.9")
    [answer] = delivered(endpoint, SYN_1)
    assert answer.flags == RST | ACK
    [answer] = delivered(endpoint, SYN_1, FLOW._replace(local="192.0.2.9"))
    assert answer.flags == SYN | ACK


def test_a_second_copy_of_the_syn_makes_no_second_connection() -> None:
    endpoint, listener = serving()
    [first] = delivered(endpoint, SYN_1)
    [second] = delivered(endpoint, SYN_1)
    assert (first.seq, first.ack, first.flags) == (second.seq, second.ack, second.flags)
    assert delivered(endpoint, Segment(101, (first.seq + 1) % 2**32, ACK)) == []
    assert listener.accept() is not None
    assert listener.accept() is None


def test_connections_beyond_the_backlog_are_not_answered_until_there_is_room() -> None:
    endpoint, listener = serving(backlog=2)
    handshake(endpoint)
    handshake(endpoint, OTHER)
    third = FLOW._replace(remote_port=82)
    assert delivered(endpoint, SYN_1, third) == []
    assert listener.accept() is not None
    assert len(delivered(endpoint, SYN_1, third)) == 1


@pytest.mark.rfc("9293", "3.10.7.4", "second")
def test_a_reset_in_syn_received_returns_to_listen_and_nobody_hears_of_it() -> None:
    endpoint, listener = serving(backlog=1)
    delivered(endpoint, SYN_1)
    assert delivered(endpoint, Segment(101, 0, RST)) == []
    assert (endpoint.connections, listener.accept()) == ({}, None)
    endpoint.timeouts(now=1000.0)
    assert endpoint.output(1000.0) == []
    handshake(endpoint)


@pytest.mark.rfc("9293", "3.5", "Figure 8")
def test_recovery_from_an_old_duplicate_syn() -> None:
    endpoint, listener = serving()
    [syn_ack] = delivered(endpoint, Segment(90, 0, SYN))
    assert syn_ack.ack == 91
    assert delivered(endpoint, Segment(91, 0, RST)) == []
    [syn_ack] = delivered(endpoint, Segment(100, 0, SYN))
    assert syn_ack.ack == 101
    delivered(endpoint, Segment(101, (syn_ack.seq + 1) % 2**32, ACK))
    assert listener.accept() is not None


@pytest.mark.rfc("9293", "3.10.4")
def test_close_of_a_listener_resets_what_nobody_accepted_and_leaves_the_rest() -> None:
    endpoint, listener = serving()
    handshake(endpoint)
    accepted = listener.accept()
    handshake(endpoint, OTHER)
    delivered(endpoint, SYN_1, half_open := FLOW._replace(remote_port=82))
    listener.close(0.0)
    assert {(flow, seg.flags) for flow, seg in endpoint.output(0.0)} == {(half_open, RST), (OTHER, RST)}
    assert accepted is not None
    assert accepted.state is State.ESTABLISHED
    [answer] = delivered(endpoint, SYN_1, FLOW._replace(remote_port=83))
    assert answer.flags == RST | ACK


def test_a_connection_that_is_reset_before_it_is_accepted_is_still_accepted() -> None:
    """As on a kernel: the text it brought can be read, then comes the error."""
    endpoint, listener = serving()
    [syn_ack] = delivered(endpoint, SYN_1)
    ack = (syn_ack.seq + 1) % 2**32
    delivered(endpoint, Segment(101, ack, ACK, data=b"text"))
    delivered(endpoint, Segment(105, ack, RST | ACK))
    conn = listener.accept()
    assert conn is not None
    assert conn.receive(100, 0.0) == b"text"
    with pytest.raises(ConnectionReset):
        conn.receive(100, 0.0)


def test_the_config_of_a_listener_is_that_of_its_connections() -> None:
    endpoint = host(config=CONFIG)
    endpoint.listen("", FLOW.local_port, config=type(CONFIG)(receive_buffer=3000))
    [syn_ack] = delivered(endpoint, SYN_1)
    assert syn_ack.wnd == 3000
