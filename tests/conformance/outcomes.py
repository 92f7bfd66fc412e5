"""Which rules a run of the tests is about, and how each test ended: a pytest plugin behind `--conformance=FILE`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import pytest


class Rule(NamedTuple):
    """What a mark names: `@pytest.mark.rfc("9293", "3.8.6.3", "MUST-40")`. Of a bug that is held off, group and bug."""

    rfc: str
    section: str
    name: str = ""
    """A requirement, or a part of the section: a step, a figure, an equation."""


class Outcome(NamedTuple):
    test: str
    """Node id, with the parameters."""
    result: str
    """passed, failed or skipped."""
    rules: list[Rule]


class Recorder:
    """Notes the outcome of every test that is marked, and writes them all to a file when the run is over."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._rules: dict[str, list[Rule]] = {}
        self._results: dict[str, str] = {}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            rules = [Rule(*mark.args) for mark in item.iter_markers("rfc")]
            bugs = [Rule("", *mark.args) for mark in item.iter_markers("regression")]
            if rules or bugs:
                self._rules[item.nodeid] = rules + bugs

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or not report.passed:  # an error on the way in or out is the test's as well
            self._results[report.nodeid] = "failed" if self._results.get(report.nodeid) == "failed" else report.outcome

    def pytest_sessionfinish(self) -> None:
        outcomes = [Outcome(test, self._results.get(test, "skipped"), rules) for test, rules in self._rules.items()]
        self._file.write_text(json.dumps([outcome._asdict() for outcome in outcomes]))


def read(file: Path) -> list[Outcome]:
    """What a `Recorder` wrote."""
    return [
        Outcome(record["test"], record["result"], [Rule(*rule) for rule in record["rules"]])
        for record in json.loads(file.read_text())
    ]
