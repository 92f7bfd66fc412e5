"""DCTCP (RFC 8257): the controller, its receiver's echo, and both of them behind a queue that marks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.tcp.builders import CONFIG
from tests.tcp.test_ecn import WINDOW, called, sending, text_arrives
from usertcp.link.path import Path
from usertcp.tcp.config import Config
from usertcp.tcp.congestion import CONTROLLERS
from usertcp.tcp.congestion.dctcp import Dctcp
from usertcp.tcp.segment import ACK, CE, CWR, ECE
from usertcp.testing import open_network, open_stream_pair, run

SMSS = 1000
NOW = 1.0
DCTCP = replace(CONFIG, congestion="dctcp", ecn="on")


def after_windows(*shares: float) -> Dctcp:
    """Windows of a hundred segments were acknowledged, this share of each with ECE."""
    dctcp = Dctcp(SMSS, 100 * SMSS)
    dctcp.on_echo(1, 0, 100 * SMSS - 1, NOW)  # the first acknowledgment ends the empty window before it
    dctcp.alpha = 1.0
    for share in shares:
        for number in range(100):
            dctcp.on_echo(SMSS, SMSS if number < share * 100 else 0, 100 * SMSS - 1, NOW)
    return dctcp


def test_it_is_a_controller_by_name() -> None:
    assert isinstance(CONTROLLERS["dctcp"](SMSS, 4 * SMSS), Dctcp)


@pytest.mark.rfc("8257", "3.3", "step 9")
def test_at_first_a_mark_costs_half() -> None:
    dctcp = Dctcp(SMSS, 100 * SMSS)
    dctcp.on_ecn(NOW)
    assert (dctcp.cwnd, dctcp.ssthresh) == (50 * SMSS, 50 * SMSS)


@pytest.mark.rfc("8257", "3.3", "step 7")
def test_the_estimate_moves_by_a_sixteenth_in_a_window() -> None:
    assert after_windows(0.0).alpha == pytest.approx(15 / 16)
    assert after_windows(0.0, 0.0).alpha == pytest.approx((15 / 16) ** 2)
    assert after_windows(1.0).alpha == pytest.approx(1.0)
    assert after_windows(0.5).alpha == pytest.approx(15 / 16 + 0.5 / 16, abs=0.001)


@pytest.mark.rfc("8257", "3.3", "step 3")
def test_within_a_window_it_does_not_move() -> None:
    dctcp = after_windows(0.0)
    alpha = dctcp.alpha
    dctcp.on_echo(98 * SMSS, 98 * SMSS, SMSS, NOW)
    assert dctcp.alpha == alpha


@pytest.mark.rfc("8257", "3.3", "step 9")
def test_the_reduction_is_in_proportion() -> None:
    dctcp = after_windows(*[0.0] * 40)
    dctcp.on_ecn(NOW)
    assert dctcp.cwnd == int(100 * SMSS * (1 - (15 / 16) ** 40 / 2))
    for _ in range(300):
        dctcp.on_ecn(NOW)
    assert dctcp.cwnd == pytest.approx(2 * SMSS, abs=SMSS * 30)
    assert dctcp.cwnd >= 2 * SMSS


@pytest.mark.rfc("8257", "3.5")
def test_a_loss_is_answered_as_by_reno() -> None:
    dctcp = after_windows(*[0.0] * 40)
    dctcp.on_loss(60 * SMSS, NOW)
    assert dctcp.cwnd == 30 * SMSS
    dctcp.on_rto(30 * SMSS, NOW, first=True)
    assert dctcp.cwnd == SMSS


@pytest.mark.rfc("8257", "3.3")
def test_the_connection_shows_it_which_acknowledgments_have_ece(iss: int, irs: int) -> None:
    """Three windows without a mark, and then one mark: it costs less than half."""
    bench = sending(iss, irs, DCTCP)
    bench.send(b"x" * 100_000)
    for ack in range(1001, 30_002, 1000):
        bench.arrives(ACK, 1, ack, wnd=WINDOW)
    before = bench.tcp.status(bench.now).cwnd
    bench.arrives(ACK | ECE, 1, 31_001, wnd=WINDOW)
    assert before / 2 < bench.tcp.status(bench.now).cwnd < before
    assert [bool(seg.flags & CWR) for seg in bench.take()].count(True) <= 1


@pytest.mark.rfc("8257", "3.2")
def test_the_receiver_echoes_each_mark_by_itself_and_changes_at_once(iss: int, irs: int) -> None:
    bench = called(iss, irs, replace(DCTCP, delayed_ack=0.2, receive_buffer=60_000))
    echoes = []
    for number, codepoint in enumerate((0, 0, CE, CE, CE, 0, CE)):
        text_arrives(bench, 1 + 1000 * number, b"x" * 1000, codepoint=codepoint)
        echoes.append([bool(seg.flags & ECE) for seg in bench.take()])
    assert echoes == [[], [False], [True], [], [True], [False], [True]]


@pytest.mark.rfc("8257", "3.2")
def test_the_receiver_does_not_wait_for_cwr(iss: int, irs: int) -> None:
    bench = called(iss, irs, DCTCP)
    text_arrives(bench, 1, codepoint=CE, flags=ACK | CWR)
    text_arrives(bench, 101, codepoint=CE, flags=ACK | CWR)
    text_arrives(bench, 201)
    assert [seg.flags for seg in bench.take()] == [ACK | ECE, ACK | ECE, ACK]


@pytest.mark.rfc("8257", "3.3")
@pytest.mark.parametrize("congestion", ["dctcp", "reno"])
def test_behind_a_queue_that_marks_nothing_is_lost(congestion: str) -> None:

    async def main() -> dict[str, int]:
        path = Path(rate=1e8, delay=0.001, queue_packets=60, mark_packets=12)
        config = Config(congestion=congestion, ecn="on")
        async with open_network(path, Path(delay=0.001), config=config) as network:
            client, server = await open_stream_pair(network)
            await client.send_all(bytes(1_000_000))
            received = 0
            while received < 1_000_000:
                received += len(await server.receive_some())
            return client.status().counters

    counters = run(main)
    assert counters["reductions by ECN"] > 1
    assert "segments retransmitted" not in counters
