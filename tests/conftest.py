"""Options of the test suite: container tests on request, skipped tests as failures, outcomes for the report."""

import os
from contextlib import suppress
from pathlib import Path

import pytest
from pyroute2 import IPRoute

from tests.conformance import regressions
from tests.conformance.outcomes import Recorder
from usertcp.lab.namespaces import CLONE_NEWNET, become_root_inside, unshare


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("usertcp")
    group.addoption("--docker", action="store_true", help="run the container tests too; they need a Docker engine")
    group.addoption("--no-skips", action="store_true", help="a test that is skipped or expected to fail is a failure")
    group.addoption("--conformance", type=Path, metavar="FILE", help="write what scripts/conformance reads to FILE")


def pytest_configure(config: pytest.Config) -> None:
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
    if config.getoption("docker"):
        return
    in_containers = [item for item in items if item.get_closest_marker("docker")]
    config.hook.pytest_deselected(items=in_containers)
    items[:] = [item for item in items if item not in in_containers]


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    assert isinstance(reporter, pytest.TerminalReporter)
    if session.config.getoption("no_skips") and (reporter.stats.get("skipped") or reporter.stats.get("xfailed")):
        reporter.write_line("\n--no-skips: not every test was run to its end", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
