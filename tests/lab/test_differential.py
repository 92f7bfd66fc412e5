"""The same scripts to usertcp and to a Linux kernel: both do the same, but for what the tables list."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.lab.conftest import Child
from tests.lab.differential.compare import differences, kernel, listed, own
from tests.lab.differential.script import Observation, Script, Transcript
from tests.lab.differential.scripts import SCRIPTS

pytestmark = pytest.mark.lab

ATTEMPTS = 5
"""On a busy machine a kernel's timer may come late. What is not as listed is played to it again."""


IPV6_TOO = [name for name, script in SCRIPTS.items() if all(step.verb != "icmp" for step in script.steps)]
"""Types and codes of ICMPv6 are others."""
CASES = [(4, name) for name in SCRIPTS] + [(6, name) for name in IPV6_TOO]

Found = dict[int, dict[str, dict[int, str]]]
"""By version of IP, script and step."""


def expected(version: int) -> dict[str, dict[int, str]]:
    return listed() if version == 4 else listed() | listed(6)


@pytest.fixture(scope="module")
def found(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Found:
    """The differences of each script that a test of this run is about."""
    items = [item for item in request.session.items if isinstance(item, pytest.Function) and hasattr(item, "callspec")]
    of_this_file = [item.callspec.params for item in items if item.path == request.path]
    cases = {(params["version"], params["name"]) for params in of_this_file}
    folder = tmp_path_factory.mktemp("kernel")
    return {
        version: found_over(version, [SCRIPTS[name] for name in SCRIPTS if (version, name) in cases], folder)
        for version in (4, 6)
    }


def found_over(version: int, scripts: list[Script], folder: Path) -> dict[str, dict[int, str]]:
    table = expected(version)
    ours = {script.name: own(script, version) for script in scripts}
    result: dict[str, dict[int, str]] = {}
    for attempt in range(ATTEMPTS):
        if not scripts:
            break
        theirs = by_the_kernel(scripts, version, folder / f"{version}-{attempt}.json")
        result |= {script.name: differences(script, theirs[script.name], ours[script.name]) for script in scripts}
        scripts = [script for script in scripts if result[script.name] != table.get(script.name, {})]
    return result


def by_the_kernel(scripts: list[Script], version: int, file: Path) -> dict[str, Transcript]:
    """Play scripts to the kernel, in a process of its own."""
    Child(os.getuid())(lambda: file.write_text(json.dumps(kernel(scripts, version))))
    transcripts = json.loads(file.read_text())
    return {
        name: [Observation(result, tuple(sent), state) for result, sent, state in transcript]
        for name, transcript in transcripts.items()
    }


@pytest.mark.parametrize(("version", "name"), CASES, ids=[f"IPv{version}: {name}" for version, name in CASES])
def test_what_differs_is_listed_and_what_is_listed_differs(version: int, name: str, found: Found) -> None:
    assert found[version][name] == expected(version).get(name, {})


def test_every_listed_difference_is_of_a_script() -> None:
    assert listed().keys() <= SCRIPTS.keys()


def test_what_is_listed_for_ipv6_is_not_the_same_as_for_ipv4() -> None:
    assert all(listed().get(name, {}) != steps for name, steps in listed(6).items())
    assert listed(6).keys() <= set(IPV6_TOO)
