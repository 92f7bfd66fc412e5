"""What `usertcp lab run` and `usertcp lab shell` do, once the network is there."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
from dataclasses import replace
from functools import partial

import trio

from usertcp.cli.options import View
from usertcp.cli.screen import Screen
from usertcp.lab.bench import CONFIG
from usertcp.lab.experiment import Experiment, Outcome, run
from usertcp.lab.peer import Handler, Peer, discard, echo, http

PR_SET_PDEATHSIG = 1

SERVICES: dict[int, Handler] = {7: echo, 9: discard, 80: http}
"""What the peer serves in `lab shell`, by port."""


async def perform(experiment: Experiment, peer: Peer, msl: float | None, view: View) -> int:
    """Run an experiment and say what it showed. Returns the exit status."""
    kernel = f"Linux {os.uname().release.split('-')[0]}"
    screen = Screen(view, sys.stdout, peer=kernel, peer_state=peer.state)
    screen.say(f"{experiment.name}: {experiment.title}\n", "bold")
    config = CONFIG if msl is None else replace(CONFIG, msl=msl)
    async with screen.open():
        outcome = await run(experiment, peer, tracer=screen, config=config)
    report(screen, outcome)
    return 0 if outcome.held else 1


def report(screen: Screen, outcome: Outcome) -> None:
    """Claims and lessons under the ladder, or the last of the JSON."""
    experiment = outcome.experiment
    screen.say("")
    for claim in outcome.claims:
        screen.say(f"  {'holds' if claim.held else 'FAILS'}  {claim.text}", "green" if claim.held else "bold red")
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


async def shell(peer: Peer) -> int:
    """A shell in our namespace, while the peer's kernel serves. Returns the shell's exit status."""
    print(f"The peer is {peer.address} and {peer.address6}; it serves", end=" ")
    print(", ".join(f"{handler.__name__} on {port}" for port, handler in SERVICES.items()), end=".\n")
    print(f"Try:  usertcp handshake {peer.address} 80 --send 'GET / HTTP/1.0\\r\\n\\r\\n' --msl 1", flush=True)
    program = os.environ.get("SHELL", "/bin/sh")
    async with trio.open_nursery() as nursery:
        for port, handler in SERVICES.items():
            for host in [peer.address, peer.address6] if socket.has_dualstack_ipv6() else [peer.address]:
                await nursery.start(partial(peer.serve, handler, port, host=host))
        process = await trio.lowlevel.open_process([program], env={**os.environ, "PS1": "lab# "}, preexec_fn=_die_too)
        status = await process.wait()
        nursery.cancel_scope.cancel()
    return status


def _die_too() -> None:
    """Have the shell end when we do, even if we are killed: it would keep a network that has lost its peer."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGHUP)
