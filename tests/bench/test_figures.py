"""The figures of `usertcp bench`: which there are, how they are judged, what is kept of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from usertcp.bench.figures import COST_BY_OCTETS, FIGURES, Figure, Work, choose
from usertcp.bench.history import Record, fallen, keep, latest, moves
from usertcp.bench.measure import SHIFTS, TEXT, Slices
from usertcp.bench.results import NORMAL, Result, runs, works_of


def figure(**more: object) -> Figure:
    fields = {"name": "f", "unit": "1/s", "work": Work(None, {}), "read": lambda sample: sample["n"], **more}
    return Figure(**fields)  # type: ignore[arg-type]


def result(ours: list[float], kernel: list[float], **more: object) -> Result:
    samples = {"usertcp": [{"n": n} for n in ours], "kernel": [{"n": n} for n in kernel]}
    return Result(figure(**more), samples)


def test_a_name_or_the_first_part_of_it_chooses() -> None:
    assert choose(()) == list(FIGURES)
    assert [each.name for each in choose(("bulk", "bulk-send"))] == ["bulk-send", "bulk-receive"]
    assert [each.name for each in choose(("round-trips",))] == ["round-trips"]
    assert len(choose(("cost-send", "cost-receive"))) == len(COST_BY_OCTETS) == 8
    with pytest.raises(ValueError, match="no figure 'bulky'; there are bulk-send, "):
        choose(("bulky",))


def test_figures_of_the_same_work_are_measured_together() -> None:
    [work] = works_of(choose(("bulk-send", "cpu-per-gb-sent", "cost-send-1MiB")))
    assert set(work.contestants) == {"usertcp", "kernel", "plain"}
    assert runs(choose(("memory-idle", "cost-at-10k", "sim-segments")), NORMAL) == 3 * 2 + 5


def test_the_ratio_is_the_median_of_the_rounds_not_that_of_the_medians() -> None:
    one = result([1, 2, 30], [1, 1, 10], must=2, goal=3)
    assert (one.value(), one.value("kernel"), one.ratio, one.ratios) == (2, 1, 2, [1, 2, 3])
    assert (one.reaches(2), one.reaches(3)) == (True, False)


@pytest.mark.parametrize(
    ("more", "reached"),
    [
        ({"must": 0.5}, True),
        ({"must": 0.5, "more_is_better": False}, False),
        ({"must": 5, "absolute": True}, True),
        ({"must": 5, "absolute": True, "more_is_better": False}, False),
        ({}, None),
    ],
)
def test_a_mark_is_for_the_ratio_or_for_the_value(more: dict[str, object], reached: bool | None) -> None:
    one = result([8], [10], **more)
    assert one.reaches(one.figure.must) is reached
    assert one.record()["reached"] is reached


def test_what_failed_has_no_value() -> None:
    record = Result(figure(must=1.0), {"usertcp": [], "kernel": []}, "it broke").record()
    assert (record["value"], record["ratio"], record["reached"], record["problem"]) == (None, None, None, "it broke")


def record(day: str, machine: str = "m", spread: float = 0, **figures: tuple[float | None, float]) -> Record:
    return {
        "date": day,
        "machine": machine,
        "figures": [
            {
                "name": name,
                "ratio": ratio,
                "spread": None if ratio is None else [ratio - spread, ratio + spread],
                "value": value,
                "better": "less" if name == "memory" else "more",
            }
            for name, (ratio, value) in figures.items()
        ],
    }


def test_the_newest_of_this_machine_is_compared_with_else_the_newest(tmp_path: Path) -> None:
    assert latest("m", tmp_path) is None
    for made in record("2026-01-02"), record("2026-01-01"), record("2026-03-01", "other"):
        assert keep(made, tmp_path).parent.name == made["machine"]
    found = latest("m", tmp_path), latest("third", tmp_path)
    assert [each["date"] for each in found if each] == ["2026-01-02", "2026-03-01"]


def test_what_moved_and_what_has_fallen_by_half() -> None:
    before = record("1", bulk=(1.0, 10), trips=(1.0, 10), memory=(1.0, 10), scapy=(None, 10), gone=(1.0, 1))
    now = record("2", bulk=(0.4, 9), trips=(0.6, 9), memory=(3.0, 9), scapy=(None, 1))
    moved = {move.name: move for move in moves(before, now)}
    assert [move.name for move in fallen(list(moved.values()))] == ["bulk", "memory"]
    assert moved["scapy"].better == pytest.approx(0.1)  # It is told, but it may be the machine.


def test_one_good_round_shows_that_nothing_has_fallen() -> None:
    [move] = moves(record("1", bulk=(1.0, 10)), record("2", spread=0.2, bulk=(0.4, 9)))
    assert move.better == pytest.approx(0.4)
    assert fallen([move]) == []


def test_values_of_another_machine_are_not_compared() -> None:
    moved = list(
        moves(record("1", bulk=(1.0, 10), scapy=(None, 10)), record("2", "other", bulk=(2.0, 1), scapy=(None, 1)))
    )
    assert [(move.name, move.better) for move in moved] == [("bulk", 2.0)]


def test_slices_grow_until_they_take_some_time_and_differ_from_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("usertcp.bench.measure.perf_counter", lambda: now)
    slices = Slices(0.1)
    seen = []
    for shift, text in slices:
        with slices.timed():
            now += len(text) / 1e8 + (0.1 if len(seen) == 1 else 0.0)  # The second one is held up.
        seen.append(bytes(text))
        assert 0 <= shift < SHIFTS
        assert text == TEXT[shift : shift + len(text)]
    # 64 take 42 ms: when two have, the clock counts.
    assert [len(text) >> 16 for text in seen] == [1, 4, 4, 16, 64, 64, 64, 64, 64]
    assert slices.sample()["octets"] == 3 * 64 << 16
    assert slices.sample()["seconds"] == pytest.approx(3 * 64 * (1 << 16) / 1e8)
    assert len({text[:64] for text in seen}) == len(seen)
