"""`usertcp sim` as its user sees it."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

SIM = [sys.executable, "-m", "usertcp", "sim"]
SMALL = ["--octets", "20k"]


def sim(*options: str, status: int = 0) -> str:
    done = subprocess.run([*SIM, *SMALL, *options], capture_output=True, text=True, timeout=60)
    assert done.returncode == status, done.stderr
    return done.stdout


def test_a_run_says_what_came_of_it_and_how_to_repeat_it() -> None:
    shown = sim("--loss", "packets:5", "--loss-back", "0")
    assert "20,480 octets" in shown
    assert "1 lost" in shown
    assert "again            usertcp sim --octets 20k --loss packets:5 --loss-back 0 --seed 1" in shown


def test_marks_are_told_and_have_a_column(tmp_path: Path) -> None:
    file = tmp_path / "run.csv"
    shown = sim("--octets", "300k", "--mark", "3", "--ecn", "accurate", "--csv", str(file))
    [row] = csv.DictReader(file.read_text().splitlines())
    assert int(row["marked"]) > 0
    assert f"marked           {row['marked']}, as the queue was long" in shown


def test_ladder_and_capture_show_the_packets(tmp_path: Path) -> None:
    captures = [tmp_path / "one", tmp_path / "two"]
    for capture in captures:
        shown = sim("--loss", "packets:5", "--loss-back", "0", "--ladder", "--pcap", str(capture))
        assert "× lost" in shown
        assert "(resent)" in shown
    assert captures[0].read_bytes() == captures[1].read_bytes()
    assert b"retransmission" in captures[0].read_bytes()


def test_json_is_a_summary_and_with_the_ladder_every_record() -> None:
    [line] = sim("--json").splitlines()
    assert json.loads(line)["delivered"] == 20_480
    lines = [json.loads(line) for line in sim("--json", "--ladder").splitlines()]
    assert lines[-1]["type"] == "summary"
    assert "segment-out" in {each["type"] for each in lines}


def test_a_grid_is_a_table_and_a_file(tmp_path: Path) -> None:
    file = tmp_path / "runs.csv"
    shown = sim("--controller", "reno,cubic", "--loss", "0,5%", "--seeds", "2", "--csv", str(file))
    assert len(shown.splitlines()) == 1 + 4 + 1
    rows = list(csv.DictReader(file.read_text().splitlines()))
    assert [(row["controller"], row["loss"], row["seed"]) for row in rows] == [
        (controller, loss, seed) for controller in ("reno", "cubic") for loss in ("0", "5%") for seed in ("1", "2")
    ]
    assert all(row["octets"] == "20k" and float(row["goodput"]) > 0 for row in rows)


def test_what_tcp_could_not_do_is_status_1() -> None:
    assert "PROBLEM" in sim("--loss", "100%", status=1)
    assert "usertcp sim --octets 20k --loss 100% --seed 1" in sim("--loss", "0,100%", status=1)


def test_a_soak_counts_its_runs_and_takes_nothing_but_a_seed() -> None:
    done = subprocess.run([*SIM, "--soak", "8", "--seed", "5"], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "8 runs, none with a problem\n"
    sim("--soak", "8", status=2)


def test_wrong_usage_is_status_2() -> None:
    sim("--loss", "1", status=2)
    sim("--loss", "0,1%", "--ladder", status=2)


def test_interrupted_it_shows_what_there_is(tmp_path: Path) -> None:
    file = tmp_path / "runs.csv"
    terminal, progress = os.openpty()
    options = ["--octets", "1g,1k", "--csv", str(file)]
    with subprocess.Popen([*SIM, *options], stdout=subprocess.PIPE, stderr=progress, text=True) as process:
        seen = b""
        while b"50%" not in seen:  # One of the two is done.
            seen += os.read(terminal, 1000)
        process.send_signal(signal.SIGINT)
        shown, _ = process.communicate(timeout=30)
    os.close(terminal)
    os.close(progress)
    assert process.returncode == 130
    assert len(shown.splitlines()) == 3
    assert len(list(csv.DictReader(file.read_text().splitlines()))) == 1
