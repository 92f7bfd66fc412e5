"""The core as machine code, where somebody has had it compiled: the same sources, through mypyc.

`usertcp compile` puts it into a folder beside this file, one for each kind of interpreter. From then on it is imported
in place of the sources, for as long as they are what it was made from: edit one, and all are interpreted again. With
`USERTCP_COMPILED=0` in the environment they are in any case, as a debugger wants them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from hashlib import sha256
from importlib.abc import MetaPathFinder
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

PACKAGE = Path(__file__).parents[1]
SUFFIX = EXTENSION_SUFFIXES[0]
FOLDER = Path(__file__).with_name(SUFFIX.split(".")[1])
"""Of the machine code for this interpreter."""
MADE_FROM = FOLDER / "made-from"
"""Has the fingerprint of the sources that it was made from."""

PATTERNS = (
    "tcp/**/*.py",
    "ip/*.py",
    "wire/*.py",
    "runtime/*.py",
    *(
        f"link/{name}.py"
        for name in ("ethernet", "neighbours", "packet", "packet_sockets", "path", "tun", "virtual_time", "vnet")
    ),
)
INTERPRETED = (
    "__init__.py",  # Packages; in them is what others inherit from, as `Link`, and nobody can from compiled classes.
    *(f"tcp/congestion/{name}.py" for name in ("bbr", "cubic", "dctcp", "fixed", "reno")),  # That too.
    "tcp/events.py",  # Nobody wants trace records who is in a hurry.
    "wire/scapy.py",  # Nor Scapy.
    "runtime/stack.py",  # Asynchronous generators mypyc does not know.
)
"""What the patterns find, and stays as it is."""


def sources() -> dict[str, Path]:
    """What is compiled: the files, by the names of the modules."""
    found = (path for pattern in PATTERNS for path in PACKAGE.glob(pattern))
    left = (path for path in sorted(found) if not any(path.match(pattern) for pattern in INTERPRETED))
    return {".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): path for path in left}


def fingerprint() -> str:
    """Of the sources, as they are now."""
    digest = sha256()
    for name, path in sources().items():
        content = path.read_bytes()
        digest.update(f"{name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def up_to_date() -> bool:
    """Is there machine code for this interpreter, made from the sources as they are?"""
    try:
        return MADE_FROM.read_text() == fingerprint()
    except OSError:
        return False


class Finder(MetaPathFinder):
    """Finds modules in `FOLDER`."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        file = FOLDER / f"{fullname.replace('.', '/')}{SUFFIX}"
        return spec_from_file_location(fullname, file) if file.exists() else None


in_use = os.environ.get("USERTCP_COMPILED") != "0" and up_to_date()
"""This process runs the machine code."""
if in_use:
    sys.meta_path.insert(0, Finder())
