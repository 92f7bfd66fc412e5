"""Every experiment against a real peer's kernel, as root and as an ordinary user; and what an experiment may be."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import trio

import usertcp.wire.scapy  # noqa: F401  Here, since an ordinary user may not read where it is.
from tests.lab.conftest import Child, SecondChance
from usertcp.errors import SetupError
from usertcp.lab import Experiment, Lab, Outcome, enter, experiments, find, run
from usertcp.lab.peer import echo
from usertcp.runtime.opening import LinkName
from usertcp.tcp.config import Config
from usertcp.tcp.events import StateEntered, TraceRecord
from usertcp.tcp.state import State

pytestmark = pytest.mark.lab

EXPERIMENTS = experiments()
ON_PACKET_SOCKETS = (
    "handshake", "passive-open", "simultaneous-open", "simultaneous-close", "half-close", "abort", "syn-loss",
    "fin-loss", "time-wait", "port-reuse", "data-loss", "sack", "rack-tail-loss", "reordering", "ecn", "fast-open",
    "zero-window", "urgent", "pmtu", "fragments", "md5", "no-suppression", "ipv6",
)  # fmt: skip
"""Every kind of fault, and those whose claims depend on when and how much is sent."""


def outcome_of(
    experiment: Experiment,
    tracer: Callable[[TraceRecord], None] | None = None,
    config: Config | None = None,
    link: LinkName = "raw",
) -> Outcome:
    return trio.run(partial(run, experiment, enter(), tracer=tracer, config=config, link=link))


def experiment(body: Callable[[Lab], object]) -> Experiment:
    async def do(lab: Lab) -> None:
        await body(lab)

    return Experiment("mine", "Mine", "", "", do)


def its_claims_hold(name: str, link: LinkName = "raw") -> None:
    outcome = outcome_of(EXPERIMENTS[name], link=link)
    if not outcome.held:
        raise AssertionError(outcome.error, [claim.text for claim in outcome.claims if not claim.held])


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_its_claims_hold(child: Child, name: str, second_chance: SecondChance) -> None:
    second_chance(partial(child, partial(its_claims_hold, name)))


@pytest.mark.parametrize("name", ON_PACKET_SOCKETS)
def test_its_claims_hold_on_packet_sockets_too(name: str, second_chance: SecondChance) -> None:
    """Where we send super-segments, unless a fault is to hit single ones, and acknowledge when the program had its
    turn."""
    second_chance(partial(Child(os.getuid()), partial(its_claims_hold, name, "packet")))


def test_each_of_the_eleven_states_is_to_be_seen_in_some_ladder(child: Child) -> None:
    """In our column: the experiments that take no time are enough for it."""

    def inside() -> None:
        seen: set[State] = set()

        def note(record: TraceRecord) -> None:
            if isinstance(record, StateEntered):
                seen.update((record.old, record.new))

        async def all_of_them() -> None:
            peer = enter()
            for name in ("passive-open", "simultaneous-open", "active-close", "passive-close", "simultaneous-close"):
                assert (await run(EXPERIMENTS[name], peer, tracer=note, config=Config(msl=0.05))).held

        trio.run(all_of_them)
        assert seen == set(State)

    child(inside)


def test_a_claim_that_does_not_hold_fails_the_experiment(child: Child) -> None:
    async def body(lab: Lab) -> None:
        lab.check("true", True)
        lab.check("false", False)
        lab.check("also true", True)

    def inside() -> None:
        outcome = outcome_of(experiment(body))
        assert not outcome.held
        assert outcome.claims == [("true", True), ("false", False), ("also true", True)]

    child(inside)


def test_an_experiment_without_claims_has_shown_nothing(child: Child) -> None:
    async def body(lab: Lab) -> None:
        pass

    child(lambda: check(not outcome_of(experiment(body)).held))


def test_an_error_of_tcp_ends_it_and_is_told(child: Child) -> None:
    async def body(lab: Lab) -> None:
        lab.check("true", True)
        await lab.connect(4)

    def inside() -> None:
        outcome = outcome_of(experiment(body))
        assert not outcome.held
        assert "refused" in outcome.error

    child(inside)


def test_what_never_happens_is_not_waited_for_for_ever(child: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("usertcp.lab.experiment.TIME_LIMIT", 0.1)

    async def body(lab: Lab) -> None:
        await trio.sleep_forever()

    child(lambda: check("in time" in outcome_of(experiment(body)).error))


def test_a_bug_in_an_experiment_is_told_with_its_line(child: Child) -> None:
    async def body(lab: Lab) -> None:
        lab.check("true", True)
        raise ZeroDivisionError("of mine")

    line = body.__code__.co_firstlineno + 2

    def inside() -> None:
        outcome = outcome_of(experiment(body))
        assert not outcome.held
        assert outcome.error == f"test_experiments.py, line {line}: ZeroDivisionError: of mine"
        assert outcome.claims == [("true", True)]

    child(inside)


def test_a_machine_that_does_not_let_us_is_no_outcome(child: Child) -> None:
    async def body(lab: Lab) -> None:
        raise SetupError("not here")

    def inside() -> None:
        with pytest.raises(ExceptionGroup) as error:
            outcome_of(experiment(body))
        assert error.group_contains(SetupError)

    child(inside)


@pytest.mark.parametrize(("text", "why"), [("1 / 0", "line 1: ZeroDivisionError"), ("def", "SyntaxError")])
def test_a_file_that_cannot_be_read_is_told_why(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(SetupError, match=why):
        find(str(path))


def test_the_last_ack_cannot_be_shown_when_2_msl_are_shorter_than_the_peers_patience(child: Child) -> None:
    def inside() -> None:
        outcome = outcome_of(EXPERIMENTS["last-ack-loss"], config=Config(msl=0.05))
        assert (outcome.held, outcome.error) == (False, "")
        assert ("the peer repeated its FIN within 2 MSL", False) in outcome.claims

    child(inside)


def test_states_of_both_ends_as_claims(child: Child) -> None:
    async def body(lab: Lab) -> None:
        await lab.serve(echo, 7)
        stream = await lab.connect(7)
        await stream.send_all(b"hello")
        await stream.receive_some()
        lab.check_states(stream.flow, ours="CLOSED SYN-SENT ESTABLISHED", peer="LISTEN SYN-RECEIVED ESTABLISHED")
        lab.check_states(stream.flow, ours="CLOSED SYN-SENT (SYN-RECEIVED) ESTABLISHED (CLOSE-WAIT)")
        lab.check_states(stream.flow, ours="CLOSED (SYN-SENT)", peer="SYN-RECEIVED ESTABLISHED")

    def inside() -> None:
        assert [claim.held for claim in outcome_of(experiment(body)).claims] == [True, True, True, False, False]

    child(inside)


def test_a_file_of_ones_own_is_an_experiment(child: Child, tmp_path: Path) -> None:
    path = tmp_path / "my_own.py"
    path.write_text(
        '''"""Mine.

What it showed: this and
that.

How to read it: so.
"""

async def run(lab):
    lab.check("it ran", True)
'''
    )
    mine = find(str(path))
    assert (mine.name, mine.title, mine.showed, mine.reading) == ("my-own", "Mine", "this and that.", "so.")
    child(lambda: check(outcome_of(mine).held))


@pytest.mark.parametrize(
    "text", ["", '"""Title."""\nasync def run(lab): ...', '"""T.\n\nWhat it showed: a\n\nHow to read it: b"""']
)
def test_a_file_that_lacks_something_is_told_what(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(SetupError, match="What it showed"):
        find(str(path))


def test_an_unknown_name_is_answered_by_those_there_are() -> None:
    with pytest.raises(SetupError, match="handshake, passive-open"):
        find("hand-shake")


def test_every_experiment_says_what_it_shows_and_where_that_is_written() -> None:
    for each in EXPERIMENTS.values():
        assert each.title
        assert each.showed
        assert "RFC" in each.reading


def check(held: bool) -> None:
    assert held
