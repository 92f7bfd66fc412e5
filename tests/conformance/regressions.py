"""The bugs that other TCPs have shipped, and the tests that hold them off: the table in regressions.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
TABLE: dict[str, dict[str, list[str]]] = tomllib.loads((Path(__file__).parent / "regressions.toml").read_text())
"""By group and bug, tests as "FILE: NAME", without the prefix that all have."""


def mark(items: Iterable[pytest.Item]) -> None:
    """Mark the tests of the table with its bugs."""
    marks: dict[str, list[pytest.MarkDecorator]] = {}
    for group, bugs in TABLE.items():
        for bug, tests in bugs.items():
            for test in tests:
                marks.setdefault(test, []).append(pytest.mark.regression(group, bug))
    for item in items:
        if isinstance(item, pytest.Function) and item.path.is_relative_to(TESTS):
            name = f"{item.path.relative_to(TESTS)}: {item.originalname.removeprefix('test_')}"
            for each in marks.get(name, []):
                item.add_marker(each)
