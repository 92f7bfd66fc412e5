"""What `usertcp bench` does and shows."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from json import dumps

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from usertcp.bench import arena, pictures
from usertcp.bench.figures import Figure
from usertcp.bench.history import Record, fallen, keep, latest, moves, record
from usertcp.bench.measure import BenchLink
from usertcp.bench.results import NORMAL, SHORT, Result, measure, runs

WIDTH = 120
"""Columns where there is no terminal to ask."""


def bench(
    figures: Sequence[Figure],
    link: BenchLink,
    *,
    short: bool,
    json: bool,
    plot: str | None,
    compare: bool,
    history: bool,
) -> int:
    """Measure, and show it as asked for. Returns the exit status."""
    if plot:
        pictures.need_matplotlib()
    import usertcp.link.raw
    import usertcp.wire.scapy  # noqa: F401  Here, and not in each of the processes that measure.

    effort = SHORT if short else NORMAL
    errors = Console(stderr=True)
    # No thread may run when a process is forked, so the bar moves with the runs only.
    with Progress(console=errors, disable=not errors.is_terminal, auto_refresh=False) as progress:
        task = progress.add_task("", total=runs(figures, effort))

        def tell(what: str, done: int) -> None:
            progress.update(task, description=what, advance=done, refresh=True)

        results = measure(arena.enter(), figures, link, effort, tell)
    made = record(results, link, effort)
    before = latest(made["machine"])
    if plot:
        pictures.draw(results, caption(made), plot)
    if history:
        print(f"kept as {keep(made)}", file=sys.stderr)
    if json:
        print(dumps(made, indent=1))
    else:
        console = Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)
        show(console, results, made)
    fell = compare and show_moves(before, made, Console(stderr=json, highlight=False))
    return 1 if fell or any(result.problem for result in results) else 0


def caption(made: Record) -> str:
    """Where and how it was measured."""
    return (
        f"{made['machine']}, {made['system']}, {made['code']}; {over(made['link'])}; "
        f"bulk transfers with {made['congestion control']} at both ends; "
        f"medians of {made['rounds']} rounds of {made['seconds']} s, in turns"
    )


def over(link: str) -> str:
    """What the packets of either TCP travel over."""
    return f"link {link}; the kernel's over veth" if link == "tun" else f"link {link}"


def show(console: Console, results: Sequence[Result], made: Record) -> None:
    """The table, and what went wrong."""
    table = Table(box=None, pad_edge=False, caption=caption(made), caption_justify="left")
    for name in "figure", "unit":
        table.add_column(name, no_wrap=True)
    for name in "usertcp", "kernel", "plain", "ratio", "of the rounds", "must", "go for", "":
        table.add_column(name, justify="right", no_wrap=True)
    for result in results:
        figure = result.figure
        values = [number(result.value(contestant), figure.digits) for contestant in ("usertcp", "kernel", "plain")]
        ratios = result.ratios
        spread = f"{min(ratios):.2f} - {max(ratios):.2f}" if ratios else ""
        marks = [mark(figure, limit) for limit in (figure.must, figure.goal)]
        table.add_row(figure.name, figure.unit, *values, number(result.ratio, 2), spread, *marks, verdict(result))
    console.print(table)
    for result in results:
        if result.problem:
            console.print(f"FAILED  {result.figure.name}: {result.problem}", markup=False)


def number(value: float | None, digits: int) -> str:
    """As a table has it, with no more digits than mean something."""
    if value is None:
        return ""
    if value and abs(value) < 10**-digits:
        return f"{value:.2g}"
    return f"{value:,.{digits}f}"


def mark(figure: Figure, limit: float | None) -> str:
    """What is to be reached."""
    if limit is None:
        return ""
    return f"{limit:,.{figure.digits}f}" if figure.absolute else f"{limit:g} x"


def verdict(result: Result) -> str:
    """Against both marks, in the colour of the better one that it reaches."""
    if result.problem:
        return "[red]failed[/]"
    if result.reaches(result.figure.goal):
        return "[bold green]goal[/]"
    must = result.reaches(result.figure.must)
    return "" if must is None else "[green]reached[/]" if must else "[red]below[/]"


def show_moves(before: Record | None, made: Record, console: Console) -> bool:
    """What has moved since the newest result that is kept. Has a ratio fallen by half?"""
    if before is None:
        console.print("nothing is kept to compare with")
        return False
    console.print(f"\nsince {before['date']} on {before['machine']}, link {before['link']}:")
    moved = list(moves(before, made))
    fell = fallen(moved)
    for move in moved:
        what = "ratio" if move.ratio else "value"
        note = "  FALLEN BY HALF" if move in fell else ""
        line = f"  {move.name:<20} {what} {move.before:>9,.4g} -> {move.now:>9,.4g}"
        console.print(f"{line}   {move.better:.2f} times as good{note}", markup=False)
    return bool(fell)
