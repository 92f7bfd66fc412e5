"""Goodput against loss, round-trip time, controller and loss detection: the table in goodput.csv, and how it is made.

Every nth packet is lost, not each by chance: a median of few runs with random loss moves by a factor of three with the
seeds, and would say nothing of a change.

`scripts/goodput` writes it again. Do that, and look at the difference, in the change that means to alter it.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from usertcp.sim.grid import grid, results
from usertcp.sim.scenario import OPTIONS, Scenario

TABLE = Path(__file__).with_name("goodput.csv")
AXES = {
    "controller": ["reno", "cubic", "bbr"],
    "rack": ["off", "on"],
    "delay": ["5ms", "50ms"],
    "loss": ["0", "every:100", "every:33"],
}
FIXED = {"rate": ["10mbit"], "octets": ["1m"], "queue": ["50"], "loss_back": ["0"]}
SEEDS = 1
"""Runs of which the median counts: which packets are lost makes a difference of its own."""

Cell = tuple[str, ...]


def compute() -> dict[Cell, int]:
    """The goodput of each combination, kilobits per second."""
    scenarios = grid({**AXES, **FIXED})
    found = dict.fromkeys(map(cell, scenarios), 0)
    with results(scenarios) as ready:
        for index, figures in ready:
            assert not figures["problems"], f"{figures['problems']}\nagain: {scenarios[index].command_line()}"
            found[cell(scenarios[index])] = round(float(figures["goodput"]) / 1000)
    return found


def cell(scenario: Scenario) -> Cell:
    """Where in the table it belongs."""
    return tuple(OPTIONS[name].unit.show(getattr(scenario, name)) for name in AXES)


def read() -> dict[Cell, int]:
    """The table as it is kept."""
    with TABLE.open(newline="") as file:
        _, *rows = csv.reader(file)
    return {tuple(names): int(goodput) for *names, goodput in rows}


def write(table: Iterable[tuple[Cell, int]]) -> None:
    """Keep a table."""
    with TABLE.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*AXES, "kbit/s"])
        writer.writerows([*names, goodput] for names, goodput in table)


if __name__ == "__main__":
    write(compute().items())
    print(f"wrote {TABLE}")
