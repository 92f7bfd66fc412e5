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
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING
from warnings import warn

if TYPE_CHECKING:
    from mypy_extensions import mypyc_attr as mypyc_attr
else:

    def mypyc_attr(**_):
        """Says to mypyc what it may do with a class, to Python nothing: *allow_interpreted_subclasses*; *acyclic*, its
        objects are part of no cycle, so the collector of garbage need not know them; *free_list_len*, how many to keep
        for the next."""
        return lambda kind: kind


PACKAGE = Path(__file__).parents[1]
SUFFIX = EXTENSION_SUFFIXES[0]
FOLDER = Path(__file__).with_name(SUFFIX.split(".")[1])
"""Of the machine code for this interpreter."""
MADE_FROM = FOLDER / "made-from"
"""Has the fingerprint of the sources that it was made from."""

LIBRARY = "usertcp__mypyc"
"""What all the modules in there are doors to."""

PATTERNS = (
    "tcp/**/*.py",
    "ip/*.py",
    "wire/*.py",
    "runtime/*.py",
    *(
        f"link/{name}.py"
        for name in (
            "ethernet",
            "interfaces",
            "memory",
            "neighbours",
            "nftables",
            "packet",
            "packet_sockets",
            "path",
            "reservation",
            "routes",
            "rst_guard",
            "tun",
            "virtual_time",
            "vnet",
        )
    ),
)
INTERPRETED = (
    "__init__.py",  # Packages. What is in them is inherited from, as `Link`, whose defaults no subclass could replace.
    "tcp/events.py",  # Nobody wants trace records who is in a hurry.
    "wire/scapy.py",  # Nor Scapy.
    "runtime/opening.py",  # Asynchronous generators mypyc does not know.
)
"""What the patterns find, and stays as it is."""


def sources(package: Path = PACKAGE) -> dict[str, Path]:
    """What is compiled: the files, by the names of the modules."""
    found = (path for pattern in PATTERNS for path in package.glob(pattern))
    left = (path for path in sorted(found) if not any(path.match(pattern) for pattern in INTERPRETED))
    return {".".join(path.relative_to(package.parent).with_suffix("").parts): path for path in left}


def fingerprint(package: Path = PACKAGE) -> str:
    """Of the sources, as they are now."""
    digest = sha256()
    for name, path in sources(package).items():
        content = path.read_bytes()
        digest.update(f"{name} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def up_to_date() -> bool:
    """Is there machine code for this interpreter, made from the sources as they are?"""
    try:
        return MADE_FROM.read_bytes() == fingerprint().encode()
    except OSError:
        return False


class Finder(MetaPathFinder):
    """Finds what was compiled in `FOLDER`, and nothing else."""

    def __init__(self) -> None:
        self._names = {LIBRARY, *sources()}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in self._names:
            return None
        file = FOLDER / f"{fullname.replace('.', '/')}{SUFFIX}"
        if not file.exists():  # With half of it from the sources nothing would fit.
            raise ImportError(f"{file} has vanished: start again, or with USERTCP_COMPILED=0", name=fullname)
        return spec_from_file_location(fullname, file)


def use() -> bool:
    """Have the machine code imported from now on, if there is any that fits; says whether."""
    if os.environ.get("USERTCP_COMPILED") == "0" or not up_to_date():
        return False
    finder = Finder()
    sys.meta_path.insert(0, finder)
    try:
        import_module(LIBRARY)
    except ImportError as error:
        sys.meta_path.remove(finder)
        warn(f"interpreted, since the machine code cannot be loaded: {error}", RuntimeWarning, stacklevel=1)
        return False
    return True


in_use = use()
"""This process runs the machine code."""
