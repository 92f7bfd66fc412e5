"""`usertcp lab`: experiments against the kernel of a peer, in a network that is made for them."""

from __future__ import annotations

from typing import Any

import click

from usertcp.cli.options import Seconds, View, view_options

LINKS = ("raw", "packet")


@click.group("lab")
def command() -> None:
    """Experiments against a real kernel, in a network of their own.

    The network holds two hosts and a cable between them, and has no way out of it. It is gone when the command ends.

    \b
    Examples:
      usertcp lab list
      usertcp lab run handshake --explain
      usertcp lab run ./mine.py
      usertcp lab run sack --link packet
      usertcp lab shell
    """


@command.command("list")
def list_() -> None:
    """Name the experiments."""
    from usertcp.lab.experiment import experiments

    found = experiments()
    width = max(map(len, found))
    for name, experiment in found.items():
        click.echo(f"{name:<{width}}  {experiment.title}")


@command.command()
@click.argument("name")
@click.option(
    "--msl",
    type=Seconds(),
    metavar="SECONDS",
    help="Maximum segment lifetime: TIME-WAIT lasts twice this.",
)
@click.option(
    "--link",
    type=click.Choice(LINKS),
    default=LINKS[0],
    show_default=True,
    help="Scapy's raw sockets, or packet sockets that leave checksums and the cutting of segments to the kernel.",
)
@view_options
def run(name: str, msl: float | None, link: Any, view: View) -> int:
    """Run an experiment: NAME as in the list, or a Python file of yours.

    Both ends' states are real: those on the right come from the peer's kernel. Fails if what is claimed does not hold.
    """
    from usertcp.cli.experiment import perform
    from usertcp.cli.run import run
    from usertcp.lab.experiment import enter, find

    experiment = find(name)
    peer = enter()
    return run(lambda: perform(experiment, peer, msl, link, view))


@command.command()
def shell() -> int:
    """Open a shell in the network, with services on the peer."""
    from usertcp.cli.run import run
    from usertcp.lab.experiment import enter
    from usertcp.lab.shell import WELCOME, shell

    peer = enter()
    click.echo(WELCOME)
    return run(lambda: shell(peer))
