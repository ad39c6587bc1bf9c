"""weft tune engine: how vLLM is to be started for a workload."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from weft.cli.common import go, pairs, stderr, stdout
from weft.errors import ConfigError, UnknownName, UsageError

if TYPE_CHECKING:
    from weft.evals.studies.choosing import Space
    from weft.evals.studies.engine_profiles import EngineFound
    from weft.evals.studies.engine_trials import EngineTrial


def engine(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="As weft engines up takes it.")
    ] = "countdown",
    task: Annotated[
        str | None,
        typer.Option(metavar="SPEC|FILE", help="The workload's problems; the model's own task."),
    ] = None,
    strategy: Annotated[
        list[str] | None,
        typer.Option("--strategy", "-s", metavar="SPEC", help="What is run on each; majority."),
    ] = None,
    trials: Annotated[
        int, typer.Option(min=1, max=500, metavar="N", help="Settings that are tried.")
    ] = 8,
    problems: Annotated[
        int,
        typer.Option(min=4, metavar="N", help="Of a measurement; as many others decide."),
    ] = 32,
    by: Annotated[
        str, typer.Option(metavar="NAME", help="The search: halving, tpe, greedy or random.")
    ] = "halving",
    set: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="SETTING=VALUES",
            help="Try these values of a setting: block_size=64,128. Others stay as they are.",
        ),
    ] = None,
    concurrency: Annotated[
        int, typer.Option(min=1, metavar="N", help="Problems under way at once.")
    ] = 32,
    seed: Annotated[int, typer.Option(metavar="N", help="Of the problems and the search.")] = 0,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="For all measurements, and what was decided.")
    ] = Path("engine"),
) -> None:
    """Search the settings with which vLLM serves a workload fastest on this machine.

    Each is started and measured; those that fail are told. The fastest are then measured on other
    problems, which decides. The result is a command, and DIR/profile.yaml. The same command goes
    on where it ended. Settings: max_num_seqs, max_num_batched_tokens, chunked_prefill,
    prefix_caching, block_size, kv_cache_dtype, ngram (speculation), replicas (which share out the
    cores).

    Example: weft tune engine countdown --trials 6 --set block_size=64,128 --set replicas=1,2
    """
    from weft.backends.local.flags import installed
    from weft.cli.evals.progress import shown
    from weft.evals.studies.choosing import SEARCHES
    from weft.evals.studies.engine_profiles import EngineTuning, tune_engine
    from weft.evals.studies.launching import command, local_launcher
    from weft.evals.suites.suite import Suite

    if by not in ("halving", *SEARCHES):
        raise UnknownName("search", by, ("halving", *SEARCHES))
    installed()  # said before anything begins
    space = _space(set or [])
    if trials > 1 and all(len(values) < 2 for values in space.values()):
        raise UsageError("there is nothing to try; give several values by --set")
    suite = Suite(
        task=task or _task_of(model),
        strategies=strategy or ["majority"],
        seed=seed,
        concurrency=concurrency,
    )
    console = stderr()

    def say(text: str) -> None:
        console.print(text, markup=False)

    with shown(False, lambda _: None) as quiet:
        tuning = EngineTuning(suite, out, local_launcher(model, say), problems, quiet, say)
        found = go(lambda: tune_engine(tuning, space, trials=trials, by=by, seed=seed))
    _write(out / "profile.yaml", model, found)
    _print(found)
    stdout().print(command(model, found.best.settings), markup=False, soft_wrap=True)


def _task_of(model: str) -> str:
    """The task that a shipped model is made for."""
    from weft.evals.tasks.task import TASKS

    for name, one in TASKS.known().items():
        if one.engine == f"local:{model}":
            return name
    raise UsageError(f"model {model} has no task of its own; give --task")


def _space(given: list[str]) -> Space:
    from weft.evals.studies.launching import AS_IT_IS, SPACE

    if not given:
        return SPACE
    space: dict[str, list[Any]] = {}
    for name, text in pairs("--set", given).items():
        if name not in SPACE:
            raise UnknownName("setting", name, SPACE)
        values = [_value(one.strip()) for one in text.split(",")]
        first = [] if name == "replicas" else [AS_IT_IS]
        space[name] = list(dict.fromkeys([*first, *values]))
        whole = name not in ("chunked_prefill", "prefix_caching", "kv_cache_dtype")
        wrong = [v for v in values if isinstance(v, str) == whole and v != AS_IT_IS]
        if wrong or (whole and any(isinstance(v, bool) or v < 1 for v in values)):
            raise UsageError(f"--set {name}={text}: write values such as {_such(name)}")
    return space


def _value(text: str) -> Any:
    if text in ("true", "false"):
        return text == "true"
    return int(text) if text.isdecimal() else text


def _such(name: str) -> str:
    from weft.evals.studies.launching import AS_IT_IS, SPACE

    return ",".join(json.dumps(v).strip('"') for v in SPACE[name] if v != AS_IT_IS)


def _write(file: Path, model: str, found: EngineFound) -> None:
    import yaml

    from weft.evals.studies.launching import arguments, command, plain

    profile = {
        "model": model,
        "replicas": found.best.settings.get("replicas", 1),
        "vllm_args": arguments(found.best.settings),
        "command": command(model, found.best.settings),
        "settings": dict(plain(found.best.settings)),
        "problems_a_second": round(found.best.rate, 4),
        "problems_a_second_before": round(found.given.rate, 4),
        "tried": len(found.trials),
    }
    try:
        file.write_text(yaml.safe_dump(profile, sort_keys=False), encoding="utf-8")
    except OSError as e:
        raise ConfigError(f"can't write {file}: {e.strerror}") from None


def _print(found: EngineFound) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(
        box=None,
        header_style="bold",
        caption="search: the problems on which settings were tried, where the best of many looks "
        "faster than it is; held out: other problems, which decide",
        caption_justify="left",
    )
    table.add_column("settings", overflow="fold")
    for name in ("part", "problems", "problems/s", "tokens/s", "right, %"):
        table.add_column(name, justify="right")
    for one in found.trials:
        right = f"{100 * sum(one.right) / len(one.right):.0f}" if one.right else ""
        told = [f"{one.rate:.3g}", f"{one.tokens:.0f}"] if not one.error else ["failed", ""]
        mark = " *" if one is found.best else ""
        words = escape(_settings(one)) + mark
        table.add_row(words, one.part, str(one.problems), *told, right)
    stdout().print(table)
    failed = [one for one in found.trials if one.error]
    for one in failed:
        stdout().print(f"{_settings(one)}: {one.error}", markup=False, soft_wrap=True)


def _settings(trial: EngineTrial) -> str:
    from weft.evals.studies.launching import plain

    told = [f"{name}={value}" for name, value in plain(trial.settings).items()]
    return ", ".join(told) or "as it is"
