"""Experiments: a module each, which says in its docstring what it shows, and does it in `run(lab)`.

    \"\"\"The first SYN is lost.

    What it showed: ...

    How to read it: ...
    \"\"\"

    async def run(lab: Lab) -> None:
        ...

`experiments` are those that come with this package; `find` also takes a file of somebody's own.
"""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import trio

from usertcp.errors import SetupError, TcpError
from usertcp.lab import cable, namespaces
from usertcp.lab.experiments import ORDER
from usertcp.lab.peer import Peer
from usertcp.lab.workbench import Claim, Lab, open_lab
from usertcp.runtime.opening import LinkName
from usertcp.tcp.config import Config
from usertcp.tcp.events import Tracer

TIME_LIMIT = 60.0
"""Seconds after which an experiment has failed."""
SHOWED, READING = "What it showed:", "How to read it:"


@dataclass(frozen=True, slots=True)
class Experiment:
    """One thing to see, and how."""

    name: str
    title: str
    showed: str
    """What is to be learned from it, once its claims have held."""
    reading: str
    """How to read the ladder, with sections of the RFC."""
    run: Callable[[Lab], Awaitable[None]]

    @classmethod
    def of(cls, module: ModuleType, name: str) -> Experiment:
        """The experiment in a module.

        Raises:
          SetupError: a part of it is missing.
        """
        text = inspect.cleandoc(module.__doc__ or "")
        title, _, rest = text.partition("\n")
        _, has_showed, rest = rest.partition(SHOWED)
        showed, has_reading, reading = rest.partition(READING)
        run = getattr(module, "run", None)
        if not (has_showed and has_reading and inspect.iscoroutinefunction(run)):
            raise SetupError(f"{name} needs a docstring with “{SHOWED}” and “{READING}”, and `async def run(lab)`")
        return cls(name, title.rstrip("."), unwrapped(showed), unwrapped(reading), run)


@dataclass(slots=True)
class Outcome:
    """What came of an experiment."""

    experiment: Experiment
    claims: list[Claim] = field(default_factory=list)
    pictures: list[list[str]] = field(default_factory=list)
    """Lines of text each."""
    error: str = ""
    """What ended it early."""

    @property
    def held(self) -> bool:
        """It ran to its end, made claims, and all of them were true."""
        return not self.error and bool(self.claims) and all(claim.held for claim in self.claims)


def experiments() -> dict[str, Experiment]:
    """Those that come with this package, by name, in the order in which to read them."""
    return {name: find(name) for name in ORDER}


def find(name: str) -> Experiment:
    """An experiment by its name, or by the path of a Python file.

    Raises:
      SetupError: there is none, or it lacks something.
    """
    if name in ORDER:
        return Experiment.of(import_module(f"usertcp.lab.experiments.{name.replace('-', '_')}"), name)
    path = Path(name)
    spec = spec_from_file_location(path.stem, path) if path.suffix == ".py" and path.is_file() else None
    if spec is None or spec.loader is None:
        raise SetupError(f"no experiment {name!r}; those there are: {', '.join(ORDER)}; or give a Python file")
    module = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise SetupError(f"{name} cannot be run: {described(error, name)}") from error
    return Experiment.of(module, path.stem.replace("_", "-"))


def enter() -> Peer:
    """Move this process into a network of its own, for good, with a peer at the other end of a cable.

    Raises:
      SetupError: the system forbids it; the message says which setting does.
    """
    made = namespaces.enter()
    cable.plug(made)
    return Peer(made.peer)


async def run(
    experiment: Experiment,
    peer: Peer,
    *,
    tracer: Tracer | None = None,
    config: Config | None = None,
    link: LinkName = "raw",
) -> Outcome:
    """Run an experiment to its end, in the network that `enter` made. What it raises is in the outcome.

    Args:
      link: what our end of the cable is, see `usertcp.open_stack`.

    Raises:
      SetupError: the machine does not let us, after all.
    """
    outcome = Outcome(experiment)
    try:
        with trio.fail_after(TIME_LIMIT):
            async with open_lab(peer, tracer, config, link) as lab:
                outcome.claims, outcome.pictures = lab.claims, lab.pictures
                await experiment.run(lab)
    except* trio.TooSlowError:
        outcome.error = "what it waited for did not happen in time"
    except* (TcpError, trio.BrokenResourceError) as group:
        outcome.error = str(first(group))
    except* SetupError:
        raise
    except* Exception as group:
        outcome.error = described(first(group), inspect.getfile(experiment.run))
    return outcome


def described(error: BaseException, file: str) -> str:
    """An error of an experiment's own, and which line of its file led to it."""
    steps = [step for step in traceback.extract_tb(error.__traceback__) if step.filename == file]
    where = f"{Path(file).name}, line {steps[-1].lineno}: " if steps else ""
    said = str(error)
    return f"{where}{type(error).__name__}{': ' if said else ''}{said}"


def first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error of a group of groups."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def unwrapped(text: str) -> str:
    """Paragraphs as one line each."""
    return "\n".join(" ".join(paragraph.split()) for paragraph in text.strip().split("\n\n"))
