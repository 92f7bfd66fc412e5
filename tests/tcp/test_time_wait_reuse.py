"""A new incarnation of a pair of sockets whose last one is in TIME-WAIT (RFC 6191; RFC 9293, 3.6.1; RFC 1337)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.tcp import builders
from tests.tcp.builders import CONFIG, FLOW, MSS, Bench, delivered, host
from usertcp.errors import ConnectionAlreadyExists, PortInUse
from usertcp.tcp import time_wait
from usertcp.tcp.config import Config
from usertcp.tcp.connection import Connection
from usertcp.tcp.endpoint import Endpoint
from usertcp.tcp.listener import Listener
from usertcp.tcp.options import NO_OPTIONS, Options
from usertcp.tcp.segment import ACK, FIN, RST, SYN, Segment
from usertcp.tcp.sequence import unwrap, wrap
from usertcp.tcp.state import State


class Server:
    """A listener whose first connection, with a peer that began at *irs*, is in TIME-WAIT."""

    def __init__(self, irs: int, stamps: int | None, backlog: int = 5) -> None:
        self.endpoint: Endpoint = host(config=replace(CONFIG, backlog=backlog))
        self.listener: Listener = self.endpoint.listen("", FLOW.local_port)
        self.irs = irs
        (syn_ack,) = self.says(irs, 0, SYN, stamps)
        self.iss = syn_ack.seq
        self.says(irs + 1, self.iss + 1, ACK, stamps)
        conn = self.listener.accept()
        assert conn is not None
        conn.close(0.0)
        self.endpoint.touch(conn)
        self.endpoint.output(0.0)
        self.says(irs + 1, self.iss + 2, FIN | ACK, stamps)
        assert conn.state is State.TIME_WAIT
        self.old = conn

    def says(self, seq: int, ack: int, flags: int, stamps: int | None, now: float = 0.0) -> list[Segment]:
        options = Options(mss=MSS if flags & SYN else None, timestamps=None if stamps is None else (stamps, 0))
        return delivered(self.endpoint, Segment(wrap(seq), wrap(ack), flags, 5000, options), now=now)


@pytest.mark.rfc("6191", "2")
@pytest.mark.rfc("9293", "3.6.1", "MAY-2")
def test_the_new_number_lies_beyond_all_of_the_old_incarnation(irs: int) -> None:
    server = Server(irs, None)
    (syn_ack,) = server.says(irs + 100_000, 0, SYN, None)  # at the same moment: the clock has not moved
    assert syn_ack.flags == SYN | ACK
    assert unwrap(syn_ack.seq, server.iss) > server.iss + 2


@pytest.mark.rfc("6191", "2")
def test_the_old_connection_ends_without_error_and_the_new_one_is_accepted(irs: int) -> None:
    server = Server(irs, 500)
    (syn_ack,) = server.says(irs + 5, 0, SYN, 501)
    server.says(irs + 6, syn_ack.seq + 1, ACK, 502)
    assert (server.old.state, server.old.error) == (State.CLOSED, None)
    new = server.listener.accept()
    assert new is not None
    assert (new.state, server.endpoint.connections) == (State.ESTABLISHED, {FLOW: new})


@pytest.mark.rfc("9293", "3.6.1", "MAY-2")
def test_time_wait_goes_on_if_the_syn_was_an_old_duplicate_after_all(irs: int) -> None:
    server = Server(irs, None)
    (syn_ack,) = server.says(irs + 1000, 0, SYN, None)
    assert server.says(irs + 1001, 0, RST, None) == []  # the peer knows nothing of it
    assert server.endpoint.connections == {FLOW: server.old}
    (answer,) = server.says(irs + 1, server.iss + 2, FIN | ACK, None)
    assert (answer.flags, answer.seq, answer.ack) == (ACK, wrap(server.iss + 2), wrap(irs + 2))
    assert syn_ack.flags == SYN | ACK


@pytest.mark.rfc("9293", "3.6.1", "MUST-13")
def test_2_msl_pass_while_a_new_incarnation_is_being_tried(irs: int) -> None:
    server = Server(irs, None)
    server.says(irs + 1000, 0, SYN, None)
    server.endpoint.timeouts(2 * CONFIG.msl + 1)
    server.endpoint.output(2 * CONFIG.msl + 1)
    assert server.old.state is State.CLOSED
    server.says(irs + 1001, 0, RST, None, now=2 * CONFIG.msl + 2)
    assert server.endpoint.connections == {}


@pytest.mark.rfc("6191", "2")
@pytest.mark.parametrize("stamp", [0, 1, 2**31 + 1])
def test_timestamps_that_only_the_new_incarnation_has_are_enough(irs: int, stamp: int) -> None:
    """There is none to compare with, whichever it is."""
    server = Server(irs, None)
    (answer,) = server.says(irs - 1000, 0, SYN, stamp)
    assert answer.flags == SYN | ACK


@pytest.mark.rfc("9293", "3.10.7.4", "fourth")
@pytest.mark.parametrize("stamps", [None, 500])
def test_an_old_duplicate_of_the_syn_is_challenged(irs: int, stamps: int | None) -> None:
    server = Server(irs, stamps)
    (answer,) = server.says(irs, 0, SYN, stamps)
    assert (answer.flags, answer.ack) == (ACK, wrap(irs + 2))
    assert server.endpoint.connections == {FLOW: server.old}


def test_it_waits_for_room_in_the_backlog(irs: int) -> None:
    server = Server(irs, None, backlog=1)
    other = FLOW._replace(remote_port=1234)
    (syn_ack,) = delivered(server.endpoint, Segment(7, 0, SYN, 5000), other)
    delivered(server.endpoint, Segment(8, wrap(syn_ack.seq + 1), ACK, 5000), other)
    (answer,) = server.says(irs + 100_000, 0, SYN, None)
    assert answer.flags == ACK
    assert server.old.state is State.TIME_WAIT


def test_it_needs_no_room_among_the_half_open_connections(irs: int) -> None:
    server = Server(irs, None)
    for port in range(1000, 1000 + CONFIG.half_open_limit):
        delivered(server.endpoint, Segment(7, 0, SYN, 5000), FLOW._replace(remote_port=port))
    (answer,) = server.says(irs + 100_000, 0, SYN, None)
    assert answer.flags == SYN | ACK
    assert server.endpoint.counters["SYN cookies sent"] == 0


@pytest.mark.rfc("6191", "2")
def test_segments_of_the_old_incarnation_do_nothing_to_the_new_one(irs: int) -> None:
    server = Server(irs, None)
    (syn_ack,) = server.says(irs + 100_000, 0, SYN, None)
    (answer,) = server.says(irs + 1, server.iss + 2, FIN | ACK, None)
    assert answer.flags == ACK
    server.says(irs + 100_001, syn_ack.seq + 1, ACK, None)
    new = server.listener.accept()
    assert new is not None
    assert new.state is State.ESTABLISHED


# Our own call


def caller_in_time_wait(irs: int, stamps: int | None, config: Config = CONFIG) -> tuple[Endpoint, Connection]:
    """At 0 s. The peer closed second; its last timestamp was *stamps*."""
    endpoint = host(config=config)
    conn = endpoint.open(FLOW, 0.0)
    ((_, syn),) = endpoint.output(0.0)
    options = NO_OPTIONS if stamps is None else Options(timestamps=(stamps, 0))
    delivered(endpoint, Segment(irs, wrap(syn.seq + 1), SYN | ACK, 5000, options))
    conn.close(0.0)
    endpoint.touch(conn)
    endpoint.output(0.0)
    delivered(endpoint, Segment(wrap(irs + 1), wrap(syn.seq + 2), FIN | ACK, 5000, options))
    assert conn.state is State.TIME_WAIT
    return endpoint, conn


@pytest.mark.rfc("9293", "3.10.1")
def test_an_active_open_finds_time_wait_in_use_for_a_second(irs: int) -> None:
    endpoint, old = caller_in_time_wait(irs, 500)
    with pytest.raises(ConnectionAlreadyExists):
        endpoint.open(FLOW, 0.9)
    assert endpoint.connections == {FLOW: old}


@pytest.mark.rfc("9293", "3.10.1")
@pytest.mark.parametrize(
    ("stamps", "config"),
    [(None, CONFIG), (500, replace(CONFIG, time_wait_reuse=None)), (500, replace(CONFIG, timestamps=False))],
)
def test_without_timestamps_or_permission_it_is_in_use_for_2_msl(irs: int, stamps: int | None, config: Config) -> None:
    endpoint, _ = caller_in_time_wait(irs, stamps, config)
    with pytest.raises(ConnectionAlreadyExists):
        endpoint.open(FLOW, 2 * config.msl - 1)


@pytest.mark.rfc("6191", "2")
@pytest.mark.rfc("7323", "5.4")
def test_then_timestamps_let_it_begin_anew_with_later_numbers_and_times(irs: int) -> None:
    endpoint, old = caller_in_time_wait(irs, 500)
    before = old.status(0.0)
    new = endpoint.open(FLOW, 1.0)
    ((_, syn),) = endpoint.output(1.0)
    assert syn.flags == SYN
    assert unwrap(syn.seq, before.snd_nxt) > before.snd_nxt
    assert syn.options.timestamps is not None
    assert syn.options.timestamps[0] == wrap(old.tcb.timestamps.offset + 1000)
    assert old.state is State.TIME_WAIT
    delivered(endpoint, Segment(7, wrap(syn.seq + 1), SYN | ACK, 5000, Options(timestamps=(1500, 0))), now=1.1)
    assert (new.state, old.state, old.error) == (State.ESTABLISHED, State.CLOSED, None)
    assert endpoint.connections == {FLOW: new}


@pytest.mark.rfc("6191", "2")
def test_the_new_number_is_beyond_the_old_ones_also_if_much_was_sent(iss: int) -> None:
    """More than the clock of the initial numbers has advanced since."""
    bench = builders.time_wait(iss, 0)
    nxt = wrap(iss + 2)
    assert unwrap(time_wait.next_iss(bench.tcp.tcb, wrap(iss - 1_000_000)), nxt) > nxt


@pytest.mark.rfc("9293", "3.6.1", "MUST-13")
def test_time_wait_goes_on_if_the_call_comes_to_nothing(irs: int) -> None:
    endpoint, old = caller_in_time_wait(irs, 500)
    new = endpoint.open(FLOW, 1.0)
    ((_, syn),) = endpoint.output(1.0)
    delivered(endpoint, Segment(0, wrap(syn.seq + 1), RST | ACK), now=1.1)
    assert (new.state, endpoint.connections) == (State.CLOSED, {FLOW: old})
    endpoint.timeouts(2 * CONFIG.msl)
    endpoint.output(2 * CONFIG.msl)
    assert (old.state, endpoint.connections) == (State.CLOSED, {})


def test_who_gives_up_a_call_and_calls_again_has_the_last_one(irs: int) -> None:
    endpoint, old = caller_in_time_wait(irs, 500)
    first = endpoint.open(FLOW, 1.0)
    first.abort(1.0)
    endpoint.touch(first)
    second = endpoint.open(FLOW, 1.0)
    endpoint.output(1.0)
    assert (old.state, endpoint.connections) == (State.CLOSED, {FLOW: second})


@pytest.mark.rfc("6191", "2")
def test_a_peer_that_is_still_in_last_ack_is_reset_and_called_again(irs: int) -> None:
    """Our last ACK was lost. The peer challenges the SYN, learns by a RST that the old incarnation is over."""
    endpoint, old = caller_in_time_wait(irs, 500)
    new = endpoint.open(FLOW, 1.0)
    ((_, syn),) = endpoint.output(1.0)
    challenge = Segment(wrap(irs + 2), old.status(1.0).snd_nxt, ACK, 5000, Options(timestamps=(1500, 0)))
    (rst,) = delivered(endpoint, challenge, now=1.1)
    assert (rst.flags, rst.seq, new.state) == (RST, challenge.ack, State.SYN_SENT)
    endpoint.timeouts(2.0)
    ((_, again),) = endpoint.output(2.0)
    assert (again.flags, again.seq) == (SYN, syn.seq)


@pytest.mark.rfc("6056", "3")
def test_ports_in_time_wait_are_chosen_again_when_they_may_be(irs: int) -> None:
    endpoint, _ = caller_in_time_wait(irs, 500, replace(CONFIG, port_range=(FLOW.local_port, FLOW.local_port)))
    socket = FLOW.local, FLOW.remote, FLOW.remote_port
    with pytest.raises(PortInUse):
        endpoint.choose_port(*socket, 0.9)
    with pytest.raises(PortInUse):
        endpoint.choose_port(*socket, 1.0, replace(CONFIG, timestamps=False))
    assert endpoint.choose_port(*socket, 1.0) == FLOW.local_port


@pytest.mark.rfc("9293", "3.10.1")
def test_open_of_the_connection_itself_does_not_disturb_time_wait(iss: int, irs: int) -> None:
    bench = builders.time_wait(iss, irs)
    with pytest.raises(OSError, match="already exists"):
        bench.open()
    assert bench.state is State.TIME_WAIT


# RFC 1337


def with_protection(iss: int, irs: int, protected: bool) -> Bench:
    return builders.time_wait(iss, irs, replace(CONFIG, time_wait_ignores_rst=protected))


@pytest.mark.rfc("1337", "3", "F1")
@pytest.mark.parametrize(("protected", "state"), [(True, State.TIME_WAIT), (False, State.CLOSED)])
def test_time_wait_assassination(iss: int, irs: int, protected: bool, state: State) -> None:
    """An old duplicate arrives in TIME-WAIT; our ACK of it looks wrong to a peer that has forgotten everything, which
    answers by a RST at just the right place."""
    bench = with_protection(iss, irs, protected)
    bench.arrives(ACK, 1, 1, b"")
    bench.arrives(ACK, -10, 1, b"old")
    acks = bench.take()
    assert {seg.flags for seg in acks} == {ACK}
    bench.arrives(RST, wrap(acks[-1].ack - irs))
    assert bench.state is state
    assert bench.tcp.error is None
