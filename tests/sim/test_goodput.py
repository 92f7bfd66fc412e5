"""The table of goodputs that is kept is what comes out."""

from __future__ import annotations

from math import exp, log
from statistics import mean

from tests.sim.goodput import AXES, compute, read

ANY_CELL = 0.5
"""By so much may one move: a change that means nothing may let another packet be lost, and that one cost a timeout."""
ALL_CELLS = 0.15
"""Together, as a geometric mean, those of a controller move by less."""


def test_goodputs_are_those_of_the_table() -> None:
    kept, found = read(), compute()
    assert kept.keys() == found.keys(), "run scripts/goodput"
    ratios = {cell: found[cell] / kept[cell] for cell in kept}
    moved = {cell: (kept[cell], found[cell]) for cell, ratio in ratios.items() if abs(log(ratio)) > log(1 + ANY_CELL)}
    assert not moved, f"kbit/s before and now: {moved}; if that is meant, run scripts/goodput"
    for controller in AXES["controller"]:
        together = exp(mean(log(ratio) for cell, ratio in ratios.items() if cell[0] == controller))
        assert abs(log(together)) < log(1 + ALL_CELLS), f"{controller}: {together:.2f} times what it was"


def test_loss_costs_reno_more_over_a_distance() -> None:
    kept = read()
    near, far = ([kept["reno", "on", delay, loss] for loss in AXES["loss"]] for delay in ("5ms", "50ms"))
    assert near == sorted(near, reverse=True)
    assert far == sorted(far, reverse=True)
    assert near[0] / near[-1] < far[0] / far[-1]
