from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import pytest

from weft.backends.scripted.engine import ScriptedEngine
from weft.errors import Unsupported, UsageError
from weft.orchestrator.pool import Pool
from weft.programs import Prompt, run
from weft.search import Power, Question
from weft.search.sampling.power import Token, log_acceptance
from weft.store.store import Store
from weft.types import Delta, TokenLogprob

END = ""
MOST = 3


def following(text: str) -> dict[str, float]:
    """A tiny model: how likely each next token is; `END` ends an answer."""
    rng = random.Random(f"tiny {text}")
    tokens = ("a", "b", END) if text else ("a", "b")  # an empty answer is none
    weights = {token: rng.random() + 0.1 for token in tokens}
    total = sum(weights.values())
    return {token: w / total for token, w in weights.items()}


def tempered(odds: dict[str, float], alpha: float) -> dict[str, float]:
    total = sum(p**alpha for p in odds.values())
    return {token: p**alpha / total for token, p in odds.items()}


def answers(alpha: float, text: str = "") -> dict[str, tuple[Token, ...]]:
    """All answers that begin with a text, as tokens after it; one that ended has a `.`."""
    if len(text) == MOST:
        return {text: ()}
    odds = following(text)
    proposed = tempered(odds, alpha)
    found: dict[str, tuple[Token, ...]] = {}
    for token, p in odds.items():
        head = Token(0 if token else None, token, math.log(p), math.log(proposed[token]))
        if token == END:
            found[text + "."] = (head,)
        else:
            rest = answers(alpha, text + token)
            found |= {name: (head, *tail) for name, tail in rest.items()}
    return found


def target(alpha: float) -> dict[str, float]:
    raw = {name: math.exp(alpha * sum(t.logp for t in tokens))
           for name, tokens in answers(alpha).items()}  # fmt: skip
    total = sum(raw.values())
    return {name: p / total for name, p in raw.items()}


def after_a_proposal(before: dict[str, float], alpha: float) -> dict[str, float]:
    """How likely each answer is then, by going through all answers, cuts and proposals."""
    known = answers(alpha)
    names = {tokens: name for name, tokens in known.items()}
    after = dict.fromkeys(known, 0.0)
    for name, tokens in known.items():
        stays = 1.0
        for cut in range(len(tokens)):
            kept = "".join(t.text for t in tokens[:cut])
            for tail in answers(alpha, kept).values():
                new = (*tokens[:cut], *tail)
                likely = math.exp(math.fsum(t.logq for t in tail)) / len(tokens)
                moves = likely * min(1.0, math.exp(log_acceptance(tokens, new, cut, alpha)))
                after[names[new]] += before[name] * moves
                stays -= moves
        assert stays > -1e-9
        after[name] += before[name] * stays
    return after


def distance(a: Mapping[str, float], b: Mapping[str, float]) -> float:
    """Total variation."""
    return sum(abs(a.get(k, 0) - b.get(k, 0)) for k in {**a, **b}) / 2


@pytest.mark.parametrize("alpha", [1.0, 2.5, 4.0])
def test_proposals_lead_to_the_power_of_the_probability(alpha: float) -> None:
    exact = target(alpha)
    assert after_a_proposal(exact, alpha) == pytest.approx(exact, abs=1e-12)
    at = {"baa": 1.0} | {name: 0.0 for name in exact if name != "baa"}
    for _ in range(60):
        at = after_a_proposal(at, alpha)
    assert distance(at, exact) < 0.01


class Tiny(ScriptedEngine):
    """Plays the tiny model at any temperature, and reports its probabilities."""

    def __init__(self, tells_end: bool = True, **settings) -> None:
        super().__init__(self._written, **settings)
        self.tells_end = tells_end
        self.usages: list[tuple[int, int]] = []

    def _written(self, request) -> str:
        rng = random.Random(f"{request.messages} {request.sampling.seed}")
        before = text = request.messages[-1].content if request.open else ""
        while True:
            odds = tempered(following(text), 1 / request.sampling.temperature)
            token = rng.choices(list(odds), list(odds.values()))[0]
            if token == END or len(text) > 60:
                return text[len(before) :]
            text += token

    async def complete(self, request, on_delta) -> None:
        text = request.messages[-1].content if request.open else ""

        def told(token: str) -> TokenLogprob:
            logs = {t: math.log(p) for t, p in following(text).items()}
            return TokenLogprob(token, logs[token], logs)

        def heard(delta: Delta) -> None:
            nonlocal text
            logprobs = []
            for token in delta.text:
                logprobs.append(told(token))
                text += token
            end = told(END) if delta.ended and self.tells_end else None
            if delta.finish_reason is not None:
                self.usages.append((delta.prompt_tokens or 0, delta.cached_tokens or 0))
            on_delta(replace(delta, logprobs=tuple(logprobs), end=end))

        await super().complete(request, heard)


@pytest.fixture
def open_question() -> Question:
    return Question(Prompt.user("go on"), lambda text: text, lambda text: False, max_tokens=MOST)


@pytest.mark.loops("asyncio")
async def test_answers_are_those_of_the_chain(open_question) -> None:
    """On an engine, after five proposals, with probabilities that the engine reports."""
    alpha, repeats, found = 2.0, 120, Counter[str]()
    async with Pool(Tiny()):
        for seed in range(repeats):
            answer = await Power(alpha=alpha, n=5)(replace(open_question, seed=seed))
            assert answer.text is not None
            assert answer.details["proposals"] == 5
            found[answer.text] += 1
    at = {name: math.exp(math.fsum(t.logq for t in tokens))
          for name, tokens in answers(alpha).items()}  # fmt: skip
    for _ in range(5):
        at = after_a_proposal(at, alpha)
    exact = {name.rstrip("."): p for name, p in at.items()}
    assert distance({text: n / repeats for text, n in found.items()}, exact) < 0.1


async def test_every_proposal_goes_on_from_what_is_cached(open_question) -> None:
    question = replace(open_question, prompt=Prompt.user("x" * 3000), max_tokens=None)
    async with Pool(engine := Tiny()) as pool:
        done = await run(Power(n=40), question, pool=pool)
    first, *others = engine.usages
    assert first[1] == 0
    for prompt, cached in others:  # all but the block that the cut lies in, and one for its end
        assert prompt - cached <= 2 * engine.block_size
    assert done.usage.calls > 40
    assert done.usage.computed < 0.05 * done.usage.total


async def test_an_answer_grows_by_blocks(open_question) -> None:
    question = replace(open_question, max_tokens=11)
    longest = []
    async with Pool(engine := Tiny()):
        for seed in range(8):
            engine.requests.clear()
            await Power(alpha=1, n=2, every=4)(replace(question, seed=seed))
            before = [len(r.messages[-1].content) if r.open else 0 for r in engine.requests]
            limits = [b + (r.sampling.max_tokens or 0)
                      for b, r in zip(before, engine.requests, strict=True)]  # fmt: skip
            # One step that lets the answer grow, and two proposals; at last without a limit
            # but that of the answer.
            assert limits == sorted(limits)
            assert set(limits) <= {4, 8, 11}
            assert limits.count(4) == 3
            assert limits[-1] == 11
            longest.append(len(limits))
    assert {len_ for len_ in longest} <= {5, 6, 8, 9}
    assert len(set(longest)) > 1


async def test_an_engine_that_does_not_tell_of_the_end(open_question) -> None:
    async with Pool(Tiny(tells_end=False)):
        answer = await Power()(open_question)
    assert answer.text is not None


async def test_what_it_can_not_do(open_question) -> None:
    async with Pool(Tiny(takes_tokens=False)):
        with pytest.raises(Unsupported):
            await Power()(replace(open_question, seed=1))
    async with Pool(Tiny()):
        with pytest.raises(UsageError, match="can't hold it to a schema"):
            await Power()(replace(open_question, schema={"type": "object"}))


@pytest.mark.loops("asyncio")
async def test_a_rerun_has_the_same_probabilities(open_question, tmp_path) -> None:
    """Those of the answers' ends, too: else it would take another course."""
    found = []
    for _ in range(2):
        with Store(tmp_path / "store") as store:
            async with Pool(engine := Tiny()) as pool:
                found.append(
                    (await run(Power(alpha=2), open_question, pool=pool, store=store)).value
                )
    assert not engine.requests
    assert found[0] == found[1]
