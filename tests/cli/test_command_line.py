"""The command line by itself: help, usage, errors, and what is not loaded before it is needed."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from collections.abc import Callable

import pytest
from click.testing import CliRunner, Result

import usertcp
from usertcp import cli
from usertcp.cli.options import View, escaped, port_number
from usertcp.cli.screen import Screen
from usertcp.errors import ConnectionRefused, SetupError
from usertcp.tcp.events import SegmentOut
from usertcp.tcp.segment import SYN, Flow, Segment


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "usertcp", *arguments], capture_output=True, text=True, check=False)


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(cli.usertcp, arguments)


def test_help_names_every_verb() -> None:
    run = command("--help")
    assert run.returncode == 0
    for verb, what in cli.VERBS.items():
        assert re.search(rf"^  {verb} +{re.escape(what)}$", run.stdout, re.MULTILINE)


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_verb_has_help_with_an_example(verb: str) -> None:
    result = invoke(verb, "--help")
    assert result.exit_code == 0
    assert f"\n    usertcp {verb}" in result.output


def test_help_loads_nothing_slow() -> None:
    script = "import sys, usertcp.cli.handshake; print({'scapy', 'pyroute2', 'rich'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"


def test_version() -> None:
    assert command("--version").stdout.strip() == f"usertcp, version {usertcp.__version__}"


@pytest.mark.parametrize(
    "arguments",
    [
        ["nothing"],
        ["handshake"],
        ["handshake", "192.0.2.1", "http-or-so"],
        ["handshake", "192.0.2.1", "65536"],
        ["handshake", "192.0.2.1", "80", "--msl", "0"],
        ["handshake", "192.0.2.1", "80", "--send", "@/there/is/no/such/file"],
        ["listen", "80", "--echo", "--discard"],
        ["listen", "80", "--md5-key", "/dev/null"],
        ["lab", "run"],
        ["states", "--svg"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_status_2(arguments: list[str]) -> None:
    run = command(*arguments)
    assert run.returncode == 2
    assert run.stdout == ""
    assert run.stderr.splitlines()[-1].startswith(("Error: ", "usertcp: "))


def test_states_are_drawn() -> None:
    assert "TIME-WAIT" in invoke("states").output
    assert invoke("states", "--dot").output.startswith("digraph")
    assert invoke("states", "--mermaid").output.startswith("stateDiagram-v2")
    assert invoke("states", "--table").output.startswith("State ")


@pytest.mark.parametrize(
    ("text", "octets"),
    [
        (r"a\r\nb\t\0", b"a\r\nb\t\0"),
        (r"\x00\xfF\\n", b"\x00\xff\\n"),
        (r"\q\x1", rb"\q\x1"),
        ("grüß", "grüß".encode()),
    ],
)
def test_escapes(text: str, octets: bytes) -> None:
    assert escaped(text) == octets


def test_ports_may_be_names() -> None:
    assert port_number("80") == port_number("http") == 80


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (ConnectionRefused("192.0.2.1 port 80"), 1, "usertcp: connection refused: 192.0.2.1 port 80\n"),
        (SetupError("no raw sockets; run: sudo something"), 2, "usertcp: no raw sockets; run: sudo something\n"),
        (FileNotFoundError(2, "No such file", "x"), 2, "usertcp: x: No such file\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("wrap", [lambda error: error, lambda error: BaseExceptionGroup("", [error])])
def test_errors_are_one_line(
    error: BaseException,
    status: int,
    message: str,
    wrap: Callable[[BaseException], BaseException],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(**_: object) -> None:
        raise wrap(error)

    monkeypatch.setattr(cli.usertcp, "main", fail)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == status
    assert capsys.readouterr().err == message


def test_a_bug_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(cli.usertcp, "main", fail)
    with pytest.raises(ZeroDivisionError):
        cli.main()


async def test_the_picture_uses_only_what_the_encoding_has() -> None:
    octets = io.BytesIO()
    screen = Screen(View(), io.TextIOWrapper(octets, encoding="latin-1"))
    async with screen.open():
        screen(SegmentOut(0.0, Flow("192.0.2.1", 1, "192.0.2.2", 2), Segment(0, 0, SYN), False))
    assert b"|- SYN seq=0 win=0 ---" in octets.getvalue()


def test_doctor_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    from usertcp import doctor

    finding = doctor.Finding("route", doctor.Verdict.FAIL, "none", "add one")
    monkeypatch.setattr(doctor, "examine", lambda host, port: [finding])
    result = invoke("doctor", "192.0.2.1", "80")
    assert result.output == "fail  route  none\n             ► add one\n"
    assert invoke("doctor", "192.0.2.1", "80", "--json").output == (
        '{"name": "route", "verdict": "fail", "found": "none", "remedy": "add one"}\n'
    )
    assert CliRunner().invoke(cli.usertcp, ["doctor", "192.0.2.1", "80"], standalone_mode=False).return_value == 1
