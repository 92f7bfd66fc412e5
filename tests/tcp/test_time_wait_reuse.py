"""A new incarnation of a pair of sockets whose last one is in TIME-WAIT (RFC 6191; RFC 9293, 3.6.1; RFC 1337)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.tcp import builders
from tests.tcp.builders import CONFIG, FLOW, MSS, Bench, delivered, host
from usertcp.tcp.endpoint import Endpoint
from usertcp.tcp.listener import Listener
from usertcp.tcp.options import Options
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
def test_timestamps_that_only_the_new_incarnation_has_are_enough(irs: int) -> None:
    server = Server(irs, None)
    (answer,) = server.says(irs - 1000, 0, SYN, 1)
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


@pytest.mark.rfc("9293", "3.10.1")
def test_an_active_open_does_not_disturb_time_wait(iss: int, irs: int) -> None:
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
