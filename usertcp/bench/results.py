"""Rounds, in turns, and what came of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from statistics import median

from usertcp.bench.arena import Arena, Failed
from usertcp.bench.figures import Figure, Work
from usertcp.bench.measure import BenchLink, Sample


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to measure."""

    rounds: int
    seconds: float


NORMAL, SHORT = Effort(5, 0.5), Effort(3, 0.15)


@dataclass(slots=True)
class Result:
    """A figure, measured."""

    figure: Figure
    samples: dict[str, list[Sample]] = field(default_factory=dict)
    """Of each contestant, one for each round."""
    problem: str = ""
    """Why there is none."""

    def values(self, contestant: str) -> list[float]:
        """One for each round."""
        return [self.figure.read(sample) for sample in self.samples.get(contestant, [])]

    def value(self, contestant: str = "usertcp") -> float | None:
        """The median of the rounds."""
        values = self.values(contestant)
        return median(values) if values else None

    @property
    def ratios(self) -> list[float]:
        """Ours by the kernel's through Trio, in each round."""
        pairs = zip(self.values("usertcp"), self.values("kernel"), strict=False)
        return [ours / theirs for ours, theirs in pairs if theirs]

    @property
    def ratio(self) -> float | None:
        """The median of the rounds."""
        return median(self.ratios) if self.ratios else None

    @property
    def judged(self) -> float | None:
        """What `must` and `goal` are about."""
        return self.value() if self.figure.absolute else self.ratio

    def reaches(self, mark: float | None) -> bool | None:
        """Is it as good as that? None: there is no such mark, or no figure."""
        if mark is None or self.judged is None:
            return None
        return self.judged >= mark if self.figure.more_is_better else self.judged <= mark

    def record(self) -> dict[str, object]:
        """For JSON."""
        figure = self.figure
        ratios = self.ratios
        return {
            "name": figure.name,
            "unit": figure.unit,
            "value": _short(self.value()),
            "kernel": _short(self.value("kernel")),
            "plain": _short(self.value("plain")),
            "ratio": _short(self.ratio),
            "spread": [_short(min(ratios)), _short(max(ratios))] if ratios else None,
            "values": [_short(value) for value in self.values("usertcp")],
            "must": figure.must,
            "goal": figure.goal,
            "judged": "value" if figure.absolute else "ratio",
            "better": "more" if figure.more_is_better else "less",
            "reached": self.reaches(figure.must),
            "reached goal": self.reaches(figure.goal),
            **({"problem": self.problem} if self.problem else {}),
        }


def _short(number: float | None) -> float | None:
    """To four digits."""
    return None if number is None else float(f"{number:.4g}")


def works_of(figures: Iterable[Figure]) -> list[Work]:
    """What has to be done for them, each once."""
    return list(dict.fromkeys(figure.work for figure in figures))


def measure(
    arena: Arena, figures: Sequence[Figure], link: BenchLink, effort: Effort, tell: Callable[[str, int], None]
) -> list[Result]:
    """All the figures, round by round, in each the contestants in turn.

    Args:
      tell: called with the names of what is being measured, and how many runs have ended with that.
    """
    samples: dict[Work, dict[str, list[Sample]]] = {}
    problems: dict[Work, str] = {}
    for work in works_of(figures):
        names = ", ".join(figure.name for figure in figures if figure.work is work)
        samples[work] = {contestant: [] for contestant in work.contestants}
        rounds = min(effort.rounds, work.rounds or effort.rounds)
        for number in range(rounds):
            for contestant in work.contestants:
                if work not in problems:
                    what = f"{names}: {contestant}, round {number + 1} of {rounds}"
                    tell(what, 0)
                    try:
                        sample = arena.run(work, contestant, link, effort.seconds, partial(_tell_more, tell, what))
                        samples[work][contestant].append(sample)
                    except Failed as failed:
                        problems[work] = f"{contestant}: {failed}"
                tell(names, 1)
    return [Result(figure, samples[figure.work], problems.get(figure.work, "")) for figure in figures]


def _tell_more(tell: Callable[[str, int], None], what: str, more: str) -> None:
    tell(f"{what}, {more}", 0)


def runs(figures: Sequence[Figure], effort: Effort) -> int:
    """How many there will be."""
    return sum(min(effort.rounds, work.rounds or effort.rounds) * len(work.contestants) for work in works_of(figures))
