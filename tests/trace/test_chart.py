"""Curves in text."""

from usertcp.trace.chart import HEIGHT, WIDTH, chart


def rows(lines: list[str]) -> list[str]:
    """What lies between the axes, the top first."""
    return [line.partition("|")[2].ljust(WIDTH) for line in lines if "|" in line]


def test_a_value_holds_until_the_next_one() -> None:
    drawn = rows(chart({"A": [(0.0, 0.0), (1.0, 15.0), (2.0, 15.0)]}, "s", "octets"))
    assert len(drawn) == HEIGHT
    assert drawn[-1] == "A" * (WIDTH // 2) + " " * (WIDTH // 2)
    assert drawn[0] == " " * (WIDTH // 2) + "A" * (WIDTH // 2)


def test_where_curves_meet_there_is_an_asterisk_and_each_ends_where_it_ends() -> None:
    drawn = rows(chart({"A": [(0.0, 1.0), (1.0, 1.0)], "B": [(0.0, 1.0), (2.0, 1.0)]}, "s", "octets"))
    assert drawn[0] == "*" * (WIDTH // 2) + "B" * (WIDTH // 2)


def test_the_axes_say_how_far_they_go() -> None:
    lines = chart({"A": [(0.0, 0.0), (5.25, 12_345.0)]}, "s", "octets")
    assert lines[0].strip() == "octets"
    assert lines[1].startswith("12,345 |")
    assert lines[-3].startswith("     0 |")
    assert lines[-1].endswith("5.2 s")


def test_curves_at_zero_can_be_drawn() -> None:
    assert rows(chart({"A": [(0.0, 0.0)]}, "s", "octets"))[-1][0] == "A"
