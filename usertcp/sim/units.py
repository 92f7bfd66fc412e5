"""Quantities as people write them for iproute2 and tc: 10mbit, 20ms, 1%. What is written can be read back exactly."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from math import inf
from typing import Any

from usertcp.link.loss import Burst, EveryNth, LossPattern, Numbered


@dataclass(slots=True, frozen=True)
class Unit:
    """How values of a kind are written."""

    metavar: str
    parse: Callable[[str], Any]
    """Text to value. Raises ValueError with what is wrong."""
    show: Callable[[Any], str]
    """Value to text, which `parse` makes the same value of."""


def quantity(text: str, scales: Mapping[str, str]) -> Decimal:
    """A number with its unit; 0 needs none."""
    match = re.fullmatch(r"([0-9.]+(?:e[+-]?[0-9]+)?)([a-z%]*)", text.lower())
    try:
        number = Decimal(match[1]) if match else None
    except InvalidOperation:
        number = None
    if match is None or number is None:
        raise ValueError(f"{text!r} is no number with a unit")
    if match[2] not in scales and number != 0:
        raise ValueError(f"{text!r} needs one of the units {', '.join(filter(None, scales))}")
    return number * Decimal(scales.get(match[2], "1"))


def decimal(metavar: str, scales: Mapping[str, str], **words: float) -> Unit:
    """Real numbers in units that are powers of ten, the largest first; and words for special ones."""

    def parse(text: str) -> float:
        return words[text] if text in words else float(quantity(text, scales))

    def show(value: float) -> str:
        for word, meaning in words.items():
            if value == meaning:
                return word
        exact = Decimal(repr(value))
        unit = next((unit for unit, scale in scales.items() if exact >= Decimal(scale)), list(scales)[-1])
        return f"{(exact / Decimal(scales[unit])).normalize():f}{unit}" if exact else "0"

    return Unit(metavar, parse, show)


def _octets(text: str) -> int:
    exact = quantity(text, OCTET_SCALES)
    if exact != int(exact):
        raise ValueError(f"{text!r} is no whole number of octets")
    return int(exact)


def _show_octets(value: int) -> str:
    unit = next(unit for unit, scale in OCTET_SCALES.items() if value % int(scale) == 0)
    return f"{value // int(OCTET_SCALES[unit])}{unit}" if value else "0"


def _loss(text: str) -> float | LossPattern:
    kind, colon, detail = text.partition(":")
    if not colon:
        return float(CHANCE.parse(text))
    try:
        match kind:
            case "burst":
                begins, ends = detail.split("/")
                return Burst(CHANCE.parse(begins), CHANCE.parse(ends))
            case "every":
                return EveryNth(int(detail))
            case "packets":
                return Numbered(tuple(int(number) for number in detail.split("+")))
    except ValueError as error:
        raise ValueError(f"{text!r}: {error}") from None
    raise ValueError(f"{text!r} is none of 1%, burst:1%/25%, every:100, packets:3+7")


def _show_loss(value: float | LossPattern) -> str:
    match value:
        case Burst(begins, ends):
            return f"burst:{CHANCE.show(begins)}/{CHANCE.show(ends)}"
        case EveryNth(n):
            return f"every:{n}"
        case Numbered(numbers):
            return f"packets:{'+'.join(map(str, numbers))}"
    return CHANCE.show(value)


def _switch(text: str) -> bool:
    if text not in ("on", "off"):
        raise ValueError(f"{text!r} is neither on nor off")
    return text == "on"


def _whole(text: str) -> int:
    if not re.fullmatch("[0-9]+", text):
        raise ValueError(f"{text!r} is no whole number")
    return int(text)


OCTET_SCALES = {"g": str(1 << 30), "m": str(1 << 20), "k": str(1 << 10), "": "1"}
RATE = decimal("RATE", {"gbit": "1e9", "mbit": "1e6", "kbit": "1e3", "bit": "1"}, unlimited=inf)
TIME = decimal("TIME", {"s": "1", "ms": "1e-3", "us": "1e-6"})
CHANCE = decimal("PERCENT", {"%": "0.01"})
OCTETS = Unit("OCTETS", _octets, _show_octets)
COUNT = Unit("NUMBER", _whole, str)
LOSS = Unit("LOSS", _loss, _show_loss)
SWITCH = Unit("on|off", _switch, lambda value: "on" if value else "off")
WORD = Unit("WORD", str, str)
WORDS = Unit("NAME[+NAME]", lambda text: tuple(text.split("+")), "+".join)
"""Several at the same time; a comma would be one after the other."""
