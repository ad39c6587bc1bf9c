"""weft run: run a program from a file."""

from __future__ import annotations

import inspect
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_type_hints

import typer

from weft.cli.common import (
    BudgetText,
    Engines,
    Imports,
    Model,
    PolicyText,
    Replicas,
    Roles,
    budget_values,
    go,
    make_folder,
    pairs,
    stderr,
)
from weft.errors import UnknownName, UsageError
from weft.parts.faults import blaming
from weft.parts.importing import import_all, is_file, reference
from weft.parts.importing import load as load_module

if TYPE_CHECKING:
    from weft.orchestrator.policy import Policy
    from weft.programs import Run

Program = Callable[..., Awaitable[Any]]


def run(
    what: Annotated[
        str,
        typer.Argument(
            metavar="FILE.py:PROGRAM",
            help="An async function in a file; module:PROGRAM is one in a module. FILE.py alone "
            "is its only @program.",
        ),
    ],
    arg: Annotated[
        list[str] | None,
        typer.Option(
            "--arg",
            "-a",
            metavar="KEY=VALUE",
            help="An argument of the program: JSON, or else a text. May be given several times.",
        ),
    ] = None,
    engine: Engines = None,
    model: Model = None,
    replicas: Replicas = None,
    role: Roles = None,
    policy: PolicyText = None,
    imports: Imports = None,
    budget: BudgetText = None,
    store: Annotated[
        str | None,
        typer.Option(metavar="FILE|URL", help="Keep results of calls here, and use them again."),
    ] = None,
    id: Annotated[
        str | None,
        typer.Option(
            "--id",
            metavar="NAME",
            help="Keep the run in the store under this name, or go on with it; see weft runs.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Write what happens into this folder: run.html, and files for weft explain.",
        ),
    ] = None,
    graph: Annotated[
        bool, typer.Option("--graph", help="Also print what ran, as a Mermaid flowchart.")
    ] = False,
) -> None:
    """Run a program. Prints what the program returns, and on stderr what the run cost.

    Example: weft run fix.py:fix -a issue="It crashes." -e http://127.0.0.1:8000
    """
    from weft.orchestrator.policy import DEFAULT
    from weft.orchestrator.policy_file import load_policy

    import_all(imports or [])
    program = load(what)
    arguments = bind(program, what, pairs("--arg", arg or []))
    if not engine:
        raise UsageError("no engine to run on; give --engine, such as http://127.0.0.1:8000")
    if id is not None and store is None:
        raise UsageError(f"--id {id} needs a store that keeps the run; give --store FILE")
    limits = budget_values(budget)
    scheduled = load_policy(policy or DEFAULT)
    if out is not None:
        make_folder(out)

    async def main() -> Run[Any]:
        return await _run(
            program,
            arguments,
            engine or [],
            model,
            replicas,
            pairs("--role", role or []),
            limits,
            store,
            id,
            scheduled,
            out,
        )

    done = go(main)
    with blaming("program", program):
        shown = _shown(done.value)
    # What UTF-8 can't write, such as half of a pair, is shown by its number.
    print(shown.encode("utf-8", "backslashreplace").decode())
    if graph:
        print(done.mermaid())
    usage = done.usage
    stderr().print(
        f"{usage.calls} calls, {usage.prompt} prompt tokens ({usage.cached} cached), "
        f"{usage.completion} generated, {usage.cancelled} cancelled"
        + (f", ${usage.dollars:.4f}" if usage.dollars else "")
        + f", {done.seconds:.1f} s"
    )


async def _run(
    program: Program,
    arguments: dict[str, Any],
    engines: list[str],
    model: str | None,
    replicas: int | None,
    roles: dict[str, str],
    limits: dict[str, Any],
    store: str | None,
    id: str | None,
    policy: Policy,
    out: Path | None,
) -> Run[Any]:
    from contextlib import nullcontext

    import anyio

    from weft.backends.kinds.specs import open_engines
    from weft.orchestrator.decisions.decision_log import DECISIONS, DecisionLog
    from weft.orchestrator.pool import Pool
    from weft.programs import Limits
    from weft.programs import run as run_program
    from weft.programs.figures.page import PAGE, write_page
    from weft.programs.figures.spans import spans_of
    from weft.programs.history.event_file import EVENTS, write_events
    from weft.programs.nodes import stands_for
    from weft.programs.scope import current
    from weft.store.store import Store

    console = stderr()

    def say(text: str) -> None:
        console.print(text, markup=False)

    @stands_for(program, program.__name__, arguments)
    async def guarded() -> Any:
        try:
            with blaming("program", program):
                return await program(**arguments)
        finally:
            if out is not None:
                events = current().journal.events
                write_events(out / EVENTS, events)
                write_page(out / PAGE, spans_of(events))

    log = DecisionLog(out / DECISIONS).writing(anyio.current_time()) if out else nullcontext()

    async with open_engines(
        engines,
        model=model,
        replicas=replicas,
        on_progress=say,
    ) as opened:
        with Store(store) if store is not None else nullcontext() as kept:
            if model is not None:
                roles.setdefault("solver", model)
            with log as observe:
                async with Pool(
                    *opened, roles=roles, policy=policy, store=kept, observe=observe
                ) as pool:
                    budget = Limits(**limits) if limits else None
                    return await run_program(guarded, pool=pool, budget=budget, id=id)


def load(what: str) -> Program:
    """The program that `FILE.py:NAME` or `module:NAME` names; of `FILE.py` its only one.

    Raises:
        UsageError: the file or module can't be imported, or has no such program.
    """
    if (found := reference(what)) is not None:
        where, name = found
    elif is_file(what):
        where, name = what, ""
    else:
        raise UsageError(f"{what!r} must be written as FILE.py:PROGRAM or module:PROGRAM")
    from weft.programs.nodes import is_program

    module = load_module(where)
    programs = {
        key: value
        for key, value in vars(module).items()
        if (
            inspect.iscoroutinefunction(value)
            and getattr(value, "__module__", "") == module.__name__
        )
        or (callable(value) and not inspect.isroutine(value) and hasattr(value, "__weft_calls__"))
    }
    if name not in programs:
        if not programs:
            raise UsageError(f"{where} has no async functions to run")
        marked = [key for key, value in programs.items() if is_program(value)]
        if not name and len(marked) == 1:
            return cast(Program, programs[marked[0]])
        if not name:
            known = ", ".join(marked or programs)
            raise UsageError(f"name what to run in {where}, as {where}:PROGRAM; it has {known}")
        raise UnknownName(f"program in {where}", name, programs)
    return cast(Program, programs[name])


def bind(program: Program, what: str, given: dict[str, str]) -> dict[str, Any]:
    """The arguments for a program, as its signature would have them.

    Raises:
        UsageError: an argument is missing, unknown or of another type.
    """
    known = inspect.signature(program).parameters
    try:
        kinds = get_type_hints(inspect.unwrap(program), include_extras=True)
    except Exception:
        kinds = {}
    free = any(p.kind is p.VAR_KEYWORD for p in known.values())
    for name in given:
        if name not in known and not free:
            if not known:
                raise UsageError(f"{what} takes no arguments; leave out --arg {name}")
            raise UnknownName(f"argument of {what}", name, known)
    for name, parameter in known.items():
        bare = parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        if bare and parameter.default is parameter.empty and name not in given:
            raise UsageError(f"{what} needs {name}; give --arg {name}=VALUE")
    return {name: _value(what, name, text, kinds.get(name, Any)) for name, text in given.items()}


def _value(what: str, name: str, text: str, kind: Any) -> Any:
    """An argument: JSON where it is JSON, unless a text is wanted."""
    from pydantic import PydanticUserError, TypeAdapter, ValidationError

    if kind is str:
        return text
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(kind)
    except (PydanticUserError, NameError):  # a class of which pydantic knows nothing
        adapter = TypeAdapter(Any)
    try:
        return adapter.validate_json(text)
    except ValidationError as error:
        wrong = error.errors()[0]
    try:
        return adapter.validate_python(text)
    except ValidationError as error:
        wrong = error.errors()[0] if wrong["type"] == "json_invalid" else wrong
    where = "".join(f".{at}" for at in wrong["loc"])
    raise UsageError(f"--arg {name}={text} does not fit {what}: {name}{where}: {wrong['msg']}")


def _shown(value: Any) -> str:
    from pydantic import BaseModel

    if isinstance(value, BaseModel):
        return value.model_dump_json(indent=2)
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, dict | list):
        return json.dumps(value, indent=2, default=str)
    return str(cast(object, value))
