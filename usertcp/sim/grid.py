"""Many scenarios on all processors."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import product
from multiprocessing import get_context

from usertcp.sim.play import play
from usertcp.sim.scenario import Scenario, parse

Figures = dict[str, float | int | str]


def grid(options: Mapping[str, Sequence[str]], seeds: int = 1) -> list[Scenario]:
    """Every combination of what each option may be, each with so many seeds. Raises ValueError as `parse` does."""
    combinations = [parse(dict(zip(options, texts, strict=True))) for texts in product(*options.values())]
    return [replace(each, seed=each.seed + more) for each in combinations for more in range(seeds)]


@contextmanager
def results(scenarios: Sequence[Scenario], processes: int | None = None) -> Iterator[Iterable[tuple[int, Figures]]]:
    """The figures of each scenario with its index, as they become ready. Leaving the context stops what still runs.

    Args:
      processes: at a time; None: one for each processor.

    A scenario in which there is a bug has it as one of its problems.
    """
    with get_context("spawn").Pool(processes, _ignore_interrupts) as pool:
        yield pool.imap_unordered(_figures, list(enumerate(scenarios)))


def _ignore_interrupts() -> None:
    """Ctrl-C reaches all processes of a terminal; the first one sees to the others."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _figures(numbered: tuple[int, Scenario]) -> tuple[int, Figures]:
    index, scenario = numbered
    try:
        return index, play(scenario).figures()
    except Exception as error:
        return index, {"problems": f"{type(error).__name__}: {error}"}
