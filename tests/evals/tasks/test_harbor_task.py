"""Tasks of Harbor: a script does the task in a sandbox, the task's tests judge in another."""

from __future__ import annotations

from pathlib import Path

import pytest

from weft.errors import ConfigError, PartFailed, UsageError
from weft.evals.tasks.registry import long_form, parse_task
from weft.evals.tasks.task import Task
from weft.sandbox import check_sandbox
from weft.search.strategy import Answer

TEST = """#!/bin/bash
if grep -q "^hello $NAME$" hello.txt && [ -f data/words.txt ]; then
  echo 1 > /logs/verifier/reward.txt
elif [ -f hello.txt ]; then
  echo '{"reward": 0.25, "format": 1.0}' > /logs/verifier/reward.json
elif [ -f quiet ]; then
  echo "no uv here"
else
  echo 0 > /logs/verifier/reward.txt
fi
"""
SETTINGS = """
schema_version = "1.1"
[environment]
memory_mb = 512
env = { NAME = "you" }
[agent]
timeout_sec = 5
"""
DOCKERFILE = "FROM python:3.12-slim\nWORKDIR /app\n# more\nCOPY words.txt \\\n  data/words.txt\n"


@pytest.fixture(autouse=True)
def _needs_a_sandbox() -> None:
    try:
        check_sandbox()
    except UsageError as e:
        pytest.skip(str(e))


def folder(path: Path, settings: str = SETTINGS, dockerfile: str = DOCKERFILE) -> Path:
    for name, text in {
        "task.toml": settings,
        "instruction.md": "Write hello.txt.\n",
        "tests/test.sh": TEST,
        "environment/Dockerfile": dockerfile,
        "environment/words.txt": "a\n",
    }.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
    return path


def credit(task: Task, script: str) -> float:
    (sample,) = task.samples(None, 0)
    text = f"```bash\n{script}\n```"
    return task.credit(sample, Answer(text, task.question(sample, 0).answer(text)))


def test_a_script_is_judged_by_the_tests(tmp_path: Path) -> None:
    path = folder(tmp_path / "hello")
    assert long_form(str(path)).startswith("harbor(path=")
    task = parse_task(str(path))
    (sample,) = task.samples(None, 0)
    assert sample.id == "hello"
    asked = task.question(sample, 0).prompt.messages[0].content
    assert asked.startswith("Write hello.txt.\n")
    assert "when it is run in /app." in asked
    assert credit(task, 'cat data/words.txt && echo "hello $NAME" > hello.txt') == 1.0
    assert task.correct(sample, Answer("", 'echo "hello you" > hello.txt'))
    assert credit(task, "echo no > hello.txt; exit 3") == 0.25
    assert credit(task, "true") == 0.0
    assert not task.correct(sample, Answer("no script", None))


def test_a_script_can_neither_write_its_reward_nor_change_the_tests(tmp_path: Path) -> None:
    task = parse_task(str(folder(tmp_path)))
    cheat = (
        "mkdir -p /logs/verifier; echo 1 > /logs/verifier/reward.txt; echo exit > /tests/test.sh"
    )
    assert credit(task, cheat) == 0.0
    linger = "(while true; do echo 'hello you' > /app/hello.txt; done) & rm -f /app/hello.txt"
    assert credit(task, f"{linger}\nkill $!; rm -f /app/hello.txt") == 0.0


def test_tests_that_give_no_reward_are_an_error(tmp_path: Path) -> None:
    task = parse_task(str(folder(tmp_path / "h")))
    with pytest.raises(PartFailed, match="the tests of h gave no reward: no uv here"):
        credit(task, "touch quiet")


@pytest.mark.parametrize(
    ("settings", "dockerfile", "said"),
    [
        ("", "FROM ubuntu\nRUN apt-get install -y git", "h needs RUN apt-get install -y git of"),
        ("", "FROM acme/tools:1", "h needs the image acme/tools, which the sandbox does not"),
        ("[environment]\ndocker_image = 'acme/x'", "", "h needs the image acme/x"),
        ("[environment]\ngpus = 1", "", "h needs a GPU, .*; run it by `harbor run`"),
        ("[verifier]\nenvironment_mode = 'separate'", "", "h needs a container of its own"),
        ("[[steps]]\nname = 'one'", "", "h needs several steps"),
        ("[environment]\nworkdir = '/usr/src'", "", "h needs /usr/src to write into"),
        ("[verifier]\nenv = { K = '${NOT_SET_HERE}' }", "", "h needs the variable NOT_SET_HERE"),
        ("[", "", "task.toml: not TOML"),
    ],
)
def test_what_the_sandbox_has_not_is_refused(
    tmp_path: Path, settings: str, dockerfile: str, said: str
) -> None:
    path = folder(tmp_path / "h", settings, dockerfile)
    with pytest.raises((UsageError, ConfigError), match=said):
        parse_task(str(path))


def test_this_machine_may_stand_for_an_image(tmp_path: Path) -> None:
    path = folder(tmp_path / "h", dockerfile="FROM acme/tools\nRUN make\n" + DOCKERFILE)
    task = parse_task(f"harbor(path='{path}', host=true)")
    assert credit(task, 'echo "hello you" > hello.txt') == 1.0
    (path / "tests" / "test.sh").unlink()
    with pytest.raises(ConfigError, match=r"h has no tests/test\.sh"):
        parse_task(task.spec)
    with pytest.raises(ConfigError, match=r"has no task\.toml"):
        parse_task(f"harbor(path='{tmp_path / 'none'}')")
