"""Tasksets of verifiers: their prompts, judged by their rewards, and what is refused."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from weft.errors import ConfigError, MissingExtra, UsageError
from weft.evals.tasks.registry import parse_task
from weft.search.strategy import Answer


def test_the_package_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "verifiers", None)
    with pytest.raises(MissingExtra, match=r"needs verifiers; .*pip install 'weft\[verifiers\]'"):
        parse_task("verifiers(id=reverse-text)")


HEAD = "import itertools\nimport verifiers.v1 as vf\n"
SUMS = """
class Data(vf.TaskData):
    answer: str = ""


class Sum(vf.Task[Data]):
    @vf.reward
    async def exact(self, trace: vf.Trace) -> float:
        return float(trace.last_reply.endswith(self.data.answer))

    @vf.reward(weight=0.5)
    async def short(self, task, trace) -> float:
        return float(len(trace.last_reply) < 5)

    @vf.metric
    async def turns(self, trace) -> float:
        return float(trace.num_turns)


class Config(vf.TasksetConfig):
    most: int = 3


class Sums(vf.Taskset[Sum, Config]):
    def load(self):
        for n in range(self.config.most):
            data = Data(idx=n, prompt=f"{n} + 1", system_prompt="Be brief.", answer=str(n + 1))
            yield Sum(data, self.config.task)
"""
ENDLESS = SUMS.replace("in range(self.config.most)", "in itertools.count()").replace(
    "    def load", "    INFINITE = True\n\n    def load"
)
RUNTIME = SUMS.replace("self, task, trace", "self, trace, runtime")


def written(path: Path, code: str) -> str:
    path.write_text(HEAD + code)
    return f"verifiers(path='{path}'"


def test_prompts_and_rewards_are_the_tasksets(tmp_path: Path) -> None:
    pytest.importorskip("verifiers")
    start = written(tmp_path / "vf_sums.py", SUMS)
    task = parse_task(f"{start})")
    first, second, _ = task.samples(None, 0)
    question = task.question(second, 0)
    told = [(m.role, m.content) for m in question.prompt.messages]
    assert told == [("system", "Be brief."), ("user", "1 + 1")]
    assert question.answer("So it is 2.") == "2"
    assert task.correct(second, Answer("<think>so</think>2", None))
    assert task.credit(second, Answer("It is 2", None)) == pytest.approx(1 / 1.5)
    assert not task.correct(second, Answer("It is 2", None))
    assert task.notes(first, Answer("1", "1"))["scores"] == {"exact": 1, "short": 1, "turns": 1}
    other = parse_task(f"{start}, config='{{\"most\": 2}}', right_from=0.6)")
    assert len(other.samples(None, 0)) == 2
    assert other.correct(second, Answer("It is 2", None))
    assert other.fingerprint != task.fingerprint
    assert parse_task(other.spec).fingerprint == other.fingerprint
    with pytest.raises(ConfigError, match=r"can't load the taskset .*least"):
        parse_task(f"{start}, config='{{\"least\": 2}}')")


def test_what_no_answer_can_stand_for_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("verifiers")
    endless = parse_task(f"{written(tmp_path / 'vf_endless.py', ENDLESS)})")
    assert len(endless.samples(4, 0)) == 4
    with pytest.raises(UsageError, match="never ends; say by --limit"):
        endless.samples(None, 0)
    with pytest.raises(UsageError, match="needs a runtime of verifiers; run it by"):
        parse_task(f"{written(tmp_path / 'vf_runtime.py', RUNTIME)})")
    with pytest.raises(ConfigError, match="has no taskset; write one class"):
        parse_task(f"{written(tmp_path / 'vf_none.py', '')})")
    with pytest.raises(ConfigError, match="needs either the id of a taskset, or path"):
        parse_task("verifiers()")
