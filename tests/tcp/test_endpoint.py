"""Many connections: which one a segment is for, who listens, which port is free (RFC 9293, 3.9.1.1, 3.9.2)."""

from __future__ import annotations

import gc
from dataclasses import replace
from math import inf
from types import FrameType

import pytest

from tests.tcp.builders import CONFIG, FLOW, MSS, delivered, host
from tests.tcp.pairs import CLIENT, SERVER, Pair, connected
from usertcp.errors import (
    ConnectionAlreadyExists,
    ConnectionRefused,
    HostUnreachable,
    InvalidAddress,
    PortInUse,
)
from usertcp.tcp.config import Config
from usertcp.tcp.connection import Connection
from usertcp.tcp.endpoint import Endpoint
from usertcp.tcp.options import Options
from usertcp.tcp.segment import ACK, FIN, RST, SYN, Flow, Segment
from usertcp.tcp.sequence import wrap
from usertcp.tcp.state import State
from usertcp.wire import IcmpError

SYN_SEGMENT = Segment(100, 0, SYN, 5000, Options(mss=MSS))


def caller(port: int, remote: str = "192.0.2.2") -> Flow:
    return Flow("192.0.2.1", 80, remote, port)


def opened(endpoint: Endpoint, flow: Flow = FLOW) -> tuple[Connection, Segment]:
    """An active OPEN, and its SYN."""
    conn = endpoint.open(flow, 0.0)
    ((_, syn),) = endpoint.output(0.0)
    return conn, syn


def accepted_by(endpoint: Endpoint, flow: Flow) -> None:
    """A caller completes the handshake."""
    (syn_ack,) = delivered(endpoint, SYN_SEGMENT, flow)
    delivered(endpoint, Segment(101, wrap(syn_ack.seq + 1), ACK, 5000), flow)


# Demultiplexing


@pytest.mark.rfc("9293", "3.3.1")
@pytest.mark.parametrize(
    "other",
    [
        FLOW._replace(remote_port=81),
        FLOW._replace(local_port=61001),
        FLOW._replace(remote="192.0.2.3"),
        FLOW._replace(local="192.0.2.9"),
    ],
)
def test_both_sockets_name_a_connection(other: Flow) -> None:
    endpoint = host()
    conn, syn = opened(endpoint)
    (rst,) = delivered(endpoint, Segment(5, wrap(syn.seq + 1), SYN | ACK), other)
    assert rst.flags == RST
    assert conn.state is State.SYN_SENT


@pytest.mark.rfc("9293", "3.3.1")
def test_two_connections_to_the_same_server_do_not_mix() -> None:
    endpoint = host()
    endpoint.listen("", 80)
    for port in (1000, 1001):
        accepted_by(endpoint, caller(port))
    delivered(endpoint, Segment(101, 0, RST), caller(1000))
    assert set(endpoint.connections) == {caller(1001)}


# Listening


@pytest.mark.rfc("9293", "3.9.1.1", "MUST-41")
def test_a_listener_disturbs_no_connection_and_goes_on_after_each() -> None:
    endpoint = host()
    conn, _ = opened(endpoint, Flow("192.0.2.1", 61000, "192.0.2.2", 80))
    listener = endpoint.listen("", 80)
    accepted_by(endpoint, caller(1000))
    accepted_by(endpoint, caller(1001))
    first, second, none = (listener.accept() for _ in range(3))
    assert first is not None
    assert second is not None
    assert (first.flow, second.flow, none) == (caller(1000), caller(1001), None)
    assert conn.state is State.SYN_SENT


@pytest.mark.rfc("9293", "3.9.1.1", "MUST-42")
def test_a_port_can_listen_while_a_connection_of_it_is_being_opened() -> None:
    endpoint = host()
    conn, _ = opened(endpoint, Flow("192.0.2.1", 80, "192.0.2.2", 80))
    endpoint.listen("", 80)
    accepted_by(endpoint, caller(1000))
    assert conn.state is State.SYN_SENT


@pytest.mark.rfc("9293", "3.9.1.1", "MUST-43")
def test_a_listener_may_be_bound_to_one_local_address() -> None:
    endpoint = host()
    endpoint.listen("192.0.2.1", 80)
    assert delivered(endpoint, SYN_SEGMENT, caller(1000))[0].flags == SYN | ACK
    elsewhere = caller(1000)._replace(local="192.0.2.9")
    assert delivered(endpoint, SYN_SEGMENT, elsewhere)[0].flags == RST | ACK


@pytest.mark.parametrize(("first", "second"), [("", ""), ("", "192.0.2.1"), ("192.0.2.1", ""), ("192.0.2.1",) * 2])
def test_a_port_has_one_listener(first: str, second: str) -> None:
    endpoint = host()
    listener = endpoint.listen(first, 80)
    with pytest.raises(PortInUse):
        endpoint.listen(second, 80)
    listener.close(0.0)
    endpoint.listen(second, 80)


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_nobody_listens_at_a_port_that_there_is_not(port: int) -> None:
    with pytest.raises(InvalidAddress):
        host().listen("", port)


def test_beyond_the_backlog_a_syn_is_not_answered_and_comes_again() -> None:
    endpoint = host()
    listener = endpoint.listen("", 80, backlog=2)
    accepted_by(endpoint, caller(1000))
    accepted_by(endpoint, caller(1001))
    assert delivered(endpoint, SYN_SEGMENT, caller(1002)) == []
    assert listener.accept() is not None
    assert delivered(endpoint, SYN_SEGMENT, caller(1002))[0].flags == SYN | ACK


def test_a_handshake_that_finds_the_backlog_full_waits_in_syn_received() -> None:
    """As in kernels: the ACK is dropped; it comes with the caller's text again, or answers our SYN,ACK."""
    endpoint = host()
    listener = endpoint.listen("", 80, backlog=1)
    (syn_ack,) = delivered(endpoint, SYN_SEGMENT, caller(1000))
    accepted_by(endpoint, caller(1001))
    ack = Segment(101, wrap(syn_ack.seq + 1), ACK, 5000)
    delivered(endpoint, ack, caller(1000))
    assert (listener.status().half_open, listener.status().waiting) == (1, 1)
    assert listener.status().counters == {"ignored: the backlog is full": 1}
    listener.accept()
    delivered(endpoint, ack, caller(1000))
    conn = listener.accept()
    assert conn is not None
    assert conn.flow == caller(1000)


@pytest.mark.rfc("9293", "3.10.7.4", "first")
def test_the_same_syn_again_makes_no_second_connection_and_gets_the_same_syn_ack() -> None:
    endpoint = host()
    endpoint.listen("", 80)
    (first,) = delivered(endpoint, SYN_SEGMENT, caller(1000))
    (again,) = delivered(endpoint, SYN_SEGMENT, caller(1000), now=1.0)
    assert (again.seq, again.ack, again.flags) == (first.seq, first.ack, first.flags)
    assert len(endpoint.connections) == 1


@pytest.mark.rfc("9293", "3.10.7.4", "second")
def test_a_connection_that_is_reset_before_the_handshake_is_over_leaves_no_trace() -> None:
    endpoint = host()
    listener = endpoint.listen("", 80, backlog=1)
    for _ in range(5):
        delivered(endpoint, SYN_SEGMENT, caller(1000))
        delivered(endpoint, Segment(101, 0, RST), caller(1000))
    assert (endpoint.connections, listener.accept()) == ({}, None)
    endpoint.timeouts(1e6)
    assert (endpoint.output(1e6), endpoint.deadline) == ([], float("inf"))


def test_a_syn_without_answer_to_its_syn_ack_is_forgotten_in_time() -> None:
    endpoint = host()
    listener = endpoint.listen("", 80, backlog=1)
    delivered(endpoint, SYN_SEGMENT, caller(1000))
    while endpoint.deadline < 1000.0:
        endpoint.timeouts(now := endpoint.deadline)
        endpoint.output(now)
    assert endpoint.connections == {}
    assert listener.status().half_open == 0


@pytest.mark.rfc("9293", "3.10.4")
def test_a_listener_that_closes_resets_what_nobody_has_accepted() -> None:
    endpoint = host()
    listener = endpoint.listen("", 80)
    accepted_by(endpoint, caller(1000))
    accepted_by(endpoint, caller(1001))
    kept = listener.accept()
    delivered(endpoint, SYN_SEGMENT, caller(1002))
    listener.close(0.0)
    listener.close(0.0)
    assert {(flow.remote_port, seg.flags) for flow, seg in endpoint.output(0.0)} == {(1001, RST), (1002, RST)}
    assert kept is not None
    assert set(endpoint.connections.values()) == {kept}
    assert delivered(endpoint, SYN_SEGMENT, caller(1003))[0].flags == RST | ACK


def test_on_change_is_called_for_the_listener_and_for_the_connection() -> None:
    endpoint, heard = host(), []
    listener = endpoint.listen("", 80)
    listener.on_change = lambda: heard.append("listener")
    conn, syn = opened(endpoint)
    conn.on_change = lambda: heard.append("connection")
    delivered(endpoint, Segment(5, wrap(syn.seq + 1), SYN | ACK, 5000))
    accepted_by(endpoint, caller(1000))
    assert heard == ["connection", "listener"]


# Several events before one output


def test_what_follows_the_end_of_a_connection_in_a_batch_finds_none() -> None:
    endpoint = host()
    endpoint.listen("", 80)
    accepted_by(endpoint, caller(1000))
    for _ in range(3):
        endpoint.segment_arrives(caller(1000), Segment(101, 0, RST), 1.0)
    endpoint.segment_arrives(caller(1000), SYN_SEGMENT, 1.0)
    ((_, syn_ack),) = endpoint.output(1.0)
    assert syn_ack.flags == SYN | ACK


def test_a_new_connection_in_the_same_batch_is_accepted() -> None:
    endpoint = host()
    listener = endpoint.listen("", 80)
    delivered(endpoint, SYN_SEGMENT, caller(1000))
    endpoint.segment_arrives(caller(1000), Segment(101, 0, RST), 1.0)
    accepted_by(endpoint, caller(1000))
    assert listener.accept() is not None


def test_after_an_abort_the_pair_of_sockets_is_free_at_once() -> None:
    endpoint = host()
    conn, _ = opened(endpoint)
    conn.abort(0.0)
    endpoint.touch(conn)
    again = endpoint.open(FLOW, 0.0)
    endpoint.output(0.0)
    assert endpoint.connections == {FLOW: again}


def test_an_endpoint_keeps_nothing_of_a_connection_that_has_ended() -> None:
    """Not even until the timers that it had would have expired: they are many where connections are short."""
    pair, conn, _ = connected(CONFIG, CONFIG)
    conn.send(b"text", pair.now)
    pair.client.touch(conn)
    pair.client.output(pair.now)
    assert pair.client.deadline < inf
    conn.abort(pair.now)
    pair.client.touch(conn)
    pair.client.output(pair.now)
    held_by = [what for what in gc.get_referrers(conn) if not isinstance(what, FrameType)]
    assert not held_by


# Opening


@pytest.mark.rfc("9293", "3.10.1")
def test_a_pair_of_sockets_has_one_connection() -> None:
    endpoint = host()
    opened(endpoint)
    with pytest.raises(ConnectionAlreadyExists):
        endpoint.open(FLOW, 1.0)


@pytest.mark.rfc("9293", "3.9.1.1", "MUST-46")
@pytest.mark.parametrize("remote", ["224.0.0.1", "255.255.255.255", "0.0.0.0", "0.1.2.3", "ff02::1", "::"])
def test_no_connection_is_opened_to_many_hosts_or_to_none(remote: str) -> None:
    local = "2001:db8::1" if ":" in remote else "192.0.2.1"
    for flow in (Flow(local, 61000, remote, 80), Flow(remote, 61000, local, 80)):
        with pytest.raises(InvalidAddress):
            host().open(flow, 0.0)


@pytest.mark.rfc("9293", "3.9.2.3", "MUST-57")
@pytest.mark.rfc("9293", "3.9.2.3", "MUST-63")
@pytest.mark.parametrize("address", ["224.0.0.1", "255.255.255.255", "0.0.0.0", "ff02::1", "::"])
def test_a_syn_from_or_to_such_an_address_is_ignored(address: str) -> None:
    endpoint = host()
    endpoint.listen("", 80)
    local = "2001:db8::1" if ":" in address else "192.0.2.1"
    assert delivered(endpoint, SYN_SEGMENT, Flow(local, 80, address, 1000)) == []
    assert delivered(endpoint, SYN_SEGMENT, Flow(address, 80, local, 1000)) == []
    assert endpoint.connections == {}


@pytest.mark.rfc("9293", "3.1")
def test_nobody_has_port_0() -> None:
    endpoint = host()
    endpoint.listen("", 80)
    assert delivered(endpoint, SYN_SEGMENT, caller(0)) == []
    with pytest.raises(InvalidAddress):
        endpoint.open(FLOW._replace(remote_port=0), 0.0)
    with pytest.raises(InvalidAddress):
        endpoint.open(FLOW._replace(local_port=0), 0.0)


@pytest.mark.rfc("6056", "3")
def test_ports_are_chosen_from_the_range_and_none_twice() -> None:
    endpoint = host(config=replace(CONFIG, port_range=(61000, 61009)))
    endpoint.listen("", 61005)
    chosen = []
    for _ in range(9):
        port = endpoint.choose_port("192.0.2.1", "192.0.2.2", 80, 0.0)
        endpoint.open(Flow("192.0.2.1", port, "192.0.2.2", 80), 0.0)
        chosen.append(port)
    assert sorted(chosen) == [port for port in range(61000, 61010) if port != 61005]
    with pytest.raises(PortInUse):
        endpoint.choose_port("192.0.2.1", "192.0.2.2", 80, 0.0)
    assert endpoint.choose_port("192.0.2.1", "192.0.2.2", 81, 0.0) in chosen


@pytest.mark.rfc("6056", "3")
def test_no_default_port_is_privileged_or_the_kernels() -> None:
    low, high = CONFIG.port_range
    assert 60999 < low < high <= 65535


@pytest.mark.rfc("9293", "3.4.1", "MUST-8")
@pytest.mark.rfc("9293", "3.4.1", "MUST-9")
@pytest.mark.rfc("6528", "3")
def test_initial_numbers_grow_with_the_clock_and_differ_by_connection_and_secret() -> None:
    (_, now), (_, other), (_, elsewhere) = (
        opened(host()),
        opened(host(), FLOW._replace(remote_port=81)),
        opened(host(secret=bytes(32))),
    )
    later = host()
    later.open(FLOW, 1.0)
    ((_, after),) = later.output(1.0)
    assert wrap(after.seq - now.seq) == 250_000
    assert len({now.seq, other.seq, elsewhere.seq}) == 3


@pytest.mark.rfc("9293", "3.5", "MUST-10")
@pytest.mark.rfc("9293", "3.5", "Figure 7")
def test_two_hosts_that_open_toward_each_other_at_once_have_one_connection() -> None:
    pair = Pair(CONFIG, CONFIG)
    here, there = pair.client.open(CLIENT, pair.now), pair.server.open(SERVER, pair.now)
    pair.run(lambda: (here.state, there.state) == (State.SYN_RECEIVED, State.SYN_RECEIVED))
    pair.run(lambda: (here.state, there.state) == (State.ESTABLISHED, State.ESTABLISHED))
    assert [seg.flags for _, _, seg in pair.wire] == [SYN, SYN, SYN | ACK, SYN | ACK]
    here.send(b"hello", pair.now)
    pair.client.touch(here)
    pair.run(lambda: there.readable)
    assert there.receive(10, pair.now) == b"hello"


@pytest.mark.rfc("9293", "3.5", "MUST-11")
def test_a_refused_simultaneous_open_is_told_and_a_passive_one_is_not() -> None:
    endpoint = host()
    listener = endpoint.listen("", 80)
    conn, _ = opened(endpoint)
    delivered(endpoint, SYN_SEGMENT)
    assert conn.state is State.SYN_RECEIVED
    delivered(endpoint, Segment(101, 0, RST))
    assert isinstance(conn.error, ConnectionRefused)
    delivered(endpoint, SYN_SEGMENT, caller(1000))
    delivered(endpoint, Segment(101, 0, RST), caller(1000))
    assert listener.accept() is None


def test_a_segment_for_a_socket_that_may_be_the_kernels_gets_no_answer() -> None:
    endpoint = host(answers=lambda local, port: port >= 61000)
    assert delivered(endpoint, SYN_SEGMENT, caller(1000)) == []
    assert delivered(endpoint, Segment(1, 1, ACK), caller(1000)) == []
    assert delivered(endpoint, SYN_SEGMENT, FLOW)[0].flags == RST | ACK


# ICMP


def message(seq: int, version: int, kind: int, code: int, flow: Flow = FLOW) -> IcmpError:
    return IcmpError("192.0.2.254", flow, wrap(seq), version, kind, code, 0)


@pytest.mark.rfc("9293", "3.9.2.2", "MUST-54")
@pytest.mark.rfc("5927", "4.1")
@pytest.mark.parametrize("distance", [-1, 1, 100, 2**31])
def test_an_icmp_error_that_quotes_no_octet_in_flight_is_ignored(distance: int) -> None:
    endpoint = host()
    conn, syn = opened(endpoint)
    endpoint.icmp_arrives(message(syn.seq + distance, 4, 3, 3), 0.5)
    assert (conn.state, conn.soft_error) == (State.SYN_SENT, None)


@pytest.mark.rfc("9293", "3.9.2.2", "MUST-54")
def test_one_that_quotes_another_connection_is_ignored() -> None:
    endpoint = host()
    conn, syn = opened(endpoint)
    endpoint.icmp_arrives(message(syn.seq, 4, 3, 3, FLOW._replace(remote_port=81)), 0.5)
    assert conn.state is State.SYN_SENT


@pytest.mark.rfc("9293", "3.9.2.2", "hard errors")
@pytest.mark.parametrize(("version", "kind", "code"), [(4, 3, 2), (4, 3, 3), (6, 1, 4)])
def test_a_hard_error_ends_an_open(version: int, kind: int, code: int) -> None:
    endpoint = host()
    conn, syn = opened(endpoint)
    endpoint.icmp_arrives(message(syn.seq, version, kind, code), 0.5)
    endpoint.output(0.5)
    assert (conn.state, endpoint.connections) == (State.CLOSED, {})
    assert isinstance(conn.error, HostUnreachable if (kind, code) == (3, 2) else ConnectionRefused)


@pytest.mark.rfc("9293", "3.9.2.2", "MUST-56")
@pytest.mark.rfc("9293", "3.9.2.2", "SHLD-25")
@pytest.mark.parametrize(("kind", "code"), [(3, 0), (3, 1), (3, 5), (11, 0), (11, 1), (12, 0)])
def test_a_soft_error_is_told_and_ends_nothing(kind: int, code: int) -> None:
    endpoint = host()
    conn, syn = opened(endpoint)
    endpoint.icmp_arrives(message(syn.seq, 4, kind, code), 0.5)
    assert conn.state is State.SYN_SENT
    assert conn.soft_error is not None


@pytest.mark.rfc("5461", "4.1")
@pytest.mark.rfc("5927", "5.2")
@pytest.mark.parametrize("code", [0, 1, 2, 3])
def test_no_icmp_error_ends_a_synchronized_connection(code: int) -> None:
    endpoint = host()
    conn, syn = opened(endpoint)
    delivered(endpoint, Segment(5, wrap(syn.seq + 1), SYN | ACK, 5000, Options(mss=MSS)))
    conn.send(b"text", 0.1)
    endpoint.touch(conn)
    endpoint.output(0.1)
    endpoint.icmp_arrives(message(syn.seq + 1, 4, 3, code), 0.5)
    assert (conn.state, conn.error) == (State.ESTABLISHED, None)
    assert conn.soft_error is not None


@pytest.mark.rfc("9293", "3.9.2.2", "MUST-55")
@pytest.mark.rfc("6633", "3")
def test_source_quench_is_discarded() -> None:
    endpoint = host()
    conn, syn = opened(endpoint)
    before = conn.status(0.5)
    endpoint.icmp_arrives(message(syn.seq, 4, 4, 0), 0.5)
    assert conn.status(0.5) == before


# Time


def test_one_deadline_is_the_earliest_of_all() -> None:
    endpoint = host()
    assert endpoint.deadline == float("inf")
    endpoint.open(FLOW, 0.0)
    endpoint.output(0.0)
    endpoint.open(FLOW._replace(remote_port=81), 0.4)
    endpoint.output(0.4)
    assert endpoint.deadline == 1.0
    endpoint.timeouts(1.0)
    assert [flow.remote_port for flow, _ in endpoint.output(1.0)] == [80]
    assert endpoint.deadline == 1.4


def test_the_deadline_is_exact_for_who_asks_for_that() -> None:
    endpoint = host()
    conn, syn = opened(endpoint)
    other, _ = opened(endpoint, FLOW._replace(remote_port=81))
    delivered(endpoint, Segment(5, wrap(syn.seq + 1), SYN | ACK, 5000), FLOW, now=0.1)
    other.abort(0.2)
    endpoint.touch(other)
    endpoint.output(0.2)
    assert endpoint.deadline == 1.0  # as of the SYNs, both of which are settled
    assert endpoint.exact_deadline == endpoint.deadline == float("inf")
    conn.send(b"text", 0.3)
    endpoint.touch(conn)
    endpoint.output(0.3)
    assert endpoint.exact_deadline == conn.deadline


def test_text_that_an_acknowledgment_lets_out_waits_for_one_turn_however_many_more_come() -> None:
    """Unlike an acknowledgment, it gains nothing by waiting."""
    endpoint = host()
    conn, syn = opened(endpoint)
    delivered(endpoint, Segment(5, wrap(syn.seq + 1), SYN | ACK, 50_000, Options(mss=MSS)), FLOW)
    conn.send(bytes(30 * MSS), 0.0)
    endpoint.touch(conn)
    first = endpoint.output(0.0)
    sent = [len(endpoint.output(0.0, until=endpoint.tell() - 1))]
    for _, seg in first:
        endpoint.segment_arrives(FLOW, Segment(6, wrap(seg.seq + seg.len), ACK, 50_000), 0.0)
        sent.append(len(endpoint.output(0.0, until=endpoint.tell() - 1)))
    assert sent[:3] == [0, 0, 4]


def test_superfluous_calls_do_nothing() -> None:
    endpoint = host()
    opened(endpoint)
    for _ in range(3):
        endpoint.timeouts(0.5)
        assert endpoint.output(0.5) == []


def test_what_is_over_costs_nothing() -> None:
    endpoint = host()
    listener = endpoint.listen("", 80)
    for port in range(1000, 1100):
        accepted_by(endpoint, caller(port))
        conn = listener.accept()
        assert conn is not None
        delivered(endpoint, Segment(101, conn.status(0.0).snd_nxt, FIN | ACK, 5000), caller(port))
        conn.close(0.0)
        endpoint.touch(conn)
        endpoint.output(0.0)
        delivered(endpoint, Segment(102, conn.status(0.0).snd_nxt, ACK, 5000), caller(port))
    assert endpoint.connections == {}
    endpoint.timeouts(1e6)
    assert endpoint.deadline == float("inf")


# Of acknowledgments that come together, is the last enough?


def test_where_much_is_in_flight_the_last_acknowledgment_is_enough() -> None:
    pair, conn, _ = connected(Config(initial_window=2 << 20), Config())
    seg = acknowledges(pair, conn, 4000)
    assert pair.client.takes_at_once(CLIENT, seg)
    assert not pair.client.takes_at_once(CLIENT._replace(local_port=1), seg)
    assert not pair.client.takes_at_once(CLIENT, replace(seg, ack=wrap(seg.ack + 1))), "more than was sent"
    old = replace(seg, options=Options(timestamps=(wrap(timestamp(seg) - 10), 0)))
    assert not pair.client.takes_at_once(CLIENT, old)


def test_in_slow_start_every_acknowledgment_counts() -> None:
    pair, conn, _ = connected(Config(), Config())
    assert not pair.client.takes_at_once(CLIENT, acknowledges(pair, conn, 4000))


def test_after_a_timeout_every_acknowledgment_counts() -> None:
    """The first ones tell whether it was wrong."""
    pair, conn, _ = connected(Config(initial_window=2 << 20), Config())
    pair.loses = lambda flow, seg: flow == CLIENT
    conn.send(bytes(4000), pair.now)
    pair.client.touch(conn)
    pair.run(lambda: conn.retransmissions > 0)
    assert not pair.client.takes_at_once(CLIENT, acknowledges(pair, conn, 0))


def acknowledges(pair: Pair, conn: Connection, octets: int) -> Segment:
    """All of so many more octets, which are on their way."""
    if octets:
        conn.send(bytes(octets), pair.now)
        pair.client.touch(conn)
        pair.settle()
    status = conn.status(pair.now)
    before = next(seg for _, flow, seg in reversed(pair.wire) if flow == SERVER)
    return Segment(before.seq, wrap(status.snd_nxt), ACK, 1000, Options(timestamps=(timestamp(before), 0)))


def timestamp(seg: Segment) -> int:
    assert seg.options.timestamps is not None
    return seg.options.timestamps[0]
