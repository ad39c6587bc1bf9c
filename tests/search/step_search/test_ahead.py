"""Steps made ahead of their round change how long a search takes, never what it finds."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from weft.backends.scripted.engine import Scripted, ScriptedEngine
from weft.orchestrator.pool import Pool
from weft.programs import Limits, Prompt, run
from weft.search import ParticleFilter, Question, parse_strategy
from weft.search.step_search.ahead import StepsAhead
from weft.search.step_search.beam import BeamFrontier
from weft.search.step_search.dvts import DvtsFrontier
from weft.search.step_search.frontier import Frontier, Path, explore
from weft.search.step_search.particle_filter import ParticleFrontier
from weft.search.step_search.rebase import RebaseFrontier
from weft.search.step_search.steps import Steps
from weft.search.verifiers import Verifier
from weft.store.store import Store

FRONTIERS: dict[str, Callable[[Path], Frontier]] = {
    "beam": lambda root: BeamFrontier(root, 4, 2),
    "beam of twins": lambda root: BeamFrontier(root, 4, 2, unique=False),
    "dvts": lambda root: DvtsFrontier(root, 2, 3),
    "rebase": lambda root: RebaseFrontier(root, 5, 0.2),
    "particle_filter": lambda root: ParticleFrontier(root, ParticleFilter(n=5), random.Random(7)),
}


class Judging(Verifier):
    """Any text has a score of its own."""

    async def score(self, question: Question, text: str, confidence: object) -> float:
        return random.Random(f"judge {text}").random()


QUESTION = Question(Prompt.user("go"), lambda text: text, lambda text: "!" in text, max_steps=4)


def writes(unlike: bool, seconds: int | None):
    """Steps that follow from text and seed, as slow as `seconds` draws; all unlike, or not."""

    def reply(request) -> Scripted:
        written = request.messages[-1].content if request.open else ""
        rng = random.Random(f"{written} {request.sampling.seed}")
        step = rng.choice("abc") + (f"{rng.random()}" if unlike else "")
        slow = random.Random(f"{seconds} {written} {request.sampling.seed}").random()
        ends = "!\n" if rng.random() < 0.2 else "\n"
        return Scripted(step + ends, seconds=0.01 if seconds is None else slow)

    return reply


async def tree(name: str, most: int, seconds: int | None):
    """All paths that landed, with how often; the tokens of their steps; what was made ahead."""
    landed: Counter[tuple[str, float | None]] = Counter()
    tokens = 0

    async def search() -> dict[str, int]:
        steps = Steps(QUESTION, Judging(), 0.8)
        frontier = FRONTIERS[name](steps.root)
        lands = frontier.on_landed

        def on_landed(path: Path):
            nonlocal tokens
            landed[path.text, path.score] += 1
            tokens += path.tokens - (path.parent.tokens if path.parent else 0)
            return lands(path)

        frontier.on_landed = on_landed  # type: ignore[method-assign]
        ahead = StepsAhead(steps.mover(), most)
        assert not await explore(frontier, ahead.step, ahead)
        return ahead.details

    # Two subtrees of DVTS number the steps of equal texts as they come.
    engine = ScriptedEngine(writes(name == "dvts", seconds))
    async with Pool(engine) as pool:
        done = await run(search, pool=pool)
        assert engine.running == engine.waiting == 0
    return landed, tokens, done, engine


@given(st.sampled_from(sorted(FRONTIERS)), st.integers(1, 6), st.integers(0, 10**6))
@settings(max_examples=20)
def test_the_tree_is_that_of_the_search_that_waits(name: str, most: int, seconds: int) -> None:
    def of(most: int, seconds: int | None):
        clock = MockClock(autojump_threshold=0)
        options = {"clock": clock}
        return anyio.run(tree, name, most, seconds, backend="trio", backend_options=options)

    waits, _, _, _ = of(0, None)
    landed, tokens, done, engine = of(most, seconds)
    assert landed == waits
    made, calls = done.value, sum(landed.values())
    assert calls <= len(engine.requests) <= calls + made["in_vain"]
    assert engine.cancelled <= made["in_vain"]
    # What was made in vain is all that is paid beside the tree.
    assert done.usage.generated == tokens + made["in_vain_tokens"]


def seldom_late(request) -> Scripted:
    """Steps of their own for each text and seed, few of which take long."""
    written = request.messages[-1].content if request.open else ""
    rng = random.Random(f"{written} {request.sampling.seed}")
    return Scripted(f"{rng.random()}\n", seconds=20 * rng.random() ** 4)


@pytest.mark.loops("virtual")
@pytest.mark.parametrize(
    "spec", ["rebase(n=4, {})", "dvts(n=4, width=4, {})", "particle_filter(n=4, {})"]
)
async def test_it_is_faster_where_a_round_waits_for_its_last(spec: str, question) -> None:
    """Of five searches together, of which each finds the same."""
    took, found = [0.0, 0.0], [list[str | None](), list[str | None]()]
    for seed in range(5):
        theirs = replace(
            question,
            seed=seed,
            answer=lambda text: text,
            max_tokens=None,
            check=lambda text: random.Random(text).random() * 0.9 + 0.05,
        )
        for at, most in enumerate((0, 4)):
            async with Pool(ScriptedEngine(seldom_late)) as pool:
                strategy = parse_strategy(spec.format(f"ahead={most}, verifier=function"))
                done = await run(strategy, theirs, pool=pool)
            took[at] += done.seconds
            found[at].append(done.value.text)
            assert ("in_vain" in done.value.details) == (most > 0)
    assert found[0] == found[1]
    assert took[1] < took[0]


@pytest.mark.parametrize("spec", ["rebase(n=4, ahead=3)", "beam(n=4, width=2, ahead=3)"])
async def test_a_budget_or_a_failure_costs_no_answer(spec: str, question, player) -> None:
    for calls in (1, 4, 9, 17):
        async with Pool(engine := player(token_seconds=0.0001)) as pool:
            done = await run(parse_strategy(spec), question, pool=pool, budget=Limits(calls=calls))
            assert engine.running == engine.waiting == 0
        assert done.usage.calls <= calls
        assert done.value.text is not None
    asked = itertools.count()

    def failing(request):
        return Scripted(refuses="not this one") if next(asked) == 6 else playing(request)

    playing = player().script.replies
    async with Pool(engine := player(failing)) as pool:
        done = await run(parse_strategy(spec), question, pool=pool)
    assert done.value.value is not None
    assert done.value.details["failed"] == 1


@pytest.mark.loops("virtual")
@pytest.mark.parametrize("spec", ["beam(n=8, width=4, ahead=4)", "rebase(n=6, ahead=3)"])
async def test_a_rerun_from_a_store_gives_the_same_tree(
    spec: str, question, player, playing, tmp_path
) -> None:
    def slow(request):
        chance = random.Random(f"{request.messages} {request.sampling.seed}")
        return Scripted(playing(request), seconds=chance.uniform(0.1, 1))

    found = []
    for make in (lambda: player(slow, token_seconds=0.01), player):
        with Store(tmp_path / "store") as store:
            async with Pool(engine := make()) as pool:
                found.append(await run(parse_strategy(spec), question, pool=pool, store=store))
    assert not engine.requests
    first, again = found
    assert again.value == first.value
    assert first.value.details["ahead"] > 0
