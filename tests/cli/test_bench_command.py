"""`usertcp bench` as its user sees it."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.lab

BENCH = [sys.executable, "-m", "usertcp", "bench", "--short"]


def bench(*options: str, status: int = 0) -> str:
    done = subprocess.run([*BENCH, *options], capture_output=True, text=True, timeout=60)
    assert done.returncode == status, done.stderr
    return done.stdout


def test_a_table_of_what_was_asked_for() -> None:
    lines = bench("round-trips").splitlines()
    assert lines[0].split()[:5] == ["figure", "unit", "usertcp", "kernel", "plain"]
    assert lines[1].split()[:2] == ["round-trips", "1/s"]
    assert max(map(len, lines)) <= 120


def test_json_has_each_figure_with_the_kernels_and_the_ratio() -> None:
    made = json.loads(bench("round-trips", "scapy-handshakes", "--json"))
    trips, handshakes = made["figures"]
    assert (trips["name"], trips["unit"], trips["must"]) == ("round-trips", "1/s", 0.6)
    assert trips["value"] > 0 < trips["kernel"]
    low, high = trips["spread"]
    assert 0 < low <= trips["ratio"] <= high
    assert (handshakes["kernel"], handshakes["ratio"]) == (None, None)
    assert {"date", "machine", "link", "rounds"} <= set(made)


def test_a_picture(tmp_path: Path) -> None:
    picture = tmp_path / "bench.svg"
    bench("round-trips", "cost-receive-16KiB", "--plot", str(picture))
    text = picture.read_text()
    assert text.startswith("<?xml")
    assert len(text) > 10_000


def test_over_a_tun_device_it_says_what_the_kernel_has() -> None:
    assert "link tun; the kernel's over veth" in " ".join(bench("round-trips", "--link", "tun").split())


def test_an_unknown_figure_is_status_2() -> None:
    bench("speed", status=2)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_however_it_ends_no_process_stays_behind(number: int) -> None:
    terminal, progress = os.openpty()
    alive, inherited = os.pipe()
    with subprocess.Popen(
        [*BENCH, "bulk-send"],
        stdout=subprocess.DEVNULL,
        stderr=progress,
        pass_fds=[inherited],
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # Who starts us may ignore it.
    ) as process:
        os.close(inherited)
        seen = b""
        while b"kernel, round" not in seen:
            seen += os.read(terminal, 1000)
        process.send_signal(number)
        process.wait(10)
        assert select.select([alive], [], [], 10)[0], "a process lives on"
    for each in terminal, progress, alive:
        os.close(each)
    assert process.returncode == (130 if number == signal.SIGINT else -number)
