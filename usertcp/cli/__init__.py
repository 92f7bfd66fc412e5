"""The command `usertcp`: a file for each verb, imported when it is called, so that `--help` is quick."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import NoReturn

import click

from usertcp import __version__

VERBS = {
    "handshake": "A whole connection, every segment drawn.",
    "connect": "Join standard input and output to a server.",
    "listen": "Accept connections; echo, discard or serve them.",
    "lab": "Experiments against a real kernel, in a network of their own.",
    "sim": "Simulations on a virtual clock: any path, any number of them.",
    "bench": "How fast it is, beside the kernel's TCP.",
    "states": "The states of a connection and every way between them.",
    "compile": "Make machine code of the core, which is twice as fast.",
    "doctor": "What on this machine would stop a handshake, and the remedy.",
}
"""Verbs in the order of the help, with what it says of them."""

INTERRUPTED = 130
BROKEN_PIPE = 141
"""128 + SIGINT, 128 + SIGPIPE: what a shell reports of a program that the signal ended."""


class Verbs(click.Group):
    """Finds a verb in the module of its name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        command: click.Command = import_module(f"usertcp.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))


@click.command(
    cls=Verbs,
    subcommand_metavar="VERB ...",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit status: 0 for what was asked, 1 if TCP gave something else (refused, reset, timed out ...), 2 for "
    "wrong usage or a machine that does not let us work.",
)
@click.version_option(__version__, "-V", "--version", prog_name="usertcp")
def usertcp() -> None:
    """A TCP endpoint that lives in this process.

    \b
    First steps:
      usertcp lab run handshake              a whole connection, in a network made for it
      usertcp handshake example.org 80       the same, with a real server
      usertcp handshake --help               what else there is to see
    """


def main() -> NoReturn:
    """Run the command line. Every error is one line on stderr."""
    try:
        status = usertcp.main(prog_name="usertcp", standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
    except (KeyboardInterrupt, click.Abort):
        status = INTERRUPTED
    except BaseExceptionGroup as group:
        status = explain(first(group))
    except Exception as error:
        status = explain(error)
    sys.exit(status if isinstance(status, int) else 0)


def explain(error: BaseException) -> int:
    """Put an error into one line, and give the exit status. What nobody expected is raised again."""
    from usertcp.errors import SetupError, TcpError  # not before somebody needs it: `--help` is quick

    if isinstance(error, BrokenPipeError) and not isinstance(error, TcpError):
        # Nobody reads our output any more. The interpreter would complain when it flushes what is left.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(error, click.ClickException):
        context = getattr(error, "ctx", None)
        complain(error.format_message() + (f" (see {context.command_path} --help)" if context else ""))
        return error.exit_code
    if isinstance(error, SetupError):
        complain(str(error))
        return 2
    if isinstance(error, OSError):
        complain(f"{error.filename}: {error.strerror}" if error.filename else error.strerror or str(error))
        return 1 if isinstance(error, TcpError) else 2
    raise error


def complain(message: str) -> None:
    """One line on stderr."""
    click.echo(f"usertcp: {message}", err=True)


def first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error of a group of groups."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
