"""The path MTU, learned from ICMP errors (RFC 1191; RFC 8201), and errors that are not believed (RFC 5927, 7)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.tcp.builders import CONFIG, FLOW, SECRET, Bench, established
from tests.tcp.pairs import Pair, connected, shaken, spans
from usertcp.tcp.config import Config
from usertcp.tcp.connection import Connection
from usertcp.tcp.endpoint import Endpoint
from usertcp.tcp.options import Options
from usertcp.tcp.path_mtu import MOST_DESTINATIONS, PathMtuCache
from usertcp.tcp.segment import ACK, SYN, Flow, Segment
from usertcp.tcp.sequence import wrap
from usertcp.wire import IcmpError

ROUTER = "203.0.113.9"
FLOW6 = Flow("2001:db8::1", 61000, "2001:db8::2", 80)
BIG = 1400
"""MSS of these connections, where it is not the builders' 1000."""
MINUTES = 60.0


def too_big(bench: Bench, position: int, mtu: int) -> None:
    """A router drops the packet with our octet at *position*: the link behind it takes *mtu* octets."""
    seq = wrap(bench.iss + position)
    flow = bench.tcp.flow
    six = ":" in flow.remote
    bench.tcp.icmp_arrives(
        IcmpError(ROUTER, flow, seq, 6 if six else 4, 2 if six else 3, 0 if six else 4, mtu), bench.now
    )
    bench.deliver()


def in_flight(iss: int, irs: int, config: Config = CONFIG) -> Bench:
    """Four segments of 1000 octets of ours, from 1, are on their way."""
    bench = established(iss, irs, config)
    bench.send(bytes(4000))
    assert spans(bench) == [(1, 1000), (1001, 1000), (2001, 1000), (3001, 1000)]
    return bench


def v6(iss: int, irs: int) -> Bench:
    """ESTABLISHED over IPv6, and four segments of 1400 octets in flight."""
    bench = Bench(iss, irs, flow=FLOW6)
    bench.tcp = Connection(FLOW6, CONFIG, iss=iss, mss=BIG)
    bench.open()
    bench.arrives(SYN | ACK, 0, 1, options=Options(mss=BIG), wnd=20_000)
    bench.send(bytes(4 * BIG))
    assert [size for _, size in spans(bench)] == [BIG] * 4
    return bench


@pytest.mark.rfc("1191", "6.4")
@pytest.mark.rfc("9293", "3.7.5")
def test_what_was_too_large_goes_out_again_at_once_in_smaller_segments(iss: int, irs: int) -> None:
    bench = in_flight(iss, irs)
    too_big(bench, 1, 840)
    assert spans(bench) == [(1, 800), (801, 800), (1601, 800), (2401, 800), (3201, 800)]
    assert bench.tcp.status(bench.now).path_mtu == 840


@pytest.mark.rfc("8201", "4")
def test_the_same_over_ipv6(iss: int, irs: int) -> None:
    bench = v6(iss, irs)
    too_big(bench, 1, 1300)
    assert [size for _, size in spans(bench)] == [1240] * 4 + [640]


@pytest.mark.rfc("1191", "6.4")
@pytest.mark.rfc("8201", "5.4")
def test_it_is_no_sign_of_congestion(iss: int, irs: int) -> None:
    bench = in_flight(iss, irs)
    before = bench.tcp.status(bench.now)
    too_big(bench, 1, 840)
    after = bench.tcp.status(bench.now)
    assert (after.cwnd, after.ssthresh, after.retransmissions) == (before.cwnd, before.ssthresh, 0)


def test_the_options_of_a_segment_count(iss: int, irs: int) -> None:
    bench = shaken(iss, irs, options=Options(mss=1000, timestamps=(1, 0)))
    bench.send(bytes(2000))
    bench.take()
    too_big(bench, 1, 840)
    assert [size for _, size in spans(bench)] == [788, 788, 424]


def test_what_the_peer_has_sacked_is_not_sent_again(iss: int, irs: int) -> None:
    config = replace(CONFIG, nagle=False, rack=False)
    bench = shaken(iss, irs, config, Options(mss=1000, sack_permitted=True))
    bench.send(bytes(3000) + b"small")
    bench.take()
    bench.arrives(ACK, 1, 1, options=Options(sack=((wrap(iss + 3001), wrap(iss + 3006)),)))
    bench.take()
    too_big(bench, 1, 840)
    assert spans(bench) == [(1, 800), (801, 800), (1601, 800), (2401, 600)]


def test_each_narrower_link_on_the_way_is_heeded(iss: int, irs: int) -> None:
    bench = in_flight(iss, irs)
    too_big(bench, 1, 900)
    bench.take()
    too_big(bench, 1, 700)
    assert spans(bench)[0] == (1, 660)


def test_the_errors_about_the_other_segments_of_the_flight_change_nothing(iss: int, irs: int) -> None:
    """Each of them was too large, and each gets an error. By then they are sent again."""
    bench = in_flight(iss, irs)
    for position in (1, 1001, 2001, 3001):
        too_big(bench, position, 840)
    assert len(spans(bench)) == 5


@pytest.mark.rfc("1191", "5")
@pytest.mark.parametrize(("mss", "plateau"), [(8960, 8166), (1460, 1492), (1400, 1006)])
def test_a_router_that_names_no_mtu_leaves_us_the_next_plateau(iss: int, irs: int, mss: int, plateau: int) -> None:
    bench = Bench(iss, irs)
    bench.tcp = Connection(FLOW, CONFIG, iss=iss, mss=mss)
    bench.open()
    bench.arrives(SYN | ACK, 0, 1, options=Options(mss=mss), wnd=30_000)
    bench.send(bytes(2 * mss))
    bench.take()
    too_big(bench, 1, 0)
    assert spans(bench)[0] == (1, plateau - 40)


# Errors that are not believed


@pytest.mark.rfc("1191", "6.1")
@pytest.mark.rfc("5927", "7.2")
@pytest.mark.parametrize("mtu", [1040, 1041, 1500, 65535])
def test_an_error_never_raises_the_path_mtu(iss: int, irs: int, mtu: int) -> None:
    bench = in_flight(iss, irs)
    too_big(bench, 1, mtu)
    assert (bench.sent(), bench.tcp.path_mtu) == ([], 1040)


@pytest.mark.rfc("5927", "4.1")
@pytest.mark.parametrize("position", [0, -1, 4001, 2**31 - 1])
def test_an_error_about_what_is_not_in_flight_is_not_believed(iss: int, irs: int, position: int) -> None:
    bench = in_flight(iss, irs)
    too_big(bench, position, 840)
    assert (bench.sent(), bench.tcp.path_mtu) == ([], 1040)


@pytest.mark.rfc("5927", "7.2")
def test_an_error_that_allows_what_we_have_sent_is_not_believed(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    bench.send(b"small")
    bench.take()
    too_big(bench, 1, 600)
    assert (bench.sent(), bench.tcp.path_mtu) == ([], 1040)


@pytest.mark.rfc("5927", "7.2")
def test_an_error_that_contradicts_what_has_arrived_waits_for_the_timeout(iss: int, irs: int) -> None:
    bench = in_flight(iss, irs)
    bench.arrives(ACK, 1, 2001)
    bench.take()
    cwnd = bench.tcp.status(bench.now).cwnd
    too_big(bench, 2001, 840)
    assert (bench.sent(), bench.tcp.path_mtu) == ([], 1040)
    bench.advance(1.0)
    assert spans(bench) == [(2001, 800), (2801, 800), (3601, 400)]
    assert bench.tcp.status(bench.now).cwnd == cwnd


@pytest.mark.rfc("5927", "7.2")
def test_it_is_forgotten_when_the_quoted_octet_is_acknowledged(iss: int, irs: int) -> None:
    bench = in_flight(iss, irs)
    bench.arrives(ACK, 1, 2001)
    too_big(bench, 2001, 840)
    bench.arrives(ACK, 1, 3001)
    bench.take()
    bench.advance(1.0)
    assert spans(bench) == [(3001, 1000)]
    assert bench.tcp.path_mtu == 1040


@pytest.mark.rfc("1191", "6.1")
def test_an_error_brings_ipv4_packets_no_lower_than_the_config_says(iss: int, irs: int) -> None:
    bench = in_flight(iss, irs)
    too_big(bench, 1, 68)
    assert bench.tcp.path_mtu == CONFIG.min_path_mtu == 552
    low = in_flight(iss, irs, replace(CONFIG, min_path_mtu=104))
    too_big(low, 1, 68)
    assert low.tcp.path_mtu == 104


@pytest.mark.parametrize("mtu", [1, 67])
def test_no_ipv4_link_has_less_than_68_octets(iss: int, irs: int, mtu: int) -> None:
    bench = in_flight(iss, irs)
    too_big(bench, 1, mtu)
    assert (bench.sent(), bench.tcp.path_mtu) == ([], 1040)


@pytest.mark.rfc("8201", "4")
@pytest.mark.parametrize("mtu", [0, 68, 1279])
def test_no_ipv6_link_has_less_than_1280_octets(iss: int, irs: int, mtu: int) -> None:
    bench = v6(iss, irs)
    too_big(bench, 1, mtu)
    assert (bench.sent(), bench.tcp.path_mtu) == ([], BIG + 60)


def test_without_discovery_it_is_only_a_sign_of_trouble(iss: int, irs: int) -> None:
    bench = in_flight(iss, irs, replace(CONFIG, path_mtu_discovery=False))
    too_big(bench, 1, 840)
    assert (bench.sent(), bench.tcp.path_mtu) == ([], 1040)
    assert bench.tcp.soft_error == f"fragmentation needed, says {ROUTER}"


# Others to the same destination, and later


def opened(endpoint: Endpoint, port: int, now: float, remote: str = FLOW.remote) -> Connection:
    """ESTABLISHED from a local port; the peer's SYN,ACK allows 1460."""
    flow = FLOW._replace(local_port=port, remote=remote)
    conn = endpoint.open(flow, now)
    ((_, syn),) = endpoint.output(now)
    endpoint.segment_arrives(flow, Segment(7, wrap(syn.seq + 1), SYN | ACK, 60_000, Options(mss=1460)), now)
    endpoint.output(now)
    return conn


def narrowed() -> tuple[Endpoint, Connection]:
    """A host one of whose connections has found a path of 1000 octets, at the time 1."""
    endpoint = Endpoint(CONFIG, SECRET, mss=lambda remote: 1460, answers=lambda local, port: True)
    conn = opened(endpoint, 61000, 0.0)
    conn.send(bytes(3000), 1.0)
    endpoint.touch(conn)
    (_, first), *_ = endpoint.output(1.0)
    endpoint.icmp_arrives(IcmpError(ROUTER, conn.flow, first.seq, 4, 3, 4, 1000), 1.0)
    endpoint.output(1.0)
    return endpoint, conn


@pytest.mark.rfc("1191", "6.2")
@pytest.mark.rfc("8201", "5.2")
def test_a_new_connection_to_the_same_destination_begins_with_what_is_known() -> None:
    endpoint, _ = narrowed()
    assert opened(endpoint, 61001, 2.0).path_mtu == 1000
    assert opened(endpoint, 61002, 2.0, remote="192.0.2.3").path_mtu == 1500


def test_without_discovery_it_begins_with_what_the_peer_allows_and_nobody_narrows_it() -> None:
    endpoint, conn = narrowed()
    endpoint.config = replace(CONFIG, path_mtu_discovery=False)
    deaf = opened(endpoint, 61001, 2.0)
    conn.send(bytes(3000), 3.0)
    endpoint.touch(conn)
    _, (_, second), *_ = endpoint.output(3.0)
    endpoint.icmp_arrives(IcmpError(ROUTER, conn.flow, second.seq, 4, 3, 4, 900), 3.0)
    assert (conn.path_mtu, deaf.path_mtu) == (900, 1500)


def test_what_is_known_of_destinations_is_bounded_and_the_oldest_makes_room() -> None:
    cache = PathMtuCache()
    for n in range(MOST_DESTINATIONS + 2):
        cache.learn(str(n), 1000, 0.0)
        cache.learn("0", 1000, 0.0)  # again and again: never the oldest
    assert [cache.get(str(n), 1.0) is not None for n in range(4)] == [True, False, False, True]


@pytest.mark.rfc("9293", "3.7.1", "MUST-67")
def test_what_we_announce_is_what_we_can_receive_whatever_the_path_to_the_peer() -> None:
    endpoint, _ = narrowed()
    endpoint.open(FLOW._replace(local_port=61001), 2.0)
    ((_, syn),) = endpoint.output(2.0)
    assert syn.options.mss == 1460


@pytest.mark.rfc("1191", "6.2")
def test_the_other_connections_to_the_same_destination_learn_of_it() -> None:
    endpoint = Endpoint(CONFIG, SECRET, mss=lambda remote: 1460, answers=lambda local, port: True)
    one, two = opened(endpoint, 61000, 0.0), opened(endpoint, 61001, 0.0)
    for conn in (one, two):
        conn.send(bytes(3000), 1.0)
        endpoint.touch(conn)
    sent = dict(reversed(endpoint.output(1.0)))
    endpoint.icmp_arrives(IcmpError(ROUTER, one.flow, sent[one.flow].seq, 4, 3, 4, 1000), 1.0)
    assert [flow for flow, _ in endpoint.output(1.0)] == [one.flow] * 4
    assert (one.path_mtu, two.path_mtu) == (1000, 1000)
    endpoint.icmp_arrives(IcmpError(ROUTER, two.flow, sent[two.flow].seq, 4, 3, 4, 1000), 1.0)
    assert [len(seg.data) for _, seg in endpoint.output(1.0)] == [960, 960, 960, 120]


@pytest.mark.rfc("1191", "6.3")
@pytest.mark.rfc("8201", "5.3")
def test_after_ten_minutes_larger_segments_are_tried_again(iss: int, irs: int) -> None:
    bench = in_flight(iss, irs)
    too_big(bench, 1, 840)
    bench.arrives(ACK, 1, 4001)
    bench.take()
    bench.advance(10 * MINUTES - 1)
    assert bench.tcp.path_mtu == 840
    bench.advance(1)
    bench.send(bytes(1000))
    assert spans(bench) == [(4001, 1000)]
    too_big(bench, 4001, 840)
    assert spans(bench) == [(4001, 800), (4801, 200)]


@pytest.mark.rfc("1191", "6.3")
def test_what_is_known_of_a_destination_is_forgotten_after_ten_minutes() -> None:
    endpoint, _ = narrowed()
    late = opened(endpoint, 61001, 9 * MINUTES)
    assert late.path_mtu == 1000
    endpoint.timeouts(10 * MINUTES + 1)
    assert late.path_mtu == 1500
    endpoint.output(10 * MINUTES + 1)
    assert opened(endpoint, 61002, 10 * MINUTES + 2).path_mtu == 1500


@pytest.mark.parametrize("client", [Config(), Config(rack=True, congestion="cubic"), Config(sack=False)])
def test_a_path_that_becomes_narrow_and_loses_packets_is_survived(client: Config) -> None:
    """The size changes in the middle of everything; nothing that is sent twice or lost confuses recovery."""
    pair, conn, server = connected(client, Config())
    data = bytes(i % 251 for i in range(300_000))
    sent, read, narrow = 0, bytearray(), 1200

    def exchange() -> bool:
        nonlocal sent
        sent += conn.send(data[sent:], pair.now)
        pair.client.touch(conn)
        read.extend(server.receive(1 << 20, pair.now))
        pair.server.touch(server)
        return len(read) == len(data)

    pair.run(lambda: exchange() or len(read) > 50_000)
    drop_larger(pair, conn, narrow)
    pair.run(exchange)
    assert bytes(read) == data
    assert conn.path_mtu == narrow


def drop_larger(pair: Pair, conn: Connection, mtu: int) -> None:
    """From now on a router on the way to the server takes no larger packets, and says so; it loses some others."""
    count = 0

    def loses(flow: Flow, seg: Segment) -> bool:
        nonlocal count
        if flow != conn.flow:
            return False
        count += 1
        if len(seg.data) + 12 + 40 > mtu:
            pair.client.icmp_arrives(IcmpError(ROUTER, conn.flow, seg.seq, 4, 3, 4, mtu), pair.now)
            return True
        return count % 40 == 0

    pair.loses = loses


@pytest.mark.rfc("1191", "3")
@pytest.mark.rfc("9293", "3.7.1", "MUST-67")
def test_what_our_own_link_has_become_too_narrow_for_goes_out_again_smaller() -> None:
    """It drops what is too large, and says nothing but what it takes when it is asked."""
    link = [1460]
    endpoint = Endpoint(CONFIG, SECRET, mss=lambda remote: link[0], answers=lambda local, port: True)
    one, two = opened(endpoint, 61000, 0.0), opened(endpoint, 61001, 0.0)
    one.send(bytes(1400), 1.0)
    endpoint.touch(one)
    assert [len(seg.data) for _, seg in endpoint.output(1.0)] == [1400]
    link[0] = 960
    endpoint.timeouts(3.0)
    out = [(flow, len(seg.data)) for flow, seg in endpoint.output(3.0)]
    assert out[0] == (one.flow, 960)
    assert (one.path_mtu, two.path_mtu) == (1000, 1000)


# Nobody says anything


def large_in_flight(iss: int, irs: int, config: Config = CONFIG) -> Bench:
    """One segment of 1400 octets of ours, from 1, is on its way."""
    bench = Bench(iss, irs)
    bench.tcp = Connection(FLOW, config, iss=iss, mss=BIG)
    bench.open()
    bench.arrives(SYN | ACK, 0, 1, options=Options(mss=BIG))
    bench.send(bytes(BIG))
    assert spans(bench) == [(1, BIG)]
    return bench


@pytest.mark.rfc("8899", "4.3")
@pytest.mark.rfc("4821", "7.7")
@pytest.mark.rfc("9293", "3.8.3", "MUST-20")
def test_a_large_segment_unanswered_r1_times_goes_out_again_in_smaller_ones(iss: int, irs: int) -> None:
    bench = large_in_flight(iss, irs)
    bench.advance(1 + 2)
    assert spans(bench) == [(1, BIG), (1, BIG)]
    bench.advance(4)
    assert spans(bench) == [(1, 984)]
    bench.arrives(ACK, 1, 985)
    assert spans(bench) == [(985, BIG - 984)]
    assert bench.tcp.path_mtu == 1024


@pytest.mark.rfc("4821", "7.7")
def test_if_that_goes_unanswered_too_the_smallest_are_tried(iss: int, irs: int) -> None:
    bench = large_in_flight(iss, irs)
    bench.advance(1 + 2 + 4 + 8 + 16)
    bench.take()
    bench.advance(32)
    assert spans(bench) == [(1, 512)]


@pytest.mark.rfc("8201", "4")
def test_ipv6_falls_to_what_each_of_its_links_takes(iss: int, irs: int) -> None:
    bench = v6(iss, irs)
    bench.advance(1 + 2)
    bench.take()
    bench.advance(4)
    assert spans(bench)[0] == (1, 1220)


def test_a_small_segment_that_goes_unanswered_is_not_too_large(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    bench.send(bytes(900))
    bench.advance(1 + 2 + 4)
    assert bench.tcp.path_mtu == 1040
    assert {size for _, size in spans(bench)} == {900}


def test_without_detection_a_segment_keeps_its_size(iss: int, irs: int) -> None:
    bench = large_in_flight(iss, irs, replace(CONFIG, black_hole_detection=False))
    bench.advance(60)
    assert {size for _, size in spans(bench)} == {BIG}


@pytest.mark.rfc("8899", "4.3")
@pytest.mark.rfc("4821", "7.7")
@pytest.mark.parametrize("client", [Config(), Config(rack=True, congestion="cubic"), Config(sack=False)])
def test_a_black_hole_is_survived(client: Config) -> None:
    pair, conn, server = connected(client, Config())
    data, read = bytes(i % 251 for i in range(200_000)), bytearray()
    pair.loses = lambda flow, seg: len(seg.data) > 1100
    conn.send(data, pair.now)
    pair.client.touch(conn)

    def arrived() -> bool:
        read.extend(server.receive(1 << 20, pair.now))
        pair.server.touch(server)
        return len(read) == len(data)

    pair.run(arrived)
    assert bytes(read) == data
    assert 1024 <= conn.path_mtu <= 1100 + 12 + 40  # probes may have found more (test_path_probing.py)
