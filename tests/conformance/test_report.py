"""The report: from outcomes to what is held, not held, open."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conformance.outcomes import Outcome, Rule, read
from tests.conformance.report import Requirement, Row, bugs, lines, main_rules, report

ROOT = Path(__file__).parents[2]
MUST_1 = Rule("9293", "3.1", "MUST-1")
TABLE = [
    Requirement("MUST-1", MUST_1, "the first rule"),
    Requirement("SHLD-1", Rule("9293", "3.4.1", "SHLD-1"), "the second rule"),
]
RULES = [
    Requirement("RFC5681-3.2", Rule("5681", "3.2"), "fast recovery"),
    Requirement("RFC5681-3.2-step 2", Rule("5681", "3.2", "step 2"), "how it begins"),
]


def judged(*outcomes: Outcome, reasons: dict[str, str] | None = None) -> Row:
    """The row of MUST-1."""
    return report(TABLE, reasons or {}, outcomes)[0]


def test_a_requirement_whose_tests_all_pass_is_held_by_them() -> None:
    row = judged(
        *(Outcome(test, "passed", [MUST_1]) for test in ("b.py::test_y[1]", "b.py::test_y[2]", "a.py::test_x"))
    )
    assert (row.status, row.tests, row.why) == ("held", ["a.py::test_x", "b.py::test_y"], None)


def test_a_requirement_without_a_test_is_open_or_not_held_for_a_reason() -> None:
    assert (judged().status, judged().tests, judged().why) == ("open", [], "no test")
    row = judged(reasons={"MUST-1": "it hurts"})
    assert (row.status, row.tests, row.why) == ("not-held", [], "it hurts")


def test_a_requirement_is_open_if_one_test_fails_with_one_parameter_and_no_reason_helps() -> None:
    results = {"a.py::test_x": "passed", "a.py::test_y[1]": "passed", "a.py::test_y[2]": "failed"}
    row = judged(*(Outcome(*it, [MUST_1]) for it in results.items()), reasons={"MUST-1": "it hurts"})
    assert (row.status, row.tests, row.why) == ("open", ["a.py::test_x"], "failed: a.py::test_y")


def test_a_test_that_was_skipped_shows_nothing() -> None:
    row = judged(Outcome("a.py::test_x[1]", "passed", [MUST_1]), Outcome("a.py::test_x[2]", "skipped", [MUST_1]))
    assert (row.status, row.tests, row.why) == ("open", [], "not run to the end: a.py::test_x")


def test_every_requirement_comes_first_then_whatever_else_is_marked_in_reading_order() -> None:
    rules = [
        Rule("5681", "3.1"),
        Rule("9293", "3.10.1"),
        Rule("9293", "3.9", "first"),
        Rule("791", "appendix A"),
        MUST_1,
    ]
    rows = report(TABLE, {}, [Outcome("a.py::test_x", "passed", rules)])
    assert [row.id for row in rows] == [
        "MUST-1", "SHLD-1", "RFC 791 appendix A", "RFC 5681 3.1", "RFC 9293 3.9 first", "RFC 9293 3.10.1",
    ]  # fmt: skip


def test_a_main_rule_is_held_by_marks_of_its_part_or_else_by_the_rest_of_its_section() -> None:
    outcomes = [
        Outcome(f"a.py::test_{part[-1:]}", "passed", [Rule("5681", "3.2", part)]) for part in ("", "step 2", "step 3")
    ]
    rows = report([*TABLE, *RULES], {}, outcomes)
    assert [(row.id, row.status, row.tests) for row in rows[2:]] == [
        ("RFC5681-3.2", "held", ["a.py::test_", "a.py::test_3"]),
        ("RFC5681-3.2-step 2", "held", ["a.py::test_2"]),
    ]


def test_the_text_has_a_line_for_each_rule_and_test_and_ends_in_a_summary() -> None:
    bug = Requirement("FIN: it is lost", Rule("", "FIN", "it is lost"), "it is lost")
    outcome = Outcome("a.py::test_x", "passed", [MUST_1, Rule("5681", "3.1"), Rule("5681", "3.2"), bug.rule])
    rows = report([*TABLE, *RULES, bug], {}, [outcome])
    assert "\n".join(lines(rows)) == (
        "RFC 9293, requirement by requirement\n"
        "MUST-1   3.1        held      the first rule\n"
        "                              a.py::test_x\n"
        "SHLD-1   3.4.1      open      the second rule\n"
        "                              no test\n"
        "\n"
        "Main rules of the RFCs around it\n"
        "RFC5681-3.2                    held      fast recovery\n"
        "                                         a.py (1)\n"
        "RFC5681-3.2-step 2             open      how it begins\n"
        "                                         no test\n"
        "\n"
        "Bugs that other TCPs have shipped\n"
        "held      FIN: it is lost\n"
        "          a.py (1)\n"
        "\n"
        "Other sections that tests are marked with\n"
        "RFC 5681 3.1                   held      a.py (1)\n"
        "\n"
        "RFC 9293: 1 held, 0 not-held, 1 open of 2. Main rules: 1 held, 0 not-held, 1 open of 2. "
        "Sections: 1 held, 0 not-held, 0 open of 1.\n"
        "Bugs: 1 held, 0 not-held, 0 open of 1."
    )


def test_who_holds_off_a_bug_is_marked_with_it(request: pytest.FixtureRequest) -> None:
    """As all are that are collected. This one stands in no table."""
    assert not list(request.node.iter_markers("regression"))
    found = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--collect-only", "-m", "regression", "tests/tcp/test_isn.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    ).stdout
    assert "::test_isn_is_a_clock_of_4_microseconds" in found
    assert "deselected" in found


MARKED = """
import pytest

@pytest.mark.rfc("1", "2.3")
@pytest.mark.rfc("9293", "3.1", "MUST-1")
@pytest.mark.parametrize("n", [1, 2])
def test_passes_once(n):
    assert n == 1

@pytest.fixture
def broken():
    yield
    raise OSError

@pytest.mark.rfc("1", "2.3")
def test_fails_on_its_way_out(broken):
    pass

@pytest.mark.rfc("1", "2.3")
def test_is_skipped():
    pytest.skip()

def test_without_a_mark():
    pass
"""


def test_a_run_is_recorded(tmp_path: Path) -> None:
    test, file = tmp_path / "test_marked.py", tmp_path / "outcomes.json"
    test.write_text(MARKED)
    apart = [
        "-p",
        "tests.conftest",
        "-c",
        "/dev/null",
        f"--rootdir={tmp_path}",
    ]  # this suite's options, not its settings
    command = [sys.executable, "-m", "pytest", *apart, f"--conformance={file}", str(test)]
    subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}, capture_output=True)
    both = [Rule("9293", "3.1", "MUST-1"), Rule("1", "2.3")]
    assert read(file) == [
        Outcome("test_marked.py::test_passes_once[1]", "passed", both),
        Outcome("test_marked.py::test_passes_once[2]", "failed", both),
        Outcome("test_marked.py::test_fails_on_its_way_out", "failed", both[1:]),
        Outcome("test_marked.py::test_is_skipped", "skipped", both[1:]),
    ]


def test_what_was_recorded_is_printed_as_json(tmp_path: Path) -> None:
    file = tmp_path / "outcomes.json"
    file.write_text(json.dumps([Outcome("a.py::test_x", "passed", [MUST_1])._asdict()]))
    command = [sys.executable, "-m", "tests.conformance", "--json", str(file)]
    printed = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout)
    assert len(printed) == 119 + len(main_rules()) + len(bugs())
    assert printed[0].items() >= {"id": "MUST-1", "status": "held", "tests": ["a.py::test_x"], "why": None}.items()
    assert {row["status"] for row in printed[1:]} == {"not-held", "open"}
