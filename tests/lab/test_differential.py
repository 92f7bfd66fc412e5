"""The same scripts to usertcp and to a Linux kernel: both do the same, but for what differences.txt lists."""

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


@pytest.fixture(scope="module")
def found(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[int, str]]:
    """The differences of each script that a test of this run is about."""
    items = [item for item in request.session.items if isinstance(item, pytest.Function) and hasattr(item, "callspec")]
    names = {item.callspec.params.get("name") for item in items if item.path == request.path}
    scripts = [script for name, script in SCRIPTS.items() if name in names]
    folder, table = tmp_path_factory.mktemp("kernel"), listed()
    ours = {script.name: own(script) for script in scripts}
    result: dict[str, dict[int, str]] = {}
    for attempt in range(ATTEMPTS):
        theirs = by_the_kernel(scripts, folder / f"{attempt}.json")
        result |= {script.name: differences(script, theirs[script.name], ours[script.name]) for script in scripts}
        scripts = [script for script in scripts if result[script.name] != table.get(script.name, {})]
        if not scripts:
            break
    return result


def by_the_kernel(scripts: list[Script], file: Path) -> dict[str, Transcript]:
    """Play scripts to the kernel, in a process of its own."""
    Child(os.getuid())(lambda: file.write_text(json.dumps(kernel(scripts))))
    transcripts = json.loads(file.read_text())
    return {
        name: [Observation(result, tuple(sent), state) for result, sent, state in transcript]
        for name, transcript in transcripts.items()
    }


@pytest.mark.parametrize("name", SCRIPTS)
def test_what_differs_is_listed_and_what_is_listed_differs(name: str, found: dict[str, dict[int, str]]) -> None:
    assert found[name] == listed().get(name, {})


def test_every_listed_difference_is_of_a_script() -> None:
    assert listed().keys() <= SCRIPTS.keys()
