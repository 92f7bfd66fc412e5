"""Scenarios played: what comes of them, and that it is the same each time."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from usertcp.sim.play import Digest, play
from usertcp.sim.scenario import Scenario, parse, parse_command_line
from usertcp.tcp.congestion.reno import Reno
from usertcp.tcp.events import SegmentOut, TraceRecord

BAD = Scenario(
    program="erratic", octets=20_000, loss=0.05, reordering=0.05, duplication=0.05, corruption=0.05, patience=3600.0
)


def digests(scenario: Scenario) -> str:
    here, there = Digest(), Digest()
    assert play(scenario, tracer=here, tracer_b=there).problems == []
    return f"{here} {there}"


def test_a_scenario_read_back_gives_the_same_packets() -> None:
    first = digests(BAD)
    assert [digests(parse_command_line(BAD.command_line())) for _ in range(2)] == [first] * 2
    assert digests(parse_command_line(BAD.command_line().replace("--seed 1", "--seed 2"))) != first


@pytest.mark.parametrize("differs", [{"PYTHONHASHSEED": "0"}, {"PYTHONHASHSEED": "1"}, {"USERTCP_COMPILED": "0"}])
def test_another_process_sends_the_same_packets(differs: dict[str, str]) -> None:
    """Also if its core is interpreted and ours is not."""
    command = [sys.executable, "-m", *BAD.command_line().split(), "--digest", "--ladder"]
    env = {**os.environ, **differs}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, env=env)
    assert digests(BAD) in done.stdout


def test_a_tracer_changes_nothing() -> None:
    watched, alone = play(BAD, tracer=Digest(), tracer_b=Digest()), play(BAD)
    different = {"segments_per_cpu_second"}
    assert {key: value for key, value in watched.figures().items() if key not in different} == {
        key: value for key, value in alone.figures().items() if key not in different
    }


def test_a_clean_path_is_filled() -> None:
    result = play(parse({"rate": "10mbit", "octets": "2m", "queue": "1000"}))
    assert result.octets == 2 << 20
    assert 0.85 * 10e6 < result.goodput < 10e6 * 1460 / 1500
    figures = result.figures()
    assert figures["retransmissions"] == figures["lost"] == figures["overflowed"] == 0
    assert figures["rtt_min"] == pytest.approx(0.04, abs=0.001)
    assert figures["fairness"] == 1


def test_lost_segments_are_counted_and_sent_again() -> None:
    result = play(parse({"loss": "packets:5+9", "loss_back": "0", "octets": "100k"}))
    assert result.lost == 2
    assert result.flows[0].retransmissions == 2
    assert result.octets == 100 << 10


def test_flows_share_a_bottleneck() -> None:
    result = play(parse({"controller": "reno+cubic", "flows": "2", "duration": "5s", "rate": "4mbit"}))
    assert [flow.controller for flow in result.flows] == ["reno", "cubic", "reno", "cubic"]
    assert result.problems == []
    assert 0.8 * 4e6 < result.goodput < 4e6
    assert all(flow.seconds == 5 for flow in result.flows)
    assert 0.25 < result.fairness <= 1


def test_a_connection_that_cannot_be_opened_is_a_problem() -> None:
    [problem, _] = play(parse({"loss": "100%"})).problems
    assert "timed out" in problem


def test_a_connection_that_is_cut_is_a_problem_at_the_end_that_sends() -> None:
    numbers = "+".join(map(str, range(10, 400)))
    problems = play(parse({"loss": f"packets:{numbers}", "octets": "100k"})).problems
    assert any("the near end" in problem for problem in problems)


def test_a_bug_comes_with_the_command_that_repeats_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Reno, "on_ack", fail)
    scenario = Scenario(controller=("reno",), octets=100_000)
    with pytest.raises((ZeroDivisionError, ExceptionGroup)) as caught:
        play(scenario)
    assert scenario.command_line() in caught.value.__notes__


def test_octets_that_nobody_sent_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    from usertcp.runtime.stream import TcpStream

    receive = TcpStream.receive_some

    async def changed(self: TcpStream, max_bytes: int | None = None) -> bytes:
        return (await receive(self, max_bytes)).replace(b"\0", b"\1")

    monkeypatch.setattr(TcpStream, "receive_some", changed)
    assert "not what was sent" in play(Scenario(octets=10_000)).problems[0]


def test_the_tracer_is_of_the_end_that_calls() -> None:
    sent: list[TraceRecord] = []
    play(Scenario(octets=1000), tracer=sent.append)
    first = next(record for record in sent if isinstance(record, SegmentOut))
    assert first.flow.remote_port == 7


@pytest.mark.parametrize("ecn", ["on", "accurate"])
def test_a_path_marks_those_who_may_be_and_loses_nothing(ecn: str) -> None:
    path = {"rate": "10mbit", "delay": "5ms", "queue": "100", "mark": "10", "octets": "1m", "controller": "dctcp"}
    deaf, marked = play(parse({**path, "ecn": "off"})), play(parse({**path, "ecn": ecn}))
    assert deaf.marked == 0
    figures = marked.figures()
    assert marked.marked == figures["marked"] > 10
    assert figures["retransmissions"] == figures["overflowed"] == 0
    assert figures["queueing"] < deaf.figures()["queueing"]
    assert marked.goodput > 0.85 * 10e6
