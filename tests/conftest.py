"""Options of the test suite: container tests on request, skipped tests as failures, outcomes for the report."""

import os
from contextlib import suppress
from pathlib import Path

import pytest
from pyroute2 import IPRoute

from tests.conformance import regressions
from tests.conformance.outcomes import Recorder
from usertcp import compiled
from usertcp.lab.namespaces import CLONE_NEWNET, become_root_inside, unshare


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("usertcp")
    group.addoption("--docker", action="store_true", help="run the container tests too; they need a Docker engine")
    group.addoption("--compiled", action="store_true", help="fail at once if the core does not run as machine code")
    group.addoption("--no-skips", action="store_true", help="a test that is skipped or expected to fail is a failure")
    group.addoption("--conformance", type=Path, metavar="FILE", help="write what scripts/conformance reads to FILE")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("compiled") and not compiled.in_use:
        raise pytest.UsageError("--compiled: run `usertcp compile` first")
    if os.geteuid():
        with suppress(OSError):  # The tests that need namespaces then say what is missing.
            become_root_inside()
            unshare(CLONE_NEWNET)  # Who has left the machine's network cannot return to it, and the tests do return.
            with IPRoute() as netlink:
                netlink.link("set", index=1, state="up")
    if file := config.getoption("conformance"):
        config.pluginmanager.register(Recorder(file))


@pytest.hookimpl(tryfirst=True)  # before -m chooses
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    regressions.mark(items)
    deselected = set()
    if not config.getoption("docker"):
        deselected.add("docker")
    if compiled.in_use:
        deselected.add("interpreted")
    not_now = [item for item in items if any(mark.name in deselected for mark in item.iter_markers())]
    config.hook.pytest_deselected(items=not_now)
    items[:] = [item for item in items if item not in not_now]


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    assert isinstance(reporter, pytest.TerminalReporter)
    if session.config.getoption("no_skips") and (reporter.stats.get("skipped") or reporter.stats.get("xfailed")):
        reporter.write_line("\n--no-skips: not every test was run to its end", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
