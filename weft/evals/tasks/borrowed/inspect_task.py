"""Tasks of Inspect, unchanged: their datasets, prompts and scorers, with strategies as solvers."""

from __future__ import annotations

import hashlib
import importlib
import json
import math
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from weft.errors import ConfigError, PartFailed, UnknownName, UsageError
from weft.evals.tasks.borrowed.inspect_solver import InspectAsks, InspectSolver, prompt_of
from weft.evals.tasks.borrowed.open_question import open_question, text_of_answer
from weft.evals.tasks.task import Sample, Task, task
from weft.extras import need
from weft.parts.faults import said
from weft.parts.importing import may_import
from weft.parts.spec import written
from weft.search.choices import LETTERS
from weft.search.readers import Reader, parse_reader
from weft.search.readers.suiting import reader_for
from weft.search.strategy import Answer, Question
from weft.types import MoreSampling

_MORE = ("top_k", "frequency_penalty", "presence_penalty")
_KEPT = 4096
"""Judged answers that are remembered, for an answer is asked about several times."""


@task("inspect")
class InspectTask(Task):
    """A task of Inspect: its dataset, its prompts and its scorers; a strategy is the solver.

    The task needs the extra `inspect`. `FILE.py@NAME` is short for `inspect(path=FILE.py,
    name=NAME)`. The task's solver runs up to where it asks its model, and goes on from the
    strategy's answer. Tools, agents and sandboxes are refused: `inspect eval` runs such tasks, with
    a model of `weft serve`.

    Args:
        path: the Python file of the task; empty for a task of an installed package.
        name: the task in the file, or one of a package, such as `inspect_evals/gsm8k`.
        args: arguments of the task as JSON, such as `{"fewshot": 4}`.
        scorer: the scorer that decides, of several; by default the first. The others are noted.
        reader: what reads answers for votes, see `weft readers`; by default what suits the targets.
        max_tokens: the most tokens of an answer; by default as the task says, else up to the
            context's end.
        cluster: a field of the metadata that names what samples have in common that are not
            independent.
    """

    slow = True

    def __init__(
        self,
        path: Path | None = None,
        name: str = "",
        args: str = "",
        scorer: str = "",
        reader: str = "",
        max_tokens: int | None = None,
        cluster: str = "",
    ) -> None:
        need("inspect", "the task inspect")
        if not may_import():
            raise UsageError("a task of Inspect can't be imported from here")
        self.path = None if path is None else Path(path).expanduser()
        self.args = args and json.dumps(_arguments(args), sort_keys=True)
        where = "" if self.path is None else str(self.path)
        self.loaded, self.called = _load(where, name, self.args, _changed(self.path))
        self.given, self.cluster, self.max_tokens = name, cluster, max_tokens
        self._check_supported()
        self.solver = InspectSolver(self.called, self.loaded)
        if not self.solver.scorers:
            raise ConfigError(f"{self.called} has no scorer, so nothing says what is right")
        self.scorer = scorer
        if scorer and scorer not in self.solver.scorers:
            raise UnknownName("scorer of the task", scorer, self.solver.scorers)
        self.named = reader
        self.reader = parse_reader(reader or self._suiting())
        self.fingerprint = self._digest()
        self._asks: dict[int, InspectAsks] = {}
        self._known: dict[tuple[int, str], dict[str, Any]] = {}
        self.solver.check(self._own(0), self._asked(0, 1))

    @property
    def spec(self) -> str:
        """The task, with what decides its problems and how they are judged."""
        given = {
            "path": "" if self.path is None else str(self.path),
            "name": self.given,
            "args": self.args,
            "scorer": self.scorer,
            "reader": self.named,
            "cluster": self.cluster,
        }
        shown = [f"{key}={written(value)}" for key, value in given.items() if value]
        if self.max_tokens is not None:
            shown.append(f"max_tokens={self.max_tokens}")
        return f"{self.name}({', '.join(shown)})"

    def samples(self, limit: int | None, seed: int) -> list[Sample]:
        """The first `limit` samples, in the dataset's order."""
        count = len(self.loaded.dataset) if limit is None else min(limit, len(self.loaded.dataset))
        self._asked(0, count)
        return [self._sample(at) for at in range(count)]

    def _own(self, at: int) -> Any:
        """A sample of Inspect, with the id that Inspect gives it."""
        own: Any = self.loaded.dataset[at]
        return own.model_copy(update={"id": at + 1}) if own.id is None else own

    def _asked(self, at: int, count: int) -> InspectAsks:
        """What a sample asks; that of `count` samples from it on is found out at once."""
        todo = [i for i in range(at, at + count) if i not in self._asks]
        found = self.solver.asks([self._own(i) for i in todo])
        self._asks.update(zip(todo, found, strict=True))
        return self._asks[at]

    def _sample(self, at: int) -> Sample:
        own, asks = self._own(at), self._asks[at]
        target: Any = own.target
        data: dict[str, Any] = {"question": asks.turns[-1]["content"], "answer": target, "at": at}
        if own.choices:
            data["choices"] = list(own.choices)
        known: dict[str, Any] = own.metadata or {}
        cluster = known.get(self.cluster) if self.cluster else None
        return Sample(str(own.id), data, "" if cluster is None else str(cluster))

    def question(self, sample: Sample, seed: int) -> Question:
        """What the task's solver asks its model."""
        asks = self._asked(sample.data["at"], 1)
        given, settings = asks.settings, dict[str, Any]()
        settings["max_tokens"] = self.max_tokens or given.get("max_tokens")
        settings["top_p"] = float(given.get("top_p", 1.0))
        settings["stop"] = tuple(given.get("stop_seqs", ()))
        settings["sampling"] = cast("MoreSampling", {k: given[k] for k in _MORE if k in given})
        reader = self._reader(sample)
        return open_question(prompt_of(asks.turns), reader, seed, **settings)

    def _reader(self, sample: Sample) -> Reader:
        """What reads answers; those of options know how many there are."""
        options: list[str] = sample.data.get("choices", [])
        if self.named or not 2 <= len(options) <= len(LETTERS):
            return self.reader
        return parse_reader({"choice": {"options": " ".join(LETTERS[: len(options)])}})

    def correct(self, sample: Sample, answer: Answer) -> bool:
        """Whether the scorer gives all that it can, `C` or 1."""
        return self.credit(sample, answer) >= 1.0

    def credit(self, sample: Sample, answer: Answer) -> float:
        """What the scorer gives, from 0 to 1; of several values, their mean."""
        scores = self._scores(sample, answer)
        name = self.scorer or self.solver.scorers[0]
        value = _worth(scores[name].value) if name in scores else math.nan
        if not math.isfinite(value):
            reason = (getattr(scores.get(name), "reason", "") or "it could not judge").strip()
            raise PartFailed(f"the scorer {name} of {self.called} gave no score: {reason}")
        return min(1.0, max(0.0, value))

    def notes(self, sample: Sample, answer: Answer) -> dict[str, Any]:
        """What each scorer gave, and why."""
        scores, text = self._scores(sample, answer), text_of_answer(answer.text).strip()
        notes: dict[str, Any] = {"scores": {name: one.value for name, one in scores.items()}}
        reasons = {name: one.explanation for name, one in scores.items() if one.explanation}
        if told := {name: why for name, why in reasons.items() if why.strip() != text}:
            notes["explanations"] = told
        return notes

    def _scores(self, sample: Sample, answer: Answer) -> dict[str, Any]:
        at, text = sample.data["at"], text_of_answer(answer.text)
        if (at, text) not in self._known:
            if len(self._known) >= _KEPT:
                self._known.clear()
            scores = self.solver.scores(self._own(at), text, self._asked(at, 1))
            self._known[at, text] = scores
            return scores
        return self._known[at, text]

    def _check_supported(self) -> None:
        """Refuse what a strategy can't stand for.

        Raises:
            UsageError: the task needs a sandbox, or makes its samples while it runs.
            ConfigError: it has no samples.
        """
        served = "run the task by `inspect eval` instead, with a model of weft serve"
        if self.loaded.dataset is None:
            raise UsageError(f"{self.called} makes its samples while it runs; {served}")
        if not len(self.loaded.dataset):
            raise ConfigError(f"{self.called} has no samples; look at its arguments")
        wanted = self.loaded.sandbox
        for own in self.loaded.dataset:
            wanted = wanted or own.sandbox or own.files or own.setup
        if wanted:
            kind = getattr(wanted, "type", "") or "for files"
            raise UsageError(f"{self.called} needs a sandbox ({kind}) of Inspect; {served}")

    def _suiting(self) -> str:
        targets = [
            target
            for own in self.loaded.dataset
            for target in ([own.target] if isinstance(own.target, str) else own.target)
        ]
        return reader_for([t for t in targets if t.strip()] or ["a text"])

    def _digest(self) -> str:
        rows = [
            [one.id, one.model_dump(mode="json", include={"input", "target", "choices"})]
            for one in self.loaded.dataset
        ]
        said = json.dumps([self.called, self.args, str(self.loaded.version), rows], default=str)
        return hashlib.sha256(said.encode()).hexdigest()[:16]


def _arguments(text: str) -> dict[str, Any]:
    try:
        read: Any = json.loads(text)
    except ValueError as e:
        raise ConfigError(f"args of inspect is not JSON: {e}; write an object") from None
    if not isinstance(read, dict):
        raise ConfigError('args of inspect must be a JSON object, such as {"fewshot": 4}')
    return cast("dict[str, Any]", read)


def _changed(path: Path | None) -> float:
    """When a file was changed last.

    Raises:
        ConfigError: there is none.
    """
    if path is None:
        return 0.0
    if not path.is_file():
        raise ConfigError(f"there is no file {path}; name the Python file of the task")
    return path.stat().st_mtime


@lru_cache(maxsize=8)
def _load(path: str, name: str, args: str, changed: float) -> tuple[Any, str]:
    """A task of Inspect, and its name; loaded once, for its dataset may be long or shuffled.

    Raises:
        ConfigError: there is no such task, or its code raised something.
    """
    del changed
    if not path and not name:
        raise ConfigError("inspect needs a task: path=FILE.py, or name=PACKAGE/TASK")
    if path and not name:
        name = _only_task(path)
    wanted = f"{path}@{name}" if path else name
    try:
        loader: Any = importlib.import_module("inspect_ai._eval.loader")
        found: list[Any] = loader.load_tasks([wanted], _arguments(args) if args else {})
    except (Exception, SystemExit) as e:
        raise ConfigError(f"can't load the Inspect task {wanted}: {said(e)}") from e
    if len(found) != 1:
        names = ", ".join(one.name for one in found) or "no task"
        raise ConfigError(f"{wanted} is {names}; name one task")
    return found[0], found[0].name


def _only_task(path: str) -> str:
    """The name of the one task in a file."""
    decorators: Any = importlib.import_module("inspect_ai._util.decorator")
    names: list[str] = [found[0] for found in decorators.parse_decorators(Path(path), "task")]
    if len(names) != 1:
        raise ConfigError(f"{path} has {', '.join(names) or 'no task'}; name one, as FILE.py@NAME")
    return names[0]


def _worth(value: Any) -> float:
    """A score's value as a number; of several their mean."""
    several: list[Any] = (
        list(cast("dict[str, Any]", value).values())
        if isinstance(value, dict)
        else cast("list[Any]", value)
        if isinstance(value, list | tuple)
        else []
    )
    if several:
        return math.fsum(map(_worth, several)) / len(several)
    number: Any = importlib.import_module("inspect_ai.scorer").value_to_float()
    return float(number(value))
