"""`usertcp states`: the state machine, as the code has it."""

from __future__ import annotations

import click

from usertcp.trace import states


@click.command("states")
@click.option("--dot", "form", flag_value="dot", help="For Graphviz.")
@click.option("--mermaid", "form", flag_value="mermaid", help="For Mermaid.")
@click.option("--table", "form", flag_value="table", help="Only the table of transitions.")
def command(form: str | None) -> None:
    """Show the states of a connection and every way between them: RFC 9293, Figure 5.

    Both the diagram and the table are drawn from the table that the program itself runs by.

    \b
    Examples:
      usertcp states
      usertcp states --dot | dot -Tsvg > states.svg
    """
    match form:
        case "dot":
            click.echo(states.dot())
        case "mermaid":
            click.echo(states.mermaid())
        case "table":
            click.echo(states.table())
        case _:
            click.echo(f"{states.text()}\n\n{states.table()}")
