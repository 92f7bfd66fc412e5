"""Every way to close, as both ends see it (RFC 9293, 3.6; Figures 12 and 13)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.tcp import builders
from tests.tcp.builders import CONFIG, MSS, established
from tests.tcp.pairs import CLIENT, Path, connected, moment_of
from usertcp.tcp.config import Config
from usertcp.tcp.connection import Connection
from usertcp.tcp.options import Options
from usertcp.tcp.segment import ACK, FIN, SYN, flag_names
from usertcp.tcp.sequence import wrap
from usertcp.tcp.state import State
from usertcp.tcp.tcb import NEVER, TIMERS, Timers

QUICK = Config(msl=1.0)
S = State


class Teardown:
    """Two ends in ESTABLISHED, and everything that they send from here on."""

    def __init__(self, iss: int, config: Config = QUICK, out: Path | None = None, back: Path | None = None) -> None:
        self.pair, self.client, self.server = connected(config, config, out=out, back=back, now=moment_of(iss))
        self.pair.run_for(1.0)
        self.pair.wire.clear()

    def close(self, conn: Connection) -> None:
        conn.close(self.pair.now)
        self.touch(conn)

    def send(self, conn: Connection, data: bytes) -> None:
        conn.send(data, self.pair.now)
        self.touch(conn)

    def touch(self, conn: Connection) -> None:
        (self.pair.client if conn is self.client else self.pair.server).touch(conn)

    def until(self, client: State, server: State) -> None:
        self.pair.run(lambda: (self.client.state, self.server.state) == (client, server), steps=2000)

    @property
    def wire(self) -> list[str]:
        """Who said what: "> FIN,ACK" is the client's."""
        return [
            f"{'>' if flow == CLIENT else '<'} {','.join(n for n in flag_names(seg.flags) if n != 'PSH')}"
            for _, flow, seg in self.pair.wire
        ]


@pytest.fixture(params=["client", "server"])
def closer(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.rfc("9293", "3.6", "Figure 12")
def test_four_segments_close_from_either_side(iss: int, closer: str) -> None:
    t = Teardown(iss)
    active, passive = (t.client, t.server) if closer == "client" else (t.server, t.client)
    to, fro = (">", "<") if closer == "client" else ("<", ">")
    t.close(active)
    t.pair.run(lambda: (active.state, passive.state) == (S.FIN_WAIT_2, S.CLOSE_WAIT))
    t.close(passive)
    t.pair.run(lambda: (active.state, passive.state) == (S.TIME_WAIT, S.CLOSED))
    assert t.wire == [f"{to} FIN,ACK", f"{fro} ACK", f"{fro} FIN,ACK", f"{to} ACK"]
    ended = t.pair.now
    t.pair.run(lambda: active.state is S.CLOSED)
    assert t.pair.now - ended == pytest.approx(2 * QUICK.msl, abs=0.02)
    assert (active.error, passive.error) == (None, None)


@pytest.mark.rfc("9293", "3.6", "Figure 12")
def test_three_segments_do_when_the_peer_closes_at_once(iss: int) -> None:
    t = Teardown(iss)
    t.server.on_change = lambda: t.server.at_eof and t.close(t.server)
    t.close(t.client)
    t.until(S.TIME_WAIT, S.CLOSED)
    assert t.wire in (["> FIN,ACK", "< FIN,ACK", "> ACK"], ["> FIN,ACK", "< ACK", "< FIN,ACK", "> ACK"])


@pytest.mark.rfc("9293", "3.6", "Figure 12")
@pytest.mark.parametrize("data", [b"", b"last words"])
def test_fin_and_the_ack_of_ours_in_one_segment_lead_to_time_wait(iss: int, irs: int, data: bytes) -> None:
    bench = builders.fin_wait_1(iss, irs)
    bench.arrives(FIN | ACK, 1, 2, data)
    assert (bench.state, bench.sent()) == (S.TIME_WAIT, [f"<SEQ=2><ACK={2 + len(data)}><CTL=ACK>"])
    assert bench.receive() == data


@pytest.mark.rfc("9293", "3.6", "Figure 13")
def test_both_may_close_at_once(iss: int) -> None:
    t = Teardown(iss)
    t.close(t.client)
    t.close(t.server)
    t.until(S.CLOSING, S.CLOSING)
    t.until(S.TIME_WAIT, S.TIME_WAIT)
    assert sorted(t.wire) == ["< ACK", "< FIN,ACK", "> ACK", "> FIN,ACK"]
    t.until(S.CLOSED, S.CLOSED)


@pytest.mark.rfc("9293", "3.10.4")
def test_the_fin_rides_on_the_last_text(iss: int) -> None:
    t = Teardown(iss)
    t.send(t.client, b"last words")
    t.close(t.client)
    t.until(S.FIN_WAIT_2, S.CLOSE_WAIT)
    assert t.server.receive(100, t.pair.now) == b"last words"
    assert t.wire[0] == "> FIN,ACK"


@pytest.mark.rfc("9293", "3.10.4")
def test_everything_that_was_sent_goes_out_before_the_fin(iss: int) -> None:
    t = Teardown(iss)
    t.send(t.client, bytes(100_000))
    t.close(t.client)
    t.until(S.FIN_WAIT_2, S.CLOSE_WAIT)
    assert len(t.server.receive(1 << 20, t.pair.now)) == 100_000
    assert t.server.at_eof


@pytest.mark.rfc("9293", "3.10.7.4", "eighth")
def test_an_out_of_order_fin_takes_effect_when_the_hole_is_filled(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    bench.arrives(FIN | ACK, 5, 1, b"two")
    assert bench.state is S.ESTABLISHED
    bench.arrives(ACK, 1, 1, b"one ")
    assert (bench.state, bench.receive(), bench.tcp.at_eof) == (S.CLOSE_WAIT, b"one two", True)
    assert bench.sent() == ["<SEQ=1><ACK=1><CTL=ACK>", "<SEQ=1><ACK=9><CTL=ACK>"]


@pytest.mark.rfc("9293", "3.10.7.4", "eighth")
def test_a_lone_out_of_order_fin_is_not_forgotten_either(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    bench.arrives(FIN | ACK, 5, 1)
    bench.arrives(ACK, 1, 1, b"text")
    assert (bench.state, bench.receive(), bench.tcp.at_eof) == (S.CLOSE_WAIT, b"text", True)


@pytest.mark.rfc("9293", "3.10.7.4", "seventh")
def test_text_behind_the_fin_is_not_taken(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    bench.arrives(FIN | ACK, 5, 1)
    bench.arrives(ACK, 1, 1, b"text and more")
    assert (bench.state, bench.receive()) == (S.CLOSE_WAIT, b"text")
    bench.arrives(ACK, 6, 1, b"and more")
    assert bench.receive() == b""


def test_a_fin_before_text_that_has_arrived_is_a_mistake_and_ignored(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    bench.arrives(ACK, 101, 1, b"later")
    bench.arrives(FIN | ACK, 50, 1)
    bench.arrives(ACK, 1, 1, bytes(100))
    assert (bench.state, len(bench.receive())) == (S.ESTABLISHED, 105)


def test_a_second_fin_out_of_order_is_ignored_with_its_text(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    bench.arrives(FIN | ACK, 101, 1)
    bench.arrives(FIN | ACK, 47, 1, b"end")
    bench.arrives(FIN | ACK, 197, 1, b"end")
    bench.arrives(ACK, 1, 1, bytes(100))
    assert (bench.state, bench.receive()) == (S.CLOSE_WAIT, bytes(100))


@pytest.mark.rfc("9293", "3.10.7.4", "eighth")
@pytest.mark.parametrize("flags", [ACK, FIN | ACK])
@pytest.mark.parametrize(("position", "octets"), [(101, 5), (3, 100), (3900, 0)])
def test_the_fin_that_is_in_order_counts_whatever_somebody_has_put_behind_it(
    iss: int, irs: int, flags: int, position: int, octets: int
) -> None:
    bench = builders.syn_sent(iss, irs)
    bench.arrives(SYN | ACK, 0, 1, options=Options(mss=MSS, sack_permitted=True))
    bench.arrives(flags, position, 1, bytes(octets))
    bench.take()
    bench.arrives(FIN | ACK, 1, 1, b"text")
    assert (bench.state, bench.receive(), bench.tcp.at_eof) == (S.CLOSE_WAIT, b"text", True)
    (answer,) = bench.take()
    assert (wrap(answer.ack - irs), answer.options.sack) == (6, ())


@pytest.mark.rfc("9293", "3.10.7.4", "eighth")
def test_the_fin_of_a_segment_that_is_cut_at_the_window_comes_again(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    for n in range(3):
        bench.arrives(ACK, 1 + n * MSS, 1, bytes(MSS))
    bench.arrives(FIN | ACK, 3001, 1, bytes(1001))
    assert bench.state is S.ESTABLISHED
    assert bench.sent()[-1] == "<SEQ=1><ACK=4001><CTL=ACK>"
    bench.receive()
    bench.arrives(FIN | ACK, 3001, 1, bytes(1001))
    assert bench.state is S.CLOSE_WAIT


@pytest.mark.rfc("9293", "3.8.1")
@pytest.mark.parametrize("lost", [0, 1, 2, 3])
def test_any_one_of_the_four_segments_may_be_lost(iss: int, lost: int) -> None:
    class Losing(Path):
        def delays(self) -> list[float]:
            sent.append(None)
            return [] if len(sent) == lost + 1 else [self.delay]

    sent: list[None] = []
    t = Teardown(iss, replace(QUICK, msl=30.0))
    losing = Losing()
    t.pair.join(losing, losing)
    t.close(t.client)
    t.pair.run(lambda: t.server.at_eof)
    t.close(t.server)
    t.until(S.TIME_WAIT, S.CLOSED)
    t.until(S.CLOSED, S.CLOSED)
    assert (t.client.error, t.server.error) == (None, None)


@pytest.mark.rfc("9293", "3.10.7.4", "fifth")
def test_last_ack_ends_with_the_ack_of_our_fin_and_not_before(iss: int, irs: int) -> None:
    bench = builders.last_ack(iss, irs)
    bench.arrives(ACK, 2, 1)
    assert bench.state is S.LAST_ACK
    bench.arrives(ACK, 2, 2)
    assert (bench.state, bench.take(), bench.tcp.error) == (S.CLOSED, [], None)


@pytest.mark.rfc("9293", "3.6", "MUST-12")
def test_a_normal_close_and_an_abort_look_different_to_the_user(iss: int, irs: int) -> None:
    normal, reset, aborted = (established(iss, irs) for _ in range(3))
    normal.arrives(FIN | ACK, 1, 1)
    reset.arrives(4, 1)
    aborted.abort()
    assert [(bench.tcp.at_eof, type(bench.tcp.error).__name__) for bench in (normal, reset, aborted)] == [
        (True, "NoneType"),
        (False, "ConnectionReset"),
        (False, "ConnectionAborted"),
    ]


@pytest.mark.rfc("9293", "3.10.3")
def test_text_that_was_not_read_outlives_time_wait(iss: int, irs: int) -> None:
    bench = established(iss, irs)
    bench.arrives(ACK, 1, 1, b"text")
    bench.close()
    bench.arrives(FIN | ACK, 5, 2)
    bench.advance(2 * CONFIG.msl + 1)
    assert bench.state is S.CLOSED
    assert (bench.receive(), bench.tcp.at_eof, bench.receive()) == (b"text", True, b"")


@pytest.mark.parametrize("name", TIMERS)
def test_every_timer_counts_until_all_are_stopped(name: str) -> None:
    timers = Timers()
    setattr(timers, name, 1.0)
    assert timers.earliest == 1.0
    timers.stop_all()
    assert timers.earliest == NEVER
