"""Which local socket a connection has, and who may have the same (RFC 9293, 3.9.1.1)."""

from __future__ import annotations

import pytest

from tests.tcp.builders import FLOW, delivered, host
from usertcp.tcp.segment import ACK, FIN, SYN, Flow, Segment
from usertcp.tcp.state import State


@pytest.mark.rfc("9293", "3.9.1.1", "MUST-42")
def test_one_may_listen_on_the_port_of_a_connection_in_syn_received() -> None:
    endpoint = host()
    opening = endpoint.open(FLOW, now=0.0)
    endpoint.output(0.0)
    [syn_ack] = delivered(endpoint, Segment(7, 0, SYN))
    assert opening.status(0.0).state is State.SYN_RECEIVED
    listener = endpoint.listen("", FLOW.local_port)
    assert delivered(endpoint, Segment(8, (syn_ack.seq + 1) % 2**32, ACK)) == []
    assert opening.state is State.ESTABLISHED
    assert listener.accept() is None


@pytest.mark.rfc("9293", "3.9.1.1", "MUST-41")
def test_to_listen_on_its_port_does_not_disturb_a_connection() -> None:
    endpoint = host()
    opening = endpoint.open(FLOW, now=0.0)
    [(_, syn)] = endpoint.output(0.0)
    endpoint.listen("", FLOW.local_port).close(0.0)
    assert endpoint.output(0.0) == []
    delivered(endpoint, Segment(7, (syn.seq + 1) % 2**32, SYN | ACK))
    assert opening.state is State.ESTABLISHED


@pytest.mark.rfc("9293", "3.9.1.1", "MUST-45")
@pytest.mark.parametrize("local", ["192.0.2.1", "192.0.2.9", "198.51.100.1"])
def test_a_connection_keeps_the_local_address_that_the_syn_was_sent_to(local: str) -> None:
    """Every segment, from the SYN,ACK to the last ACK and repetitions included, leaves from there."""
    endpoint = host()
    flow = Flow(local, 80, "192.0.2.2", 4000)
    listener = endpoint.listen("", 80)
    [syn_ack] = delivered(endpoint, Segment(100, 0, SYN, 5000), flow)
    ack = (syn_ack.seq + 1) % 2**32
    delivered(endpoint, Segment(101, ack, ACK, 5000), flow)
    conn = listener.accept()
    assert conn is not None
    conn.send(b"text", 0.0)
    conn.close(0.0)
    endpoint.touch(conn)
    sent = endpoint.output(0.0)
    endpoint.timeouts(5.0)
    again = endpoint.output(5.0)
    assert [to for to, _ in sent + again] == [flow] * len(sent + again)
    assert again
    delivered(endpoint, Segment(101, (ack + 5) % 2**32, FIN | ACK), flow, now=5.0)
    assert conn.state is State.TIME_WAIT
