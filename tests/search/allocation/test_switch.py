from __future__ import annotations

import random
from dataclasses import dataclass, replace

import pytest

from weft.backends.scripted.engine import Scripted, ScriptedEngine
from weft.concurrency import TaskGroup
from weft.errors import RequestRejected, UsageError
from weft.evals.sequential_or_parallel import Chances
from weft.orchestrator.pool import Pool
from weft.programs import Prompt, generate, run
from weft.search import Answer, Question, Strategy, Switch
from weft.search.strategy import stable_seed
from weft.types import Request

TOKENS = 12
NEVER = Chances(0, 0)


@dataclass(frozen=True)
class Play(Strategy):
    """Attempts at a problem, each right with a probability, until one is or no tokens are left."""

    name = "play"
    chances: Chances = NEVER
    sequential: bool = False

    @classmethod
    def parameters(cls):  # plain fields
        return ()

    async def solve(self, question: Question) -> Answer:
        """Answer the question."""
        await generate(question.prompt, max_tokens=1)
        rng = random.Random(stable_seed(question.seed, self.sequential))
        left, chance, cost = TOKENS, self.chances.attempt, self.chances.attempt_tokens
        right = False
        while left >= cost and not right:
            left -= cost
            right = rng.random() < chance
            if self.sequential:
                chance, cost = self.chances.repair, self.chances.repair_tokens
        text = "right" if right else "wrong"
        return Answer(text, text)


QUESTION = Question(
    Prompt.user("q"),
    answer=lambda t: t,
    complete=lambda t: False,
    check=lambda t: float(t == "right"),
)


def test_chances_by_hand() -> None:
    chances = Chances(attempt=0.2, repair=0.5, attempt_tokens=4, repair_tokens=3)
    assert chances.parallel(12) == pytest.approx(1 - 0.8**3)
    assert chances.sequential(12) == pytest.approx(1 - 0.8 * 0.5**2)
    assert chances.sequential(3) == chances.parallel(3) == 0
    assert chances.better(12) == "sequential"
    with pytest.raises(UsageError, match="repair=2 must be"):
        Chances(0.1, 2)


@pytest.mark.parametrize(
    "chances",
    [
        Chances(0.1, 0.4, 3, 2),  # repairs are good: Sudoku
        Chances(0.3, 0.02, 2, 2),  # a trace stays with its mistake: Countdown
        Chances(0.15, 0.3, 1, 6),  # repairs are good, but go over all again
    ],
)
async def test_the_switch_picks_the_winner(chances: Chances) -> None:
    strategy = Switch(
        pilot=40,
        verifier="function",
        sequential=Play(chances, True),
        parallel=Play(chances, False),
    )
    shared = strategy.side_by_side(100, 100)
    found: list[Answer] = []

    async def ask(seed: int) -> None:
        found.append(await shared(replace(QUESTION, seed=seed)))

    async def all() -> None:
        async with TaskGroup() as tasks:
            for seed in range(100):
                tasks.start_soon(ask, seed)

    async with Pool(engine := ScriptedEngine("x")) as pool:
        await run(all, pool=pool)
    measured = [a for a in found if a.details["measured"]]
    assert len(measured) == 60
    assert {a.details["way"] for a in measured} == {chances.better(TOKENS)}
    assert len(engine.requests) == 2 * 40 + 60


async def test_a_question_alone_is_answered_in_parallel(question, player) -> None:
    async with Pool(player()):
        alone = await Switch()(question)
        one_of_one = await Switch().side_by_side(1, 1)(question)
    assert alone.details["way"] == one_of_one.details["way"] == "parallel"
    assert alone.details["measured"] is False


async def test_pilots_that_fail_keep_nobody_waiting(question, player, playing) -> None:
    refusing = True

    def reply(request: Request) -> Scripted | str:
        return Scripted(refuses="not now") if refusing else playing(request)

    async with Pool(player(reply)):
        shared = Switch(pilot=1, verifier="function").side_by_side(2, 2)
        with pytest.raises(RequestRejected, match="not now"):
            await shared(question)
        refusing = False
        answer = await shared(question)
    assert answer.value is not None
    assert answer.details["measured"] is False
