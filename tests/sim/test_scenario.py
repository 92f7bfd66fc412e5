"""A scenario on a command line, and back."""

from __future__ import annotations

from dataclasses import fields, replace
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from usertcp.link.loss import Burst, EveryNth, Numbered
from usertcp.sim.scenario import OPTIONS, Scenario, parse, parse_command_line
from usertcp.sim.soak import random_scenario
from usertcp.tcp.congestion import CONTROLLERS

seconds = st.floats(0, 1e4)
chance = st.floats(0, 1)
losses = (
    chance
    | st.builds(Burst, chance, st.floats(1e-9, 1))
    | st.builds(EveryNth, st.integers(1, 1000))
    | st.builds(Numbered, st.lists(st.integers(1, 10_000), min_size=1, max_size=5).map(tuple))
)
switch = st.none() | st.booleans()
octets = st.integers(1, 1 << 30)
scenarios = st.builds(
    Scenario,
    controller=st.lists(st.sampled_from(sorted(CONTROLLERS)), min_size=1, max_size=3).map(tuple),
    flows=st.integers(1, 9),
    octets=octets,
    duration=seconds,
    rate=st.floats(1, 1e12) | st.just(inf),
    delay=seconds,
    queue=st.integers(0, 10_000),
    mark=st.none() | st.integers(0, 10_000),
    loss=losses,
    loss_back=st.none() | losses,
    reordering=chance,
    reordering_delay=seconds,
    duplication=chance,
    corruption=chance,
    ecn=st.sampled_from((None, "off", "passive", "on", "accurate")),
    rack=switch,
    sack=switch,
    timestamps=switch,
    window_scaling=switch,
    pacing=switch,
    receive_buffer=st.none() | octets,
    send_buffer=st.none() | octets,
    patience=st.none() | st.floats(1, 1e4),
    seed=st.integers(0, 1 << 64),
)


@given(scenarios)
def test_what_is_written_is_read_back_exactly(scenario: Scenario) -> None:
    assert parse_command_line(scenario.command_line()) == scenario


def test_random_scenarios_are_read_back_as_well_and_differ() -> None:
    scenarios = [random_scenario(seed) for seed in range(200)]
    assert scenarios == [parse_command_line(each.command_line()) for each in scenarios]
    assert len({replace(each, seed=0) for each in scenarios}) == 200


def test_every_field_is_an_option() -> None:
    assert list(OPTIONS) == [field.name for field in fields(Scenario)]


def test_a_command_line_is_what_one_would_type() -> None:
    scenario = Scenario(rate=1.5e9, delay=0.0002, loss=0.005, octets=3 << 20, rack=False, seed=7)
    line = "usertcp sim --octets 3m --rate 1.5gbit --delay 200us --loss 0.5% --rack off --seed 7"
    assert scenario.command_line() == line
    assert parse({"loss": "burst:1%/25%"}) == Scenario(loss=Burst(0.01, 0.25))
    assert parse({"loss": "0", "delay": "0"}) == replace(Scenario(), loss=0.0, delay=0.0)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("delay", "20"),
        ("delay", "fast"),
        ("rate", "10mbyte"),
        ("loss", "1"),
        ("loss", "often:3"),
        ("loss", "packets:3,x"),
        ("octets", "1.5"),
        ("rack", "yes"),
        ("flows", "-1"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_option(name: str, text: str) -> None:
    with pytest.raises(ValueError, match=f"--{name}: "):
        parse({name: text})


@pytest.mark.parametrize(
    "options",
    [{"program": "chess"}, {"controller": "vegas"}, {"loss": "101%"}, {"rate": "0"}, {"flows": "0"}, {"ecn": "maybe"}],
)
def test_impossible_scenarios_are_refused(options: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"is one of|are 0 to 1|positive|at least|ecn is"):
        parse(options)
