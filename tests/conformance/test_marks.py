"""The marks themselves: a wrong one is worse than none."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.outcomes import Rule
from tests.conformance.report import REQUIREMENT, reasons, requirements

TESTS = Path(__file__).parents[1]
SECTIONS = {requirement.id: requirement.section for requirement in requirements()}


def marks(path: Path) -> Iterator[tuple[int, Rule]]:
    """Every `pytest.mark.rfc(...)` of a file, with its line."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.rfc":
            yield node.lineno, Rule(*(ast.literal_eval(argument) for argument in node.args))


@pytest.mark.parametrize("path", sorted(TESTS.rglob("test_*.py")), ids=lambda path: str(path.relative_to(TESTS)))
def test_every_mark_names_a_requirement_of_that_section_or_a_section(path: Path) -> None:
    wrong = [
        f"{path}:{line}: {rule}"
        for line, rule in marks(path)
        if not rule.rfc.isdigit()
        or not rule.section
        or (REQUIREMENT.fullmatch(rule.name) and (rule.rfc, rule.section) != ("9293", SECTIONS.get(rule.name)))
    ]
    assert not wrong


def test_reasons_stand_only_for_requirements_that_no_test_is_marked_with() -> None:
    marked = {rule.name for path in TESTS.rglob("test_*.py") for _, rule in marks(path)}
    assert set(reasons()) <= set(SECTIONS) - marked
    assert all(reasons().values())


def test_the_table_has_every_requirement_once() -> None:
    numbers = {"MUST": 69, "SHLD": 31, "MAY": 18, "REC": 1}
    assert [requirement.id for requirement in requirements()] == [
        f"{kind}-{number}" for kind, count in numbers.items() for number in range(1, count + 1)
    ]
