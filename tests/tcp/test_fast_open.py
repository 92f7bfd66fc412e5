"""TCP Fast Open: text in the SYN, for who has a cookie (RFC 7413)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.tcp.builders import CONFIG, MSS, SECRET, established
from tests.tcp.pairs import moment_of
from usertcp.errors import ConnectionRefused, ConnectionReset, ConnectionTimedOut, HostUnreachable
from usertcp.tcp.config import Config
from usertcp.tcp.connection import Connection
from usertcp.tcp.endpoint import Endpoint, Listener
from usertcp.tcp.fast_open import KEY_LIFETIME, MOST_SERVERS, KnownServers, Server
from usertcp.tcp.options import Options
from usertcp.tcp.segment import ACK, FIN, RST, SYN, Flow, Segment
from usertcp.tcp.sequence import wrap
from usertcp.tcp.state import State
from usertcp.tcp.user_timeout import UserTimeoutOption
from usertcp.wire import IcmpError

FLOW = Flow("192.0.2.1", 61000, "192.0.2.2", 80)
FLOW6 = Flow("2001:db8::1", 61000, "2001:db8::2", 80)
PLAIN = replace(CONFIG, receive_buffer=40_000)
ON = replace(PLAIN, fast_open=4)
TEXT = b"GET /"
Loss = Callable[[Segment], bool]


def never(seg: Segment) -> bool:
    return False


class Hosts:
    """A client and a server on one clock, and a path that takes no time. The first flow's client has port 61000."""

    def __init__(self, server: Config = ON, client: Config = PLAIN, mss: int = MSS) -> None:
        self.now = 0.0
        self.client = Endpoint(client, SECRET, mss=lambda remote: 1460, answers=lambda local, port: True)
        self.server = Endpoint(server, SECRET[::-1], mss=lambda remote: mss, answers=lambda local, port: True)
        self.listener: Listener = self.server.listen("", 80)
        self.wire: list[Segment] = []
        """What was sent since the last look, lost or not."""

    def call(self, text: bytes = TEXT, flow: Flow = FLOW) -> Connection:
        """An active OPEN whose text may go with the SYN."""
        conn = self.client.open(flow, self.now, text_in_syn=True)
        conn.send(text, self.now)
        return conn

    def carry(self, loss: Loss = never) -> list[Segment]:
        """Until there is nothing more to say. What was said."""
        self.wire = []
        while out := [(self.server, *each) for each in self.client.output(self.now)] + [
            (self.client, *each) for each in self.server.output(self.now)
        ]:
            for to, flow, seg in out:
                self.wire.append(seg)
                if not loss(seg):
                    to.segment_arrives(flow.reversed, seg, self.now)
        return self.wire

    def wait(self, seconds: float, loss: Loss = never) -> list[Segment]:
        """Let time pass, timers expiring at theirs."""
        said, until = [], self.now + seconds
        while (at := min(self.client.deadline, self.server.deadline)) <= until:
            self.now = max(at, self.now)
            self.client.timeouts(self.now)
            self.server.timeouts(self.now)
            said += self.carry(loss)
        self.now = until
        return said

    def expire(self, endpoint: Endpoint) -> list[Segment]:
        """What goes out because the next timer of this end has expired."""
        while not (sent := out(endpoint, self.now)):
            self.now = max(self.now, endpoint.deadline)
            endpoint.timeouts(self.now)
        return sent

    def accept(self) -> Connection:
        conn = self.listener.accept()
        assert conn is not None
        return conn

    def learn(self) -> bytes:
        """A first connection, which fetches a cookie and is gone."""
        conn = self.call(b"", FLOW._replace(local_port=60999))
        self.carry()
        cookie = self.wire[1].options.fast_open
        conn.abort(self.now)
        self.client.touch(conn)
        self.carry()
        self.listener.accept()
        assert cookie
        return cookie


def out(endpoint: Endpoint, now: float) -> list[Segment]:
    return [seg for _, seg in endpoint.output(now)]


def look(seg: Segment) -> tuple[int, bytes | None, bytes]:
    """Flags, Fast Open option and text."""
    return seg.flags, seg.options.fast_open, seg.data


@pytest.fixture
def hosts() -> Hosts:
    return Hosts()


@pytest.fixture(params=["anywhere", "our SYN before 2**32", "the text at 2**32", "the server's SYN before 2**32"])
def known(request: pytest.FixtureRequest) -> Hosts:
    """The client has a cookie; the next connection begins with these numbers."""
    hosts = Hosts()
    hosts.learn()
    hosts.now = {
        "anywhere": 10.0,
        "our SYN before 2**32": moment_of(2**32 - 1, FLOW),
        "the text at 2**32": moment_of(2**32 - 3, FLOW),
        "the server's SYN before 2**32": moment_of(2**32 - 1, FLOW.reversed, SECRET[::-1]),
    }[request.param]
    return hosts


# Who has not asked


@pytest.mark.rfc("7413", "2")
def test_by_default_no_syn_says_anything_of_it() -> None:
    hosts = Hosts(server=PLAIN)
    hosts.client.open(FLOW, 0.0)
    assert [seg.options.fast_open for seg in hosts.carry()] == [None, None, None]


@pytest.mark.rfc("7413", "4.2", "FastOpenEnabled")
def test_a_listener_that_does_not_offer_it_ignores_the_option() -> None:
    hosts = Hosts(server=PLAIN)
    conn = hosts.call()
    assert [look(seg)[1:] for seg in hosts.carry()][:3] == [(b"", b""), (None, b""), (None, TEXT)]
    server = hosts.accept()
    assert (server.receive(100, 0.0), server.status(0.0).fast_open, conn.status(0.0).fast_open) == (TEXT, False, False)


@pytest.mark.rfc("7413", "4.1.1")
def test_an_option_without_syn_is_ignored(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    bench.arrives(ACK, 1, 1, b"text", options=Options(fast_open=b"a cookie"))
    assert (bench.receive(), bench.sent()) == (b"text", ["<SEQ=1><ACK=5><CTL=ACK>"])


def test_the_limit_cannot_be_negative() -> None:
    with pytest.raises(ValueError, match="fast_open"):
        Config(fast_open=-1)


# Asking for a cookie


@pytest.mark.rfc("7413", "3")
@pytest.mark.rfc("7413", "4.2.1")
def test_without_a_cookie_the_syn_asks_for_one_and_brings_no_text(hosts: Hosts) -> None:
    hosts.call()
    syn, syn_ack, ack, text, *_ = hosts.carry()
    assert look(syn) == (SYN, b"", b"")
    assert syn_ack.options.fast_open is not None
    assert (len(syn_ack.options.fast_open), syn_ack.data, syn_ack.ack) == (8, b"", wrap(syn.seq + 1))
    assert (ack.data + text.data, text.options.fast_open) == (TEXT, None)
    assert not hosts.accept().status(0.0).fast_open


@pytest.mark.rfc("7413", "4.1.2")
def test_a_cookie_is_of_the_clients_address_and_of_the_servers_secret(hosts: Hosts) -> None:
    def cookie(server: Endpoint, remote: str, port: int) -> bytes | None:
        syn = Segment(5, 0, SYN, 5000, Options(fast_open=b""))
        server.segment_arrives(Flow("192.0.2.2", 80, remote, port), syn, 0.0)
        ((_, syn_ack),) = server.output(0.0)
        return syn_ack.options.fast_open

    first = cookie(hosts.server, "192.0.2.1", 1000)
    assert cookie(hosts.server, "192.0.2.1", 1001) == first
    assert cookie(hosts.server, "192.0.2.3", 1000) != first
    assert cookie(hosts.server, "2001:db8::1", 1000) != first
    other = Endpoint(ON, SECRET, mss=lambda remote: MSS, answers=lambda local, port: True)
    other.listen("", 80)
    assert cookie(other, "192.0.2.1", 1000) != first


@pytest.mark.rfc("7413", "4.2.1")
def test_a_request_that_is_not_answered_goes_out_again_without_the_option(hosts: Hosts) -> None:
    hosts.call()
    hosts.carry(loss=lambda seg: True)
    assert look(hosts.wait(1.5)[0]) == (SYN, None, b"")


@pytest.mark.rfc("7413", "4.2.1")
def test_a_syn_ack_that_is_not_acknowledged_goes_out_again_without_the_option(hosts: Hosts) -> None:
    hosts.call()
    hosts.carry(loss=lambda seg: seg.flags & (SYN | ACK) == SYN | ACK)
    assert [look(seg) for seg in hosts.expire(hosts.server)] == [(SYN | ACK, None, b"")]


# Text in the SYN


@pytest.mark.rfc("7413", "3")
@pytest.mark.rfc("7413", "4.2.2", "Server: Receiving SYN")
def test_the_text_is_delivered_before_the_handshake_is_done(known: Hosts) -> None:
    conn = known.call()
    ((_, syn),) = known.client.output(known.now)
    assert look(syn)[0] == SYN
    assert (len(syn.options.fast_open or b""), syn.data) == (8, TEXT)
    known.server.segment_arrives(FLOW.reversed, syn, known.now)
    ((_, syn_ack),) = known.server.output(known.now)
    assert (syn_ack.flags, syn_ack.ack, syn_ack.options.fast_open) == (SYN | ACK, wrap(syn.seq + 1 + len(TEXT)), None)
    server = known.accept()
    assert (server.state, server.receive(100, known.now)) == (State.SYN_RECEIVED, TEXT)
    known.client.segment_arrives(FLOW, syn_ack, known.now)
    assert [look(seg) for seg in known.carry()] == [(ACK, None, b"")]
    assert (conn.state, server.state) == (State.ESTABLISHED, State.ESTABLISHED)
    assert conn.status(known.now).fast_open
    assert server.status(known.now).fast_open
    assert conn.all_acked
    assert "segments retransmitted" not in conn.status(known.now).counters


@pytest.mark.rfc("7413", "4.2.2", "SND.NXT")
def test_the_rest_of_the_text_follows_what_the_syn_brought(known: Hosts) -> None:
    text = bytes(range(256)) * 20
    conn = known.call(text)
    syn = known.carry()[0]
    assert len(syn.data) == MSS - 40
    server = known.accept()
    assert server.receive(10_000, known.now) == text
    assert "segments retransmitted" not in conn.status(known.now).counters


def test_reading_the_text_says_nothing_to_a_client_that_waits_for_our_syn() -> None:
    hosts = Hosts(server=replace(ON, receive_buffer=200_000))
    hosts.learn()
    hosts.call(bytes(900))
    hosts.carry(loss=lambda seg: bool(seg.flags & ACK))
    server = hosts.accept()
    assert len(server.receive(1000, hosts.now)) == 900
    hosts.server.touch(server)
    assert out(hosts.server, hosts.now) == []


@pytest.mark.rfc("7413", "3", "server's text")
@pytest.mark.rfc("7413", "4.2.2", "initial window")
def test_the_server_may_answer_before_it_is_acknowledged(known: Hosts) -> None:
    conn = known.call()
    known.carry(loss=lambda seg: bool(seg.flags & ACK))
    server = known.accept()
    server.send(b"hello", known.now)
    server.send(bytes(50_000), known.now)
    known.server.touch(server)
    answer = out(known.server, known.now)
    assert server.state is State.SYN_RECEIVED
    assert answer[0].data.startswith(b"hello")
    assert 8 * MSS <= sum(len(seg.data) for seg in answer) <= 10 * MSS
    assert conn.state is State.SYN_SENT


@pytest.mark.rfc("7413", "3", "server's text")
def test_a_short_answer_does_not_wait_for_the_acknowledgment_of_the_syn(known: Hosts) -> None:
    """It is no text that Nagle's algorithm would wait for."""
    conn = known.call()
    ((_, syn),) = known.client.output(known.now)
    known.server.segment_arrives(FLOW.reversed, syn, known.now)
    syn_ack = out(known.server, known.now)
    server = known.accept()
    server.send(b"hello", known.now)
    known.server.touch(server)
    answer = out(known.server, known.now)
    assert [seg.data for seg in answer] == [b"hello"]
    for seg in syn_ack + answer:
        known.client.segment_arrives(FLOW, seg, known.now)
    assert conn.receive(100, known.now) == b"hello"


@pytest.mark.rfc("7413", "4.2.2", "Server: Receiving ACK")
def test_text_and_answer_arrive_whatever_is_lost(known: Hosts) -> None:
    for lost in range(6):
        numbered: list[Segment] = []

        def loss(seg: Segment, lost: int = lost, numbered: list[Segment] = numbered) -> bool:
            numbered.append(seg)
            return len(numbered) == lost + 1

        flow = FLOW._replace(local_port=61000 + lost)
        conn = known.call(TEXT, flow)
        known.carry(loss)
        known.wait(5.0, loss)
        server = known.accept()
        server.send(b"answer" * 1000, known.now)
        known.server.touch(server)
        known.carry(loss)
        known.wait(20.0, loss)
        assert (server.receive(100, known.now), conn.receive(10_000, known.now)) == (TEXT, b"answer" * 1000)
        known.wait(100.0)


@pytest.mark.rfc("7413", "4.2.2", "Server: Receiving SYN")
def test_a_valid_cookie_without_text_opens_as_well(known: Hosts) -> None:
    known.call(b"")
    known.carry(loss=lambda seg: bool(seg.flags & ACK))
    server = known.accept()
    assert (server.state, server.receive(10, known.now)) == (State.SYN_RECEIVED, b"")


@pytest.mark.rfc("7413", "2.1")
def test_a_duplicate_of_the_syn_delivers_nothing_again_while_the_connection_is_known(known: Hosts) -> None:
    known.call()
    ((_, syn),) = known.client.output(known.now)
    for _ in range(3):
        known.server.segment_arrives(FLOW.reversed, syn, known.now)
    assert {seg.flags for seg in out(known.server, known.now)} == {SYN | ACK}
    assert known.accept().receive(100, known.now) == TEXT
    assert known.listener.accept() is None


def test_what_the_user_has_not_read_is_not_offered_as_window() -> None:
    hosts = Hosts(server=replace(ON, receive_buffer=1000))
    hosts.learn()
    hosts.call(bytes(400))
    assert hosts.carry()[1].wnd == 600


# The cookie is not valid


@pytest.mark.rfc("7413", "3", "2b")
@pytest.mark.rfc("7413", "4.2.2", "Client: Receiving SYN-ACK")
def test_with_another_cookie_the_text_is_dropped_and_sent_again_with_the_first_ack(known: Hosts) -> None:
    """So it costs no more than a regular handshake; and a valid cookie comes with the SYN,ACK."""
    known.client._servers.learn(FLOW.local, FLOW.remote, Server(b"forged!!", MSS))
    conn = known.call()
    syn, syn_ack, first, *_ = known.carry()
    assert (syn.options.fast_open, syn.data, syn_ack.ack) == (b"forged!!", TEXT, wrap(syn.seq + 1))
    assert syn_ack.options.fast_open is not None
    assert (first.flags & ACK, first.seq, first.data) == (ACK, wrap(syn.seq + 1), TEXT)
    server = known.accept()
    assert (server.receive(100, known.now), server.status(known.now).fast_open) == (TEXT, False)
    assert not conn.status(known.now).fast_open
    assert known.server.counters["fast open: the cookie is not valid"] == 1
    known.call(TEXT, FLOW._replace(local_port=61001))
    assert known.carry()[1].ack == wrap(known.wire[0].seq + 1 + len(TEXT))


@pytest.mark.rfc("7413", "4.1.2", "expires")
def test_the_key_changes_and_the_last_one_is_still_taken(hosts: Hosts) -> None:
    old = hosts.learn()
    hosts.now = KEY_LIFETIME + 1
    hosts.call()
    syn, syn_ack = hosts.carry()[:2]
    assert (syn.options.fast_open, syn_ack.ack) == (old, wrap(syn.seq + 1 + len(TEXT)))
    new = syn_ack.options.fast_open
    assert new not in (None, old)
    hosts.now = 2 * KEY_LIFETIME + 1
    hosts.client._servers.learn(FLOW.local, FLOW.remote, Server(old, MSS))
    hosts.call(TEXT, FLOW._replace(local_port=61001))
    syn, syn_ack = hosts.carry()[:2]
    assert (syn.options.fast_open, syn_ack.ack) == (old, wrap(syn.seq + 1))


@pytest.mark.rfc("7413", "4.1.2")
def test_a_cookie_of_somebody_else_is_not_valid(hosts: Hosts) -> None:
    cookie = hosts.learn()
    syn = Segment(5, 0, SYN, 5000, Options(fast_open=cookie), b"text")
    hosts.server.segment_arrives(FLOW.reversed._replace(remote="192.0.2.66"), syn, 1.0)
    ((_, syn_ack),) = hosts.server.output(1.0)
    assert syn_ack.ack == 6
    assert hosts.listener.accept() is None


# Limits of the server


@pytest.mark.rfc("7413", "4.2", "PendingFastOpenRequests")
@pytest.mark.rfc("7413", "5.1")
def test_beyond_the_limit_handshakes_are_regular_until_one_is_done() -> None:
    hosts = Hosts(server=replace(ON, fast_open=2))
    hosts.learn()
    for port in (1, 2):
        hosts.call(TEXT, FLOW._replace(local_port=port))
        hosts.carry(loss=lambda seg: bool(seg.flags & ACK))
    assert (hosts.listener.accept() is not None, hosts.listener.accept() is not None) == (True, True)
    hosts.call(TEXT, FLOW._replace(local_port=3))
    syn, syn_ack = hosts.carry(loss=lambda seg: bool(seg.flags & ACK))
    assert (syn_ack.ack, syn_ack.options.fast_open) == (wrap(syn.seq + 1), None)
    assert hosts.listener.accept() is None
    assert hosts.server.counters["fast open: too many are pending"] == 1
    hosts.wait(5.0)  # the SYN,ACKs go out again, and are answered
    hosts.client._servers.worked((FLOW.local, FLOW.remote, 80))
    hosts.call(TEXT, FLOW._replace(local_port=5))
    assert hosts.carry()[0].data == TEXT
    assert hosts.server.counters["fast open: done"] == 3


@pytest.mark.rfc("7413", "5.1", "resets")
def test_a_request_that_is_reset_counts_for_a_minute_longer() -> None:
    """The victim of a flood resets what it did not ask for; that does not make room for more."""
    hosts = Hosts(server=replace(ON, fast_open=1))
    cookie = hosts.learn()

    def flood(port: int) -> bool:
        flow = FLOW.reversed._replace(remote_port=port)
        hosts.server.segment_arrives(flow, Segment(5, 0, SYN, 5000, Options(fast_open=cookie), b"x"), hosts.now)
        ((_, syn_ack),) = hosts.server.output(hosts.now)
        hosts.server.segment_arrives(flow, Segment(syn_ack.ack, 0, RST), hosts.now)
        hosts.server.output(hosts.now)
        return syn_ack.ack == 7

    assert flood(1000)
    assert not flood(1001)
    hosts.now += 59.0
    assert not flood(1002)
    hosts.now += 2.0
    assert flood(1003)


def test_connections_that_are_not_accepted_fill_the_backlog() -> None:
    hosts = Hosts(server=replace(ON, backlog=1))
    hosts.learn()
    hosts.call()
    hosts.carry(loss=lambda seg: bool(seg.flags & ACK))
    hosts.call(TEXT, FLOW._replace(local_port=61001))
    assert len(hosts.carry(loss=lambda seg: bool(seg.flags & ACK))) == 1


# Losses


@pytest.mark.rfc("7413", "4.2.2", "SYN timer")
def test_a_syn_that_is_not_answered_goes_out_again_without_text_and_option(known: Hosts) -> None:
    conn = known.call()
    known.carry(loss=lambda seg: True)
    again, syn_ack, first, *_ = known.wait(1.5)
    assert look(again) == (SYN, None, b"")
    assert (syn_ack.ack, syn_ack.options.fast_open) == (wrap(again.seq + 1), None)
    assert (first.seq, first.data) == (wrap(again.seq + 1), TEXT)
    assert known.accept().receive(100, known.now) == TEXT
    assert conn.all_acked


@pytest.mark.rfc("1191", "4")
@pytest.mark.rfc("8201", "4")
@pytest.mark.parametrize(("flow", "error", "headers"), [(FLOW, (4, 3, 4), 40), (FLOW6, (6, 2, 0), 60)])
def test_a_syn_whose_text_is_too_large_for_the_path_goes_out_again_at_once_without_it(
    flow: Flow, error: tuple[int, int, int], headers: int
) -> None:
    hosts = Hosts(mss=1400)
    hosts.call(b"", flow._replace(local_port=60999))
    hosts.carry()
    conn = hosts.call(bytes(2000), flow)
    (syn,) = hosts.carry(loss=lambda seg: True)
    assert len(syn.data) == 1360
    hosts.client.icmp_arrives(IcmpError("203.0.113.9", flow, syn.seq, *error, 1280), hosts.now)
    again, _, *segments = hosts.carry()
    assert (look(again), again.options.mss) == ((SYN, None, b""), 1460)
    full = 1280 - headers - 12
    assert [len(seg.data) for seg in segments if seg.data] == [full, 2000 - full]
    assert (conn.all_acked, conn.retransmissions) == (True, 0)


@pytest.mark.rfc("7413", "4.2.2", "SYN-ACK timer")
def test_a_syn_ack_goes_out_again_alone_and_the_answer_after_it_is_acknowledged(known: Hosts) -> None:
    conn = known.call()
    known.carry(loss=lambda seg: bool(seg.flags & ACK))
    server = known.accept()
    server.send(b"a" * 3000, known.now)
    known.server.touch(server)
    known.carry(loss=lambda seg: True)
    again = known.expire(known.server)
    assert [look(seg) for seg in again] == [(SYN | ACK, None, b"")]
    known.client.segment_arrives(FLOW, again[0], known.now)
    known.carry()
    known.wait(10.0)
    assert conn.receive(10_000, known.now) == b"a" * 3000


@pytest.mark.rfc("5681", "3.1")
@pytest.mark.rfc("7413", "7.2")
def test_after_a_lost_syn_ack_the_window_is_one_segment(known: Hosts) -> None:
    known.call()
    known.carry(loss=lambda seg: bool(seg.flags & ACK))
    server = known.accept()
    assert server.status(known.now).cwnd == 10 * server.status(known.now).snd_mss
    (again,) = known.expire(known.server)
    known.client.segment_arrives(FLOW, again, known.now)
    known.carry()
    assert server.state is State.ESTABLISHED
    assert server.status(known.now).cwnd == server.status(known.now).snd_mss


# What the client remembers


@pytest.mark.rfc("7413", "4.1.3.1")
@pytest.mark.rfc("7413", "4.2.2", "heuristic")
def test_a_path_that_dropped_it_is_spared_for_a_while_and_each_time_for_longer(hosts: Hosts) -> None:
    hosts.learn()
    port = 62000
    for pause in (60.0, 120.0):
        hosts.call(TEXT, FLOW._replace(local_port=port))
        assert hosts.carry(loss=lambda seg: bool(seg.data))[0].data == TEXT
        hosts.wait(1.5)
        hosts.wait(pause - 2.0)
        spared = hosts.call(TEXT, FLOW._replace(local_port=port + 1))
        assert look(hosts.carry()[0]) == (SYN, None, b"")
        assert spared.status(hosts.now).counters["fast open: it failed here lately"] == 1
        hosts.wait(5.0)
        port += 2
    hosts.wait(200.0)
    hosts.call(TEXT, FLOW._replace(local_port=port))
    assert hosts.carry()[0].data == TEXT
    hosts.call(TEXT, FLOW._replace(local_port=port + 1))
    assert hosts.carry()[0].data == TEXT


@pytest.mark.rfc("7413", "4.1.3.1")
def test_another_port_of_the_server_is_another_path(hosts: Hosts) -> None:
    hosts.learn()
    hosts.server.listen("", 81)
    hosts.call()
    hosts.carry(loss=lambda seg: bool(seg.data))
    hosts.wait(1.5)
    hosts.call(TEXT, FLOW._replace(remote_port=81))
    assert hosts.carry()[0].data == TEXT


@pytest.mark.rfc("7413", "4.2.2", "heuristic")
def test_a_syn_ack_that_was_only_late_is_no_failure(hosts: Hosts) -> None:
    """It acknowledges the text, although a plain SYN has followed."""
    hosts.learn()
    conn = hosts.call()
    ((_, syn),) = hosts.client.output(hosts.now)
    hosts.server.segment_arrives(FLOW.reversed, syn, hosts.now)
    late = hosts.server.output(hosts.now)
    hosts.now = 1.1
    hosts.client.timeouts(hosts.now)
    assert look(out(hosts.client, hosts.now)[0]) == (SYN, None, b"")
    hosts.client.segment_arrives(FLOW, late[0][1], hosts.now)
    assert conn.status(hosts.now).fast_open
    hosts.call(TEXT, FLOW._replace(local_port=61001))
    assert any(seg.flags == SYN and seg.data for seg in hosts.carry())


def refused(hosts: Hosts, conn: Connection, syn: Segment) -> None:
    hosts.client.segment_arrives(FLOW, Segment(0, wrap(syn.seq + 1), RST | ACK), hosts.now)


def unreachable(hosts: Hosts, conn: Connection, syn: Segment) -> None:
    hosts.client.icmp_arrives(IcmpError("192.0.2.9", FLOW, syn.seq, 4, 3, 2, 0), hosts.now)


def timed_out(hosts: Hosts, conn: Connection, syn: Segment) -> None:
    hosts.wait(200.0, loss=lambda seg: True)


def given_up(hosts: Hosts, conn: Connection, syn: Segment) -> None:
    """Before the plain SYN had its turn: a user who is always that impatient would never get through."""
    conn.abort(hosts.now)
    hosts.client.touch(conn)


@pytest.mark.rfc("7413", "4.1.3.1")
@pytest.mark.parametrize("end", [refused, unreachable, timed_out, given_up])
def test_a_connection_that_failed_is_not_tried_in_the_same_way_again(
    known: Hosts, end: Callable[[Hosts, Connection, Segment], None]
) -> None:
    conn = known.call()
    ((_, syn),) = known.client.output(known.now)
    end(known, conn, syn)
    known.client.output(known.now)
    assert conn.state is State.CLOSED
    assert isinstance(conn.error, (ConnectionRefused, HostUnreachable, ConnectionTimedOut)) or end is given_up
    known.call(TEXT, FLOW._replace(local_port=61001))
    assert look(known.carry()[0]) == (SYN, None, b"")


@pytest.mark.rfc("7413", "4.1.3.1")
def test_a_server_that_does_not_take_it_any_more_is_spared(hosts: Hosts) -> None:
    hosts.learn()
    hosts.listener.close(hosts.now)
    hosts.listener = hosts.server.listen("", 80, config=PLAIN)
    hosts.call()
    assert hosts.carry()[0].data == TEXT
    assert hosts.accept().receive(100, hosts.now) == TEXT
    hosts.call(TEXT, FLOW._replace(local_port=61001))
    assert look(hosts.carry()[0]) == (SYN, None, b"")


@pytest.mark.rfc("7413", "4.1.3")
@pytest.mark.parametrize(("mss", "octets"), [(600, 560), (1460, 1420), (9000, 1420)])
def test_a_syn_brings_no_more_than_the_servers_mss_holds(mss: int, octets: int) -> None:
    hosts = Hosts(mss=mss)
    hosts.learn()
    hosts.call(bytes(5000))
    assert len(hosts.carry()[0].data) == octets


@pytest.mark.rfc("7413", "4.1.3")
def test_of_each_pair_of_addresses_the_latest_cookie_is_kept_and_not_of_too_many() -> None:
    servers = KnownServers()
    servers.learn("a", "b", Server(b"old!", 1))
    servers.learn("a", "b", Server(b"new!", 2))
    servers.learn("c", "b", Server(b"else", 3))
    assert (servers.get("a", "b"), servers.get("c", "b")) == (Server(b"new!", 2), Server(b"else", 3))
    for n in range(MOST_SERVERS):
        servers.learn("a", f"{n}", Server(b"four", 4))
        servers.failed(("a", f"{n}", 80), 0.0)
    assert servers.get("a", "b") is None
    assert servers.get("a", "0") is not None
    servers.failed(("a", "one more", 80), 0.0)
    assert not servers.paused(("a", "0", 80), 1.0)
    assert servers.paused(("a", "1", 80), 1.0)


@pytest.mark.rfc("7413", "4.2.2", "option space")
def test_where_the_option_has_no_space_the_handshake_is_regular() -> None:
    hosts = Hosts(client=replace(PLAIN, user_timeout_option=UserTimeoutOption()))
    hosts.client._servers.learn(FLOW.local, FLOW.remote, Server(bytes(16), MSS))
    hosts.call()
    assert look(hosts.carry()[0]) == (SYN, None, b"")
    assert hosts.accept().receive(100, hosts.now) == TEXT


# In SYN-RECEIVED, with a user


@pytest.mark.rfc("9293", "3.10.7.4", "second")
def test_a_reset_is_told_to_the_user_who_has_the_connection_already(known: Hosts) -> None:
    known.call()
    syn = known.carry(loss=lambda seg: bool(seg.flags & ACK))[0]
    server = known.accept()
    known.server.segment_arrives(FLOW.reversed, Segment(wrap(syn.seq + 1 + len(TEXT)), 0, RST), known.now)
    known.server.output(known.now)
    assert server.receive(100, known.now) == TEXT
    with pytest.raises(ConnectionReset):
        server.receive(100, known.now)
    assert FLOW.reversed not in known.server.connections


@pytest.mark.rfc("5961", "4")
def test_another_syn_does_not_take_the_connection_from_the_user(known: Hosts) -> None:
    known.call()
    syn = known.carry(loss=lambda seg: bool(seg.flags & ACK))[0]
    server = known.accept()
    known.server.segment_arrives(FLOW.reversed, Segment(wrap(syn.seq + 100), 0, SYN, 5000), known.now)
    assert [seg.flags for seg in out(known.server, known.now)] == [ACK]
    assert server.state is State.SYN_RECEIVED


def answered_and_closed(known: Hosts, answer: bytes) -> tuple[Connection, Connection, list[Segment]]:
    """Client, server, and what the server has said before it heard more than the SYN."""
    conn = known.call()
    ((_, syn),) = known.client.output(known.now)
    known.server.segment_arrives(FLOW.reversed, syn, known.now)
    said = out(known.server, known.now)
    server = known.accept()
    server.receive(100, known.now)
    server.send(answer, known.now)
    server.close(known.now)
    known.server.touch(server)
    return conn, server, said + out(known.server, known.now)


@pytest.mark.rfc("9293", "3.10.4")
def test_a_server_that_answers_and_closes_at_once(known: Hosts) -> None:
    conn, server, said = answered_and_closed(known, b"answer")
    for seg in said:
        known.client.segment_arrives(FLOW, seg, known.now)
    known.carry()
    assert (conn.receive(100, known.now), conn.at_eof) == (b"answer", True)
    assert server.state is State.FIN_WAIT_2


@pytest.mark.rfc("7413", "3")
@pytest.mark.parametrize("lost", [(), (0,), (0, 1, 2, 3), (3,)])
def test_before_the_handshake_is_done_the_last_text_and_the_fin_of_an_answer_leave_as_well(
    known: Hosts, lost: tuple[int, ...]
) -> None:
    conn, server, said = answered_and_closed(known, b"a" * 2500)
    assert [(seg.flags & (SYN | FIN), len(seg.data)) for seg in said] == [(SYN, 0), (0, 988), (0, 988), (FIN, 524)]
    assert server.state is State.FIN_WAIT_1
    for n, seg in enumerate(said):
        if n not in lost:
            known.client.segment_arrives(FLOW, seg, known.now)
    known.carry()
    known.wait(10.0)
    assert (conn.receive(10_000, known.now), conn.at_eof) == (b"a" * 2500, True)
    assert server.state is State.FIN_WAIT_2


def test_a_fin_with_the_syn_takes_effect_when_the_handshake_is_done(hosts: Hosts) -> None:
    cookie = hosts.learn()
    flow = FLOW.reversed
    hosts.server.segment_arrives(flow, Segment(5, 0, SYN | FIN, 5000, Options(fast_open=cookie), b"bye"), 1.0)
    ((_, syn_ack),) = hosts.server.output(1.0)
    server = hosts.accept()
    assert (syn_ack.ack, server.receive(100, 1.0), server.at_eof) == (9, b"bye", False)
    hosts.server.segment_arrives(flow, Segment(10, wrap(syn_ack.seq + 1), ACK, 5000), 1.0)
    assert (server.state, server.at_eof) == (State.CLOSE_WAIT, True)
    assert [seg.ack for seg in out(hosts.server, 1.0)] == [10]


@pytest.mark.rfc("7413", "4.2.2", "simultaneous open")
def test_two_who_call_each_other_with_text(known: Hosts) -> None:
    ours = known.call()
    theirs = known.server.open(FLOW.reversed, known.now, text_in_syn=True)
    theirs.send(b"hello", known.now)
    known.carry()
    known.wait(10.0)
    assert (ours.state, theirs.state) == (State.ESTABLISHED, State.ESTABLISHED)
    assert (ours.receive(100, known.now), theirs.receive(100, known.now)) == (b"hello", TEXT)
