from __future__ import annotations

import math
from dataclasses import replace

import pytest

from weft.backends.scripted.engine import Scripted, ScriptedEngine
from weft.errors import UsageError
from weft.orchestrator.pool import Pool
from weft.programs import Limits, run
from weft.search import (
    BestOfN,
    FirstFinish,
    Greedy,
    Majority,
    ShortMAtK,
    WeightedMajority,
    parse_strategy,
)
from weft.search.sampling.step_scores import step_ends, step_score
from weft.search.strategy import stable_seed
from weft.search.verifiers import read_verifier
from weft.types import TokenLogprob

pytestmark = pytest.mark.loops("virtual")

A, B, C, NONE = "answer a", "answer b", "answer c", "no idea"


async def test_greedy(question, player, by_index) -> None:
    async with Pool(engine := player(by_index(A))):
        answer = await Greedy()(question)
    assert (answer.text, answer.value, answer.score) == (A, "a", None)
    assert [r.sampling.temperature for r in engine.requests] == [0.0]
    assert answer.details == {"samples": 1, "unparsable": 0}


async def test_majority(question, player, by_index) -> None:
    async with Pool(engine := player(by_index(A, B, NONE, B, C))):
        answer = await Majority(n=5, stop_early=False)(question)
    assert (answer.value, answer.text, answer.score) == ("b", B, 0.5)
    assert answer.details == {
        "samples": 5,
        "unparsable": 1,
        "votes": {"a": 1, "b": 2, "c": 1},
    }
    assert {r.sampling.seed for r in engine.requests} == {
        stable_seed(question.seed, i) for i in range(5)
    }


async def test_ties_go_to_the_earliest_sample_whichever_finishes_first(
    question, player, by_index
) -> None:
    slow = Scripted(A, seconds=1.0)
    async with Pool(player(by_index(slow, B, B, slow))):
        answer = await Majority(n=4)(question)
    assert answer.value == "a"


async def test_majority_stops_when_nothing_can_change(question, player, by_index) -> None:
    replies = by_index(A, NONE, A, A, *[Scripted(C, seconds=9.0)] * 3)
    async with Pool(player(replies)) as pool:
        full = await run(Majority(n=7, stop_early=False), question, pool=pool)
    async with Pool(engine := player(replies)) as pool:
        short = await run(Majority(n=7), question, pool=pool)
    # 3 for a, and 3 to come: c could still have as many, but a came first.
    assert short.value.value == full.value.value == "a"
    assert engine.cancelled == 3
    assert engine.running == 0
    assert short.seconds < 1 < full.seconds
    assert short.usage.generated < full.usage.generated
    assert short.value.details["samples"] == 4


@pytest.mark.parametrize(
    ("replies", "needed"),
    [((A, A, A, A), 4), ((A, B, A, A, A, A, A), 7), ((NONE, A, A, A, A), 5)],
)
async def test_majority_stops_when_it_is_confident(
    replies, needed: int, question, player, by_index
) -> None:
    """3:0 and 5:1 are not enough for 0.95, but 4:0 and 6:1 are."""
    every = by_index(*replies, *[C] * 16)
    strategy = Majority(n=20, confidence=0.95)
    async with Pool(engine := player(every)):
        one_by_one = await replace(strategy, parallel=1)(question)
    assert len(engine.requests) == needed
    # Later samples that are there first change nothing.
    seconds = [9.0, *[1.0] * 22]
    slow = by_index(*(Scripted(r, seconds=s) for r, s in
                      zip((*replies, *[C] * 16), seconds, strict=False)))  # fmt: skip
    async with Pool(engine := player(slow)):
        at_once = await strategy(question)
    assert at_once.value == one_by_one.value == "a"
    assert at_once.details["votes"] == one_by_one.details["votes"]
    assert at_once.score == one_by_one.score


async def test_majority_draws_so_many_at_once(question, player, by_index) -> None:
    replies = by_index(*(Scripted(A, seconds=i) for i in range(1, 10)))
    async with Pool(engine := player(replies)):
        answer = await Majority(n=9, parallel=2, confidence=0.95)(question)
    assert answer.details["samples"] == 4
    # The fifth began when the third came; when the fourth came no other did.
    assert len(engine.requests) == 5
    assert engine.cancelled == 1
    assert engine.running == engine.waiting == 0


async def test_best_of_n_asks_the_verifier(question, player, by_index) -> None:
    scores = {"a": 0.1, "b": 0.3, "c": 0.2}

    def likely(request):
        yes = scores[request.messages[-1].content[-1]]
        return {"yes": yes, "no": 0.5 - yes}

    async with Pool(engine := player(by_index(A, NONE, B, C), likely)):
        answer = await BestOfN(n=4)(question)
    assert answer.value == "b"
    assert answer.score == pytest.approx(0.6)
    verdicts = {"scored": 3, "verdict_mass": 0.5}
    assert answer.details == {"samples": 4, "unparsable": 1, **verdicts}
    assert sum(bool(r.ask) for r in engine.requests) > 0


async def test_best_of_n_scores_while_others_generate(question, player, by_index) -> None:
    replies = by_index(A, Scripted(B, seconds=100.0))
    async with Pool(engine := player(replies, token_seconds=1.0)) as pool:
        await run(BestOfN(n=2), question, pool=pool)
    kinds = ["score" if r.ask else "generate" for r in engine.requests]
    assert kinds.count("generate") == 2
    assert kinds[2] == "score"
    assert kinds[-1] == "score"


async def test_verifier_kinds(question, player, by_index) -> None:
    replies = by_index("3\n1\n2\nanswer 312", "1\nanswer 1")
    judge = ScriptedEngine("", lambda r: {"yes": 0.9 if "312" not in r.messages[-1].content else
                                          0.1, "no": 0.1}, model="other")  # fmt: skip
    async with Pool(player(replies), judge, roles={"judge": "other"}):
        for verifier, value, score in [
            ("function", "312", 1.0),
            ("model", "312", pytest.approx(0.9)),
            ("logprob", "312", 1.0),  # a scripted engine is sure of every token
            ("role:judge", "1", pytest.approx(0.9)),
        ]:
            answer = await BestOfN(n=2, verifier=verifier)(question)
            assert (answer.value, answer.score) == (value, score), verifier


async def test_a_verifier_that_the_task_lacks(question, player) -> None:
    bare = replace(question, verify=None, check=None)
    async with Pool(engine := player()):
        with pytest.raises(UsageError, match="no verify prompt; use verifier=function"):
            await BestOfN(n=2)(bare)
        with pytest.raises(UsageError, match="no exact check; use verifier=model"):
            await parse_strategy("beam(n=2, width=2, verifier=function)")(bare)
    assert not engine.requests


async def test_best_of_n_limits(question, player, by_index) -> None:
    """With a perfect verifier it is right if any sample is; with a blind one, if the first is."""
    replies = by_index("answer a", "3\n1\n2\nanswer 312", "answer b")
    async with Pool(player(replies, {"yes": 0.5, "no": 0.5})):
        assert (await BestOfN(n=3, verifier="function")(question)).value == "312"
        assert (await BestOfN(n=1, verifier="function")(question)).value == "a"
        assert (await BestOfN(n=3)(question)).value == "a"


STEPS = {
    "x": {"1\n": 0.9, "1\n1\n": 0.1, "1\n1\nanswer x": 0.8},
    "y": {"2\n": 0.5, "2\n\nanswer y": 0.7},
    "z": {"3\n": 0.6, "3\n3\n": 0.6, "3\n3\nanswer z": 0.6},
}
"""What a verifier says of answers up to each of their steps."""


@pytest.mark.parametrize(
    ("aggregate", "value", "score"),
    [("last", "x", 0.8), ("min", "z", 0.6), ("product", "y", 0.35), ("mean", "x", 0.6)],
)
async def test_aggregates_of_step_scores(
    aggregate: str, value: str, score: float, question, player, by_index
) -> None:
    """A blank step is none; of equal means the earliest sample is the answer."""
    scores = {text: s for of_answer in STEPS.values() for text, s in of_answer.items()}
    whole = [max(of_answer, key=len) for of_answer in STEPS.values()]
    theirs = replace(question, check=scores.__getitem__)
    async with Pool(player(by_index(*whole))):
        best = await BestOfN(n=3, verifier="function", aggregate=aggregate)(theirs)
        vote = await WeightedMajority(n=3, verifier="function", aggregate=aggregate)(theirs)
    assert (best.value, best.score) == (value, pytest.approx(score))
    assert vote.value == value
    assert vote.details["votes"][value] == pytest.approx(score)


async def test_a_steps_own_confidence(question, player) -> None:
    """The logprob verifier sees the tokens of the answer up to a step, not those behind it."""
    tokens = [("thought ", -9.0), ("1", -1.0), ("\n", -2.0), ("answer ", -3.0), ("1", -4.0)]
    logprobs = [TokenLogprob(text, logprob) for text, logprob in tokens]
    async with Pool(player()):
        found = await step_score(
            read_verifier("logprob"), question, "1\nanswer 1", logprobs, "product"
        )
    assert found == pytest.approx(math.exp(-12 / 3) * math.exp(-19 / 5))


@pytest.mark.parametrize(
    ("text", "ends"), [("a", [1]), ("a\n", [2]), ("\na\n\nb", [3, 5]), ("a\nb\n \n", [2, 6])]
)
def test_where_steps_end(text: str, ends: list[int]) -> None:
    assert step_ends(text, "\n") == ends


async def test_weighted_majority(question, player, by_index) -> None:
    scores = {"a": 0.9, "b": 0.5, "c": 0.1}

    def likely(request):
        yes = scores[request.messages[-1].content[-1]]
        return {"yes": yes, "no": 1 - yes}

    async with Pool(player(by_index(A, B, C, B, NONE, C, C, C), likely)):
        answer = await WeightedMajority(n=8)(question)
    assert answer.value == "b"
    assert answer.score == pytest.approx(1.0 / 2.3)
    assert answer.details["votes"] == pytest.approx({"a": 0.9, "b": 1.0, "c": 0.4})
    async with Pool(player(by_index(A, B, C, B, NONE, C, C, C), {"yes": 0.2, "no": 0.2})):
        same = await WeightedMajority(n=8)(question)
        assert same.value == (await Majority(n=8)(question)).value == "c"


async def test_first_finish_is_the_shortest(question, player, by_index) -> None:
    texts = [f"{'hm ' * n}answer x{n}" for n in (9, 4, 2, 30)]
    replies = by_index(NONE, *texts, "x" * 999)
    async with Pool(engine := player(replies, token_seconds=0.1)) as pool:
        done = await run(FirstFinish(n=6), question, pool=pool)
    # The very shortest has no answer, and the cut-off one never ends.
    assert done.value.value == "x2"
    assert done.seconds == pytest.approx((len(texts[2]) + 1) * 0.1)
    assert engine.cancelled == 4
    assert engine.running == engine.waiting == 0
    assert {r.messages[0].content for r in engine.requests} == {"think"}
    assert {r.sampling.max_tokens for r in engine.requests} == {440}


async def test_first_finish_of_one(question, player, by_index) -> None:
    async with Pool(player(by_index(A))):
        assert (await FirstFinish(n=1, think=False)(question)).value == "a"


async def test_what_was_cut_off_is_not_finished(question, player, by_index) -> None:
    cut = Scripted("answer a" + "!" * 100, seconds=0.0)
    async with Pool(player(by_index(cut, Scripted(B, seconds=1.0)))):
        answer = await FirstFinish(n=2, think=False)(question)
        assert answer.value == "b"


async def test_short_m_at_k(question, player, by_index) -> None:
    """Lengths decide who votes; of a tie, the shortest sample wins."""
    texts = [f"{'h' * n}answer {v}" for n, v in [(50, "a"), (9, "b"), (20, "a"), (30, "c")]]
    seconds = []
    for m, value in [(1, "b"), (2, "b"), (3, "b"), (4, "a")]:
        async with Pool(engine := player(by_index(*texts), token_seconds=1.0)) as pool:
            done = await run(ShortMAtK(m=m, k=4), question, pool=pool)
        assert done.value.value == value
        assert done.value.details["finished"] == [1, 2, 3, 0][:m]
        assert engine.cancelled == 4 - m
        seconds.append(done.seconds)
    assert seconds == sorted(seconds)
    async with Pool(player(by_index(*texts))):
        assert (await Majority(n=4, think=True)(question)).value == "a"


async def test_think_without_a_think_prompt(question, player, by_index) -> None:
    async with Pool(engine := player(by_index(A, A, A))):
        await ShortMAtK(m=2, k=3)(replace(question, think=None))
    assert {r.messages[0].content for r in engine.requests} == {"solve"}


async def test_no_sample_has_an_answer(question, player, by_index) -> None:
    async with Pool(player(by_index(NONE, NONE, NONE))):
        for spec in ("majority(n=3)", "best_of_n(n=3)", "weighted_majority(n=3)",
                     "first_finish(n=3)", "short_m_at_k(m=2, k=3)"):  # fmt: skip
            answer = await parse_strategy(spec)(question)
            assert (answer.text, answer.value, answer.score) == (NONE, None, None)
            assert answer.details["unparsable"] == 3


async def test_calls_left_for_sampling_but_not_for_scoring(question, player, by_index) -> None:
    async with Pool(player(by_index(A, B, B))) as pool:
        done = await run(BestOfN(n=3), question, pool=pool, budget=Limits(calls=3))
    assert done.value.value == "b"
    assert done.value.details["budget"] == "calls"
    assert done.value.details["scored"] == 0


async def test_time_runs_out(question, player, by_index) -> None:
    replies = by_index(A, B, B, Scripted(C, seconds=99.0), Scripted(C, seconds=99.0))
    async with Pool(engine := player(replies)) as pool:
        done = await run(
            Majority(n=5, stop_early=False), question, pool=pool, budget=Limits(seconds=5)
        )
    assert done.value.value == "b"
    assert done.value.details["budget"] == "seconds"
    assert engine.running == 0
    assert done.seconds == pytest.approx(5)


@pytest.mark.parametrize(
    "strategy",
    [
        BestOfN(n=4, verifier="function", hedge=True),
        Majority(n=4, stop_early=False, hedge=True),
        WeightedMajority(n=4, verifier="function", hedge=True),
    ],
    ids=lambda one: one.name,
)
async def test_a_hedged_pool_has_one_greedy_sample(question, player, by_index, strategy) -> None:
    async with Pool(engine := player(by_index(A, B, B, C))):
        await strategy(question)
    heats = sorted(r.sampling.temperature for r in engine.requests)
    assert heats == [0.0, *[strategy.temperature] * 3]
    assert not strategy.drawn_alike  # so that pass@k, which takes equal draws, is not claimed


def test_a_strategy_within_decides_on_temperatures_itself() -> None:
    with pytest.raises(UsageError, match=r"hedge=true.*astar in `of`"):
        parse_strategy("best_of_n(n=2, hedge=true, of=astar(k=2))")
