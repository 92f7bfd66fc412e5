"""Compiles the core: mypyc makes C of it, and the C compiler machine code of that."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory

from usertcp.compiled import FOLDER, MADE_FROM, PACKAGE, fingerprint, sources
from usertcp.errors import SetupError

PROGRAM = """
import sys
from mypyc.build import mypycify
from setuptools import setup
options = ["--config-file=mypy.ini", "--cache-dir=cache"]
setup(
    name="usertcp",
    packages=[],
    ext_modules=mypycify(
        [*options, *sys.argv[1:]], opt_level="2", debug_level="0", multi_file=True, group_name="usertcp"
    ),
    script_args=["build_ext", "--build-lib=made", "--build-temp=objects"],
)
"""
"""Run in a process of its own, for setuptools believes that it owns the one it is in."""
SETTINGS = """
[mypy]
[mypy-scapy.*,pyroute2.*]
ignore_missing_imports = true
follow_imports = skip
"""
"""Of mypy: what those say of themselves is not what they are."""
BUILDING = ".building-"
LAST_WORDS = 20
"""Lines of its output that are shown when it fails."""
TOOLS = {"mypy": 2, "setuptools": 66}
"""Packages that it takes, and their oldest major versions that do. (Of `super()` in coroutines, earlier ones of mypyc
make what fails when it runs.)"""


def check() -> None:
    """Is everything there that it takes?

    Raises:
      SetupError: no; the message says what to install.
    """
    missing = {name: oldest for name, oldest in TOOLS.items() if major(name) < oldest}
    if missing:
        what = " and ".join(f"{name} {oldest} or later" for name, oldest in missing.items())
        install = " ".join(f"'{name}>={oldest}'" for name, oldest in missing.items())
        raise SetupError(f"to compile takes {what}: {sys.executable} -m pip install {install}")
    compiler = str(sysconfig.get_config_var("CC") or "cc").split()[0]
    if shutil.which(compiler) is None:
        raise SetupError(f"to compile takes a C compiler, {compiler} here (Debian: apt-get install gcc)")
    header = Path(sysconfig.get_path("include"), "Python.h")
    if not header.exists():
        raise SetupError(f"to compile takes {header} (Debian: apt-get install python3-dev)")


def major(package: str) -> int:
    """Of the version that is installed; 0: none is."""
    try:
        return int(version(package).partition(".")[0])
    except PackageNotFoundError:
        return 0


def build(tell: Callable[[int, int], None]) -> None:
    """Compile, and put the result in place at once when all of it is there.

    Args:
      tell: called with the number of C files that have been begun, and of all.

    Raises:
      SetupError: it could not be done; the message has the compiler's last words.
    """
    check()
    try:
        clean_up()
        with (
            TemporaryDirectory(dir=FOLDER.parent, prefix=BUILDING, ignore_cleanup_errors=True) as folder,
            locked(Path(folder)),
        ):
            _build(Path(folder), tell)
    except OSError as error:
        raise SetupError(f"{error.filename}: {error.strerror}") from error


def remove() -> None:
    """Have the sources interpreted again."""
    with TemporaryDirectory(dir=FOLDER.parent, prefix=BUILDING) as folder, suppress(FileNotFoundError):
        FOLDER.rename(Path(folder, "old"))  # At once, for whoever imports it.


@contextmanager
def locked(folder: Path, how: int = fcntl.LOCK_EX) -> Iterator[None]:
    """Hold a lock on a folder; it ends with this process too. Raises BlockingIOError with LOCK_NB."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)


def clean_up() -> None:
    """Remove what those have left who were killed."""
    for folder in FOLDER.parent.glob(f"{BUILDING}*"):
        with suppress(BlockingIOError, FileNotFoundError), locked(folder, fcntl.LOCK_EX | fcntl.LOCK_NB):
            shutil.rmtree(folder, ignore_errors=True)


def _build(folder: Path, tell: Callable[[int, int], None]) -> None:
    # Of a copy: nothing that is edited meanwhile gets in, and nothing is left in the package that does not belong.
    copy = folder / PACKAGE.name
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__", ".*", FOLDER.name))
    (folder / "mypy.ini").write_text(SETTINGS)
    files = [str(path.relative_to(folder)) for path in sources(copy).values()]
    run([sys.executable, "-c", PROGRAM, *files], folder, 2 * len(files) + 1, tell)
    made = folder / "made"
    (made / MADE_FROM.name).write_text(fingerprint(copy))
    with locked(FOLDER.parent):
        with suppress(FileNotFoundError):
            FOLDER.rename(folder / "old")
        made.rename(FOLDER)


def run(command: list[str], folder: Path, files: int, tell: Callable[[int, int], None]) -> None:
    """Run it to its end, or end it with all that it has started. Raises SetupError."""
    lines: list[str] = []
    begun = 0
    tell(begun, files)
    with subprocess.Popen(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                lines.append(line)
                if " -c " in line:
                    begun += 1
                    tell(min(begun, files), files)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    if process.returncode:
        raise SetupError(f"to compile has failed:\n{''.join(lines[-LAST_WORDS:])}")
