"""Runs functions in a process of their own: whoever enters a lab does not come back."""

import ctypes
import os
import traceback
import warnings
from collections.abc import Callable

import pytest

from usertcp.lab import namespaces

NOBODY = 65534
"".encode("idna")  # Imports the codec that sockets use, while we may read it: an ordinary user may not enter /root.
PR_SET_DUMPABLE = 4


class Child:
    """Calls functions in a process of a user's."""

    def __init__(self, user: int) -> None:
        self.user = user

    def __call__(self, function: Callable[[], object]) -> None:
        """Call it and wait for its end; fails as it fails."""
        reading, writing = os.pipe()
        pid = self.start(function, writing)
        os.close(writing)
        with open(reading) as pipe:
            failure = pipe.read()
        os.waitpid(pid, 0)
        if failure:
            raise AssertionError(failure)

    def start(self, function: Callable[[], object], errors: int) -> int:
        """Call it in a new process, whose number is returned. What it raises is written to a descriptor."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12: idle threads of other tests
            pid = os.fork()
        if pid:
            return pid
        try:
            self._become_user()
            function()
        except BaseException:
            os.write(errors, traceback.format_exc().encode())
        finally:
            os._exit(0)

    def _become_user(self) -> None:
        if self.user != os.getuid():
            os.setgroups([])
            os.setgid(self.user)
            os.setuid(self.user)
            # Who has changed its user may not write its own uid_map, unless it says that it holds no secrets.
            ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)


SecondChance = Callable[[Callable[[], object]], None]
FIRST_FAILURES = pytest.StashKey[list[str]]()


@pytest.fixture
def second_chance(request: pytest.FixtureRequest) -> SecondChance:
    """Played beside a kernel with timers of its own, an experiment needs a machine that does not stop for a moment: if
    it has failed, it may try once more. The summary tells of it."""

    def attempt(function: Callable[[], object]) -> None:
        try:
            function()
        except AssertionError as failure:
            last = str(failure).strip().splitlines()[-1]
            request.config.stash.setdefault(FIRST_FAILURES, []).append(f"{request.node.name}: {last}")
            function()

    return attempt


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if failures := config.stash.get(FIRST_FAILURES, []):
        terminalreporter.section("failed, and then passed or failed again")
        for failure in failures:
            terminalreporter.write_line(failure)


def users() -> list[int]:
    """Who can run a lab here: we ourselves, and an ordinary user where the system allows it."""
    if os.getuid():
        return [os.getuid()]
    try:
        Child(NOBODY)(namespaces.enter)
    except AssertionError:
        return [0]
    return [0, NOBODY]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "child" in metafunc.fixturenames:
        children = [Child(user) for user in users()]
        metafunc.parametrize("child", children, ids=["ordinary user" if child.user else "root" for child in children])
