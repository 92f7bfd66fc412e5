"""Earlier results, kept with the code: one file for each kind of machine and date."""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from usertcp import compiled
from usertcp.bench.results import Effort, Result

FOLDER = Path(__file__).with_name("history")
HALF = 0.5

Record = dict[str, Any]
"""What `usertcp bench --json` prints."""


def machine() -> str:
    """The kind of machine that this is: processor and how many of them."""
    names = re.findall(r"^(?:model name|Model)\s*: (.*)", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    name = names[0] if names else platform.machine()
    return "-".join(re.findall(r"[a-z0-9]+", f"{name} {os.cpu_count()} cpu".lower()))


def record(results: Sequence[Result], link: str, effort: Effort) -> Record:
    """Everything that was measured, and where."""
    return {
        "date": date.today().isoformat(),
        "machine": machine(),
        "system": f"Linux {platform.release()}, CPython {platform.python_version()}",
        "code": "compiled" if compiled.in_use else "interpreted",
        "link": link,
        "congestion control": "cubic",
        "rounds": effort.rounds,
        "seconds": effort.seconds,
        "figures": [result.record() for result in results],
    }


def keep(made: Record, folder: Path = FOLDER) -> Path:
    """Write it into the history, over what is there of this day."""
    path = folder / str(made["machine"]) / f"{made['date']}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(made, indent=1) + "\n")
    return path


def latest(kind: str, folder: Path = FOLDER) -> Record | None:
    """The newest of this kind of machine; else the newest of any, whose ratios still say something."""
    paths = sorted(folder.glob("*/*.json"), key=lambda path: (path.parent.name == kind, path.name))
    if not paths:
        return None
    found: Record = json.loads(paths[-1].read_text())
    return found


class Move(NamedTuple):
    """How a figure has moved."""

    name: str
    before: float
    now: float
    better: float
    """So many times as good: below 1 it has become worse."""
    at_best: float
    """The same in the best round of the run: what a busy machine does to the others is not our doing."""
    ratio: bool
    """It is the ratio to the kernel that is compared, or else the value."""


def moves(before: Record, now: Record) -> Iterator[Move]:
    """How each figure has moved that both have: its ratio if it has one; its value only on the same kind of machine."""
    earlier = {figure["name"]: figure for figure in before["figures"]}
    for figure in now["figures"]:
        old = earlier.get(figure["name"], {})
        ratio = old.get("ratio") is not None and figure["ratio"] is not None
        key = "ratio" if ratio else "value"
        if not ratio and before["machine"] != now["machine"]:
            continue
        if old.get(key) and figure[key]:
            more = figure["better"] == "more"
            rounds = [figure[key], *(figure["spread"] or ())] if ratio else [figure[key]]
            better, at_best = (
                now / old[key] if more else old[key] / now for now in (figure[key], (max if more else min)(rounds))
            )
            yield Move(figure["name"], old[key], figure[key], better, at_best, ratio)


def fallen(moved: Sequence[Move]) -> list[Move]:
    """Those of which half is gone in every round, and that are not this machine's but ours: ratios."""
    return [move for move in moved if move.ratio and move.at_best < HALF]
