"""A small and a large model, whose tokens are not alike."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from weft.backends.engine import OnDelta
from weft.backends.scripted.engine import ScriptedEngine
from weft.orchestrator.pool import Pool
from weft.programs import Limits, Run, run
from weft.search import Answer, Question, Strategy
from weft.types import Delta, Request, TokenLogprob, Usage

Ways = Callable[[Request, str], int]
"""Between how many equally likely tokens a model wavers, given what is written so far."""


class Wavering(ScriptedEngine):
    """Wavers between so many tokens; keeps what it wrote for each request, and its ids."""

    def __init__(self, *args: Any, ways: Ways = lambda request, text: 1, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.ways = ways
        self.wrote: list[str] = []

    async def complete(self, request: Request, on_delta: OnDelta) -> None:
        written = request.messages[-1].content if request.open else ""
        if not request.ask:
            self.wrote.append("")

        def tell(delta: Delta) -> None:
            nonlocal written
            told = []
            for one in delta.logprobs:
                ways, wanted = self.ways(request, written), request.sampling.logprobs or 0
                logp = -math.log(ways)
                others = {f"{one.token}'{i}": logp for i in range(1, min(ways, wanted))}
                told.append(TokenLogprob(one.token, logp, {one.token: logp, **others}))
            written += delta.text
            if not request.ask:
                self.wrote[-1] += delta.text
            on_delta(replace(delta, logprobs=tuple(told)))

        await super().complete(request, tell)


@dataclass
class Pair:
    """Two models that answer together, the small one by characters, the large one by bytes."""

    small: Wavering
    large: Wavering
    engines: list[Wavering] = field(init=False)

    def __post_init__(self) -> None:
        self.engines = [self.small, self.large]

    async def answer(
        self, strategy: Strategy, question: Question, limits: Limits | None = None
    ) -> Run[Answer]:
        """What a strategy answers by them; each was handed texts that its own tokens say."""
        roles = {"solver": "large", "draft": "small"}
        async with Pool(self.large, self.small, roles=roles) as pool:
            done = await run(strategy, question, pool=pool, budget=limits)
        assert sum(done.usage_by_model.values(), Usage()) == done.usage
        for engine in self.engines:
            assert engine.running == engine.waiting == 0
            for request in engine.requests if not engine.opens_thinking else ():
                assert engine.vocabulary.parse(tuple(request.tokens or ())) == (
                    request.messages,
                    request.open,
                )
        return done


@pytest.fixture
def pair() -> Callable[..., Pair]:
    """Makes a pair of what each of both replies, and of what else is said of each."""

    def make(
        small: Any,
        large: Any,
        grades: Any = None,
        pieces: Sequence[str] = ("L1\n", "answer "),
        **ways: Ways,
    ) -> Pair:
        return Pair(
            Wavering(small, model="small", ways=ways.get("small_ways", lambda r, t: 1)),
            Wavering(
                large,
                grades,
                model="large",
                bytes=True,
                pieces=pieces,
                ways=ways.get("large_ways", lambda r, t: 1),
            ),
        )

    return make


@pytest.fixture
def stepping() -> Callable[..., Callable[[Request], str]]:
    """Replies of a model that writes steps under its own sign, and goes on with any others."""

    def make(sign: str, steps: int = 3) -> Callable[[Request], str]:
        def reply(request: Request) -> str:
            written = request.messages[-1].content if request.open else ""
            begun = written.count("\n")
            return "".join(f"{sign}{i}\n" for i in range(begun, steps)) + f"answer {sign}"

        return reply

    return make
