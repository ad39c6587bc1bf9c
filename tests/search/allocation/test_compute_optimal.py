"""compute_optimal: the strategy that a table has for a question's difficulty."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from weft.backends.scripted.engine import ScriptedEngine
from weft.errors import EngineUnavailable
from weft.orchestrator.pool import Pool
from weft.programs import Limits, run
from weft.search import Answer, ComputeOptimal, Question
from weft.search.calibration.kept import Calibration, Example, keep_calibrations
from weft.store.store import Store
from weft.types import Request

METHOD = ComputeOptimal().method


def known(**more: tuple[bool, float]) -> Store:
    """Where votes agree the probe is right; where they don't, only a longer vote is."""
    examples = [
        Example(
            f"{i}",
            score,
            score == 1.0,
            {"": (score == 1.0, 40.0), "majority(n=7, stop_early=false)": (True, 70.0), **more},
        )
        for i in range(10)
        for score in (0.5, 1.0)
    ] + [Example(f"{i}", 1.0, True, {"": (True, 40.0)}) for i in range(20, 30)]
    store = Store()
    keep_calibrations(store, [Calibration("scripted", "digits", METHOD, tuple(examples))])
    return store


def voter(*answers: str) -> Callable[[Request], str]:
    """Gives these answers in turn, whoever asks."""
    left = iter(answers)
    return lambda request: f"answer {next(left)}"


async def solved(engine: ScriptedEngine, question: Question, store: Store, **more) -> Answer:
    async with Pool(engine, store=store):
        return await ComputeOptimal(**more)(replace(question, task="digits"))


async def test_easy_questions_cost_the_probe_only(question: Question) -> None:
    engine = ScriptedEngine("answer x")
    answer = await solved(engine, question, known())
    assert (answer.value, answer.details["pick"], len(engine.requests)) == ("x", "probe", 4)
    assert answer.details["difficulty"] == 1.0


async def test_others_get_what_the_table_has_for_them(question: Question) -> None:
    engine = ScriptedEngine(voter(*"xxyy", *"yyyyyyx"))
    answer = await solved(engine, question, known())
    assert (answer.value, len(engine.requests)) == ("y", 11)
    assert answer.details["pick"] == "majority(n=7, stop_early=false)"
    assert answer.details["samples"] == 7
    # Chance of its own: no sample of the probe comes again.
    assert len({r.sampling.seed for r in engine.requests}) == 11


async def test_the_budget_decides(question: Question) -> None:
    engine = ScriptedEngine(voter(*"xxyy"))
    answer = await solved(engine, question, known(), tokens=50)
    assert (answer.value, answer.details["pick"]) == ("x", "probe")


async def test_no_table_within_a_table(question: Question) -> None:
    free = {"compute_optimal": (True, 1.0), "majority(of=compute_optimal)": (True, 1.0),
            "gone.py:Gone": (True, 1.0)}  # fmt: skip
    engine = ScriptedEngine(voter(*"xxyy", *"yyyyyyx"))
    answer = await solved(engine, question, known(**free))
    assert answer.details["pick"] == "majority(n=7, stop_early=false)"


async def test_without_a_calibration_and_while_learning_the_probe_answers(question) -> None:
    for more in ({}, {"learn": True}):
        engine = ScriptedEngine("answer x")
        answer = await solved(engine, question, Store(), **more)
        assert (answer.value, len(engine.requests)) == ("x", 4)
        assert ("examples" in answer.details) == ("learn" in more)
    assert answer.details["examples"] == [[1.0, "x", "answer x"]]
    assert answer.details["calibrates"] == METHOD


async def test_what_comes_to_nothing_leaves_the_probes_answer(question: Question) -> None:
    async with Pool(ScriptedEngine(voter(*"xxyy", *"zzzzzzz")), store=known()) as pool:
        asked = replace(question, task="digits")
        done = await run(ComputeOptimal(), asked, pool=pool, budget=Limits(calls=4))
    assert (done.value.value, done.value.details["budget"]) == ("x", "calls")

    count = 0

    def dying(request: Request) -> str:
        nonlocal count
        count += 1
        if count > 4:
            raise EngineUnavailable("gone")
        return f"answer {'xxyy'[count - 1]}"

    engine = ScriptedEngine(dying)
    async with Pool(engine, store=known(), outage=0):
        answer = await ComputeOptimal()(asked)
    assert answer.value == "x"
    assert answer.details["failed"]
