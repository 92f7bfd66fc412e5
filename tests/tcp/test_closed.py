"""CLOSED: there is no TCB (RFC 9293, 3.10.7.1)."""

from __future__ import annotations

import pytest

from tests.tcp.builders import FLOW, MSS, SECRET, Bench, closed, delivered, host
from usertcp.errors import ConnectionDoesNotExist, InvalidAddress, PortInUse
from usertcp.tcp.options import Options
from usertcp.tcp.segment import ACK, FIN, PSH, RST, SYN, URG, Flow, Segment
from usertcp.tcp.state import State

# Calls


@pytest.mark.rfc("9293", "3.10.1")
def test_active_open_sends_a_syn_and_enters_syn_sent(iss: int, irs: int) -> None:
    bench = closed(iss, irs)
    bench.open()
    assert bench.state is State.SYN_SENT
    assert bench.sent() == ["<SEQ=0><CTL=SYN>"]
    status = bench.tcp.status(bench.now)
    assert (status.iss, status.snd_una, status.snd_nxt) == (iss, iss, (iss + 1) % 2**32)


@pytest.mark.rfc("9293", "3.10.1")
def test_passive_open_enters_listen_and_sends_nothing(iss: int, irs: int) -> None:
    bench = closed(iss, irs)
    bench.open(passive=True)
    assert bench.state is State.LISTEN
    assert bench.sent() == []


@pytest.mark.rfc("9293", "3.9.1.1", "MUST-46")
@pytest.mark.parametrize(
    "remote", ["224.0.0.1", "239.255.255.255", "255.255.255.255", "0.0.0.0", "0.1.2.3", "ff02::1", "::"]
)
def test_active_open_to_an_address_of_many_hosts_or_none_is_refused(remote: str) -> None:
    endpoint = host()
    with pytest.raises(InvalidAddress):
        endpoint.open(FLOW._replace(remote=remote), now=0.0)
    assert endpoint.output(0.0) == []


@pytest.mark.rfc("9293", "3.10.1")
@pytest.mark.parametrize("flow", [FLOW._replace(remote_port=0), FLOW._replace(local_port=0)])
def test_active_open_needs_both_ports(flow: Flow) -> None:
    with pytest.raises(InvalidAddress):
        host().open(flow, now=0.0)


@pytest.mark.rfc("9293", "3.10.1")
def test_active_open_without_a_remote_socket_is_an_error() -> None:
    bench = Bench(0, 0, flow=FLOW._replace(remote="", remote_port=0))
    with pytest.raises(ValueError, match="remote socket unspecified"):
        bench.open()
    assert bench.state is State.CLOSED


@pytest.mark.rfc("9293", "3.9.1.1", "MUST-41")
def test_a_passive_open_does_not_disturb_those_before_it() -> None:
    endpoint = host()
    first = endpoint.listen("", FLOW.local_port)
    endpoint.listen("", 81)
    with pytest.raises(PortInUse):
        endpoint.listen("", FLOW.local_port)
    [syn_ack] = delivered(endpoint, Segment(100, 0, SYN))
    delivered(endpoint, Segment(101, (syn_ack.seq + 1) % 2**32, ACK))
    assert first.accept() is endpoint.connections[FLOW]


@pytest.mark.rfc("9293", "3.10.2")
def test_send_says_that_there_is_no_connection(iss: int, irs: int) -> None:
    with pytest.raises(ConnectionDoesNotExist):
        closed(iss, irs).send(b"text")


@pytest.mark.rfc("9293", "3.10.4")
@pytest.mark.rfc("9293", "3.10.5")
def test_close_and_abort_change_and_send_nothing(iss: int, irs: int) -> None:
    bench = closed(iss, irs)
    bench.close()
    bench.abort()
    assert (bench.state, bench.sent(), bench.tcp.error) == (State.CLOSED, [], None)


@pytest.mark.rfc("9293", "3.10.6")
def test_status_says_closed(iss: int, irs: int) -> None:
    bench = closed(iss, irs)
    assert bench.tcp.status(bench.now).state is State.CLOSED


# Segments

NUMBERS = pytest.mark.parametrize(("seq", "ack"), [(0, 0), (7, 9), (2**32 - 1, 2**32 - 1), (2**31, 2**31 - 1)])
WITHOUT_RST = [flags for flags in range(64) if not flags & RST]


@pytest.mark.rfc("9293", "3.10.7.1")
@pytest.mark.rfc("9293", "3.5.2", "group 1")
@NUMBERS
@pytest.mark.parametrize("flags", [flags for flags in WITHOUT_RST if flags & ACK])
def test_segment_with_ack_is_answered_by_a_reset_from_its_ack(seq: int, ack: int, flags: int) -> None:
    assert delivered(host(), Segment(seq, ack, flags, data=b"text")) == [Segment(ack, 0, RST)]


@pytest.mark.rfc("9293", "3.10.7.1")
@pytest.mark.rfc("9293", "3.5.2", "group 1")
@NUMBERS
@pytest.mark.parametrize("data", [b"", b"text"])
@pytest.mark.parametrize("flags", [flags for flags in WITHOUT_RST if not flags & ACK])
def test_segment_without_ack_is_answered_by_a_reset_that_acknowledges_it(
    seq: int, ack: int, flags: int, data: bytes
) -> None:
    end = seq + len(data) + bool(flags & SYN) + bool(flags & FIN)
    answer = Segment(0, end % 2**32, RST | ACK)
    assert delivered(host(), Segment(seq, ack, flags, data=data)) == [answer]


@pytest.mark.rfc("9293", "3.10.7.1")
@pytest.mark.parametrize("flags", [flags for flags in range(64) if flags & RST])
def test_a_reset_is_discarded(flags: int) -> None:
    assert delivered(host(), Segment(1, 2, flags, data=b"text")) == []


@pytest.mark.rfc("9293", "3.10.7.1")
@pytest.mark.parametrize("flags", [SYN, ACK, FIN, PSH | ACK, URG])
def test_two_hosts_do_not_answer_each_others_resets(flags: int) -> None:
    a, b = host(), host()
    [reset] = delivered(a, Segment(1, 2, flags))
    assert delivered(b, reset, FLOW.reversed) == []


@pytest.mark.rfc("9293", "3.10.7.1")
def test_no_connection_comes_into_being() -> None:
    endpoint = host()
    for flags in range(64):
        delivered(endpoint, Segment(1, 2, flags, options=Options(mss=MSS), data=b"text"))
    assert endpoint.connections == {}


def test_a_socket_that_may_be_somebody_elses_is_not_answered() -> None:
    endpoint = host(answers=lambda local, port: port != FLOW.local_port)
    assert delivered(endpoint, Segment(1, 2, ACK)) == []
    assert len(delivered(endpoint, Segment(1, 2, ACK), FLOW._replace(local_port=61001))) == 1


@pytest.mark.rfc("9293", "3.9.2.3", "MUST-63")
@pytest.mark.parametrize("remote", ["224.0.0.1", "255.255.255.255", "0.0.0.0"])
@pytest.mark.parametrize("flags", [SYN, SYN | ACK, ACK])
def test_segment_from_an_address_of_many_hosts_is_silently_discarded(remote: str, flags: int) -> None:
    endpoint = host()
    endpoint.listen("", FLOW.local_port)
    assert delivered(endpoint, Segment(1, 2, flags), FLOW._replace(remote=remote)) == []


@pytest.mark.rfc("9293", "3.9.2.3", "MUST-57")
@pytest.mark.parametrize("local", ["224.0.0.1", "255.255.255.255"])
def test_syn_to_an_address_of_many_hosts_is_silently_discarded(local: str) -> None:
    endpoint = host()
    endpoint.listen("", FLOW.local_port)
    assert delivered(endpoint, Segment(1, 0, SYN), FLOW._replace(local=local)) == []


def test_the_secret_decides_the_initial_numbers() -> None:
    first = [delivered_syn(SECRET), delivered_syn(SECRET), delivered_syn(b"another secret")]
    assert first[0] == first[1] != first[2]


def delivered_syn(secret: bytes) -> Segment:
    endpoint = host(secret=secret)
    endpoint.open(FLOW, now=5.0)
    [(_, syn)] = endpoint.output(5.0)
    return syn
