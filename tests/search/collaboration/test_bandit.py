"""A contextual bandit over models and prompts."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weft.backends.scripted.engine import Scripted, ScriptedEngine
from weft.concurrency import TaskGroup
from weft.errors import RequestRejected, UsageError
from weft.orchestrator.pool import Pool
from weft.programs import Prompt, run
from weft.search import Bandit, PromptVariants, Question, Strategy, parse_strategy
from weft.search.collaboration.routing.contexts import Contexts, complexity
from weft.search.collaboration.routing.linear_arms import LinearArms
from weft.search.collaboration.routing.prompt_variants import read_variants
from weft.search.collaboration.routing.router import Feedback, Router
from weft.types import Request

pytestmark = pytest.mark.loops("virtual")


# The regression


def test_estimates_are_those_of_ridge_regression() -> None:
    """By solving the normal equations in two dimensions."""
    rows = [((1.0, 0.0), 0.9, 3.0), ((1.0, 1.0), 0.2, 5.0), ((1.0, 0.5), 0.4, 1.0)]
    arms = LinearArms(2, weight=0.25)
    for x, accuracy, cost in rows:
        arms.learn("a", x, accuracy, cost)
    a, b = 0.05 + sum(x[0] * x[0] for x, _, _ in rows), sum(x[0] * x[1] for x, _, _ in rows)
    d = 0.05 + sum(x[1] * x[1] for x, _, _ in rows)

    def predicted(ys: list[float], x: tuple[float, float]) -> float:
        u = sum(r[0][0] * y for r, y in zip(rows, ys, strict=True))
        v = sum(r[0][1] * y for r, y in zip(rows, ys, strict=True))
        det = a * d - b * b
        return x[0] * (d * u - b * v) / det + x[1] * (a * v - b * u) / det

    for x in ((1.0, 0.0), (0.3, 2.0)):
        good, spent = predicted([r[1] for r in rows], x), predicted([r[2] for r in rows], x)
        assert arms.reward("a", x) == pytest.approx(0.75 * good - 0.25 * spent / 5)


def test_only_cost_or_only_accuracy() -> None:
    x = (1.0,)
    for weight, best in ((0.0, "large"), (1.0, "small")):
        arms = LinearArms(1, weight)
        for _ in range(30):
            arms.learn("large", x, 1.0, 9.0)
            arms.learn("small", x, 0.5, 1.0)
        assert arms.rank(["small", "large"], x, random.Random(0))[0] == best


def regret(explore: str, rounds: int, seed: int) -> list[float]:
    """Of each round, where rewards are linear in the context, with noise."""
    rng = random.Random(seed)
    truths = {"a": (0.2, 0.6, 0.1), "b": (0.5, 0.1, 0.3), "c": (0.3, 0.3, 0.3)}
    arms, found = LinearArms(3, 0.0, explore), []
    for _ in range(rounds):
        x = tuple(rng.random() for _ in range(3))
        worth = {
            arm: sum(u * v for u, v in zip(truth, x, strict=True)) for arm, truth in truths.items()
        }
        arm = arms.rank(list(truths), x, rng)[0]
        arms.learn(arm, x, worth[arm] + rng.gauss(0, 0.1), 1.0)
        found.append(max(worth.values()) - worth[arm])
    return found


def test_regret_grows_slowly_and_is_below_that_of_epsilon_greedy() -> None:
    rounds = 300
    totals = dict.fromkeys(("linucb", "epsilon"), 0.0)
    for seed in range(2):
        for explore in totals:
            lost = regret(explore, rounds, seed)
            totals[explore] += sum(lost)
            if explore == "linucb":  # as the square root of time, or slower
                assert sum(lost[rounds // 4 :]) < 1.5 * sum(lost[: rounds // 4])
    assert totals["linucb"] < totals["epsilon"]


def test_a_new_arm_joins_and_is_tried() -> None:
    arms, x = LinearArms(1, 0.5), (1.0,)
    for _ in range(20):
        arms.learn("old", x, 0.4, 1.0)
    assert arms.rank(["old", "new"], x, random.Random(0))[0] == "new"


def test_what_was_learned_is_kept_as_plain_data() -> None:
    rng = random.Random(2)
    arms = LinearArms(2, 0.3, "epsilon")
    for _ in range(9):
        x = (1.0, rng.random())
        arms.learn(arms.rank(["a", "b"], x, rng)[0], x, rng.random(), rng.random())
    again = LinearArms.of_data(json.loads(json.dumps(arms.data())))
    for _ in range(20):
        x = (1.0, rng.random())
        seed = rng.random()
        ranked = [one.rank(["a", "b"], x, random.Random(seed)) for one in (arms, again)]
        assert ranked[0] == ranked[1]
    assert again.counts == arms.counts


# Contexts


def test_complexity_is_flesch() -> None:
    # 6 words, 1 sentence, 6 syllables.
    assert complexity("The cat sat on the mat.") == pytest.approx(
        100 - (206.835 - 1.015 * 6 - 84.6)
    )
    assert complexity("") == 0
    hard = "Heteroscedasticity invalidates conventional asymptotic approximations."
    assert complexity(hard) > 100 > complexity("Go. Run. Sit.")


def test_questions_of_a_kind_have_a_context() -> None:
    contexts = Contexts()
    sums = [contexts.of(f"Add {i} and {i + 1}. What is the sum?") for i in range(4)]
    songs = [contexts.of(f"Write a song on spring, number {i}, please") for i in range(4)]
    assert all(len(one) == Contexts.size and sum(one) == 3 for one in sums + songs)
    assert songs[-1] == songs[-2] != sums[-1]


# Who is decided for when


@given(
    ahead=st.integers(1, 4),
    questions=st.integers(1, 8),
    seed=st.integers(0, 999),
)
@settings(max_examples=40, deadline=None)
def test_decisions_do_not_depend_on_time(ahead: int, questions: int, seed: int) -> None:
    """Whatever order feedback comes in, some of it never; nothing hangs, `ahead` is kept."""
    import trio

    rng = random.Random(seed)
    teaches = [rng.choice((True, True, False)) for _ in range(questions)]

    def decided(order_seed: int) -> list[tuple[str, int]]:
        router = Router(0.5, "linucb", ahead)
        delays = random.Random(order_seed)
        found: dict[int, tuple[str, int]] = {}
        running = 0

        async def answer(q: int) -> None:
            nonlocal running
            with turns[q] as turn:
                arm = (await turn.ranking())[0]
                running += 1
                assert running <= ahead
                found[q] = arm, turn.taught_by
                await trio.sleep(delays.random())
                if teaches[q]:
                    turn.feedback = Feedback(arm, 0.9 if arm == "a" else 0.2, 1.0 + q % 3)
                running -= 1

        async def all_of_them() -> None:
            async with trio.open_nursery() as nursery:
                for q in range(questions):
                    nursery.start_soon(answer, q)

        async def main() -> None:
            turns.extend(router.join(["b", "a"], f"question {q}", q) for q in range(questions))
            await all_of_them()

        turns: list[Any] = []
        trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
        return [found[q] for q in range(questions)]

    first = decided(1)
    assert first == decided(2)
    # A decision rests on all questions before it but the last `ahead`.
    assert [taught for _, taught in first] == [
        sum(teaches[: max(0, q - ahead + 1)]) for q in range(questions)
    ]


async def test_a_question_that_is_given_up_keeps_nobody_waiting() -> None:
    router = Router(0.5, "linucb", 1)
    order: list[str] = []
    with router.join(["a"], "first", 0) as first:
        await first.ranking()
        gone, last = router.join(["a"], "gone", 0), router.join(["a"], "last", 0)
        with gone:
            with anyio.move_on_after(1):
                await gone.ranking()
        order.append("gone")
    with last:
        assert await last.ranking() == ["a"]


# The strategies


def asked(number: int) -> Question:
    """A question that the small model can answer if its number is even."""
    kind = "Add these numbers" if number % 2 == 0 else "Prove that this theorem holds"
    return Question(
        Prompt.user(f"{kind} {number}"),
        answer=lambda text: text.rpartition(" ")[2] or None,
        complete=lambda text: True,
        check=lambda text: float(text.endswith("right")),
        verify=lambda text: Prompt.user(f"verify {text}"),
        seed=number,
    )


def small(request: Request) -> str:
    return "so right" if "Add" in request.messages[-1].content else "so wrong"


async def over_a_suite(strategy: Strategy, questions: int, **engines: Any) -> list[Any]:
    found: dict[int, Any] = {}
    answers = strategy.side_by_side(questions, 4)

    async def solve(number: int) -> None:
        found[number] = (await run(answers, asked(number), pool=pool)).value

    pool = Pool(
        ScriptedEngine(engines.get("large", "so right"), model="large"),
        ScriptedEngine(engines.get("small", small), model="small"),
        roles={"draft": "small"},
    )
    async with pool, TaskGroup() as group:
        for number in range(questions):
            group.start_soon(solve, number)
            await anyio.lowlevel.checkpoint()
    return [found[number] for number in range(questions)]


async def test_each_kind_of_question_finds_its_model() -> None:
    spec = "bandit(ways='draft:1 solver:9', verifier=function, weight=0.4, parallel=2)"
    answers = await over_a_suite(parse_strategy(spec), 40)
    late = answers[20:]
    arms = [answer.details["arm"] for answer in late]
    assert arms.count("draft") >= 9
    assert arms[0::2].count("draft") > arms[1::2].count("draft") + 5
    assert sum(answer.score for answer in late) >= 18
    assert [answer.details["taught_by"] for answer in answers] == [max(0, i - 1) for i in range(40)]


@pytest.mark.parametrize(("weight", "arm"), [(0, "solver"), (1, "draft")])
async def test_accuracy_alone_and_cost_alone(weight: int, arm: str) -> None:
    spec = f"bandit(ways='draft:1 solver:9', verifier=function, weight={weight}, parallel=1)"
    answers = await over_a_suite(parse_strategy(spec), 16, small="so wrong")
    assert [answer.details["arm"] for answer in answers[8:]] == [arm] * 8


async def test_suites_do_not_teach_each_other() -> None:
    strategy = Bandit(verifier="function")
    first, second = strategy.side_by_side(3, 3), strategy.side_by_side(3, 3)
    assert first == second == strategy
    async with Pool(ScriptedEngine("so right")) as pool:
        for shared in (first, second):
            for number, taught in ((0, 0), (2, 0), (4, 0), (6, 1)):
                answer = (await run(shared, asked(number), pool=pool)).value
                assert answer.details["taught_by"] == taught


async def test_alone_a_bandit_learns_of_its_pool_whatever_the_temperature() -> None:
    for _ in range(2):  # another pool knows nothing
        async with Pool(ScriptedEngine("so right")) as pool:
            for taught, temperature in enumerate((0.2, 0.7, 1.0)):
                strategy = Bandit(verifier="function", temperature=temperature)
                answer = (await run(strategy, asked(0), pool=pool)).value
                assert answer.details["taught_by"] == taught
            other = Bandit(verifier="function", weight=0.1)
            assert (await run(other, asked(0), pool=pool)).value.details["taught_by"] == 0


async def test_where_a_model_fails_the_next_best_answers() -> None:
    spec = "bandit(ways='draft solver', verifier=function, weight=0, parallel=1)"
    answers = await over_a_suite(parse_strategy(spec), 3, small=Scripted(refuses="gone"))
    assert [a.details["arm"] for a in answers] == ["solver"] * 3
    assert {a.value for a in answers} == {"right"}
    assert [a.details.get("failed") for a in answers] == [1, None, None]
    assert [a.details["taught_by"] for a in answers] == [0, 1, 2]


async def test_an_answer_that_nobody_could_judge_teaches_nothing() -> None:
    def broken(request: Request) -> dict[str, float]:
        raise RequestRejected("no verdicts")

    async with Pool(ScriptedEngine("so right", broken)) as pool:
        for _ in range(2):
            answer = (await run(Bandit(), asked(0), pool=pool)).value
            assert (answer.value, answer.details["taught_by"]) == ("right", 0)


def test_variants_are_read() -> None:
    assert read_variants("|Think.| Be brief. ") == ("", "Think.", "Be brief.")
    for wrong in ("", "only one", "a|a"):
        with pytest.raises(UsageError, match="parted by"):
            read_variants(wrong)


def needs_words(words: str) -> Callable[[Request], str]:
    return lambda r: "so right" if r.messages[-1].content.endswith(words) else "so wrong"


async def test_each_model_finds_its_words() -> None:
    strategy = PromptVariants(
        variants="|Check it.|Be brief.", verifier="function", weight=0.1, parallel=1
    )
    for words in ("Check it.", "Be brief."):
        large = needs_words(f"\n\n{words}")
        answers = await over_a_suite(strategy, 12, large=large)
        assert [answer.details["arm"] for answer in answers[-4:]] == [words] * 4
        assert [answer.value for answer in answers[-4:]] == ["right"] * 4
    # What was learned of one model is not held of another.
    over_draft = replace(strategy, role="draft")
    answers = await over_a_suite(over_draft, 12, small=needs_words("Be brief."))
    assert [answer.details["arm"] for answer in answers[-4:]] == ["Be brief."] * 4


async def test_an_answer_to_varied_words_is_not_lost_when_it_is_broken_off() -> None:
    """Its prompt is not the question's own."""
    question = replace(asked(0), answer=lambda text: "right" if "right" in text else None)
    strategy = PromptVariants(variants="Check it.|Be brief.", verifier="function")
    reply = Scripted("so right, and more", dies_after=9)
    async with Pool(ScriptedEngine(reply)) as pool:
        answer = (await run(strategy, question, pool=pool)).value
    assert (answer.value, answer.details["broken_off"]) == ("right", True)
