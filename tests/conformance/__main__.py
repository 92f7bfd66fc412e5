"""Print the report of a run: `scripts/conformance` says how."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from tests.conformance import outcomes
from tests.conformance.report import bugs, lines, main_rules, reasons, report, requirements


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance")
    parser.add_argument("outcomes", type=Path, help="file written by pytest --conformance=FILE")
    parser.add_argument("--json", action="store_true", help="a list of objects: id, status, tests, why ...")
    arguments = parser.parse_args()
    rows = report([*requirements(), *main_rules(), *bugs()], reasons(), outcomes.read(arguments.outcomes))
    if arguments.json:
        print(json.dumps([asdict(row) for row in rows], indent=1))
    else:
        print(*lines(rows), sep="\n")


main()
