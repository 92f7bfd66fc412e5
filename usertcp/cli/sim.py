"""`usertcp sim`: stacks, connections and a path, simulated on a virtual clock; one run, or a grid of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from usertcp.cli.options import View, view_options
from usertcp.sim.scenario import OPTIONS, Scenario


def scenario_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """An option for each field of a scenario: the command gets what was given of them as text, by name."""
    for name, (unit, help_) in reversed(OPTIONS.items()):
        default = Scenario.__dataclass_fields__[name].default
        known = "" if default is None or default == 0 else f"  [{unit.show(default)}]"
        command = click.option(f"--{name.replace('_', '-')}", name, metavar=unit.metavar, help=help_ + known)(command)
    return command


@click.command("sim")
@scenario_options
@click.option("--seeds", type=click.IntRange(1), default=1, metavar="NUMBER", help="Run each with so many seeds.")
@click.option(
    "--soak",
    type=click.IntRange(1),
    metavar="NUMBER",
    help="Run so many random scenarios over bad paths instead, those of --seed and the seeds that follow.",
)
@click.option("--csv", "csv_file", metavar="FILE", help="Also write a row for each run.")
@click.option("--ladder", is_flag=True, help="Draw every segment as the end that opens the connections sees it.")
@click.option("--digest", is_flag=True, help="One number of all packets and their times: equal if those are.")
@view_options
def command(
    seeds: int,
    soak: int | None,
    csv_file: str | None,
    ladder: bool,
    digest: bool,
    view: View,
    **given: str | None,
) -> int:
    """Run a scenario on a virtual clock. The same options give the same packets, to the octet.

    Options may have several values, with commas: then all combinations run, on all processors. With --json there is a
    line for each run; with --ladder besides, one for each record before it.

    \b
    Examples:
      usertcp sim --rate 10mbit --delay 20ms --loss 1%
      usertcp sim --loss packets:3+7 --loss-back 0 --octets 50k --ladder
      usertcp sim --controller reno+cubic --duration 30s
      usertcp sim --loss 0,1%,3% --delay 5ms,50ms --controller reno,cubic,bbr --seeds 5 --csv runs.csv
      usertcp sim --soak 1000
    """
    from usertcp.cli.simulation import many, one
    from usertcp.sim.grid import grid
    from usertcp.sim.soak import random_scenario

    options = {name: text.split(",") for name, text in given.items() if text is not None}
    if soak and (options.keys() - {"seed"} or seeds > 1):
        raise click.UsageError("--soak chooses everything but the first --seed by itself")
    try:
        scenarios = grid(options, seeds)
        if soak:
            scenarios = [random_scenario(scenarios[0].seed + more) for more in range(soak)]
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if len(scenarios) == 1 and not soak:
        return one(scenarios[0], view, ladder, digest, csv_file)
    if ladder or digest or view.pcap:
        raise click.UsageError("--ladder, --digest and --pcap are for one run")
    return many(scenarios, view, csv_file, table=not soak)
