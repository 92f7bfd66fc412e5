"""`usertcp listen`: netcat's server."""

from __future__ import annotations

import click

from usertcp.cli.options import Behind, View, behind_options, md5_key_option, port_number, view_options
from usertcp.tcp.md5 import Md5Key


@click.command("listen")
@click.argument("port", type=port_number)
@click.option("--host", metavar="ADDRESS", help="Accept connections to this local address only.")
@click.option("-k", "--keep-open", is_flag=True, help="Go on after the first connection, until Ctrl-C.")
@click.option("--fast-open", is_flag=True, help="Take data that comes with a SYN. It may arrive twice.")
@behind_options
@md5_key_option
@view_options
def command(
    port: int,
    host: str | None,
    keep_open: bool,
    fast_open: bool,
    behind: Behind,
    verbose: bool,
    md5_keys: tuple[Md5Key, ...],
    view: View,
) -> int:
    """Accept a connection to PORT and join it to standard input and output.

    With --keep-open, --echo, --discard and --exec serve many at once, standard input and output one after the other.

    \b
    Examples:
      usertcp listen 8080 -v
      usertcp listen 7 --echo --keep-open
      usertcp listen 8080 -k --exec 'printf "HTTP/1.0 200 OK\\r\\n\\r\\nhello\\n"'
    """
    from usertcp.cli.netcat import listen
    from usertcp.cli.run import run
    from usertcp.tcp.config import Config

    config = Config(md5_keys=md5_keys, fast_open=Config().backlog if fast_open else 0)
    return run(lambda: listen(port, host, keep_open, behind, verbose, config, view))
