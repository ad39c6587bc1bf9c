from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.backends.scripted.engine import Scripted, ScriptedEngine
from weft.orchestrator.pool import Pool
from weft.search import Chops, Mbr
from weft.search.sampling.drawing import hedged
from weft.search.sampling.selection.chops import named
from weft.search.sampling.selection.mbr import ngrams, overlap

pytestmark = pytest.mark.loops("virtual")

POOL = ["answer a", "answer b", "answer b", "answer c", "no idea"]


def judge(says) -> ScriptedEngine:
    return ScriptedEngine(says, {"yes": 0.5, "no": 0.5}, model="judge")


ROLES = {"solver": "scripted", "verifier": "judge"}


async def test_chops(question, player, by_index) -> None:
    """The judge sees the request and each readable answer once, in some order."""

    def says(request) -> str:
        asked = request.messages[-1].content
        assert "Request:\nsolve" in asked
        assert "and 3 answers" in asked
        assert asked.count("answer b") == 1
        assert "no idea" not in asked
        number = next(i for i in (1, 2, 3) if f"Answer {i}:\nanswer c" in asked)
        return f"- short\n- right\n[[1]] is worse\n[[{number}]]"

    async with Pool(engine := player(by_index(*POOL)), judge(says), roles=ROLES):
        answer = await Chops(n=5)(question)
    assert (answer.value, answer.score) == ("c", None)
    assert answer.details["judged"]
    assert sorted(r.sampling.temperature for r in engine.requests) == [0.0, 0.8, 0.8, 0.8, 0.8]


@pytest.mark.parametrize("says", ["none", "[[0]]", "[[9]]", "[[x]]", Scripted(refuses="busy")])
async def test_a_judge_that_names_none_leaves_the_greedy_answer(
    says, question, player, by_index
) -> None:
    one = judge(lambda request: says)
    async with Pool(player(by_index(*POOL)), one, roles=ROLES):
        answer = await Chops(n=5)(question)
    assert answer.value == "a"
    assert not answer.details["judged"]
    assert answer.details.get("failed") == (None if isinstance(says, str) else 1)


async def test_no_judge_for_one_answer(question, player, by_index) -> None:
    async with Pool(player(by_index("answer a", "no idea", "answer a")), asked := judge(""),
                    roles=ROLES):  # fmt: skip
        answer = await Chops(n=3)(question)
    assert answer.value == "a"
    assert not asked.requests


@given(st.text("[]0123456789 x", max_size=20), st.integers(1, 9))
def test_what_a_judge_names_is_there(said: str, count: int) -> None:
    found = named(said, count)
    assert found is None or 0 <= found < count
    assert named(f"{said}[[ {count} ]]", count) == count - 1


def test_a_hedged_pool_is_never_worse_than_greedy() -> None:
    assert [hedged(0.7, True)(i) for i in range(3)] == [0.0, 0.7, 0.7]
    assert [hedged(0.7, False)(i) for i in range(3)] == [0.7, 0.7, 0.7]


def test_likeness_of_texts() -> None:
    def alike(a: str, b: str) -> float:
        return overlap(ngrams(a), ngrams(b))

    assert alike("the cat sat", "the cat sat") == 1
    assert alike("abc", "xyz") == 0
    assert alike("a b", "ab") == 1
    # Of the 1-, 2- and 3-grams of abc and abd: 2 of 3, 1 of 2, and none.
    assert alike("abc", "abd") == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    assert alike("the cat sat", "the cat sits") > alike("the cat sat", "a dog stood")


async def test_mbr_chooses_from_the_largest_cluster(question, player, by_index) -> None:
    open_ended = replace(question, answer=lambda text: text)
    texts = ["dogs bark at night", "the cat sat on a mat", "the cat sat on the mat",
             "cats sat on the mat", "x"]  # fmt: skip
    async with Pool(player(by_index(*texts))):
        answer = await Mbr(n=5)(open_ended)
    assert answer.text == texts[2]
    assert answer.details["compared"] == 10
    assert answer.score == pytest.approx(
        sum(overlap(ngrams(texts[2]), ngrams(t)) for t in texts if t != texts[2]) / 4
    )


async def test_evidence_in_another_language(question, player) -> None:
    """Evidence decides, but is never the answer."""
    open_ended = replace(question, answer=lambda text: text)
    own = iter(["chien", "chat"])

    def reply(request) -> str:
        return "a cat" if "Answer in English." in request.messages[-1].content else next(own)

    def alike(request):
        asked = request.messages[-1].content
        yes = 0.9 if "chat" in asked and "cat" in asked.replace("chat", "") else 0.1
        return {"yes": yes, "no": 1 - yes}

    verifier = ScriptedEngine("", alike, model="judge")
    async with Pool(player(reply), verifier, roles=ROLES):
        answer = await Mbr(n=2, likeness="model", evidence=2)(open_ended)
    assert answer.text == "chat"
    # The two of each other, and each of both pieces of evidence.
    assert answer.details["compared"] == 5
    assert answer.score == pytest.approx((0.1 + 0.9 + 0.9) / 3)


async def test_likeness_that_cannot_be_had(question, player, by_index) -> None:
    async with Pool(player(by_index(*POOL))) as pool:
        from weft.programs import Limits, run

        done = await run(Mbr(n=5, likeness="model"), question, pool=pool, budget=Limits(calls=5))
    assert done.value.value == "a"
    assert done.value.details["budget"] == "calls"
    assert done.value.details["compared"] == 0
