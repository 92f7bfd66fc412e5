"""What `usertcp sim` does and shows."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import fields
from statistics import mean, median

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from usertcp.cli.options import View
from usertcp.cli.screen import Screen
from usertcp.sim.grid import Figures, results
from usertcp.sim.play import Digest, play
from usertcp.sim.result import Result
from usertcp.sim.scenario import OPTIONS, Scenario
from usertcp.tcp.events import Tracer, TraceRecord

Run = tuple[Scenario, Figures]


def one(scenario: Scenario, view: View, ladder: bool, digest: bool, csv_file: str | None) -> int:
    """Run a scenario, show it as asked for, then what came of it. Returns the exit status."""
    screen = Screen(view, sys.stdout if ladder else None)
    digests = (Digest(), Digest()) if digest else (None, None)
    with ExitStack() as stack:
        if screen.tracer:
            stack.enter_context(screen.replay())
        result = play(scenario, tracer=_both(screen.tracer, digests[0]), tracer_b=digests[1])
    figures = result.figures()
    if digest:
        figures["digest"] = " ".join(map(str, digests))
    if csv_file:
        write_csv(csv_file, [(scenario, figures)])
    if view.json:
        print(json_line(scenario, figures))
    else:
        print("\n" * ladder + "\n".join(summary(result, figures)))
    return 1 if result.problems else 0


def many(scenarios: Sequence[Scenario], view: View, csv_file: str | None, table: bool) -> int:
    """Run them all, show a table if asked, and the problems. Returns the exit status. After Ctrl-C it shows what there
    is."""
    done: dict[int, Figures] = {}
    try:
        errors = Console(stderr=True)
        with results(scenarios) as ready, Progress(console=errors, disable=not errors.is_terminal) as progress:
            for index, figures in progress.track(ready, total=len(scenarios), description="runs"):
                done[index] = figures
    finally:
        runs = [(scenarios[index], done[index]) for index in sorted(done)]
        if csv_file:
            write_csv(csv_file, runs)
        if view.json:
            print(*(json_line(*run) for run in runs), sep="\n")
        else:
            if table:
                show_table(runs)
            show_problems(runs)
    return 1 if any(figures["problems"] for _, figures in runs) else 0


def summary(result: Result, figures: Figures) -> list[str]:
    """What came of one run, for people."""
    lines = [
        f"goodput          {_rate(result.goodput)}: {result.octets:,} octets in {result.seconds:.3f} s",
        f"retransmissions  {figures['retransmissions']}, by {figures['fast_retransmits']} fast retransmits and "
        f"{figures['timeouts']} timeouts",
        f"dropped          {result.lost} lost, {result.overflowed} as the queue was full, "
        f"of {result.segments:,} segments",
        f"RTT              {_ms(figures['rtt_min'])} at least, median {_ms(figures['rtt_median'])}, "
        f"99 % below {_ms(figures['rtt_p99'])}; queueing {_ms(figures['queueing'])}",
    ]
    if result.marked:
        lines.append(f"marked           {result.marked:,}, as the queue was long")
    if len(result.flows) > 1:
        lines.append(f"fairness         {result.fairness:.3f} (Jain)")
        lines += [f"  {flow.controller:<15}{_rate(flow.goodput)}" for flow in result.flows]
    lines.append(f"simulated        {result.segments_per_cpu_second:,.0f} segments per CPU second")
    if "digest" in figures:
        lines.append(f"digest           {figures['digest']}")
    lines += [f"PROBLEM          {problem}" for problem in result.problems]
    return [*lines, f"again            {result.scenario.command_line()}"]


def show_table(runs: Sequence[Run]) -> None:
    """A line for each combination: medians and means over its seeds."""
    asked = [scenario.options() for scenario, _ in runs]
    shown = [name for name in OPTIONS if name != "seed" and len({options.get(name) for options in asked}) > 1]
    groups: dict[tuple[str, ...], list[Figures]] = {}
    for scenario, figures in runs:
        if "goodput" in figures:
            groups.setdefault(tuple(_text(scenario, name) for name in shown), []).append(figures)
    table = Table(box=None, pad_edge=False)
    for name in [*shown, "goodput", "retransmissions", "timeouts", "median RTT", "queueing", "fairness"]:
        table.add_column(name.replace("_", " "), justify="left" if name in shown else "right")
    for combination, group in groups.items():
        table.add_row(
            *combination,
            _rate(median(_column(group, "goodput"))),
            f"{mean(_column(group, 'retransmissions')):.1f}",
            f"{mean(_column(group, 'timeouts')):.1f}",
            *(_ms(median(_column(group, name))) for name in ("rtt_median", "queueing")),
            f"{median(_column(group, 'fairness')):.3f}",
        )
    Console(width=None if sys.stdout.isatty() else 100).print(table)


def show_problems(runs: Sequence[Run]) -> None:
    """What must not be, each with how to repeat it."""
    failed = [(scenario, figures) for scenario, figures in runs if figures["problems"]]
    print(f"{len(runs):,} runs, {len(failed) or 'none'} with a problem")
    for scenario, figures in failed:
        print(f"PROBLEM  {figures['problems']}\n  again  {scenario.command_line()}")


def write_csv(name: str, runs: Iterable[Run]) -> None:
    """A row for each run: all options, then all figures but how fast this machine is."""
    rows = [_row(scenario, figures) for scenario, figures in runs]
    with open(name, "w", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def json_line(scenario: Scenario, figures: Figures) -> str:
    """One run as JSON."""
    outcome = "failed" if figures["problems"] else "held"
    return json.dumps({"type": "summary", "outcome": outcome, "command": scenario.command_line(), **figures})


def _row(scenario: Scenario, figures: Figures) -> Mapping[str, object]:
    options = {field.name: _text(scenario, field.name) for field in fields(scenario)}
    return options | {name: value for name, value in figures.items() if name != "segments_per_cpu_second"}


def _text(scenario: Scenario, name: str) -> str:
    value = getattr(scenario, name)
    return "" if value is None else OPTIONS[name].unit.show(value)


def _column(group: Sequence[Figures], name: str) -> list[float]:
    return [float(figures[name]) for figures in group]


def _rate(bits: float) -> str:
    return f"{bits / 1e6:.3f} Mbit/s"


def _ms(seconds: float | int | str) -> str:
    return f"{float(seconds) * 1e3:.1f} ms"


def _both(first: Tracer | None, second: Tracer | None) -> Tracer | None:
    if first is None or second is None:
        return first or second
    tracers = first, second

    def tracer(record: TraceRecord) -> None:
        for each in tracers:
            each(record)

    return tracer
