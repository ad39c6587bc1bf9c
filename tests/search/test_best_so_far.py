"""What can be read as an answer is never lost: at no budget's end, and by no failure.

Whether an answer was generated is judged by the engine's own log.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from weft.backends.engine import OnDelta
from weft.backends.scripted.engine import ScriptedEngine
from weft.errors import BudgetExceeded, EngineUnavailable, RequestRejected, WeftError
from weft.orchestrator.pool import Pool
from weft.programs import Limits, Run, budget, generate, run
from weft.search import Answer, Question, Strategy, parse_strategy, strategies
from weft.types import Delta, Price, Request

# Both event loops are in what follows a failure; what a budget leaves is the same on either.
pytestmark = pytest.mark.loops("asyncio")

VARIANTS = [
    "beam(n=4, width=2, pick=vote, verifier=function)",
    "astar(k=3, parallel=3, cost=fall, heuristic=log, solutions=2, pick=vote)",
    "astar(k=3, expansions=2)",
    "particle_filter(n=4, weight=ratio, resample=systematic, pick=draw, verifier=logprob)",
    "majority(n=5, stop_early=false)",
    "majority(n=6, confidence=0.9, parallel=2)",
    "best_of_n(n=3, verifier=logprob, aggregate=mean)",
    "majority(n=3, of=best_of_n(n=2))",
    "majority(n=2, of=convergence_probe(every=6, agree=2))",
]


@dataclass(frozen=True)
class Careless(Strategy):
    """A user's strategy that thinks of no budget and no failure."""

    name = "careless"

    async def solve(self, question: Question) -> Answer:
        """Answer the question."""
        texts: list[str] = []
        for _ in range(3):
            texts.append((await generate(question.prompt, max_tokens=question.max_tokens)).text)
        return Answer(texts[-1], question.answer(texts[-1]))


@dataclass(frozen=True)
class Undecided(Careless):
    """A user's strategy that gives no answer."""

    name = "undecided"

    async def solve(self, question: Question) -> Answer:
        """Answer the question."""
        await super().solve(question)
        return Answer(None, None)


SPECS = [*sorted(strategies()), *VARIANTS, Careless()]


class Logging(ScriptedEngine):
    """Keeps what it generated; fails what it is told to fail, at every attempt."""

    def __init__(self, playing: Any, likely: Any, **settings: Any) -> None:
        super().__init__(
            playing,
            likely,
            price=Price(prompt=1e6, completion=1e6),
            **settings,
        )
        self.written: dict[int, tuple[Request, str]] = {}
        self.seen: dict[str, int] = {}
        self.fails: Callable[[int, Request], Exception | None] = lambda number, request: None

    async def complete(self, request: Request, on_delta: OnDelta) -> None:
        number = self.seen.setdefault(request.id, len(self.seen))
        if (error := self.fails(number, request)) is not None:
            raise error
        attempt = len(self.written)
        self.written[attempt] = request, ""

        def heard(delta: Delta) -> None:
            self.written[attempt] = request, self.written[attempt][1] + delta.text
            on_delta(delta)

        await super().complete(request, heard)

    def readable(self, question: Question) -> list[str]:
        """The answers that can be read from what was generated."""
        found = []
        for request, text in self.written.values():
            before = request.messages[-1].content if request.open else ""
            value = question.answer(before + text) if not request.ask else None
            found += [value] if value is not None else []
        return found


@pytest.fixture
def engine(player: Callable[..., ScriptedEngine]) -> Callable[..., Logging]:
    known = player()
    return lambda **settings: Logging(known.script.replies, known.scores, **settings)


async def attempt(
    spec: str | Strategy, question: Question, engine: Logging, limits: Limits | None
) -> Run[Answer | WeftError]:
    async def caught() -> Answer | WeftError:
        try:
            with budget(limits or Limits()):
                return await parse_strategy(spec)(question)
        except WeftError as error:
            return error

    async with Pool(engine) as pool:
        done = await run(caught, pool=pool)
        assert engine.running == engine.waiting == 0
    answer = done.value
    if isinstance(answer, WeftError):
        assert not engine.readable(question), (spec, limits, answer)
        if isinstance(answer, BudgetExceeded):
            assert isinstance(spec, Careless), "ours give an answer without a text"
    elif engine.readable(question):
        assert answer.value is not None, (spec, limits, engine.readable(question), answer)
        assert answer.text is not None
        assert answer.value == question.answer(answer.text)
    return done


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: getattr(s, "name", s))
async def test_at_every_budget_of_calls(spec, question, engine) -> None:
    for calls in (1, 2, 3, 5, 9, 21):
        done = await attempt(spec, question, engine(), Limits(calls=calls))
        assert done.usage.calls <= calls


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: getattr(s, "name", s))
async def test_at_every_budget_of_tokens(spec, question, engine) -> None:
    for tokens in (12, 31, 58, 120, 260):
        done = await attempt(spec, question, engine(concurrency=3), Limits(tokens=tokens))
        assert done.usage.total <= tokens


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: getattr(s, "name", s))
async def test_at_every_budget_of_dollars(spec, question, engine) -> None:
    for dollars in (17, 36, 90, 280):
        done = await attempt(spec, question, engine(), Limits(dollars=dollars))
        assert done.usage.dollars <= dollars + 1e-6


@pytest.mark.parametrize(
    "tokens", [{"pieces": ["1\n", "\nanswer ", "wer 3", "2\na"]}, {"bytes": True}]
)
@pytest.mark.parametrize("spec", SPECS, ids=lambda s: getattr(s, "name", s))
async def test_with_merged_tokens_and_bytes(spec, tokens, question, engine) -> None:
    for limits in (Limits(tokens=33), Limits(tokens=140), None):
        done = await attempt(spec, question, engine(**tokens), limits)
        if limits is not None and limits.tokens is not None:
            assert done.usage.total <= limits.tokens


@pytest.mark.loops("asyncio", "trio")
@pytest.mark.parametrize("spec", SPECS, ids=lambda s: getattr(s, "name", s))
async def test_with_a_failing_item_anywhere(spec, question, engine) -> None:
    for kind, failing in (
        (RequestRejected, 0),
        (RequestRejected, 3),
        (EngineUnavailable, 1),
        (EngineUnavailable, 8),
    ):
        one = engine()
        one.fails = lambda number, request, kind=kind, failing=failing: (
            kind("this one") if number == failing else None
        )
        value = (await attempt(spec, question, one, None)).value
        if isinstance(value, WeftError):
            assert "this one" in str(value)  # nothing was left
        elif len(one.seen) > failing and kind is RequestRejected:
            assert value.details["failed"] == 1


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: getattr(s, "name", s))
async def test_with_a_verifier_that_always_fails(spec, question, engine) -> None:
    one = engine()
    one.fails = lambda number, request: RequestRejected("no verdicts") if request.ask else None
    value = (await attempt(spec, question, one, Limits(calls=60))).value
    assert isinstance(value, Answer)
    assert value.text is not None


@pytest.mark.loops("asyncio", "trio")
@pytest.mark.parametrize("spec", SPECS, ids=lambda s: getattr(s, "name", s))
async def test_with_budget_and_failures(spec, question, engine) -> None:
    for calls, every in ((3, 2), (11, 4)):
        one = engine()
        one.fails = lambda number, request, every=every: (
            RequestRejected("this one") if number % every == 1 else None
        )
        await attempt(spec, question, one, Limits(calls=calls))


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: getattr(s, "name", s))
async def test_if_nothing_is_left_the_cause_is_raised(spec, question, engine) -> None:
    one = engine()
    one.fails = lambda number, request: RequestRejected(f"number {number}")
    value = (await attempt(spec, question, one, None)).value
    assert isinstance(value, RequestRejected)
    assert "number" in str(value)


async def test_what_is_left_is_chosen_by_the_readers_equivalence(question, player) -> None:
    texts = iter(["answer 2", "answer 01", "answer 1"])
    theirs = replace(question, same=lambda a, b: int(a) == int(b))
    async with Pool(player(lambda request: next(texts))):
        answer = await Undecided()(theirs)
    assert (answer.text, answer.value) == ("answer 01", "01")
