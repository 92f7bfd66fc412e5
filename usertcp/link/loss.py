"""Patterns of loss that are not a probability of each packet by itself: values, to be given to `Path.loss`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import Protocol


class LossPattern(Protocol):
    """Says which packets are lost."""

    def fates(self, random: Random) -> Iterator[bool]:
        """For each packet that the transmitter has sent, in order, without end: is it lost?"""


@dataclass(slots=True, frozen=True)
class Burst:
    """Losses come together (Gilbert's model): the path is good, or bad and loses everything."""

    begins: float
    """Probability that a packet finds a good path gone bad. The packet is lost."""
    ends: float
    """Probability that a packet finds a bad path good again. A burst has 1 / ends packets on average."""

    def __post_init__(self) -> None:
        if not 0 <= self.begins <= 1 or not 0 < self.ends <= 1:
            raise ValueError("probabilities are 0 to 1, and a burst must be able to end")

    def fates(self, random: Random) -> Iterator[bool]:
        bad = False
        while True:
            bad = random.random() >= self.ends if bad else random.random() < self.begins
            yield bad


@dataclass(slots=True, frozen=True)
class EveryNth:
    """One packet of every so many is lost: the *n*th, the 2*n*th ..."""

    n: int

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ValueError("every nth packet: n is at least 1")

    def fates(self, random: Random) -> Iterator[bool]:
        return (number % self.n == 0 for number in count(1))


@dataclass(slots=True, frozen=True)
class Numbered:
    """These packets are lost, and no others. The first has the number 1."""

    numbers: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.numbers or min(self.numbers) < 1:
            raise ValueError("packets are numbered from 1")

    def fates(self, random: Random) -> Iterator[bool]:
        lost = frozenset(self.numbers)
        return (number in lost for number in count(1))
