"""Every bug that other TCPs have shipped, and that we know of, has its test."""

from __future__ import annotations

import ast
from functools import cache

import pytest

from tests.conformance.regressions import TABLE, TESTS

BUGS = {f"{group}: {bug}": tests for group, bugs in TABLE.items() for bug, tests in bugs.items()}


@cache
def names_in(file: str) -> frozenset[str]:
    """The names of its tests, without the prefix."""
    tree = ast.parse((TESTS / file).read_text())
    functions = (node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return frozenset(node.name.removeprefix("test_") for node in functions if node.name.startswith("test_"))


@pytest.mark.parametrize("bug", BUGS)
def test_the_tests_that_hold_it_off_exist(bug: str) -> None:
    assert BUGS[bug]
    for test in BUGS[bug]:
        file, _, name = test.partition(": ")
        assert name in names_in(file), test


def test_every_test_that_belongs_to_no_mechanism_is_of_a_bug_in_the_table() -> None:
    file = "tcp/test_regressions.py"
    assert {f"{file}: {name}" for name in names_in(file)} <= {test for tests in BUGS.values() for test in tests}
