"""Engines from the words of a command line or a configuration file.

    spec    = http://host:port | KIND:TEXT | named
    named   = a kind, FILE.py:NAME or module:NAME, with parameters in parentheses if it has any
    options = "?" option=value { "&" option=value }, behind any of these

An option is a parameter of the kind, or one that all engines have (`OPTIONS`).
"""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qsl

from weft.backends.engine import Engine
from weft.backends.forbidden import check_allowed
from weft.backends.kinds.kind import KINDS, EngineKind, Say, first_parameter
from weft.backends.scripted.engine import ScriptedEngine
from weft.errors import PartFailed, UnknownName, UsageError
from weft.parts import spec as specs
from weft.parts.faults import blaming, expect
from weft.parts.importing import NoModule, reference
from weft.parts.making import make, values_of
from weft.parts.signature import parameters
from weft.parts.spec import Spec, plain_value, read_spec

_log = logging.getLogger(__name__)
FORMS = (
    "http://host:port (a vLLM server), openai:model[@base_url], local:model (the shipped "
    "countdown, smollm2, a folder or a hub name), scripted:answer or scripted:answers.json, "
    "FILE.py:CLASS(...); all but scripted take options, such as "
    "openai:model@url?rate=20&concurrency=8"
)

OPTIONS: dict[str, Callable[[str], Any]] = {
    "rate": float,
    "concurrency": int,
    "silence": float,
    "retry": int,
    "key": str,
}
"""Options of every engine: those of `Engine.allow`, and the environment's variable with the key."""

_OUTSIDE = ("model", "api_key", "replicas")
"""Parameters that may come from beside the spec."""


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """An engine as written: its kind, by name and class, values of parameters, and options."""

    name: str
    kind: type[Any]
    values: Mapping[str, Any] = field(default_factory=dict[str, Any])
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])


def parse(text: str) -> EngineSpec:
    """Read one spec; code that it names is imported.

    Raises:
        UnknownName: the kind has no such parameter.
        UsageError: the spec has none of the known forms, a parameter is missing or not allowed,
            or importing failed.
    """
    text = text.strip()
    if text.startswith(("http://", "https://")):
        text = f"vllm:{text}"
    head, colon, rest = text.partition(":")
    if colon and head in KINDS.names():
        kind: type[Any] = KINDS.find(head)
        rest, query = (rest, "") if getattr(kind, "verbatim", False) else _split(rest)
        if not rest and not getattr(kind, "verbatim", False):
            raise UsageError(f"engine {text!r} names no model or server; write one of: {FORMS}")
        read = kind.read(rest) if issubclass(kind, EngineKind) else first_parameter(kind, rest)
        written = Spec(head, {k: plain_value(v) for k, v in read.items()}, dict(read))
    else:
        plain, query = _split(text)
        written = _named(text, plain)
        kind = _found(text, written.name)
    written = _with_query(text, written, query)
    own = {p.name for p in parameters(kind)}
    ours = {k: v for k, v in written.values.items() if k in OPTIONS and k not in own}
    asis = {k: written.texts.get(k, v) for k, v in ours.items()}
    options = _options(text.partition("?")[0], asis)
    if "key" in options and "api_key" not in own:
        raise UsageError(f"engine {text!r}: {written.name} engines take no key; leave out key")
    given = {k: v for k, v in written.values.items() if k not in ours}
    if unknown := [k for k in given if k not in own]:
        if not own:
            raise UnknownName("option of an engine", unknown[0], OPTIONS)
        raise UnknownName(f"parameter of engine {written.name}", unknown[0], {*own, *OPTIONS})
    values = values_of("engine", kind, Spec(written.name, given, written.texts), _OUTSIDE)
    return EngineSpec(written.name, kind, values, options)


def _split(text: str) -> tuple[str, str]:
    """A spec without its options, and these; what is in parentheses may hold a `?`."""
    inner = text.rfind(")") + 1 if "(" in text.partition("?")[0] else 0
    plain, _, query = text[inner:].partition("?")
    return text[:inner] + plain, query


def _named(text: str, plain: str) -> Spec:
    try:
        return read_spec(plain, "engine")
    except UsageError:
        if "(" in plain or ".py" in plain:
            raise
        raise _unknown(text) from None


def _found(text: str, name: str) -> type[Any]:
    try:
        return KINDS.find(name)
    except (UnknownName, NoModule) as error:
        if isinstance(error, UnknownName) and reference(name) is not None:
            raise
        raise _unknown(text) from None


def _unknown(text: str) -> UsageError:
    from difflib import get_close_matches  # for this alone

    names, known = KINDS.names(), KINDS.known()
    near = get_close_matches(text.partition(":")[0].partition("(")[0], names, n=3)
    meant = f"did you mean {', '.join(near)}? Or " if near else ""
    brought = [n for n in names if n not in known or known[n].__module__[:5] != "weft."]
    forms = ", ".join([*brought, FORMS])
    return UsageError(f"unknown engine {text!r}; {meant}write one of: {forms}")


def _with_query(text: str, written: Spec, query: str) -> Spec:
    """A spec with the options behind its `?`."""
    values, texts = dict(written.values), dict(written.texts)
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name in values:
            raise UsageError(f"engine {text!r}: {name} is there twice")
        values[name], texts[name] = plain_value(value), value
    if query and len(values) == len(written.values):
        raise UsageError(f"engine {text!r}: write options as ?rate=20&concurrency=8")
    return Spec(written.name, values, texts)


def _options(plain: str, given: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in given.items():
        try:
            found[name] = OPTIONS[name](value)
        except (TypeError, ValueError):
            what = "a whole number" if OPTIONS[name] is int else "a number"
            raise UsageError(f"engine {plain!r}: {name}={value} must be {what}") from None
    try:
        ScriptedEngine("").allow(**{k: v for k, v in found.items() if k != "key"})
    except UsageError as error:
        raise UsageError(f"engine {plain!r}: {error}") from None
    return found


def _key(text: str, name: str) -> str:
    """The key in a variable of the environment."""
    if not (key := os.environ.get(name)):
        raise UsageError(f"engine {text!r}: {name} is not set in the environment; set it")
    return key


@asynccontextmanager
async def open_engines(
    texts: Sequence[str],
    *,
    model: str | None = None,
    replicas: int | None = None,
    api_key: str | None = None,
    further: Mapping[str, Any] | None = None,
    on_progress: Say | None = None,
) -> AsyncGenerator[list[Engine]]:
    """The engines of all specs, ready to be connected.

    Args:
        texts: the specs, see `FORMS`.
        model: the model's name, for servers that serve several.
        replicas: how many to launch, for kinds that launch some.
        api_key: for servers that ask for one.
        further: values of parameters that a kind may have, such as `omit`.
        on_progress: told of a launch's progress.

    Raises:
        UsageError: a spec can't be read, or vLLM is not installed.
        EngineUnavailable: a local replica did not start.
        PartFailed: a user's kind raised something.
    """
    check_allowed(texts)
    if not texts:
        raise UsageError(f"no engine given; write one of: {FORMS}")
    engines: list[Engine] = []
    async with AsyncExitStack() as stack:
        for text in dict.fromkeys(texts):
            spec, outside = parse(text), {"model": model, "replicas": replicas, **(further or {})}
            name = spec.options.get("key")
            outside["api_key"] = _key(text, name) if name is not None else api_key
            opened = await _open(spec, outside, stack, on_progress or (lambda _: None))
            limits = {k: v for k, v in spec.options.items() if k != "key"}
            for engine in opened:
                engine.allow(**limits)
            engines += opened
        yield engines


async def _open(
    spec: EngineSpec, outside: Mapping[str, Any], stack: AsyncExitStack, say: Say
) -> list[Engine]:
    """The engines of one spec, closed with the stack."""
    kind, values = spec.kind, dict(spec.values)
    for p in parameters(kind):
        if p.name in values:
            continue
        if outside.get(p.name) is not None:
            values[p.name] = outside[p.name]
        elif p.required:
            raise UsageError(f"engine {spec.name} needs {p.name}; write {p.name}=...")
    part = make("engine", kind, values)
    if isinstance(part, Engine):
        return [part]
    opened = await stack.enter_async_context(_opened(cast(EngineKind, part), say))
    found = [opened] if isinstance(opened, Engine) else opened
    if not isinstance(found, list | tuple) or not all(
        isinstance(one, Engine) for one in cast("Sequence[object]", found)
    ):
        raise UsageError(f"engine {kind.__name__} opened no list of engines; yield Engine objects")
    return list(cast("Sequence[Engine]", found))


@asynccontextmanager
async def _opened(kind: EngineKind, say: Say) -> AsyncGenerator[object]:
    """What a kind opens; what it raises when that is closed is logged, for all is done."""
    part = type(kind)
    with blaming("engine", part):
        opening = expect(kind.open(say), AbstractAsyncContextManager, "open")
        opened = await opening.__aenter__()
    ended: tuple[Any, Any, Any] = None, None, None
    try:
        yield opened
    except BaseException as error:
        ended = type(error), error, error.__traceback__
        raise
    finally:
        try:
            with blaming("engine", part):
                await opening.__aexit__(*ended)
        except PartFailed as error:
            _log.warning("%s, when it was closed", error)


def from_folder(text: Any, folder: Path) -> Any:
    """An engine's spec whose relative Python file is found in a folder; others as they are."""
    if not isinstance(text, str) or ".py:" not in text:
        return text
    plain, query = _split(text.strip())
    found: str = specs.from_folder(plain, folder)
    return f"{found}?{query}" if query else found
