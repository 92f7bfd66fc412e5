"""`usertcp lab`."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from usertcp.lab.experiments import ORDER

pytestmark = pytest.mark.lab

FALSE = '''
"""Claims what is not so.

What it showed: nothing.

How to read it: not at all.
"""

async def run(lab):
    lab.check("two and two are five", 2 + 2 == 5)
'''


PICTURE = FALSE.replace("2 + 2 == 5", "True") + '    lab.show(["[red] 1", "   2"])\n'


def lab(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "usertcp", "lab", *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)


def test_list_names_every_experiment() -> None:
    run = lab("list")
    assert run.returncode == 0, run.stderr
    assert [line.split()[0] for line in run.stdout.splitlines()] == list(ORDER)


def test_run_draws_both_ends_and_says_what_it_showed() -> None:
    run = lab("run", "handshake", "--msl", "0.1")
    assert run.returncode == 0, run.stdout + run.stderr
    assert "│ SYN-RECEIVED" in run.stdout  # No parentheses: the peer's kernel says so.
    assert "(ESTABLISHED)" not in run.stdout
    assert "2 MSL have passed (0.2 s)" in run.stdout
    assert "  holds  " in run.stdout
    assert "\nWhat it showed: " in run.stdout
    assert max(map(len, run.stdout.splitlines())) <= 100


def test_run_over_packet_sockets_draws_super_segments() -> None:
    run = lab("run", "data-loss", "--link", "packet")
    assert run.returncode == 0, run.stdout + run.stderr
    assert max(int(octets) for octets in re.findall(r"len=(\d+)", run.stdout)) > 1448


def test_run_in_json_ends_with_a_summary() -> None:
    summary = json.loads(lab("run", "refused", "--json").stdout.splitlines()[-1])
    assert (summary["type"], summary["outcome"], summary["experiment"]) == ("summary", "held", "refused")
    assert summary["states"] == ["CLOSED", "SYN-SENT", "CLOSED"]
    assert all(claim["held"] for claim in summary["claims"])


def test_a_picture_stands_under_the_claims_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "picture.py").write_text(PICTURE)
    run = lab("run", str(tmp_path / "picture.py"))
    assert "  holds  two and two are five\n\n[red] 1\n   2\n" in run.stdout
    assert "   2" not in lab("run", str(tmp_path / "picture.py"), "--json").stdout


def test_a_claim_that_does_not_hold_is_status_1(tmp_path: Path) -> None:
    (tmp_path / "false.py").write_text(FALSE)
    run = lab("run", str(tmp_path / "false.py"))
    assert run.returncode == 1
    assert "FAILS  two and two are five" in run.stdout
    assert "What it showed" not in run.stdout


def test_the_shell_is_in_the_lab_and_its_status_is_ours() -> None:
    run = lab("shell", stdin=f"{sys.executable} -m usertcp handshake 192.0.2.2 7 --send hello --no-wait; exit 3\n")
    assert "closed: 5 octets sent, 5 received" in run.stdout
    assert run.returncode == 3, run.stderr
