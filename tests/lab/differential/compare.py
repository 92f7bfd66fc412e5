"""Plays scripts to both hosts and writes down where they part."""

from __future__ import annotations

from pathlib import Path

import trio

from tests.lab.differential.kernel import ADDRESS, ADDRESS6, KernelHost, Wire
from tests.lab.differential.own import OwnHost
from tests.lab.differential.play import play
from tests.lab.differential.script import Observation, Script, Step, Transcript
from usertcp.tcp.segment import Flow

TABLES = {4: Path(__file__).with_name("differences.txt"), 6: Path(__file__).with_name("differences_ipv6.txt")}
PEERS = 252
"""How many peers a namespace has addresses for."""


def flow_of(index: int, version: int) -> Flow:
    """Each script that is played in a namespace has a port and a peer of its own: 192.0.2.2 and so on."""
    assert index < PEERS
    local, remote = (ADDRESS, f"192.0.2.{2 + index}") if version == 4 else (ADDRESS6, f"2001:db8::{2 + index:x}")
    return Flow(local, 10000 + index, remote, 50000)


def kernel(scripts: list[Script], version: int = 4) -> dict[str, Transcript]:
    """Play all of them to the kernel at the same time, over this version of IP. Leaves this process in a namespace."""
    wires: dict[tuple[tuple[str, str], ...], Wire] = {}
    hosts = []
    for index, script in enumerate(scripts):
        if script.sysctls not in wires:
            wires[script.sysctls] = Wire(script.sysctls, version)
        hosts.append(KernelHost(wires[script.sysctls], flow_of(index, version)))
    found: dict[str, Transcript] = {}

    async def one(script: Script, host: KernelHost) -> None:
        found[script.name] = await play(script, host)

    async def everything() -> None:
        async with trio.open_nursery() as nursery:
            for script, host in zip(scripts, hosts, strict=True):
                nursery.start_soon(one, script, host)

    trio.run(everything)
    return found


def own(script: Script, version: int = 4) -> Transcript:
    """Play it to usertcp."""
    return trio.run(play, script, OwnHost(flow_of(0, version), script.sysctls))


def differences(script: Script, kernel: Transcript, own: Transcript) -> dict[int, str]:
    """The steps at which the two hosts did not do the same, by number, in words."""
    pairs = enumerate(zip(script.steps, kernel, own, strict=True), 1)
    return {number: told(step, *both) for number, (step, *both) in pairs if both[0] != both[1]}


def told(step: Step, kernel: Observation, own: Observation) -> str:
    """What the tables say of a step, after its number."""
    return f"{step.text}\n    kernel:  {kernel}\n    usertcp: {own}"


def listed(version: int = 4) -> dict[str, dict[int, str]]:
    """The table in differences.txt: what `differences` is known to give, by the name of the script; or that in
    differences_ipv6.txt, of the scripts with which it gives something else over IPv6.

    Its paragraphs are a reason, beginning with "#", or steps of one script, which part for the reason above them.
    """
    table: dict[str, dict[int, str]] = {}
    _, *paragraphs = TABLES[version].read_text().strip().split("\n\n")
    for paragraph in paragraphs:
        if paragraph.startswith("#"):
            continue
        name, *lines = paragraph.split("\n")
        table.setdefault(name, {})
        for at in range(0, len(lines), 3):
            number, _, text = lines[at].partition(": ")
            table[name][int(number)] = "\n".join([text, *lines[at + 1 : at + 3]])
    return table
