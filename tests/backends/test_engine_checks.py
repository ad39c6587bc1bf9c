"""Engines of users that raise, lie or can't be closed: their fault, and no answer is lost."""

# What no type allows is what is tried here.
# pyright: reportArgumentType=false
from __future__ import annotations

import logging
import math
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from weft import Pool, Prompt, generate
from weft.backends.engine import Engine
from weft.backends.kinds import EngineKind
from weft.backends.kinds.kind import KINDS
from weft.backends.kinds.specs import open_engines
from weft.errors import PartFailed
from weft.types import Delta, Request

HI = Delta("hi", count=1, finish_reason="stop")


class Given(Engine):
    """An engine of which something is replaced."""

    def __init__(self, does: dict[str, Callable[..., Any]] | None = None, **says: Any) -> None:
        self._does = does or {}
        self.name, self.model = "given", "m"
        for name, value in says.items():
            setattr(self, name, value)

    async def connect(self) -> None:
        await self._do("connect")

    async def complete(self, request: Request, on_delta: Callable[[Any], None]) -> None:
        if (told := self._does.get("told")) is not None:
            for delta in told():
                on_delta(delta)
        else:
            on_delta(HI)

    async def render(self, messages: Any, **_: Any) -> tuple[int, ...]:
        return await self._do("render")

    async def follow_cache(self, index: Any) -> None:
        await self._do("follow_cache")

    async def aclose(self) -> None:
        await self._do("aclose")

    async def _do(self, name: str) -> Any:
        made = self._does.get(name)
        return None if made is None else made()


def fails() -> Any:
    raise ZeroDivisionError("zero")


async def answer(engine: Engine) -> str:
    async with Pool(engine):
        return (await generate(Prompt.user("?"))).text


@pytest.mark.parametrize(
    ("engine", "word"),
    [
        (Given({"connect": fails}), "ZeroDivisionError: zero"),
        (Given({"connect": lambda: sys.exit(0)}), "SystemExit: 0"),
        (Given(name=5), "name must be str, not 5"),
        (Given(name=""), "name is empty"),
        (Given(model=None), "model must be str, not None"),
        (Given(concurrency="many"), "concurrency must be a whole number of at least 1"),
        (Given(concurrency=0), "not 0"),
        (Given(block_size=0), "block_size"),
        (Given(kv_tokens=-4), "kv_tokens"),
        (Given(context=math.nan), "context"),
        (Given({"told": lambda: ["hi"]}), "on_delta is given must be Delta, not 'hi'"),
        (Given({"told": lambda: [None]}), "not None"),
        (Given({"told": lambda: [Delta(5, finish_reason="stop")]}), "text of a delta"),
        (Given({"told": lambda: [Delta("x", count=-1), HI]}), "at least 0, not -1"),
        (Given({"told": lambda: [Delta(count=-1, finish_reason="stop")]}), "count of a delta"),
        (Given({"told": lambda: [Delta(count=math.nan)]}), "not nan"),
        (Given({"told": lambda: [Delta("x", tokens=[1])]}), "tokens of a delta must be tuple"),
        (Given({"told": lambda: [Delta(finish_reason=7)]}), "finish_reason of a delta"),
        (
            Given({"told": lambda: [Delta(finish_reason="stop", prompt_tokens=-7)]}),
            "prompt_tokens of a delta must be at least 0",
        ),
        (Given({"render": fails}, takes_tokens=True), "ZeroDivisionError"),
        (Given({"render": lambda: None}, takes_tokens=True), "token ids must be tuple, not None"),
        (Given({"render": lambda: ("a",)}, takes_tokens=True), "whole numbers, not 'a'"),
    ],
)
async def test_a_fault_names_the_engine_and_its_line(engine: Engine, word: str) -> None:
    with pytest.raises(PartFailed, match=f"^engine Given failed at {__file__}:") as raised:
        await answer(engine)
    assert word in str(raised.value)


@pytest.mark.parametrize("method", ["aclose", "follow_cache"])
async def test_what_no_answer_depends_on_is_logged(
    method: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "weft"):
        assert await answer(Given({method: fails})) == "hi"
    (told,) = [record.getMessage() for record in caplog.records]
    assert f"engine Given failed at {__file__}:" in told


async def _later() -> list[Engine]:
    return []


@asynccontextmanager
async def _closing() -> AsyncIterator[list[Engine]]:
    yield [Given()]
    fails()


class Opened(EngineKind):
    """A kind that opens what the test says."""

    opens: Any = staticmethod(_closing)

    def open(self, say: Any) -> Any:
        return Opened.opens()


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Awaitable[str]]:
    monkeypatch.setitem(KINDS._known, "opened", Opened)  # pyright: ignore[reportPrivateUsage]

    async def ask(opens: Callable[[], Any]) -> str:
        monkeypatch.setattr(Opened, "opens", staticmethod(opens))
        async with open_engines(["opened"]) as engines, Pool(*engines):
            return (await generate(Prompt.user("?"))).text

    return ask


@pytest.mark.parametrize(
    "opens", [_later, lambda: [Given()], fails], ids=["async", "list", "raises"]
)
async def test_a_kind_that_can_not_be_opened_is_told(
    opened: Callable[..., Awaitable[str]], opens: Callable[[], Any]
) -> None:
    with pytest.raises(PartFailed, match=f"^engine Opened failed at {__file__}:"):
        await opened(opens)


async def test_a_kind_that_can_not_be_closed_loses_no_answer(
    opened: Callable[..., Awaitable[str]], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "weft"):
        assert await opened(_closing) == "hi"
    (told,) = [record.getMessage() for record in caplog.records]
    assert told.endswith("ZeroDivisionError: zero, when it was closed")
