"""Options that several verbs share. Imports nothing slow: `--help` needs this module."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from math import isfinite
from typing import Any, BinaryIO

import click

from usertcp.tcp.md5 import Md5Key

Command = Callable[..., Any]


class Seconds(click.FloatRange):
    """A length of time: positive, and finite."""

    def __init__(self) -> None:
        super().__init__(0, min_open=True)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        seconds = float(super().convert(value, param, ctx))
        if not isfinite(seconds):
            self.fail(f"{value} is no length of time", param, ctx)
        return seconds


@dataclass(slots=True)
class View:
    """How the user wants to see a connection."""

    absolute: bool = False
    explain: bool = False
    json: bool = False
    pcap: str | None = None


def view_options(command: Command) -> Command:
    """--absolute, --explain, --json, --pcap: the command gets one argument, `view`."""

    @click.option("--absolute", is_flag=True, help="Sequence numbers as on the wire, not counted from the ISNs.")
    @click.option("--explain", is_flag=True, help="Add a sentence to each step, with the section of the RFC.")
    @click.option("--json", is_flag=True, help="One record per line instead of the ladder; the last is a summary.")
    @click.option("--pcap", metavar="FILE", help="Also write a capture (pcapng) with the trace as packet comments.")
    @wraps(command)
    def wrapped(absolute: bool, explain: bool, json: bool, pcap: str | None, **rest: Any) -> Any:
        return command(view=View(absolute, explain, json, pcap), **rest)

    return wrapped


def md5_key_option(command: Command) -> Command:
    """--md5-key: the command gets one argument, `md5_keys`, for `Config`. In a file, since everybody can read a command
    line."""

    @click.option(
        "--md5-key",
        type=click.File("rb"),
        metavar="FILE",
        help="Sign every segment with the key in this file, and take none that is not (TCP-MD5, RFC 2385).",
    )
    @wraps(command)
    def wrapped(md5_key: BinaryIO | None, **rest: Any) -> Any:
        if md5_key is None:
            return command(md5_keys=(), **rest)
        key = md5_key.read().rstrip(b"\r\n")
        try:
            keys = tuple(Md5Key(anybody, key) for anybody in ("0.0.0.0/0", "::/0"))
        except ValueError as error:
            raise click.BadParameter(f"{md5_key.name}: {error}", param_hint="--md5-key") from None
        return command(md5_keys=keys, **rest)

    return wrapped


def families(ipv4: bool, ipv6: bool) -> int:
    """-4 and -6 as an address family: AF_UNSPEC when neither or both are given."""
    if ipv4 == ipv6:
        return socket.AF_UNSPEC
    return socket.AF_INET if ipv4 else socket.AF_INET6


def family_options(command: Command) -> Command:
    """-4, -6: the command gets one argument, `family`."""

    @click.option("-4", "ipv4", is_flag=True, help="IPv4 only.")
    @click.option("-6", "ipv6", is_flag=True, help="IPv6 only.")
    @wraps(command)
    def wrapped(ipv4: bool, ipv6: bool, **rest: Any) -> Any:
        return command(family=families(ipv4, ipv6), **rest)

    return wrapped


def port_number(value: str) -> int:
    """A port from the command line: a number, or the name of a service."""
    try:
        port = int(value) if value.isdigit() else socket.getservbyname(value, "tcp")
    except OSError:
        raise click.BadParameter(f"{value!r} is neither a number nor a service that this machine knows") from None
    if not 0 < port < 65536:
        raise click.BadParameter(f"{port} is not from 1 to 65535")
    return port


def escaped(text: str) -> bytes:
    """Text from the command line as octets: `\\r \\n \\t \\0 \\\\ \\xHH` as in C, all else as UTF-8."""

    def octets(match: re.Match[bytes]) -> bytes:
        code = match[1]
        return bytes([int(code[1:], 16)]) if code.startswith(b"x") else ESCAPES[code]

    return re.sub(rb"\\(x[0-9A-Fa-f]{2}|[rnt0\\])", octets, text.encode())


ESCAPES = {b"r": b"\r", b"n": b"\n", b"t": b"\t", b"0": b"\0", b"\\": b"\\"}


@dataclass(slots=True)
class Behind:
    """What stands behind a connection; standard input and output if nothing else is said."""

    echo: bool = False
    discard: bool = False
    exec: str | None = None


def behind_options(command: Command) -> Command:
    """--echo, --discard, --exec, -v: the command gets two arguments, `behind` and `verbose`."""

    @click.option("--echo", is_flag=True, help="Send back what arrives.")
    @click.option("--discard", is_flag=True, help="Throw away what arrives.")
    @click.option("--exec", "exec_", metavar="COMMAND", help="Join the connection to a command of the shell.")
    @click.option("-v", "--verbose", is_flag=True, help="Draw every segment on stderr.")
    @wraps(command)
    def wrapped(echo: bool, discard: bool, exec_: str | None, **rest: Any) -> Any:
        if echo + discard + (exec_ is not None) > 1:
            raise click.UsageError("only one of --echo, --discard and --exec")
        return command(behind=Behind(echo, discard, exec_), **rest)

    return wrapped
