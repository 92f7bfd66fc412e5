"""Show what both hosts make of scripts: `python -m tests.lab.differential [PART OF A NAME ...]`. As root, or in a user
namespace."""

from __future__ import annotations

import sys

from tests.lab.differential.compare import differences, kernel, own
from tests.lab.differential.scripts import SCRIPTS


def main(words: list[str]) -> None:
    chosen = [script for script in SCRIPTS.values() if not words or any(word in script.name for word in words)]
    theirs = kernel(chosen)
    for script in chosen:
        ours = own(script)
        found = differences(script, theirs[script.name], ours)
        if words:
            print(f"\n{script.name}")
            for step, there, here in zip(script.steps, theirs[script.name], ours, strict=True):
                print(f"  {step.text}\n      {there}")
                if there != here:
                    print(f"   != {here}")
        elif found:
            print("", script.name, *(f"{number}: {text}" for number, text in found.items()), sep="\n")


main(sys.argv[1:])
