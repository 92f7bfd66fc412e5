"""Captures are read back with Scapy, and by tshark."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from scapy.layers.inet import IP
from scapy.utils import RawPcapNgReader, rdpcap

from tests.trace.script import FLOW, FLOW6, Script
from usertcp.tcp import events
from usertcp.tcp.segment import ACK, PSH, SYN, Flow
from usertcp.trace.pcapng import PcapngWriter


def written(script: Script, path: Path, wall: float = 0.0) -> Path:
    with path.open("wb") as file:
        writer = PcapngWriter(file, wall=wall)
        for record in script.records:
            writer(record)
        writer.close()
    return path


def comments(path: Path) -> list[list[str]]:
    """The comment of each packet, as lines."""

    def read() -> Iterator[list[str]]:
        with RawPcapNgReader(str(path)) as reader:
            for _, meta in reader:
                assert meta.linktype == 101
                yield b"\n".join(meta.comments or []).decode().splitlines() if meta.comments else []

    return list(read())


def clean_connection(flow: Flow = FLOW) -> Script:
    script = Script(flow=flow)
    script.open()
    script.request()
    script.close()
    return script


def test_scapy_reads_the_packets_with_wall_clock_times(tmp_path: Path) -> None:
    packets = rdpcap(str(written(clean_connection(), tmp_path / "a.pcapng", wall=1_700_000_000 - 100.0)))
    assert [str(packet[IP].payload.flags) for packet in packets][:4] == ["S", "SA", "A", "PA"]
    assert abs(float(packets[0].time) - 1_700_000_000) < 1e-5
    assert abs(float(packets[1].time) - 1_700_000_000.001) < 1e-5


def test_comments_say_what_belongs_to_each_packet(tmp_path: Path) -> None:
    found = comments(written(clean_connection(), tmp_path / "a.pcapng"))
    assert found[:3] == [
        [
            "active OPEN: CLOSED -> SYN-SENT",
            "out: SYN SEQ=1000 ACK=0 LEN=0 WND=1000",
            "timer retransmit set to 1.000 s",
        ],
        ["in: SYN,ACK SEQ=5000 ACK=1001 LEN=0 WND=2000", "rcv SYN,ACK: SYN-SENT -> ESTABLISHED"],
        ["out: ACK SEQ=1001 ACK=5001 LEN=0 WND=1000"],
    ]


def test_what_follows_the_last_packet_stands_with_it(tmp_path: Path) -> None:
    found = comments(written(clean_connection(), tmp_path / "a.pcapng"))
    assert found[-1][1:] == ["timer time_wait expired", "Timeout=2MSL: TIME-WAIT -> CLOSED"]


def test_segments_that_are_built_together_keep_their_comments(tmp_path: Path) -> None:
    script = Script()
    for data in b"one", b"two":
        script.out(PSH | ACK, 1, 1, data)
    script.records.sort(key=lambda record: isinstance(record, events.PacketOut))
    found = comments(written(script, tmp_path / "a.pcapng"))
    assert [len(lines) for lines in found] == [1, 1]


def test_what_the_path_did_stands_with_the_packet(tmp_path: Path) -> None:
    script = Script()
    script.path("out", script.out(SYN, 0), "dropped", "lost")
    script.path("in", script.theirs(SYN | ACK, 0, 1), "delayed", "0.2 s")
    script.arrive(SYN | ACK, 0, 1)
    out, back = comments(written(script, tmp_path / "a.pcapng"))
    assert out[-1] == "path, out: dropped (lost)"
    assert back[0] == "path, in: delayed (0.2 s)"


def test_a_packet_of_any_length_is_written(tmp_path: Path) -> None:
    script = Script()
    for size in range(5):
        script.records.append(events.PacketIn(script.now, bytes(size)))
        script.records.append(events.PacketDiscarded(script.now, bytes(size), "no IP packet"))
    with RawPcapNgReader(str(written(script, tmp_path / "a.pcapng"))) as reader:
        assert [len(data) for data, _ in reader] == list(range(5))


@pytest.mark.parametrize("flow", [FLOW, FLOW6], ids=["IPv4", "IPv6"])
def test_tshark_finds_nothing_malformed_and_nothing_remarkable_in_a_clean_connection(
    flow: Flow, tmp_path: Path
) -> None:
    path = written(clean_connection(flow), tmp_path / "a.pcapng")
    assert len(tshark(path, "tcp")) == 10
    assert tshark(path, REMARKABLE) == []


def test_tshark_would_find_a_bad_checksum(tmp_path: Path) -> None:
    script = clean_connection(FLOW)
    (*_, last) = (record for record in script.records if isinstance(record, events.PacketOut))
    last.packet = last.packet[:-1] + bytes([last.packet[-1] ^ 1])
    assert len(tshark(written(script, tmp_path / "a.pcapng"), REMARKABLE)) == 1


REMARKABLE = f"_ws.malformed or _ws.expert.severity >= {0x00600000}"
"""A warning or an error."""


def tshark(path: Path, which: str) -> list[str]:
    """A line for each packet that a display filter lets pass."""
    checksums = ["-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"]
    run = subprocess.run(["tshark", "-r", path, "-Y", which, *checksums], check=True, capture_output=True, text=True)
    return run.stdout.splitlines()
