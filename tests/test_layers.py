"""Which part of usertcp may import which, of its own and of others': the arrows point one way."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "usertcp"
VALUES = {"tcp.events", "tcp.options", "tcp.segment", "tcp.sequence", "tcp.state"}  # what a trace record is made of
BELOW_LAB = {"tcp", "ip", "wire", "link", "runtime", "trace", "testing"}
PARTS = {path.stem for path in PACKAGE.iterdir()}

# For each part: what it may import of ours (besides itself and errors), and of third parties.
MAY_IMPORT: dict[str, tuple[set[str], set[str]]] = {
    "errors": (set(), set()),
    "compiled": (set(), {"mypy_extensions"}),
    "tcp": ({"compiled"}, set()),
    "aes": ({"tcp"}, {"cryptography"}),
    "ip": (set(), set()),
    "wire": ({"tcp", "ip"}, set()),
    "wire/scapy.py": ({"tcp", "ip"}, {"scapy"}),
    "link": ({"compiled"}, {"trio"}),
    "link/raw.py": (set(), {"trio", "scapy"}),
    "link/rewrite.py": (set(), {"trio", "scapy"}),
    "link/vnet.py": ({"ip"}, set()),
    "link/resolution.py": (set(), {"scapy"}),
    "link/neighbours.py": (set(), {"pyroute2"}),
    "link/tun.py": (set(), {"trio", "pyroute2"}),
    "link/nftables.py": (set(), {"pyroute2"}),
    "link/rst_guard.py": (set(), {"trio", "pyroute2"}),
    "runtime": ({"compiled", "tcp", "wire", "link", "ip"}, {"trio"}),
    "trace": ({*VALUES, "wire"}, {"scapy"}),
    "testing": ({"tcp", "link", "runtime"}, {"trio"}),
    "sim": ({"tcp", "link", "runtime", "testing"}, {"trio"}),
    "__init__": (BELOW_LAB | {"compiled"}, {"trio"}),
    "doctor": (BELOW_LAB | {"__init__", "compiled", "lab"}, {"trio", "scapy", "pyroute2"}),
    "lab": (BELOW_LAB | {"__init__"}, {"trio", "scapy", "pyroute2"}),
    "bench": (BELOW_LAB | {"__init__", "compiled", "lab", "sim"}, {"trio", "matplotlib"}),
    "cli": (
        BELOW_LAB | {"__init__", "compiled", "lab", "doctor", "sim", "bench"},
        {"trio", "scapy", "pyroute2", "click", "rich"},
    ),
    "__main__": ({"cli"}, set()),
}


def imports(path: Path) -> Iterator[str]:
    """Dotted names of everything that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def within(name: str, parts: set[str]) -> bool:
    return any(f"{name}.".startswith(f"{part}.") for part in parts)


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_follow_the_layers(path: Path) -> None:
    module = path.relative_to(PACKAGE)
    part = module.with_suffix("").parts[0]
    ours, theirs = MAY_IMPORT.get(str(module)) or MAY_IMPORT[part]
    for name in imports(path):
        if within(name, {"usertcp"}):
            inside = name.removeprefix("usertcp").removeprefix(".")
            if inside.partition(".")[0] not in PARTS:
                inside = "__init__"  # the package itself, or a public name of it
            assert within(inside, {part, "errors", *ours}), name
        else:
            assert name.split(".")[0] in sys.stdlib_module_names | theirs, name
