"""Whole stacks over bad paths: every octet arrives intact, every connection ends, and a seed repeats it all."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from usertcp.link.loss import Burst, EveryNth
from usertcp.sim.play import play
from usertcp.sim.scenario import Scenario

chance = st.sampled_from([0.0, 0.01, 0.03, 0.1, 0.15])
scenarios = st.builds(
    Scenario,
    program=st.just("erratic"),
    octets=st.just(20_000),
    rate=st.sampled_from([1e5, 1e6, 1e8, float("inf")]),
    delay=st.sampled_from([0.0, 0.001, 0.05, 0.3]),
    queue=st.sampled_from([3, 20, 1000]),
    loss=chance | st.sampled_from([Burst(0.02, 0.3), EveryNth(9)]),
    reordering=chance,
    reordering_delay=st.sampled_from([0.0001, 0.01, 0.5]),
    duplication=chance,
    corruption=chance,
    # Small buffers, and patience: over the worst of these paths a hundred seconds of bad luck do happen.
    receive_buffer=st.just(30_000),
    send_buffer=st.just(50_000),
    patience=st.just(3600.0),
    seed=st.integers(0, 1000),
)


def check(scenario: Scenario) -> None:
    """Play it; what is wrong comes with the command that repeats it, for which --ladder and --pcap show how."""
    problems = play(scenario).problems
    assert not problems, f"{'; '.join(problems)}\nagain: {scenario.command_line()}"


@settings(max_examples=25, deadline=None, print_blob=True)
@given(scenario=scenarios)
def test_every_octet_arrives_over_any_path(scenario: Scenario) -> None:
    check(scenario)


@pytest.mark.parametrize("modern", [True, False], ids=["modern", "plain"])
def test_a_megabyte_each_way_over_a_lossy_path(modern: bool) -> None:
    scenario = Scenario(
        program="erratic",
        rate=2e7,
        loss=0.01,
        reordering=0.02,
        duplication=0.01,
        corruption=0.01,
        sack=modern,
        timestamps=modern,
        window_scaling=modern,
    )
    check(scenario)
