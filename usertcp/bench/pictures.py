"""The results as a picture. Needs matplotlib: `pip install usertcp[plots]`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from usertcp.bench.figures import CONTESTANTS, SIZES
from usertcp.bench.results import Result
from usertcp.errors import SetupError

LABELS = {"usertcp": "usertcp", "kernel": "kernel through Trio", "plain": "kernel, plain sockets"}


def need_matplotlib() -> None:
    """Raises SetupError if it is not installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise SetupError("pictures need matplotlib: pip install 'usertcp[plots]'") from None


def draw(results: Sequence[Result], title: str, file: str) -> None:
    """Bars of the ratios with what they must reach, and what an octet costs by the octets of a write.

    Args:
      file: its name says the format: .png, .svg, .pdf.
    """
    from matplotlib.figure import Figure as Picture

    ratios = [result for result in results if result.ratio is not None and not result.figure.name.startswith("cost-")]
    costs = [result for result in results if result.figure.name.startswith(("cost-send-", "cost-receive-"))]
    picture = Picture(figsize=(12, 9 if costs and ratios else 5), layout="constrained")
    picture.suptitle(title, fontsize=10)
    rows: Any = picture.subfigures(2, 1) if costs and ratios else [picture] * 2
    if ratios:
        _ratios(rows[0].subplots(), ratios)
    if costs:
        for axes, verb in zip(rows[1].subplots(1, 2, sharey=True), ("send", "receive"), strict=True):
            _costs(axes, verb, {result.figure.name: result for result in costs})
    picture.savefig(file)


def _ratios(axes: Any, results: Sequence[Result]) -> None:
    for at, result in enumerate(results):
        ratio = result.ratio or 0.0
        reached = result.reaches(result.figure.must)
        colour = "tab:gray" if reached is None else "tab:green" if reached else "tab:red"
        low, high = ratio - min(result.ratios), max(result.ratios) - ratio
        axes.bar(at, ratio, color=colour, yerr=[[low], [high]], capsize=4, alpha=0.8)
        if result.figure.must is not None and not result.figure.absolute:
            axes.hlines(result.figure.must, at - 0.4, at + 0.4, colors="black", linestyles="dotted")
    axes.axhline(1, color="black", linewidth=0.8)
    axes.set_yscale("log")
    axes.set_ylabel("usertcp / kernel through Trio")
    axes.set_xticks(range(len(results)), [result.figure.name for result in results], rotation=30, ha="right")
    axes.set_title("median and extremes of the rounds; dotted: what must be reached", fontsize=9)


def _costs(axes: Any, verb: str, results: dict[str, Result]) -> None:
    for contestant in CONTESTANTS:
        points = [
            (octets, value)
            for size, octets in SIZES.items()
            if (result := results.get(f"cost-{verb}-{size}")) and (value := result.value(contestant))
        ]
        if points:
            axes.loglog(*zip(*points, strict=True), marker="o", label=LABELS[contestant])
    axes.set_xticks(list(SIZES.values()), list(SIZES), minor=False)
    axes.set_xlabel("octets of a write")
    axes.set_title(f"CPU seconds of our process per GB, to {verb}", fontsize=9)
    axes.legend()
