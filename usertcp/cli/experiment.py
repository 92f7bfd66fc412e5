"""What `usertcp lab run` does once the network is there: show the experiment while it runs, then what came of it."""

from __future__ import annotations

import os
import sys
from dataclasses import replace

from usertcp.cli.options import View
from usertcp.cli.screen import Screen
from usertcp.lab.experiment import Experiment, Outcome, run
from usertcp.lab.peer import Peer
from usertcp.lab.workbench import CONFIG
from usertcp.runtime.opening import LinkName


async def perform(experiment: Experiment, peer: Peer, msl: float | None, link: LinkName, view: View) -> int:
    """Run an experiment and say what it showed. Returns the exit status."""
    kernel = f"Linux {os.uname().release.split('-')[0]}"
    screen = Screen(view, sys.stdout, peer=kernel, peer_state=peer.state)
    screen.say(f"{experiment.name}: {experiment.title}\n", "bold")
    config = CONFIG if msl is None else replace(CONFIG, msl=msl)
    async with screen.open():
        outcome = await run(experiment, peer, tracer=screen, config=config, link=link)
    report(screen, outcome)
    return 0 if outcome.held else 1


def report(screen: Screen, outcome: Outcome) -> None:
    """Claims and lessons under the ladder, or the last of the JSON."""
    experiment = outcome.experiment
    screen.say("")
    for claim in outcome.claims:
        screen.say(f"  {'holds' if claim.held else 'FAILS'}  {claim.text}", "green" if claim.held else "bold red")
    for picture in outcome.pictures:
        screen.say("")
        screen.draw(picture)
    if outcome.error:
        screen.say(f"  FAILS  {outcome.error}", "bold red")
    if outcome.held:
        screen.say(f"\nWhat it showed: {experiment.showed}\n\nHow to read it: {experiment.reading}")
    screen.summarize(
        "held" if outcome.held else "failed",
        next(iter(screen.states), None),
        experiment=experiment.name,
        claims=[claim._asdict() for claim in outcome.claims],
        error=outcome.error or None,
    )
