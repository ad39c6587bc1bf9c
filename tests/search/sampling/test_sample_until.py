from __future__ import annotations

from dataclasses import replace

import pytest

from weft.backends.scripted.engine import Scripted
from weft.orchestrator.pool import Pool
from weft.programs import Limits, run
from weft.search import SampleUntil, parse_strategy
from weft.search.calibration.kept import Calibration, Example, keep_calibrations
from weft.store.store import Store

pytestmark = pytest.mark.loops("virtual")

SCORES = {"a": 0.2, "b": 0.6, "c": 0.9, "d": 0.95}


@pytest.fixture
def judged(question):
    return replace(question, check=lambda text: SCORES[text[-1]])


def until(**settings) -> SampleUntil:
    return SampleUntil(verifier="function", **settings)


@pytest.mark.parametrize(
    ("threshold", "value", "drawn"), [(0.1, "a", 1), (0.6, "b", 3), (0.9, "d", 4), (1.0, "d", 6)]
)
async def test_it_samples_until_a_score_is_enough(
    threshold: float, value: str, drawn: int, judged, player, by_index
) -> None:
    """And then as many as are drawn at once; without such a score the best of n is the answer."""
    texts = ["answer a", "no idea", "answer b", "answer d", "answer c", "answer b"]
    async with Pool(engine := player(by_index(*texts))):
        answer = await until(n=6, threshold=threshold)(judged)
    assert (answer.value, answer.score) == (value, SCORES[value])
    assert answer.details["accepted"] == (threshold < 1)
    assert len(engine.requests) == drawn
    # A later sample that is there first changes nothing, and those not needed are cancelled.
    slow = by_index(*(Scripted(t, seconds=1.0 / (1 + i)) for i, t in enumerate(texts)))
    async with Pool(engine := player(slow)):
        at_once = await until(n=6, threshold=threshold, parallel=6)(judged)
    assert (at_once.value, at_once.score) == (value, SCORES[value])
    assert engine.running == engine.waiting == 0


async def test_temperatures_rise(judged, player, by_index) -> None:
    texts = ["answer a"] * 4
    async with Pool(engine := player(by_index(*texts))):
        await until(n=4, threshold=1.0, anneal=True, temperature=1.0)(judged)
    assert [r.sampling.temperature for r in engine.requests] == [0, 0.5, 0.75, 0.875]


async def test_no_answer_rather_than_a_doubtful_one(judged, player, by_index) -> None:
    async with Pool(player(by_index("answer a", "answer b"))):
        answer = await until(n=2, threshold=0.9, abstain=True)(judged)
    assert (answer.text, answer.value, answer.score) == (None, None, None)
    assert answer.abstained
    assert answer.details["samples"] == 2
    async with Pool(player(by_index("answer a", "answer c"))):
        answer = await until(n=2, threshold=0.9, abstain=True)(judged)
    assert answer.value == "c"
    assert not answer.abstained


async def test_a_blind_verifier_is_no_worse_than_the_first_sample(question, player, by_index):
    async with Pool(player(by_index("answer a", "answer b"), {"yes": 0.5, "no": 0.5})):
        for threshold in (0.5, 0.9):
            assert (await SampleUntil(n=2, threshold=threshold)(question)).value == "a"


async def test_the_model_is_asked_whether_to_begin_again(question, player, by_index) -> None:
    def likely(request):
        assert [m.role for m in request.messages] == ["user", "assistant", "user"]
        no = {"a": 0.2, "b": 0.8}[request.messages[1].content[-1]]
        return {"yes": 0.9 - no, "no": no}

    strategy = parse_strategy("sample_until(n=4, verifier=restart, threshold=0.8)")
    async with Pool(engine := player(by_index("answer a", "answer b", "answer b"), likely)):
        answer = await strategy(question)
    assert answer.value == "b"
    assert answer.score == pytest.approx(0.8 / 0.9)
    assert sum(not r.ask for r in engine.requests) == 2


async def test_a_budget_leaves_the_best(judged, player, by_index) -> None:
    async with Pool(player(by_index("answer a", "answer b", "answer c"))) as pool:
        done = await run(until(n=3, threshold=1.0), judged, pool=pool, budget=Limits(calls=2))
    assert done.value.value == "b"
    assert done.value.details["budget"] == "calls"


def known(*problems: tuple[float, bool]) -> Store:
    """A store with a calibration of scores, each right or wrong, for 20 problems and more."""
    examples = [Example(f"{i}", *one) for i, one in enumerate(problems * (1 + 20 // len(problems)))]
    store = Store()
    keep_calibrations(store, [Calibration("scripted", "letters", until(n=4).method, (*examples,))])
    return store


async def test_a_calibration_says_how_sure_a_score_is(judged, player, by_index) -> None:
    """A score of 0.6 is right nine times in ten here; of 0.2 never."""
    asked = replace(judged, task="letters")
    store = known(*[(0.6, True)] * 9, (0.6, False), (0.2, False), (0.2, False))
    engine = player(by_index("answer a", "answer b", "answer d", "answer d"))
    for threshold, value, drawn in ((0.9, "b", 2), (0.91, "d", 4)):
        async with Pool(engine, store=store) as pool:
            strategy = until(n=4, threshold=threshold, calibrated=True)
            answer = (await run(strategy, asked, pool=pool, store=Store())).value
            assert (answer.value, answer.details["samples"]) == (value, drawn)


async def test_scores_that_tell_nothing_stop_nothing(judged, player, by_index) -> None:
    asked = replace(judged, task="letters")
    store = known((0.6, True), (0.6, False), (0.2, False), (0.2, True))
    engine = player(by_index("answer b", "answer a", "answer a", "answer d"))
    async with Pool(engine, store=store):
        answer = await until(n=4, threshold=0.5, calibrated=True)(asked)
    assert (answer.value, answer.details["votes"]) == ("a", {"b": 1, "a": 2, "d": 1})


async def test_learning_draws_and_scores_all(judged, player, by_index) -> None:
    engine = player(by_index("answer d", "no idea", "answer a", "answer b"))
    async with Pool(engine):
        answer = await until(n=4, threshold=0.5, learn=True)(judged)
    assert answer.value == "d"
    assert [one[:2] for one in answer.details["examples"]] == [[0.95, "d"], [0.2, "a"], [0.6, "b"]]
    assert answer.details["calibrates"] == until(n=4).method
    async with Pool(engine):  # without a calibration scores are taken as they are
        answer = await until(n=4, threshold=0.5, calibrated=True)(judged)
    assert (answer.details["samples"], answer.details["calibrated"]) == (1, False)
