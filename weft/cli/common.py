"""What the verbs of the command line share: errors, options, consoles."""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from typer.core import TyperGroup

from weft.concurrency import first_error
from weft.errors import UnknownName, UsageError, WeftError

if TYPE_CHECKING:
    from rich.console import Console

T = TypeVar("T")
ADMIN_KEY = "WEFT_ADMIN_KEY"
"""The variable that holds the key of a service's admin."""
_LIMITS = ("tokens", "calls", "seconds", "dollars")


class CommandGroup(TyperGroup):
    """A group of commands that ends with one sentence instead of a traceback.

    Exit codes: 2 for every error of weft, 130 when interrupted.
    """

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except Exception as e:
            if not isinstance(error := first_error(e), WeftError):
                raise
            complain(str(error))
            raise typer.Exit(2) from None
        except KeyboardInterrupt:
            complain("interrupted")
            raise typer.Exit(130) from None


class FirstCommandGroup(CommandGroup):
    """A group of which the first command is meant where none is named."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments, with the first command's name before them if they name none."""
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = [next(iter(self.commands)), *args]
        return super().parse_args(ctx, args)


def complain(message: str) -> None:
    """Say on stderr what is wrong."""
    print(f"weft: {' '.join(message.split())}", file=sys.stderr)


def stderr() -> Console:
    """For what is not a result: progress and notes."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True)


def stdout() -> Console:
    """For results. Into files and pipes it writes wide lines."""
    from rich.console import Console

    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=160)


def go(main: Callable[[], Awaitable[T]]) -> T:
    """Run async code to its end."""
    import anyio

    return anyio.run(main)


def pairs(option: str, given: Sequence[str]) -> dict[str, str]:
    """`key=value` options as a dict.

    Raises:
        UsageError: one has no `=`, or a key is there twice.
    """
    found: dict[str, str] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"{option} {text!r} must be written as key=value")
        if key.strip() in found:
            raise UsageError(f"{option} {key.strip()} is given twice")
        found[key.strip()] = value.strip()
    return found


def make_folder(path: Path) -> None:
    """Make a folder for results if it is not there.

    Raises:
        UsageError: it can't be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise UsageError(f"can't use --out {path}: {e.strerror}; name another folder") from None


def check_address(host: str, port: int) -> None:
    """Before a server starts: can it listen there?

    Raises:
        UsageError: it can't.
    """
    import socket

    where = f"can't listen at {host}:{port}"
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as e:
        raise UsageError(f"{where}: {e.strerror}; give another --host") from None
    family, kind, protocol, _, address = found[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as e:
            raise UsageError(f"{where}: {e.strerror}; give another --port or --host") from None


def budget_values(text: str | None) -> dict[str, float]:
    """`tokens=2000,seconds=10` as numbers.

    Raises:
        UsageError: a name or a number is wrong.
    """
    found: dict[str, float] = {}
    for key, value in pairs("--budget", [p for p in (text or "").split(",") if p.strip()]).items():
        if key not in _LIMITS:
            raise UnknownName("limit in --budget", key, _LIMITS)
        try:
            number = float(value) if key in ("seconds", "dollars") else int(value)
        except ValueError:
            kind = "a number" if key in ("seconds", "dollars") else "a whole number"
            raise UsageError(f"--budget {key}={value} must be {kind}") from None
        if not 0 < number < float("inf"):
            raise UsageError(f"--budget {key}={value} must be above 0; leave it out for no limit")
        found[key] = number
    return found


Engines = Annotated[
    list[str] | None,
    typer.Option(
        "--engine",
        "-e",
        metavar="SPEC",
        help="An engine: http://host:port is a running vLLM server, openai:MODEL[@URL] a hosted "
        "model, and local:MODEL starts vLLM on this machine. weft engines kinds lists all kinds. "
        "Options may follow, such as ?rate=20&concurrency=8; others are silence, retry and "
        "key=VARIABLE. May be given several times.",
    ),
]
Model = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="The model for the role solver, if engines serve several."),
]
Replicas = Annotated[
    int | None,
    typer.Option(min=1, max=64, metavar="N", help="How many replicas a local: engine starts."),
]
Roles = Annotated[
    list[str] | None,
    typer.Option(
        "--role",
        metavar="ROLE=MODEL",
        help="The model for another role, such as verifier=M. May be given several times.",
    ),
]
Imports = Annotated[
    list[str] | None,
    typer.Option(
        "--import",
        metavar="FILE.py|MODULE",
        help="Import this file or module first; its parts are then known by name. May be given "
        "several times.",
    ),
]
PolicyText = Annotated[
    str | None,
    typer.Option(
        "--policy",
        "-p",
        metavar="SPEC|FILE",
        help="The scheduler's policy, such as cap(k=8), or a file that weft tune wrote.",
    ),
]
BudgetText = Annotated[
    str | None,
    typer.Option(
        "--budget",
        metavar="LIMITS",
        help="What the run may spend, or each sample of an evaluation: any of "
        "tokens=N,calls=N,seconds=S,dollars=D.",
    ),
]


def fetch(url: str, path: str, missing: str = "") -> dict[str, Any]:
    """What a service tells.

    Args:
        url: of the service.
        path: of what is asked for.
        missing: what it means that there is nothing.

    Raises:
        UsageError: there is no service, or it wants another key.
    """
    import httpx

    key = os.environ.get(ADMIN_KEY)
    headers = {"authorization": f"Bearer {key}"} if key else {}
    try:
        answer = httpx.get(f"{url}{path}", headers=headers, timeout=30.0)
        answer.raise_for_status()
        return answer.json()
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        if status in (401, 403):
            raise UsageError(f"{url} wants an admin's key; put it into {ADMIN_KEY}") from None
        if status == 404 and missing:
            raise UsageError(f"{url} knows {missing}; GET /v1/programs lists programs") from None
        raise UsageError(f"{url} answers {status}; is it a weft service?") from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise UsageError(f"{url} can't be reached: {error}; start weft serve") from None
    except ValueError:
        raise UsageError(f"{url} answers with what is no JSON; is it a weft service?") from None
