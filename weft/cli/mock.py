"""weft mock: a scripted inference server, for trying things without a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from weft.cli.common import Imports, check_address, go, pairs, stderr
from weft.errors import ConfigError, UsageError
from weft.parts.faults import blaming
from weft.parts.importing import import_all

if TYPE_CHECKING:
    from weft.backends.scripted.script import Scripted
    from weft.evals.tasks.task import RulePlayer


def mock(
    reply: Annotated[
        str, typer.Option(metavar="TEXT", help="The answer to every request.")
    ] = "Hello.",
    replies: Annotated[
        Path | None,
        typer.Option(metavar="FILE.json", help="Answers, by the text of a request's last message."),
    ] = None,
    scores: Annotated[
        str | None,
        typer.Option(metavar="LIST", help="Probabilities for scoring, such as yes=0.7,no=0.3."),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            metavar="TASK", help="Answer the problems of this task by rule, such as countdown."
        ),
    ] = None,
    skill: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            metavar="P",
            help="With --task: how well to play; 1 makes no mistakes.",
        ),
    ] = 0.7,
    model: Annotated[str, typer.Option(metavar="NAME", help="The name of the model.")] = "mock",
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="The address to listen on.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=1, max=65535, metavar="N", help="The port to listen on.")
    ] = 8000,
    token_seconds: Annotated[
        float, typer.Option(min=0, metavar="S", help="Seconds that each token of an answer takes.")
    ] = 0.0,
    context: Annotated[
        int | None,
        typer.Option(min=2, metavar="N", help="Most tokens of prompt and answer together."),
    ] = None,
    dies_after: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="Break the connection after this many tokens."),
    ] = None,
    faults: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="Shares of requests that fail, such as 500=0.1,429=0.2,cut=0.05,silence=0.01. "
            "A number is the status of the answer, cut breaks the answer off, and with silence "
            "no answer comes.",
        ),
    ] = None,
    retry_after: Annotated[
        float,
        typer.Option(
            min=0, metavar="S", help="With --faults: seconds in the Retry-After of 429 and 503."
        ),
    ] = 1.0,
    imports: Imports = None,
) -> None:
    """Serve scripted answers as vLLM would, until interrupted.

    Example: weft mock --task countdown --port 8000
    """
    from weft.backends.mock import server
    from weft.backends.scripted.engine import ScriptedEngine
    from weft.backends.scripted.faults import Faults
    from weft.backends.scripted.script import Replies, Scores, Scripted

    import_all(imports or [])

    def scripted(text: str) -> Scripted:
        return Scripted(text, dies_after=dies_after)

    answers: Replies = [scripted(reply)] if replies is None else _replies(replies, scripted)
    probabilities: Scores | None = _scores(scores)
    if task is not None:
        player = _player(task, skill)
        answers, probabilities = (lambda r: scripted(player.reply(r))), player.scores
    if faults is not None:
        answers = Faults(_rates("--faults", faults), retry_after).over(answers)
    engine = ScriptedEngine(
        answers,
        probabilities,
        model=model,
        context=context,
        token_seconds=token_seconds,
    )
    check_address(host, port)
    stderr().print(f"serving {model} at http://{host}:{port}; Ctrl-C ends it", markup=False)
    try:
        go(lambda: server.serve(engine, host, port))
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


def _player(spec: str, skill: float) -> RulePlayer:
    """What plays a task by rule."""
    from weft.evals.tasks.registry import parse_task

    task = parse_task(spec)
    with blaming("task", type(task)):
        player = task.player(skill)
    if player is None:
        raise UsageError(
            f"the task {task.name} can't be answered by rule; leave out --task, and write its "
            "answers into a file for --replies"
        )
    return player


def _scores(text: str | None) -> dict[str, float] | None:
    return None if text is None else _rates("--scores", text)


def _rates(option: str, text: str) -> dict[str, float]:
    """Numbers from 0 to 1 by name, as an option lists them."""
    found: dict[str, float] = {}
    for key, value in pairs(option, text.split(",")).items():
        try:
            found[key] = float(value)
        except ValueError:
            raise UsageError(f"{option} {key}={value} must be a number from 0 to 1") from None
        if not 0 <= found[key] <= 1:
            raise UsageError(f"{option} {key}={value} must be a number from 0 to 1")
    return found


def _replies(path: Path, scripted: Any) -> dict[str, list[Scripted]]:
    try:
        raw: object = json.loads(path.read_text(encoding="utf-8"))
    except OSError as e:
        raise ConfigError(f"can't read --replies {path}: {e.strerror}") from None
    except ValueError as e:
        raise ConfigError(f"--replies {path} is not JSON: {e}") from None
    if not isinstance(raw, dict) or not raw:
        raise ConfigError(f"--replies {path} must be an object of message: answer")
    found: dict[str, list[Scripted]] = {}
    for message, answer in cast("dict[str, object]", raw).items():
        texts = cast("list[object]", answer) if isinstance(answer, list) else [answer]
        if not texts or not all(isinstance(t, str) for t in texts):
            raise ConfigError(
                f"--replies {path}: the answer to {message!r} must be a text or a list of texts"
            )
        found[message] = [scripted(t) for t in texts]
    return found
