"""The engine of step searches, on a real scheduler in virtual time."""

from __future__ import annotations

from dataclasses import replace

import anyio
import pytest

from weft.backends.scripted.engine import Scripted, ScriptedEngine
from weft.orchestrator.pool import Pool
from weft.programs import Limits, run
from weft.search import AStar, Beam, ParticleFilter
from weft.search.step_search.frontier import Frontier, Move, Path, explore
from weft.search.step_search.steps import Steps
from weft.search.verifiers import read_verifier

pytestmark = pytest.mark.loops("virtual")


def digits(seconds: dict[str, float]):
    """Each continuation of a text is another digit; some are slow."""
    count: dict[str, int] = {}

    def reply(request):
        written = request.messages[-1].content if request.open else ""
        digit = str(count.get(written, 0) % 4)
        count[written] = count.get(written, 0) + 1
        if written.count("\n") == 3:
            return f"answer {written.replace(chr(10), '')}"
        return Scripted(f"{digit}\n", seconds=seconds.get(f"{written}{digit}", 0.1))

    return reply


def kinds(engine) -> list[str]:
    return [
        "score" if r.ask else (r.messages[-1].content if r.open else "") for r in engine.requests
    ]


@pytest.mark.parametrize(
    "strategy", [AStar(k=4), Beam(n=4, width=4), ParticleFilter(n=4)], ids=lambda s: s.name
)
async def test_scores_are_asked_for_while_others_generate(strategy, question, player) -> None:
    engine = player(digits({"2": 50.0}), token_seconds=0.1)
    async with Pool(engine) as pool:
        done = await run(strategy, question, pool=pool)
    first = [e for e in done.events if e.kind == "done" and e.id.startswith("call")][:8]
    assert max(e.at for e in first[:-2]) < 10
    assert kinds(engine)[:4] == [""] * 4
    assert kinds(engine)[4] == "score"


async def test_beams_do_not_wait_for_each_other(question, player) -> None:
    """The best beam goes two steps on while a slow one of its round is still written."""
    engine = player(digits({"0": 30.0}))
    async with Pool(engine) as pool:
        done = await run(Beam(n=4, width=2, verifier="function"), question, pool=pool)
    begun = {
        e.data["prompt"].answer: e.at
        for e in reversed(done.events)
        if e.kind == "call" and not e.data["score"]
    }
    assert begun["3\n"] < 30
    assert done.value.details["steps"] >= 16


async def test_astar_with_more_workers_is_faster(question, player) -> None:
    seconds = []
    for parallel in (1, 4):
        scores = {"yes": 0.5, "no": 0.5}
        async with Pool(player(digits({}), scores, token_seconds=1.0)) as pool:
            strategy = AStar(k=2, parallel=parallel, solutions=4)
            seconds.append((await run(strategy, question, pool=pool)).seconds)
    assert seconds[1] < seconds[0]


async def test_astar_finishes_greedily_when_expansions_are_used_up(question, player) -> None:
    async with Pool(engine := player(digits({}))) as pool:
        done = await run(AStar(k=4, expansions=2), question, pool=pool)
    assert done.value.details["forced"]
    assert engine.requests[-1].sampling.temperature == 0.0
    assert engine.requests[-1].sampling.stop == ()
    assert done.value.details["expansions"] == 2


async def test_equal_texts_are_scored_once(question, player) -> None:
    async with Pool(engine := player(lambda r: "1\nanswer 1" if not r.open else "answer 1")):
        await ParticleFilter(n=5)(question)
    asked = [r.tokens for r in engine.requests if r.ask]
    assert len(asked) == len(set(asked)) == 2 * 4  # two texts; four tokens tell `yes` and `no`


@pytest.mark.parametrize(
    ("reply", "finished", "value"),
    [
        ("1\n2\n", False, None),
        ("\n", True, None),
        ("", True, None),
        ("x" * 99, True, None),
        ("1", True, None),
        ("answer 1\n", True, "1"),
    ],
    ids=["step", "empty step", "nothing", "too long", "ended", "complete"],
)
async def test_when_a_path_is_finished(reply, finished, value, question, player) -> None:
    async with Pool(player(lambda r: reply)):
        steps = Steps(question, read_verifier("function"), 0.8)
        path = await steps.mover()(Move(steps.root, 0))
    assert (path.finished, path.value) == (finished, value)
    assert path.depth == 1
    assert path.text == (reply if finished else "1\n")[:40]


async def test_the_last_step_goes_to_the_end(question, player) -> None:
    async with Pool(engine := player(lambda r: "1\n2\nanswer 12")):
        steps = Steps(replace(question, max_steps=2), read_verifier("function"), 0.8)
        first = await steps.grow(Move(steps.root, 0))
        last = await steps.grow(Move(first, 0))
    assert first.text == "1\n"
    assert not first.finished
    assert last.text == "1\n1\n2\nanswer 12"
    assert last.finished
    assert last.value == "12"
    # An answer's tokens are limited as a whole.
    assert [r.sampling.max_tokens for r in engine.requests] == [40, 38]


async def test_what_a_budget_still_allows_is_brought_to_its_end(question, player) -> None:
    async with Pool(engine := player(digits({}))) as pool:
        done = await run(AStar(k=4, verifier="function"), question, pool=pool,
                         budget=Limits(calls=6))  # fmt: skip
    assert done.usage.calls == 6
    assert engine.cancelled == 0
    assert done.value.details["budget"] == "calls"
    assert done.value.text is not None
    assert done.value.value is None
    assert done.value.text.startswith("3\n")


async def test_a_refused_move_leaves_other_moves_going(question, player) -> None:
    """While a slow step is written, the third call is still allowed and the fourth refused."""
    engine = player(digits({"1": 50.0}))
    strategy = AStar(k=2, parallel=2, verifier="function")
    async with Pool(engine) as pool:
        done = await run(strategy, question, pool=pool, budget=Limits(calls=3))
    assert done.value.details["budget"] == "calls"
    assert done.usage.calls == 3
    assert done.seconds > 50
    assert engine.cancelled == 0


class TwoRounds(Frontier):
    """Four first steps; then one more for each, named in the order of their scores."""

    def __init__(self, root: Path) -> None:
        self._root, self._landed = root, list[Path]()

    def begin(self) -> list[Move]:
        return [Move(self._root, i) for i in range(4)]

    def on_landed(self, path: Path) -> list[Move]:
        self._landed.append(path)
        if len(self._landed) != 4:
            return []
        return [Move(p, 0) for p in sorted(self._landed, key=lambda p: p.score or 0)]


def test_paths_that_begin_alike_are_extended_side_by_side(root) -> None:
    texts, made = ["a1", "b1", "a2", "b2"], list[str]()

    async def step(move: Move) -> Path:
        if move.path is not root:
            made.append(move.path.text)
            return replace(root, text=f"{move.path.text}.", depth=2)
        return replace(root, text=texts[move.index], depth=1, score=move.index / 4)

    async def search() -> None:
        await explore(TwoRounds(root), step)

    async def main() -> None:
        async with Pool(ScriptedEngine("x")) as pool:
            await run(search, pool=pool)

    anyio.run(main)  # trio begins tasks in no order
    assert made == ["a1", "a2", "b1", "b2"]
