"""`usertcp doctor`: what on this machine would stop a handshake."""

from __future__ import annotations

import json as json_

import click

from usertcp.cli.options import port_number


@click.command("doctor")
@click.argument("host")
@click.argument("port", type=port_number)
@click.option("--json", is_flag=True, help="One finding per line.")
def command(host: str, port: int, json: bool) -> int:
    """Say what on this machine would stop a handshake with PORT of HOST, and what to do about it.

    Looks and tries, and leaves nothing behind; sends nothing to HOST. Exit status 1 if something would stop it.

    \b
    Example:
      usertcp doctor example.org 80
    """
    from usertcp.doctor import Verdict, examine

    findings = examine(host, port)
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        if json:
            values = {"name": finding.name, "verdict": finding.verdict.value}
            click.echo(json_.dumps(values | {"found": finding.found, "remedy": finding.remedy}))
            continue
        colour = {Verdict.OK: "green", Verdict.WARN: "yellow", Verdict.FAIL: "red"}[finding.verdict]
        verdict = click.style(f"{finding.verdict.value:<4}", fg=colour, bold=finding.verdict is Verdict.FAIL)
        click.echo(f"{verdict}  {finding.name:<{width}}  {finding.found}")
        for line in finding.remedy.splitlines():
            click.echo(f"{'':<{width + 8}}► {line}")
    return int(any(finding.verdict is Verdict.FAIL for finding in findings))
