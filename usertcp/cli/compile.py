"""`usertcp compile`: the core as machine code."""

from __future__ import annotations

import click


@click.command("compile")
@click.option("--remove", is_flag=True, help="Have the sources interpreted again.")
def command(remove: bool) -> int:
    """Make machine code of the core: the same sources, through mypyc. It then runs about twice as fast.

    From then on it is used wherever this installation is, for as long as the sources are what it was made from: edit
    one, and all are interpreted again. USERTCP_COMPILED=0 in the environment has them interpreted, as a debugger wants.

    Takes a C compiler, Python's header files, and some three minutes.

    \b
    Examples:
      usertcp compile
      usertcp compile --remove
    """
    from rich.console import Console
    from rich.progress import Progress

    from usertcp import compiled
    from usertcp.compiled import build

    if remove:
        build.remove()
        click.echo("the sources are interpreted")
        return 0
    if compiled.up_to_date():
        click.echo("the machine code is up to date")
        return 0
    errors = Console(stderr=True)
    errors.print("compiling: this takes some three minutes", highlight=False)
    with Progress(console=errors, disable=not errors.is_terminal, transient=True) as progress:
        task = progress.add_task("mypyc")

        def tell(begun: int, files: int) -> None:
            progress.update(task, description="C compiler" if begun else "mypyc", completed=begun, total=files)

        build.build(tell)
    click.echo(f"compiled: {len(compiled.sources())} modules, used from now on ({compiled.FOLDER})")
    return 0
