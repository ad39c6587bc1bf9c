from __future__ import annotations

from pathlib import Path

import pytest

from weft.errors import ConfigError
from weft.evals.running.asking import with_sampling
from weft.evals.suites.suite import load
from weft.evals.tasks.task import TASKS


def test_the_shipped_suites_load() -> None:
    for task in TASKS.known().values():
        if task.suite is not None:
            suite = load(task.suite)
            found, strategies = suite.parts()
            assert isinstance(found, task)
            assert len(strategies) == len(suite.strategies)


def test_a_suite_reads_all_fields(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(
        "task: countdown\nstrategies: [greedy, majority(n=2), 'majority(n=2)']\nlimit: 5\nseed: 3\n"
        "engine: http://127.0.0.1:1\nroles: {verifier: judge}\nbudget:\n  tokens: 100\n"
    )
    suite = load(path)
    assert suite.engine == ["http://127.0.0.1:1"]
    assert suite.budget.limits() is not None
    assert [s.spec for s in suite.parts()[1]] == ["greedy", "majority(n=2)"]


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("", ":1:", "the file must have fields"),
        ("- a\n- b\n", ":1:", "the file must have fields"),
        ("task: countdown\nstrategies: [greedy\n", ":3:", "not valid YAML"),
        ("task: countdown\n", ":1: strategies:", "the field is missing"),
        ("task: countdown\nstrategies: []\n", ":2: strategies:", "at least 1 item"),
        ("task: countdown\nstrategies: [greedy]\n\nlimt: 3\n", ":4: limt:", "no such field"),
        (
            "task: countdown\nstrategies: [greedy]\nlimit: 0\n",
            ":3: limit:",
            "greater than or equal",
        ),
        ("task: countdown\nstrategies: [greedy]\nlimit: many\n", ":3: limit:", "valid integer"),
        (
            "task: countdown\nstrategies:\n  - greedy\n  - majorty\n",
            ":4: strategies.1:",
            "did you mean majority",
        ),
        (
            "task: countdown\nstrategies:\n  - greedy\n  - majority(m=2)\n",
            ":4: strategies.1:",
            "unknown parameter of majority 'm'",
        ),
        ("task: countdwn\nstrategies: [greedy]\n", ":1: task:", "did you mean countdown"),
        (
            "task: countdown\nstrategies: [greedy]\nbudget:\n  calls: 3\n  tokens: 0\n",
            ":5: budget.tokens:",
            "greater than 0",
        ),
        (
            "task: countdown\nstrategies: [greedy]\nbudget:\n  token: 9\n",
            ":4: budget.token:",
            "the fields are tokens, calls",
        ),
        ("task: countdown\ntask: countdown\n", ":2: task:", "there twice"),
        ("task: countdown\nstrategies: [1]\n", ":2: strategies.0:", "valid string"),
    ],
)
def test_errors_name_line_and_field(tmp_path: Path, text: str, where: str, what: str) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        load(path)
    message = str(error.value)
    assert message.startswith(str(path) + where)
    assert what in message
    assert "\n" not in message


def test_a_missing_file() -> None:
    with pytest.raises(ConfigError, match=r"can't read suite none\.yaml: No such file"):
        load(Path("none.yaml"))


def test_settings_of_sampling(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    head = "task: countdown\nstrategies: [greedy]\n"
    path.write_text(head + "sampling: {top_k: 20, top_p: 0.9, thinking: false}\n")
    suite = load(path)
    assert suite.sampling == {"top_k": 20, "top_p": 0.9, "thinking": False}
    task, _ = suite.parts()
    question = with_sampling(task.question(task.samples(1, 0)[0], 0), suite.sampling)
    assert question.top_p == 0.9
    assert question.sampling == {"top_k": 20, "thinking": False}
    for bad in ("{top_k: many}", "{topk: 2}", "{top_p: 3}"):
        path.write_text(head + f"sampling: {bad}\n")
        with pytest.raises(ConfigError, match=r":3: sampling: .*top"):
            load(path)
