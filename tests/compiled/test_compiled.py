"""When machine code is used in place of the sources, and how it is made. That it does the same the whole suite shows:
`scripts/test --compiled`."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest

from usertcp import compiled
from usertcp.compiled import build

ASK = """
try:
    from usertcp import compiled
    print(compiled.in_use)
except ImportError as error:  # There is nothing but the library.
    print("has vanished" in str(error))
"""
LIBRARY = """
#include <Python.h>
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "usertcp__mypyc", NULL, -1, NULL};
PyMODINIT_FUNC PyInit_usertcp__mypyc(void) { return PyModule_Create(&module); }
"""


class Installation:
    """A copy of usertcp, without machine code."""

    def __init__(self, root: Path, library: Path) -> None:
        self.root = root
        self.library = library
        self.package = root / "usertcp"
        self.folder = self.package / compiled.FOLDER.relative_to(compiled.PACKAGE)
        ignore = shutil.ignore_patterns("__pycache__", ".*", compiled.FOLDER.name)
        shutil.copytree(compiled.PACKAGE, self.package, ignore=ignore)

    def start(self, *arguments: str, **env: str) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        env = {"PATH": "/usr/bin:/bin", **env}
        return subprocess.Popen(
            [sys.executable, *arguments], cwd=self.root, env=env, stdout=pipe, stderr=pipe, text=True
        )

    def run(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments, **env)
        out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def has_machine_code(self) -> None:
        """As if: there is the library, but none of the modules."""
        self.folder.mkdir()
        shutil.copy(self.library, self.folder / f"{compiled.LIBRARY}{compiled.SUFFIX}")
        made_from = self.run("-c", "from usertcp import compiled; print(compiled.fingerprint(), end='')").stdout
        (self.folder / compiled.MADE_FROM.name).write_text(made_from)

    def in_use(self, **env: str) -> bool:
        return {"True\n": True, "False\n": False}[self.run("-c", ASK, **env).stdout]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("library")
    source, made = folder / "library.c", folder / "library.so"
    source.write_text(LIBRARY)
    headers = sysconfig.get_path("include")
    subprocess.run(["gcc", "-shared", "-fPIC", f"-I{headers}", str(source), "-o", str(made)], check=True)
    return made


@pytest.fixture
def installation(tmp_path: Path, library: Path) -> Installation:
    return Installation(tmp_path, library)


def test_it_is_used_for_as_long_as_the_sources_are_what_it_was_made_from(installation: Installation) -> None:
    assert not installation.in_use()
    installation.has_machine_code()
    assert installation.in_use()
    with (installation.package / "tcp" / "output.py").open("a") as file:
        file.write("# A student was here.\n")
    assert not installation.in_use()


def test_what_is_not_compiled_may_change(installation: Installation) -> None:
    installation.has_machine_code()
    with (installation.package / "tcp" / "events.py").open("a") as file:
        file.write("# A student was here.\n")
    assert installation.in_use()


def test_a_new_file_is_a_change(installation: Installation) -> None:
    installation.has_machine_code()
    (installation.package / "tcp" / "new.py").write_text("")
    assert not installation.in_use()


def test_the_environment_may_ask_for_the_sources(installation: Installation) -> None:
    installation.has_machine_code()
    assert not installation.in_use(USERTCP_COMPILED="0")


def test_what_cannot_be_loaded_is_not_used(installation: Installation) -> None:
    installation.has_machine_code()
    (installation.folder / f"{compiled.LIBRARY}{compiled.SUFFIX}").write_bytes(b"of another machine")
    done = installation.run("-c", ASK)
    assert done.stdout == "False\n"
    assert "RuntimeWarning: interpreted, since the machine code cannot be loaded" in done.stderr


def test_nothing_else_is_found_there(installation: Installation) -> None:
    installation.has_machine_code()
    (installation.folder / f"evil{compiled.SUFFIX}").write_bytes(b"")
    for name in "evil", str(installation.folder / "evil"):
        look = f"from usertcp.compiled import Finder; print(Finder().find_spec({name!r}))"
        assert installation.run("-c", look, USERTCP_COMPILED="0").stdout == "None\n"


@pytest.mark.parametrize("tool", ["mypy", "setuptools"])
def test_too_old_a_tool_is_refused(installation: Installation, tool: str) -> None:
    about = installation.root / f"{tool}-1.18.1.dist-info"  # Found before that of the interpreter.
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {tool}\nVersion: 1.18.1\n")
    done = installation.run("-m", "usertcp", "compile")
    assert done.returncode == 2
    assert f"{tool} {build.TOOLS[tool]} or later" in done.stderr
    assert f"pip install '{tool}>={build.TOOLS[tool]}'\n" in done.stderr


def test_every_module_of_the_core_is_compiled_but_those_that_others_inherit_from() -> None:
    names = set(compiled.sources())
    assert {"usertcp.tcp.connection", "usertcp.tcp.recovery.rack", "usertcp.wire.fast", "usertcp.ip.checksum"} < names
    assert {"usertcp.link", "usertcp.link.reading", "usertcp.wire", "usertcp.tcp.events"}.isdisjoint(names)


def test_without_a_compiler_it_says_what_to_install(installation: Installation) -> None:
    done = installation.run("-m", "usertcp", "compile", PATH="/nowhere")
    assert done.returncode == 2
    assert "takes a C compiler" in done.stderr
    assert "apt-get install gcc" in done.stderr


def test_a_failure_shows_the_last_words_and_leaves_nothing(installation: Installation) -> None:
    (installation.package / "ip" / "broken.py").write_text("def broken(:\n")
    done = installation.run("-m", "usertcp", "compile")
    assert done.returncode == 2
    assert "usertcp/ip/broken.py:1: error" in done.stderr
    assert not list((installation.package / "compiled").glob(".building*"))
    assert not installation.in_use()


def test_an_interruption_leaves_nothing(installation: Installation) -> None:
    process = installation.start("-m", "usertcp", "compile")
    while not list((installation.package / "compiled").glob(".building*/mypy.ini")):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert not list((installation.package / "compiled").glob(".building*"))


def test_what_one_who_was_killed_has_left_the_next_one_removes(installation: Installation) -> None:
    process = installation.start("-m", "usertcp", "compile")
    while not (left := list((installation.package / "compiled").glob(".building*/mypy.ini"))):
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.communicate(timeout=30)
    (installation.package / "ip" / "broken.py").write_text("def broken(:\n")
    assert left[0].exists()
    assert installation.run("-m", "usertcp", "compile").returncode == 2
    assert not list((installation.package / "compiled").glob(".building*"))


def test_it_is_removed_on_request(installation: Installation) -> None:
    installation.has_machine_code()
    assert "up to date" in installation.run("-m", "usertcp", "compile", USERTCP_COMPILED="0").stdout
    assert installation.run("-m", "usertcp", "compile", "--remove", USERTCP_COMPILED="0").returncode == 0
    assert not installation.folder.exists()
