"""What is held, made from the table of requirements, the outcomes of the tests, and the reasons for what is not held.

A rule is held if it has tests and all of them passed. Without any it is open, unless `not_held.toml` says why it is
deliberately left out. If one fails it is open, whatever the others say.
"""

from __future__ import annotations

import csv
import re
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from tests.conformance.outcomes import Outcome, Rule
from tests.conformance.regressions import TABLE

HERE = Path(__file__).parent
REQUIREMENT = re.compile(r"(MUST|SHLD|MAY|REC)-\d+")
"""What RFC 9293, appendix B, calls its requirements."""
Status = Literal["held", "not-held", "open"]


class Requirement(NamedTuple):
    id: str
    """MUST-40; RFC7413-4.1.2, with the part of the section behind it if it has rules of its own; of a bug its group and
    what it is."""
    rule: Rule
    """What marks name. Without a part it stands for all parts of the section that have no requirement of their own."""
    text: str


@dataclass(frozen=True)
class Row:
    """One rule and what is known of it."""

    id: str
    """That of the requirement; or the RFC and the section, of a rule that is not in a table."""
    rfc: str
    section: str
    requirement: str
    status: Status
    tests: list[str]
    """Those that passed, without their parameters."""
    why: str | None
    """It is not held, or open."""


def requirements() -> list[Requirement]:
    """All of RFC 9293, in the order of its appendix B by kind."""
    with (HERE / "rfc9293.csv").open(newline="") as file:
        return [
            Requirement(row["id"], Rule("9293", row["section"], row["id"]), row["requirement"])
            for row in csv.DictReader(file)
        ]


def main_rules() -> list[Requirement]:
    """Those of the RFCs around it, by number. CUBIC's are those of RFC 9438, which obsoletes RFC 8312."""
    with (HERE / "rules.csv").open(newline="") as file:
        rules = [(Rule(row["rfc"], row["section"], row["part"] or ""), row["rule"]) for row in csv.DictReader(file)]
    return [Requirement("-".join([f"RFC{rule.rfc}", *filter(None, rule[1:])]), rule, text) for rule, text in rules]


def bugs() -> list[Requirement]:
    """That those of other TCPs are not made here, in the order of their table."""
    return [Requirement(f"{group}: {bug}", Rule("", group, bug), bug) for group in TABLE for bug in TABLE[group]]


def reasons() -> dict[str, str]:
    """Why some requirements are deliberately not held."""
    return {id_: str(why) for id_, why in tomllib.loads((HERE / "not_held.toml").read_text()).items()}


def report(table: Iterable[Requirement], reasons: dict[str, str], outcomes: Iterable[Outcome]) -> list[Row]:
    """First every requirement of the table, then every other rule that a test is marked with."""
    table = list(table)
    known = {requirement.rule for requirement in table}
    shown: defaultdict[Rule, defaultdict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for outcome in outcomes:
        for rule in outcome.rules:
            section = Rule(rule.rfc, rule.section)
            about = section if rule not in known and section in known else rule
            shown[about][outcome.test.partition("[")[0]].add(outcome.result)

    rows = []
    for id_, rule, text in table:
        rows.append(Row(id_, rule.rfc, rule.section, text, *judge(shown.pop(rule, {}), reasons.get(id_))))
    for rule in sorted(shown, key=in_reading_order):
        id_ = " ".join(["RFC", *filter(None, rule)])
        rows.append(Row(id_, rule.rfc, rule.section, rule.name, *judge(shown[rule], None)))
    return rows


def judge(tests: dict[str, set[str]], reason: str | None) -> tuple[Status, list[str], str | None]:
    """Status, the tests that passed, and why it is not held."""
    passed = sorted(test for test, results in tests.items() if results == {"passed"})
    failed = sorted(test for test, results in tests.items() if "failed" in results)
    if failed:
        return "open", passed, f"failed: {', '.join(failed)}"
    if passed:
        return "held", passed, None
    if tests:
        return "open", [], f"not run to the end: {', '.join(sorted(tests))}"
    return ("not-held", [], reason) if reason else ("open", [], "no test")


def in_reading_order(rule: Rule) -> tuple[int, list[tuple[int, str]], str]:
    """By number, not by letter: 3.9 before 3.10, and appendices last."""
    parts = [(int(part), "") if part.isdigit() else (1000, part) for part in rule.section.split(".")]
    return int(rule.rfc), parts, rule.name


def lines(rows: list[Row]) -> Iterator[str]:
    """The report to be read, the summary last."""
    numbered = [row for row in rows if REQUIREMENT.fullmatch(row.id)]
    sections = [row for row in rows if row.id.startswith("RFC ")]
    shipped = [row for row in rows if not row.rfc]
    rules = [row for row in rows[len(numbered) : len(rows) - len(sections)] if row.rfc]
    yield "RFC 9293, requirement by requirement"
    for row in numbered:
        yield f"{row.id:8} {row.section:10} {row.status:9} {row.requirement}"
        yield from (f"{'':30}{test}" for test in row.tests)
        if row.why:
            yield f"{'':30}{row.why}"
    yield ""
    yield "Main rules of the RFCs around it"
    for row in rules:
        yield f"{row.id:30} {row.status:9} {row.requirement}"
        yield f"{'':41}{row.why or tally(row.tests)}"
    yield ""
    yield "Bugs that other TCPs have shipped"
    for row in shipped:
        yield f"{row.status:9} {row.id}"
        yield f"{'':10}{row.why or tally(row.tests)}"
    yield ""
    yield "Other sections that tests are marked with"
    for row in sections:
        yield f"{row.id:30} {row.status:9} {row.why or ''}{tally(row.tests)}".rstrip()
    yield ""
    yield f"RFC 9293: {summary(numbered)}. Main rules: {summary(rules)}. Sections: {summary(sections)}."
    yield f"Bugs: {summary(shipped)}."


def tally(tests: list[str]) -> str:
    """How many tests there are in which files."""
    files = Counter(test.partition("::")[0] for test in tests)
    return ", ".join(f"{file} ({count})" for file, count in files.items())


def summary(rows: list[Row]) -> str:
    counts = Counter(row.status for row in rows)
    return ", ".join(f"{counts[status]} {status}" for status in ("held", "not-held", "open")) + f" of {len(rows)}"
