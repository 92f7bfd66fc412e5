"""Many scenarios at once."""

from __future__ import annotations

from usertcp.sim.grid import grid, results
from usertcp.sim.play import play
from usertcp.sim.scenario import Scenario


def test_a_grid_has_every_combination_with_every_seed() -> None:
    scenarios = grid({"loss": ["0", "1%"], "delay": ["5ms", "50ms"], "seed": ["4"]}, seeds=3)
    assert len(set(scenarios)) == 12
    assert {(each.loss, each.delay) for each in scenarios} == {(0, 0.005), (0, 0.05), (0.01, 0.005), (0.01, 0.05)}
    assert {each.seed for each in scenarios} == {4, 5, 6}


def test_other_processes_come_to_the_same_figures() -> None:
    scenarios = grid({"loss": ["0", "5%"], "octets": ["20k"]})
    with results(scenarios, processes=2) as ready:
        found = dict(ready)
    for index, scenario in enumerate(scenarios):
        expected = play(scenario).figures()
        assert found[index] | {"segments_per_cpu_second": 0} == expected | {"segments_per_cpu_second": 0}


def test_the_default_is_one_run() -> None:
    assert grid({}) == [Scenario()]
