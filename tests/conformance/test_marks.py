"""The marks themselves: a wrong one is worse than none."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.outcomes import Rule
from tests.conformance.report import REQUIREMENT, main_rules, reasons, requirements

TESTS = Path(__file__).parents[1]
RFCS = (
    1191, 1337, 2018, 2385, 2883, 3042, 3168, 3522, 4015, 4821, 4987, 5461, 5482, 5681, 5682, 5925, 5927, 5961, 6093,
    6191, 6528, 6675, 6928, 6937, 7323, 7413, 7661, 8201, 8899, 8985, 9438, 9768, 9937,
)  # fmt: skip
"""Loss recovery, congestion control, and what else a grown TCP has."""
SECTIONS = {requirement.id: requirement.rule.section for requirement in requirements()}


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
    marked = {rule for path in TESTS.rglob("test_*.py") for _, rule in marks(path)}
    unmarked = {each.id for each in [*requirements(), *main_rules()] if each.rule not in marked}
    assert set(reasons()) <= unmarked
    assert all(reasons().values())


def test_the_table_of_main_rules_names_each_once_and_in_order() -> None:
    rules = main_rules()
    assert len(rules) == len({each.id for each in rules}) == len({each.rule for each in rules})
    assert all(each.text and each.rule.section for each in rules)
    assert [int(each.rule.rfc) for each in rules] == sorted(int(each.rule.rfc) for each in rules)


@pytest.mark.parametrize("rfc", RFCS)
def test_each_rfc_around_it_has_main_rules(rfc: int) -> None:
    assert any(each.rule.rfc == str(rfc) for each in main_rules())


def test_the_table_has_every_requirement_once() -> None:
    numbers = {"MUST": 69, "SHLD": 31, "MAY": 18, "REC": 1}
    assert [requirement.id for requirement in requirements()] == [
        f"{kind}-{number}" for kind, count in numbers.items() for number in range(1, count + 1)
    ]
