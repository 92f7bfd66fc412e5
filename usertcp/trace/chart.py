"""Curves drawn with letters, for places where there is nothing but text."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence

WIDTH, HEIGHT = 72, 16
"""Columns and lines between the axes."""

Curve = Sequence[tuple[float, float]]
"""(x, y) by rising x. A value holds until the next one."""


def chart(curves: Mapping[str, Curve], x_unit: str, y_unit: str) -> list[str]:
    """Draw curves over a common pair of axes that begin at 0.

    Args:
      curves: by the letter that draws it. Where two meet there is an asterisk. None may be empty, or negative.

    Returns:
      Lines of text.
    """
    right = max(curve[-1][0] for curve in curves.values()) or 1.0
    top = max(y for curve in curves.values() for _, y in curve) or 1.0
    grid = [[" "] * WIDTH for _ in range(HEIGHT)]
    for letter, curve in curves.items():
        xs = [x for x, _ in curve]
        for column in range(WIDTH):
            x = right * column / (WIDTH - 1)
            index = bisect_right(xs, x) - 1
            if index < 0 or x > xs[-1]:
                continue
            line = round(curve[index][1] / top * (HEIGHT - 1))
            grid[line][column] = letter if grid[line][column] == " " else "*"
    margin = max(len(f"{top:,.0f}"), 1)
    lines = [f"{y_unit:>{margin}}"]
    for number in reversed(range(HEIGHT)):
        label = {HEIGHT - 1: f"{top:,.0f}", 0: "0"}.get(number, "")
        lines.append(f"{label:>{margin}} |{''.join(grid[number])}".rstrip())
    lines.append(f"{'':{margin}} +{'-' * WIDTH}")
    lines.append(f"{'':{margin}}  0{f'{right:.1f} {x_unit}':>{WIDTH - 1}}")
    return lines
