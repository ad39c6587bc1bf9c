"""Tasks of Inspect, run as they are: what is asked, what judges, and what is refused."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import anyio.to_thread
import pytest

from weft import Pool, ScriptedEngine
from weft.errors import ConfigError, PartFailed, UnknownName, UsageError
from weft.evals.finished.rescoring import rescore
from weft.evals.records import Folder, Row, Session, Settings
from weft.evals.results import read
from weft.evals.running.runner import Plan, evaluate
from weft.evals.suites.suite import Suite
from weft.evals.tasks.registry import long_form, parse_task
from weft.evals.tasks.task import Task
from weft.search.strategy import Answer

pytest.importorskip("inspect_ai")
pytestmark = pytest.mark.filterwarnings("ignore:The 'initial' parameter:DeprecationWarning")

SUMS = """
import anyio
from inspect_ai import Task, task
from inspect_ai.dataset import Sample
from inspect_ai.model import GenerateConfig, get_model
from inspect_ai.scorer import (
    Score, accuracy, choice, includes, match, mean, model_graded_qa, scorer,
)
from inspect_ai.solver import (
    chain_of_thought, generate, multiple_choice, prompt_template, self_critique, solver,
    system_message, use_tools,
)
from inspect_ai.tool import bash

ROWS = [Sample(f"{n} + 1", target=str(n + 1), metadata={"text": n // 2}) for n in range(4)]


@scorer(metrics=[mean()])
def half():
    async def score(state, target):
        await anyio.sleep(0)
        if "stop" in state.output.completion:
            raise ZeroDivisionError("stopped")
        if "skip" in state.output.completion:
            return Score.unscored(reason="scoring_failed")
        return Score(value=0.5, explanation="so so")

    return score


@task
def sums(most: int = 4):
    return Task(
        dataset=ROWS[:most],
        solver=[system_message("Be brief."), prompt_template("Q: {prompt}"), generate()],
        scorer=[match(numeric=True), half()],
        config=GenerateConfig(max_tokens=33, top_p=0.5, top_k=7, stop_seqs=["END"]),
    )


@solver
def marks():
    async def solve(state, generate):
        state.output.completion = state.output.completion.replace("good", "4")
        return state

    return solve


@task
def after():
    return Task(dataset=[Sample("2 + 2", target="4")], solver=[generate(), marks()],
                scorer=includes())


@task
def letters():
    rows = [Sample("Pick the second.", choices=["x", "y", "z"], target="B")]
    return Task(dataset=rows, solver=multiple_choice(), scorer=choice())


@task
def shuffled():
    rows = [Sample("Pick.", choices=[str(n) for n in range(9)], target="B")]
    return Task(dataset=rows, solver=multiple_choice(shuffle=True), scorer=choice())


@task
def graded():
    return Task(dataset=[Sample("Greet me.", target="hello")], scorer=model_graded_qa())


@task
def agent():
    return Task(dataset=ROWS, solver=[use_tools([bash()]), generate()], scorer=match())


@task
def twice():
    return Task(dataset=ROWS, solver=[generate(), self_critique()], scorer=match())


@solver
def alone():
    async def solve(state, generate):
        state.output = await get_model().generate(state.messages)
        return state

    return solve


@task
def by_itself():
    return Task(dataset=ROWS, solver=alone(), scorer=match())


@task
def boxed():
    return Task(dataset=ROWS, sandbox="docker", scorer=match())


@task
def unscored():
    return Task(dataset=ROWS)
"""


class Quiet:
    """A watcher that notes nothing."""

    def begin(self, strategy: str, total: int, kept: int, right: int) -> None:
        pass

    def row(self, row: Row) -> None:
        pass

    def end(self, strategy: str) -> None:
        pass

    def tick(self, alive: int, engines: int) -> None:
        pass


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("inspect") / "own_sums.py"
    path.write_text(SUMS)
    return path


def load(file: Path, name: str, more: str = "") -> Task:
    return parse_task(f"inspect(path='{file}', name={name}{more})")


def test_what_is_asked_is_what_inspect_would_ask(file: Path) -> None:
    assert long_form(f"{file}@sums") == f'inspect(path="{file}", name=sums)'
    task = parse_task(f"{file}@sums")
    samples = task.samples(3, 0)
    assert [s.id for s in samples] == ["1", "2", "3"]
    question = task.question(samples[1], 5)
    told = [(m.role, m.content) for m in question.prompt.messages]
    assert told == [("system", "Be brief."), ("user", "Q: 1 + 1")]
    assert (question.max_tokens, question.top_p, question.stop) == (33, 0.5, ("END",))
    assert question.sampling == {"top_k": 7}
    assert question.answer("Well: 2.") == "2", "the reader suits the targets"
    assert question.answer("I do not know") == "I do not know"
    assert task.target(samples[1]) == "2"
    again = load(file, "sums", ", cluster=text, max_tokens=5")
    assert [s.cluster for s in again.samples(None, 0)] == ["0", "0", "1", "1"]
    assert again.question(samples[1], 5).max_tokens == 5
    assert again.fingerprint == task.fingerprint
    fewer = load(file, "sums", ", args='{\"most\": 2}'")
    assert len(fewer.samples(None, 0)) == 2
    assert fewer.fingerprint != task.fingerprint
    assert parse_task(fewer.spec).fingerprint == fewer.fingerprint


def test_its_own_scorers_judge(file: Path) -> None:
    task = load(file, "sums")
    (first,) = task.samples(1, 0)
    right, wrong = Answer("<think>7</think>It is 1", None), Answer("It is 7", "1")
    assert task.correct(first, right), "by the text, whatever a reader makes of it"
    assert not task.correct(first, wrong)
    assert task.credit(first, wrong) == 0
    assert task.notes(first, right) == {
        "scores": {"match": "C", "half": 0.5}, "explanations": {"half": "so so"}
    }  # fmt: skip
    halves = load(file, "sums", ", scorer=half")
    assert halves.credit(first, right) == 0.5
    assert not halves.correct(first, right)
    with pytest.raises(PartFailed, match="the scorer half of sums gave no score: scoring_failed"):
        halves.correct(first, Answer("skip", None))
    with pytest.raises(ZeroDivisionError, match="stopped"):
        halves.correct(first, Answer("stop", None))


def test_a_solver_goes_on_from_the_answer(file: Path) -> None:
    task = load(file, "after")
    (sample,) = task.samples(None, 0)
    assert task.correct(sample, Answer("good", None))
    assert not task.correct(sample, Answer("bad", None))
    task = load(file, "letters")
    (sample,) = task.samples(None, 0)
    question = task.question(sample, 0)
    assert "B) y" in question.prompt.messages[0].content
    assert question.answer("The answer is (b).") == "B"
    assert task.correct(sample, Answer("ANSWER: B", "B"))
    assert not task.correct(sample, Answer("ANSWER: C", "C"))


async def test_a_scorer_may_ask_a_model(file: Path) -> None:
    task = load(file, "graded")
    (sample,) = task.samples(None, 0)
    engine = ScriptedEngine(lambda r: "GRADE: C" if "hi there" in str(r.messages) else "GRADE: I")
    async with Pool(engine):
        for text, right in (("hi there", True), ("no", False)):
            judge = partial(task.correct, sample, Answer(text, text))
            assert await anyio.to_thread.run_sync(judge) is right
    assert "Greet me." in engine.requests[0].messages[-1].content
    with pytest.raises(UsageError, match="a scorer of graded asks a model, which it can only"):
        task.correct(sample, Answer("later", "later"))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("agent", "agent gives its model tools; run the task by `inspect eval`"),
        ("twice", "the solver of twice asks models by itself"),
        ("by_itself", "the solver of by_itself asks models by itself"),
        ("shuffled", "the solver of shuffled asks otherwise each time; shuffle by a seed"),
        ("boxed", r"boxed needs a sandbox \(docker\) of Inspect"),
        ("unscored", "unscored has no scorer"),
        ("missing", "can't load the Inspect task .*own_sums.py@missing"),
    ],
)
def test_what_a_strategy_cannot_stand_for_is_refused(file: Path, name: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        load(file, name)


def test_wrong_parameters_are_named(file: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="unknown scorer of the task 'mat'; did you mean match"):
        load(file, "sums", ", scorer=mat")
    with pytest.raises(ConfigError, match="args of inspect is not JSON"):
        load(file, "sums", ", args=x")
    with pytest.raises(ConfigError, match=r"there is no file .*none\.py"):
        parse_task(f"{tmp_path}/none.py@sums")
    with pytest.raises(ConfigError, match=r"has sums, after, .*; name one, as"):
        parse_task(f"inspect(path='{file}')")
    with pytest.raises(ConfigError, match="inspect needs a task"):
        parse_task("inspect()")


async def test_it_is_evaluated_resumed_and_judged_anew(file: Path, tmp_path: Path) -> None:
    spec, out = f"{file}@sums", tmp_path / "out"
    engine = ScriptedEngine(lambda r: f"It is {int(r.messages[-1].content.split()[1]) + 1}")
    suite = Suite.model_validate(
        {"task": spec, "strategies": ["greedy", "majority(n=3)"], "engine": ["scripted:1"]}
    )
    task, strategies = suite.parts()
    samples = task.samples(None, 0)
    settings = Settings(task.spec, task.fingerprint, "scripted", 0)
    folder, session = Folder(out, create=True), Session(task=spec, problems=4)
    async with Pool(engine) as pool:
        with folder.writing():
            plan = Plan(task, strategies, samples, settings)
            await evaluate(plan, pool, folder, session, Quiet())
    assert [r.accuracy for r in read(folder).results] == [1.0, 1.0]
    first = next(iter(folder.whole_rows(lambda key: key[1] == ("1", 0))))
    assert first.answer == "1"
    assert first.details["scores"] == {"match": "C", "half": 0.5}
    again = rescore(out, scorer="half")
    assert (again.rows, again.wronged) == (8, 8)
    assert {r.credit for r in folder.rows()} == {0.5}
