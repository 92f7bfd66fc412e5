"""`usertcp bench`: how fast it is, beside the kernel."""

from __future__ import annotations

from typing import Any

import click

LINKS = ("auto", "packet", "tun", "raw")


@click.command("bench")
@click.argument("figures", nargs=-1, metavar="[FIGURE]...")
@click.option(
    "--link",
    type=click.Choice(LINKS),
    default=LINKS[0],
    show_default=True,
    help="What usertcp runs over; the kernel's TCP always has the cable.",
)
@click.option("--short", is_flag=True, help="Fewer and shorter rounds: some three minutes become one.")
@click.option("--json", is_flag=True, help="One JSON object instead of the table.")
@click.option(
    "--plot", metavar="FILE", help="Also draw it, with what an octet costs by the size of a write. [.png .svg]"
)
@click.option("--compare", is_flag=True, help="Then say what has moved since the newest result that is kept.")
@click.option("--history", is_flag=True, help="Keep the result, for the kind of this machine and today's date.")
def command(
    figures: tuple[str, ...], link: Any, short: bool, json: bool, plot: str | None, compare: bool, history: bool
) -> int:
    """Measure usertcp beside the kernel's TCP, in a network made for it.

    The same Trio programs run over both, and the like over plain sockets; against the same peer process, on the same
    cable, in turns. Nothing else should be running meanwhile. Without FIGURE all of the table are measured; the first
    part of a name stands for all that begin with it.

    The cable is a veth pair. With --link tun, usertcp has a TUN device into the peer's kernel in its place; the
    kernel's TCP, with which it is compared, still has the veth pair: neither then passes through more than it needs.

    Exit status: 1 if something could not be measured, or with --compare if a ratio has fallen by half.

    \b
    Examples:
      usertcp bench
      usertcp bench bulk-send bulk-receive --short
      usertcp bench cost-send cost-receive --plot cost.png
      usertcp bench --short --compare
    """
    from usertcp.bench.figures import COST_BY_OCTETS, choose
    from usertcp.cli.benchmark import bench

    try:
        chosen = choose(figures)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if plot and not figures:
        chosen += COST_BY_OCTETS
    return bench(chosen, link, short=short, json=json, plot=plot, compare=compare, history=history)
