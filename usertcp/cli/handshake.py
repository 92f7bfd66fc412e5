"""`usertcp handshake`: one connection from SYN to the end of TIME-WAIT, drawn as it happens."""

from __future__ import annotations

import sys
from typing import BinaryIO

import click

from usertcp.cli.options import Seconds, View, escaped, family_options, md5_key_option, port_number, view_options
from usertcp.tcp.md5 import Md5Key


@click.command("handshake")
@click.argument("host")
@click.argument("port", type=port_number)
@click.option("--send", metavar="TEXT|@FILE|-", help=r"What to send: text (with \r \n \t \0 \xHH), a file, or stdin.")
@click.option("-o", "--output", type=click.File("wb", lazy=False), help="Write what is received to a file.")
@click.option(
    "--msl",
    type=Seconds(),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="Maximum segment lifetime: TIME-WAIT lasts twice this.",
)
@click.option("--no-wait", is_flag=True, help="Do not wait out TIME-WAIT (2 MSL).")
@click.option(
    "--timeout",
    type=Seconds(),
    default=20.0,
    show_default=True,
    metavar="SECONDS",
    help="Give up when nothing moves for so long: no answer, no data, no close.",
)
@family_options
@md5_key_option
@view_options
def command(
    host: str,
    port: int,
    send: str | None,
    output: BinaryIO | None,
    msl: float,
    no_wait: bool,
    timeout: float,
    family: int,
    md5_keys: tuple[Md5Key, ...],
    view: View,
) -> int:
    """Open a connection to HOST, exchange data, close it, and draw every segment.

    The states on the left are ours. Those on the right are the peer's; in parentheses, as far as the segments tell.

    \b
    Examples:
      usertcp handshake example.org 80 --send 'GET / HTTP/1.0\\r\\nHost: example.org\\r\\n\\r\\n'
      usertcp handshake 192.0.2.1 ssh --explain --no-wait
      usertcp handshake ::1 8080 --send @request --msl 1 --json --pcap handshake.pcapng
    """
    from usertcp.cli.exchange import Exchange, handshake
    from usertcp.cli.run import run
    from usertcp.tcp.config import Config

    exchange = Exchange(_to_send(send), output, timeout=timeout, wait=not no_wait)
    config = Config(msl=msl, user_timeout=timeout, md5_keys=md5_keys)
    return run(lambda: handshake(host, port, family, exchange, view, config))


def _to_send(what: str | None) -> bytes:
    if what is None:
        return b""
    if what == "-":
        return sys.stdin.buffer.read()
    if not what.startswith("@"):
        return escaped(what)
    try:
        with open(what[1:], "rb") as file:
            return file.read()
    except OSError as error:
        raise click.BadParameter(f"{what[1:]}: {error.strerror}", param_hint="--send") from error
