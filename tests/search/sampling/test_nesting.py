"""Strategies whose samples are the answers of other strategies."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from weft.backends.scripted.engine import ScriptedEngine
from weft.errors import RequestRejected, UsageError
from weft.orchestrator.pool import Pool
from weft.parts.spec import as_text
from weft.programs import Limits, run
from weft.search import parse_strategy
from weft.search.answers.voting import tally
from weft.search.strategy import stable_seed

OUTER = ["majority", "best_of_n", "weighted_majority", "first_finish", "short_m_at_k"]
NESTED = [
    "majority(n=4, of=astar(k=4))",
    "best_of_n(n=4, verifier=function, of=beam(n=4, width=2))",
    "weighted_majority(n=3, of=majority(n=3))",
    "short_m_at_k(m=2, k=3, of=best_of_n(n=2))",
    "first_finish(n=2, of=rebase(n=4))",
    "majority(n=2, of=majority(n=2, of=majority(n=2)))",
]


def as_yaml(outer: list[str]) -> dict[str, Any]:
    values: dict[str, Any] = {"k" if outer[0] == "short_m_at_k" else "n": 3 + len(outer)}
    if len(outer) > 1:
        values["of"] = as_yaml(outer[1:])
    return {outer[0]: values}


@settings(max_examples=30)
@given(st.lists(st.sampled_from(OUTER), min_size=2, max_size=4))
def test_nested_specs_are_the_same_as_text_and_as_yaml(outer: list[str]) -> None:
    made = parse_strategy(as_yaml(outer))
    assert parse_strategy(made.spec) == made
    assert parse_strategy(as_text(yaml.safe_load(yaml.safe_dump(as_yaml(outer))))) == made
    assert made.spec.count("of=") == len(outer) - 1
    within: Any = made
    while within.of is not None:
        within = within.of
    assert within.name == outer[-1]


def test_texts_multiply_and_are_unknown_of_step_searches() -> None:
    assert parse_strategy("majority(n=3, of=best_of_n(n=4))").texts == 12
    assert parse_strategy("majority(n=3, of=greedy)").texts == 3
    assert parse_strategy("majority(n=3, of=beam)").texts is None


@pytest.mark.parametrize("spec", NESTED)
async def test_answers_and_gives_the_same_again(spec, question, player) -> None:
    answers = []
    for _ in range(2):
        async with Pool(engine := player()) as pool:
            answers.append((await run(parse_strategy(spec), question, pool=pool)).value)
            assert engine.running == engine.waiting == 0
    assert answers[0].value == question.answer(answers[0].text)
    if "finish" not in spec and "short" not in spec:
        # How many samples were left to cancel, and so the share of the vote, is chance.
        assert answers[0].text == answers[1].text


async def test_a_vote_of_searches_is_the_vote_of_their_answers(question, player) -> None:
    inner = parse_strategy("beam(n=2, width=2)")
    async with Pool(player()):
        given = [
            await inner(replace(question, seed=stable_seed(question.seed, "of", i)))
            for i in range(5)
        ]
        answer = await parse_strategy(f"majority(n=5, stop_early=false, of={inner.spec})")(question)
    count = tally({i: one.value for i, one in enumerate(given)})
    assert count.winner is not None
    assert answer.value == count.winner.value
    assert answer.text == given[count.winner.members[0]].text
    assert len(count.clusters) > 1  # else it would not tell that the runs differ
    within = answer.details.pop("within")
    assert answer.details == {
        "samples": 5,
        "unparsable": 0,
        "votes": {c.value: len(c.members) for c in count.clusters},
    }
    assert within["steps"] == [one.details["steps"] for one in given]
    assert set(within) >= {"rounds", "finished"}


async def test_no_two_samples_share_their_chance(question, player) -> None:
    async with Pool(engine := player()):
        spec = "majority(n=3, stop_early=false, of=majority(n=4, stop_early=false))"
        await parse_strategy(spec)(question)
    assert len({r.sampling.seed for r in engine.requests}) == 12


async def test_inner_settings_are_the_inner_ones(question, player) -> None:
    async with Pool(engine := player()):
        spec = "majority(n=2, temperature=0.5, of=majority(n=1, temperature=0.3, think=true))"
        await parse_strategy(spec)(question)
    assert {r.sampling.temperature for r in engine.requests} == {0.3}
    assert {r.messages[0].content for r in engine.requests} == {"think"}


async def test_losers_are_cancelled_with_all_that_they_run(question, player) -> None:
    async with Pool(engine := player("answer 312", token_seconds=0.0005)):
        spec = "majority(n=9, of=majority(n=2, stop_early=false))"
        answer = await parse_strategy(spec)(question)
        assert engine.running == engine.waiting == 0
    assert answer.value == "312"
    assert answer.details["samples"] <= 9


async def test_what_failed_and_what_ran_out_within_is_told(question, player) -> None:
    known: ScriptedEngine = player()
    seen: list[str] = []

    class Failing(ScriptedEngine):
        async def complete(self, request, on_delta):
            seen.append(request.id)
            if len(seen) == 3:
                raise RequestRejected("this one")
            await super().complete(request, on_delta)

    spec = parse_strategy("majority(n=3, stop_early=false, of=majority(n=2, stop_early=false))")
    async with Pool(Failing(known.script.replies, known.scores)):
        answer = await spec(question)
    assert (answer.details["samples"], answer.details["failed"]) == (3, 1)
    assert sorted(answer.details["within"]["samples"]) == [1, 2, 2]

    async with Pool(player()) as pool:
        done = await run(spec, question, pool=pool, budget=Limits(calls=4))
    assert done.usage.calls == 4
    assert done.value.details["budget"] == "calls"
    assert done.value.value is not None


async def test_log_probabilities_are_not_there(question, player) -> None:
    async with Pool(player()):
        with pytest.raises(UsageError, match="answers of beam don't have; use another"):
            await parse_strategy("best_of_n(n=2, verifier=logprob, of=beam)")(question)
