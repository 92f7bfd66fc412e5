"""`usertcp connect`: netcat's client."""

from __future__ import annotations

import click

from usertcp.cli.options import (
    Behind,
    Seconds,
    View,
    behind_options,
    family_options,
    md5_key_option,
    port_number,
    view_options,
)
from usertcp.tcp.md5 import Md5Key


@click.command("connect")
@click.argument("host")
@click.argument("port", type=port_number)
@behind_options
@click.option("--timeout", type=Seconds(), metavar="SECONDS", help="Give up after so long.")
@family_options
@md5_key_option
@view_options
def command(
    host: str,
    port: int,
    behind: Behind,
    verbose: bool,
    timeout: float | None,
    family: int,
    md5_keys: tuple[Md5Key, ...],
    view: View,
) -> int:
    """Connect standard input and output to HOST.

    The end of input closes our direction; the command ends when the server has closed the other one too.

    \b
    Examples:
      printf 'GET / HTTP/1.0\\r\\n\\r\\n' | usertcp connect example.org 80
      usertcp connect -v 192.0.2.1 7 < file > copy
      usertcp connect 192.0.2.1 9000 --exec 'tr a-z A-Z'
    """
    from usertcp.cli.netcat import connect
    from usertcp.cli.run import run
    from usertcp.tcp.config import Config

    return run(
        lambda: connect(host, port, family, behind, verbose, Config(user_timeout=timeout, md5_keys=md5_keys), view)
    )
