"""ICMP errors about a segment of ours (RFC 9293, 3.9.2.2; RFC 5461; RFC 5927)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.tcp.builders import FLOW, MSS, Bench, delivered, established, host, syn_sent
from usertcp.errors import ConnectionRefused, HostUnreachable
from usertcp.tcp.connection import Connection
from usertcp.tcp.endpoint import Endpoint
from usertcp.tcp.segment import ACK, SYN, Flow, Segment
from usertcp.tcp.state import State
from usertcp.wire import IcmpError

ROUTER = "203.0.113.9"
OTHER = FLOW._replace(remote_port=81)
Kind = tuple[int, int, int]
"""IP version, type, code."""

UNREACHABLE_0_1_5 = [(4, 3, 0), (4, 3, 1), (4, 3, 5), (6, 1, 0), (6, 1, 3)]
SOFT = [*UNREACHABLE_0_1_5, (4, 11, 0), (4, 11, 1), (4, 12, 0), (6, 3, 0), (6, 3, 1), (6, 4, 0), (6, 4, 1), (6, 4, 2)]
HARD = [(4, 3, 2), (4, 3, 3), (6, 1, 1), (6, 1, 4)]
SOURCE_QUENCH = (4, 4, 0)


def about(bench: Bench, kind: Kind, position: int) -> IcmpError:
    """An error that quotes the octet of ours at a position."""
    version, type_, code = kind
    return IcmpError(ROUTER, FLOW, (bench.iss + position) % 2**32, version, type_, code, 0)


def opened(*flows: Flow) -> tuple[Endpoint, list[Connection], list[Segment]]:
    """Connections in SYN-SENT, and their SYNs."""
    endpoint = host()
    connections = [endpoint.open(flow, now=0.0) for flow in flows]
    return endpoint, connections, [seg for _, seg in endpoint.output(0.0)]


def in_flight(iss: int, irs: int) -> Bench:
    """ESTABLISHED; four octets of ours, from 1, are on their way."""
    bench = established(iss, irs)
    bench.send(b"text")
    bench.take()
    return bench


@pytest.mark.rfc("9293", "3.9.2.2", "MUST-54")
@pytest.mark.parametrize("kind", HARD)
def test_an_error_acts_on_the_connection_whose_segment_it_quotes(kind: Kind) -> None:
    endpoint, [meant, other], [syn, _] = opened(FLOW, OTHER)
    endpoint.icmp_arrives(IcmpError(ROUTER, FLOW, syn.seq, *kind, 0), now=0.1)
    assert endpoint.output(0.1) == []
    assert (meant.state, other.state) == (State.CLOSED, State.SYN_SENT)
    refused = kind in [(4, 3, 3), (6, 1, 4)]  # port unreachable: what a host would say by a RST
    with pytest.raises(ConnectionRefused if refused else HostUnreachable, match=ROUTER):
        meant.receive(1, 0.1)
    assert other.error is None


def test_an_error_about_nobodys_segment_is_ignored() -> None:
    endpoint, [conn], [syn] = opened(FLOW)
    endpoint.icmp_arrives(IcmpError(ROUTER, OTHER, syn.seq, 4, 3, 3, 0), now=0.1)
    assert (conn.state, conn.soft_error) == (State.SYN_SENT, None)
    assert endpoint.output(0.1) == []


@pytest.mark.rfc("5927", "4.1")
@pytest.mark.parametrize("kind", [*HARD, (4, 3, 1)])
@pytest.mark.parametrize("position", [-1000, -1, 0, 5, 6, 2**31 - 1])
def test_an_error_about_what_is_not_in_flight_is_a_forgery(iss: int, irs: int, kind: Kind, position: int) -> None:
    bench = in_flight(iss, irs)
    bench.tcp.icmp_arrives(about(bench, kind, position), bench.now)
    assert (bench.state, bench.tcp.soft_error, bench.tcp.error) == (State.ESTABLISHED, None, None)


@pytest.mark.rfc("9293", "3.9.2.2", "MUST-56")
@pytest.mark.parametrize("kind", SOFT)
def test_a_soft_error_does_not_end_an_attempt_to_connect(iss: int, irs: int, kind: Kind) -> None:
    bench = syn_sent(iss, irs)
    bench.tcp.icmp_arrives(about(bench, kind, 0), bench.now)
    assert (bench.state, bench.sent()) == (State.SYN_SENT, [])
    bench.arrives(SYN | ACK, 0, 1)
    assert bench.state is State.ESTABLISHED


@pytest.mark.rfc("9293", "3.9.2.2", "MUST-56")
@pytest.mark.parametrize("kind", SOFT)
def test_a_soft_error_does_not_end_a_connection(iss: int, irs: int, kind: Kind) -> None:
    bench = in_flight(iss, irs)
    bench.tcp.icmp_arrives(about(bench, kind, 1), bench.now)
    assert (bench.state, bench.sent(), bench.tcp.error) == (State.ESTABLISHED, [], None)
    bench.arrives(ACK, 1, 5)
    assert bench.tcp.all_acked


@pytest.mark.rfc("9293", "3.9.2.2", "SHLD-25")
@pytest.mark.rfc("9293", "3.9.1.8", "MUST-47")
@pytest.mark.parametrize("kind", UNREACHABLE_0_1_5)
@pytest.mark.parametrize("build", [syn_sent, in_flight])
def test_the_user_can_learn_of_a_soft_error_and_who_reported_it(
    iss: int, irs: int, kind: Kind, build: Callable[[int, int], Bench]
) -> None:
    bench = build(iss, irs)
    assert bench.tcp.status(bench.now).soft_error is None
    bench.tcp.icmp_arrives(about(bench, kind, 0 if bench.state is State.SYN_SENT else 1), bench.now)
    told = bench.tcp.status(bench.now).soft_error
    assert told is not None
    assert told.endswith(f"says {ROUTER}")
    assert told.split(",")[0] in {
        "network unreachable", "host unreachable", "source route failed", "no route to destination",
        "address unreachable",
    }  # fmt: skip


@pytest.mark.rfc("9293", "3.9.1.8", "SHLD-20")
def test_a_user_who_does_not_ask_hears_nothing_of_soft_errors(iss: int, irs: int) -> None:
    """They interrupt no call: SEND and RECEIVE go on as if nothing had happened."""
    bench = in_flight(iss, irs)
    bench.tcp.icmp_arrives(about(bench, (4, 3, 1), 1), bench.now)
    assert not bench.tcp.readable
    assert bench.receive() == b""
    assert bench.send(b"more") == 4


@pytest.mark.rfc("9293", "3.9.2.2", "hard errors")
@pytest.mark.rfc("5927", "5.2")
@pytest.mark.parametrize("kind", HARD)
def test_a_hard_error_does_not_end_a_synchronized_connection(iss: int, irs: int, kind: Kind) -> None:
    """The path may be mended, or the error forged; if neither, the timeouts end it."""
    bench = in_flight(iss, irs)
    bench.tcp.icmp_arrives(about(bench, kind, 1), bench.now)
    assert (bench.state, bench.tcp.error) == (State.ESTABLISHED, None)
    assert bench.tcp.soft_error is not None


@pytest.mark.rfc("9293", "3.9.2.2", "MUST-55")
@pytest.mark.rfc("6633", "3")
def test_source_quench_changes_nothing() -> None:
    endpoint, [conn], [syn] = opened(FLOW)
    delivered(endpoint, Segment(7, (syn.seq + 1) % 2**32, SYN | ACK, 60_000))
    conn.send(bytes(4 * MSS), 0.1)
    endpoint.touch(conn)
    endpoint.output(0.1)
    before = conn.status(0.1)
    version, type_, code = SOURCE_QUENCH
    endpoint.icmp_arrives(IcmpError(ROUTER, FLOW, (syn.seq + 1) % 2**32, version, type_, code, 0), now=0.1)
    assert endpoint.output(0.1) == []
    assert conn.status(0.1) == before
