"""The command against a Linux kernel's TCP, in a network of its own."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import TCP
from scapy.utils import rdpcap

from tests.cli.conftest import Hosts
from tests.cli.hosts import BANNER, BLACK_HOLE, LINK_LOCAL_PEER, LINK_LOCAL_PORT, MD5_KEY
from usertcp.lab.cable import OURS, PEER

pytestmark = pytest.mark.lab

ACTIVE_CLOSE = ["CLOSED", "SYN-SENT", "ESTABLISHED", "FIN-WAIT-1", "FIN-WAIT-2", "TIME-WAIT", "CLOSED"]
REQUEST = r"GET / HTTP/1.0\r\n\r\n"


def records(out: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def handshake(hosts: Hosts, *arguments: str) -> tuple[int, dict[str, Any], str]:
    """Exit status, summary and stderr of `handshake --json`."""
    run = hosts.run("handshake", *arguments, "--json")
    assert run.stdout, run.stderr.decode()
    return run.returncode, records(run.stdout)[-1], run.stderr.decode()


def test_handshake_draws_a_whole_connection(hosts: Hosts) -> None:
    run = hosts.run("handshake", PEER.address, "7", "--send", REQUEST, "--msl", "0.1")
    out = run.stdout.decode()
    assert run.returncode == 0, run.stderr.decode()
    assert run.stderr == b""
    drawn = [line for line in out.splitlines() if line[22:23] in ("│", "├")]
    assert [line[9:21].strip() for line in drawn if line[9:21].strip()] == ACTIVE_CLOSE
    for seen in ("SYN,ACK seq=0 ack=1", r'"GET / HTTP/1.0\r\n\r\n"', "(LAST-ACK)", "2 MSL have passed"):
        assert seen in out
    assert "closed: 18 octets sent, 18 received" in out.splitlines()[-1]


def test_a_link_local_address_is_called_on_its_interface(hosts: Hosts) -> None:
    address = f"{LINK_LOCAL_PEER}%{OURS.interface}"
    status, summary, _ = handshake(hosts, address, str(LINK_LOCAL_PORT), "--send", "hello", "--msl", "0.1")
    assert (status, summary["outcome"], summary["received"]) == (0, "closed", 5)
    run = hosts.run("connect", address, str(LINK_LOCAL_PORT), stdin=b"hello")
    assert (run.returncode, run.stdout) == (0, b"hello"), run.stderr.decode()


def test_a_name_that_nobody_has_is_told_in_the_summary_too(hosts: Hosts) -> None:
    status, summary, complaint = handshake(hosts, "nobody.invalid", "7")
    assert (status, summary["type"], summary["outcome"], summary["states"]) == (2, "summary", "failed", [])
    assert "cannot resolve nobody.invalid" in summary["error"]
    assert "cannot resolve nobody.invalid" in complaint


@pytest.mark.parametrize("address", [PEER.address, PEER.address6])
def test_handshake_in_json(hosts: Hosts, address: str) -> None:
    run = hosts.run("handshake", address, "7", "--send", REQUEST, "--msl", "0.1", "--json")
    *others, summary = records(run.stdout)
    assert run.returncode == 0
    assert (summary["type"], summary["outcome"]) == ("summary", "closed")
    assert summary["states"] == ACTIVE_CLOSE
    assert summary["sent"] == 18
    assert summary["received"] == 18
    assert {"state-entered", "segment-in", "segment-out", "rtt-sample", "timer-set"} <= {o["type"] for o in others}


def test_a_closed_port_refuses(hosts: Hosts) -> None:
    status, summary, errors = handshake(hosts, PEER.address, "5")
    assert (status, summary["outcome"]) == (1, "refused")
    assert summary["states"] == ["CLOSED", "SYN-SENT", "CLOSED"]
    assert errors.startswith("usertcp: connection refused: ")
    assert errors.count("\n") == 1


def test_a_black_hole_times_out(hosts: Hosts) -> None:
    status, summary, errors = handshake(hosts, BLACK_HOLE, "80", "--timeout", "1.5")
    assert (status, summary["outcome"]) == (1, "timed-out")
    assert errors.startswith("usertcp: connection timed out")


def test_a_host_without_a_route_is_unreachable(hosts: Hosts) -> None:
    status, summary, errors = handshake(hosts, "198.51.100.1", "80")
    assert (status, summary["outcome"], summary["states"]) == (1, "unreachable", [])
    assert errors.startswith("usertcp: host unreachable")


def test_a_server_that_speaks_first_closes_after_us(hosts: Hosts) -> None:
    run = hosts.run("handshake", PEER.address, "22", "--no-wait", "-o", "/dev/stderr")
    assert run.returncode == 0
    assert run.stderr == BANNER


def test_a_server_that_never_closes_is_given_up(hosts: Hosts) -> None:
    status, summary, errors = handshake(hosts, PEER.address, "23", "--timeout", "1")
    assert (status, summary["outcome"]) == (1, "aborted")
    assert summary["states"][-3:] == ["FIN-WAIT-1", "FIN-WAIT-2", "CLOSED"]
    assert "did not close" in errors


def test_a_reset_is_told(hosts: Hosts) -> None:
    status, summary, errors = handshake(hosts, PEER.address, "24", "--send", "x")
    assert (status, summary["outcome"]) == (1, "reset")
    assert errors.startswith("usertcp: connection reset")


def test_no_wait_does_not_wait(hosts: Hosts) -> None:
    status, summary, _ = handshake(hosts, PEER.address, "9", "--no-wait")
    assert (status, summary["outcome"]) == (0, "closed")
    assert summary["states"][: len(ACTIVE_CLOSE) - 1] == ACTIVE_CLOSE[:-1]


def test_a_large_exchange_arrives_whole(hosts: Hosts, tmp_path: Path) -> None:
    (tmp_path / "sent").write_bytes(bytes(range(256)) * 2000)
    copy = tmp_path / "received"
    status, summary, _ = handshake(
        hosts, PEER.address, "7", "--send", f"@{tmp_path / 'sent'}", "-o", str(copy), "--no-wait"
    )
    assert (status, summary["sent"], summary["received"]) == (0, 512_000, 512_000)
    assert copy.read_bytes() == bytes(range(256)) * 2000


def test_what_stdin_holds_is_sent(hosts: Hosts) -> None:
    run = hosts.run("handshake", PEER.address, "7", "--send", "-", "--no-wait", stdin=b"from stdin")
    assert b"received 10 octets: 'from stdin'" in run.stdout


def test_a_capture_of_a_clean_connection_is_clean(hosts: Hosts, tmp_path: Path) -> None:
    path = tmp_path / "a.pcapng"
    hosts.run("handshake", PEER.address, "7", "--send", REQUEST, "--msl", "0.1", "--pcap", str(path))
    remarkable = f"_ws.malformed or _ws.expert.severity >= {0x00600000}"
    command = ["tshark", "-r", path, "-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE", "-Y", remarkable]
    assert subprocess.run(command, check=True, capture_output=True).stdout == b""
    assert [str(packet[TCP].flags) for packet in rdpcap(str(path))[:4]] == ["S", "SA", "A", "PA"]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=lambda v: str(v))
def test_signals_leave_nothing_behind(hosts: Hosts, number: signal.Signals, status: int) -> None:
    with hosts.start("handshake", PEER.address, "23", "--json") as process:
        assert process.stdout
        line = b""
        while b"ESTABLISHED" not in line:
            line = process.stdout.readline()
        process.send_signal(number)
        out, err = process.communicate(timeout=10)
    summary = json.loads(out.splitlines()[-1])  # Of the first line, `readline` may have kept a part.
    assert process.returncode == status
    assert summary["outcome"] == "interrupted"
    assert summary["states"][-1] == "CLOSED"
    assert err == b""


def test_a_reader_that_goes_away_is_no_error(hosts: Hosts) -> None:
    with hosts.start("handshake", PEER.address, "7", "--send", "x" * 1000, "--msl", "0.1") as process:
        assert process.stdout
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr
        assert process.stderr.read() == b""
    assert process.returncode == 141


def test_connect_joins_stdin_and_stdout(hosts: Hosts) -> None:
    run = hosts.run("connect", PEER.address, "7", stdin=b"there and back\n" * 10_000)
    assert (run.returncode, run.stderr) == (0, b"")
    assert run.stdout == b"there and back\n" * 10_000


def test_connect_draws_on_stderr_if_asked(hosts: Hosts) -> None:
    run = hosts.run("connect", "-v", PEER.address, "7", stdin=b"hello")
    assert run.stdout == b"hello"
    assert "FIN-WAIT-1" in run.stderr.decode()


def test_connect_reports_what_tcp_says(hosts: Hosts) -> None:
    run = hosts.run("connect", PEER.address, "5")
    assert (run.returncode, run.stdout) == (1, b"")
    assert run.stderr.startswith(b"usertcp: connection refused: ")


def test_connect_joins_a_command(hosts: Hosts) -> None:
    run = hosts.run("connect", PEER.address, "7", "--exec", "echo to you; exec >&-; cat >&2")
    assert (run.returncode, run.stderr) == (0, b"to you\n")


def test_connect_signs_with_the_key_in_a_file(hosts: Hosts, tmp_path: Path) -> None:
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    right.write_bytes(MD5_KEY + b"\n")
    wrong.write_bytes(b"another")
    run = hosts.run("connect", PEER.address, "179", "--md5-key", str(right), stdin=b"signed")
    assert (run.returncode, run.stdout, run.stderr) == (0, b"signed", b"")
    run = hosts.run("handshake", PEER.address, "179", "--md5-key", str(wrong), "--timeout", "0.5")
    assert run.returncode == 1
    assert b"timed out" in run.stderr


@contextmanager
def listening(hosts: Hosts, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    with hosts.start("listen", *arguments) as process:
        assert process.stderr
        line = process.stderr.readline()
        assert b"listening on" in line, line + process.stderr.read()
        try:
            yield process
        finally:
            process.kill()


def test_listen_joins_one_connection_to_stdin_and_stdout(hosts: Hosts) -> None:
    with listening(hosts, "8080") as process:
        assert process.stdin
        process.stdin.write(b"from here")
        process.stdin.close()
        assert hosts.call(8080, b"from there") == b"from here"
        assert process.stdout
        assert process.stderr
        assert (process.stdout.read(), process.stderr.read(), process.wait(10)) == (b"from there", b"", 0)


@pytest.mark.parametrize(
    ("option", "answer"),
    [(["--echo"], b"abc" * 1000), (["--discard"], b""), (["--exec", "tr a-z A-Z"], b"ABC" * 1000)],
    ids=["echo", "discard", "exec"],
)
def test_listen_serves_many_connections_until_interrupted(hosts: Hosts, option: list[str], answer: bytes) -> None:
    with listening(hosts, "8081", "--keep-open", *option) as process:
        for _ in range(3):
            assert hosts.call(8081, b"abc" * 1000) == answer
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130


def test_listen_takes_a_request_that_comes_with_the_syn(hosts: Hosts) -> None:
    """The kernel's first call fetches a cookie."""
    with listening(hosts, "8082", "--keep-open", "--echo", "--fast-open", "-v") as process:
        for _ in range(2):
            assert hosts.call(8082, b"request", fast_open=True) == b"request"
        process.send_signal(signal.SIGINT)
        assert process.stderr
        ladder = process.stderr.read().decode()
    assert [line.count("len=7") for line in ladder.splitlines() if " SYN seq=0" in line] == [0, 1]
