"""Tasksets of verifiers: their prompts, judged by their rewards."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any, cast

from weft.errors import ConfigError, UsageError
from weft.evals.tasks.borrowed.inspect_solver import Turn, prompt_of
from weft.evals.tasks.borrowed.open_question import open_question, text_of_answer
from weft.evals.tasks.borrowed.own_loop import in_own_loop
from weft.evals.tasks.task import Sample, Task, task
from weft.extras import need
from weft.parts.faults import said
from weft.parts.importing import load, may_import
from weft.parts.spec import written
from weft.search.readers import parse_reader
from weft.search.readers.suiting import reader_for
from weft.search.strategy import Answer, Question

_SERVED = "run it by verifiers' own `eval` instead, with a model of weft serve"


@task("verifiers")
class VerifiersTask(Task):
    """A taskset of verifiers (v1, Prime Intellect): its prompts, judged by its rewards.

    The task needs the extra `verifiers`. The credit of an answer is its reward as a share of all
    that the positive weights can give. Tasks whose rewards look into a runtime, tools and
    environments of several agents are refused: `eval` of verifiers runs them, with a model of
    `weft serve`.

    Args:
        id: an installed taskset, such as `reverse-text`.
        path: a Python file with a taskset, in place of an installed one.
        config: settings of the taskset as JSON, such as `{"split": "test"}`.
        right_from: the share of the reward from which an answer is right.
        reader: what reads answers for votes, see `weft readers`; by default what suits `answer`.
        max_tokens: the most tokens of an answer; by default up to the context's end.
    """

    slow = True

    def __init__(
        self,
        id: str = "",
        path: Path | None = None,
        config: str = "",
        right_from: float = 1.0,
        reader: str = "",
        max_tokens: int | None = None,
    ) -> None:
        need("verifiers", "the task verifiers")
        if not may_import():
            raise UsageError("a taskset of verifiers can't be imported from here")
        if (path is None) == (not id):
            raise ConfigError("verifiers needs either the id of a taskset, or path=FILE.py")
        self.id, self.path = id, None if path is None else Path(path).expanduser()
        self.config = config and json.dumps(_settings(config), sort_keys=True)
        self.right_from, self.named, self.max_tokens = right_from, reader, max_tokens
        self.library: Any = importlib.import_module("verifiers.v1")
        self.called = id or str(self.path)
        try:
            self.taskset: Any = self._taskset()
        except (Exception, SystemExit) as e:
            if isinstance(e, UsageError):
                raise
            raise ConfigError(f"can't load the taskset {self.called}: {said(e)}") from e
        self._tasks: list[Any] = []
        self._take(1 if self.taskset.INFINITE else None)
        if not self._tasks:
            raise ConfigError(f"{self.called} has no tasks; look at its config")
        self._check_supported(self._tasks[0])
        known = [str(getattr(one.data, "answer", "")) for one in self._tasks]
        self.reader = parse_reader(reader or reader_for([k for k in known if k] or ["a text"]))
        digests = [] if self.taskset.INFINITE else [one.hash for one in self._tasks]
        parts = [self.called, self.config, version("verifiers"), *digests]
        self.fingerprint = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
        self._known: dict[tuple[int, str], Any] = {}

    @property
    def spec(self) -> str:
        """The taskset, with what decides its problems and how they are judged."""
        given = {
            "id": self.id,
            "path": "" if self.path is None else str(self.path),
            "config": self.config,
            "reader": self.named,
        }
        shown = [f"{key}={written(value)}" for key, value in given.items() if value]
        if self.right_from != 1.0:
            shown.append(f"right_from={self.right_from}")
        if self.max_tokens is not None:
            shown.append(f"max_tokens={self.max_tokens}")
        return f"{self.name}({', '.join(shown)})"

    def _taskset(self) -> Any:
        loaders: Any = importlib.import_module("verifiers.v1.utils.loaders")
        base: Any = self.library.Taskset
        if self.path is None:
            kind, config = loaders.taskset_class(self.id), loaders.taskset_config_type(self.id)
        else:
            module = load(str(self.path))
            found = [
                one
                for one in vars(module).values()
                if isinstance(one, type)
                and issubclass(one, base)
                and one.__module__ == module.__name__
            ]
            if len(found) != 1:
                names = ", ".join(one.__name__ for one in found) or "no taskset"
                raise ConfigError(f"{self.path} has {names}; write one class in it that is one")
            kind = found[0]
            generic: Any = importlib.import_module("verifiers.v1.utils.generic")
            plain = self.library.TasksetConfig
            config = generic.concrete_type(kind, plain, origin=base) or plain
        settings = _settings(self.config) if self.config else {}
        return kind(config.model_validate({**settings, "id": self.id}))

    def _take(self, count: int | None) -> None:
        """Have at least so many tasks, where there are as many; all if None."""
        if count is None or count > len(self._tasks):
            self._tasks = list(islice(iter(self.taskset), count))

    def _check_supported(self, one: Any) -> None:
        kind: Any = one.__class__
        whole: Any = self.taskset.__class__
        base: Any = self.library.Task
        hooks: list[Any] = [*one.hooks("reward"), *one.hooks("metric")]
        needs: dict[str, Any] = {
            "tools": kind.toolsets(one.config) or whole.toolsets(self.taskset.config),
            "a container": kind.NEEDS_CONTAINER,
            "a runtime": any(map(_looks_into, hooks))
            or kind.setup is not base.setup
            or kind.finalize is not base.finalize,
        }
        for what, needed in needs.items():
            if needed:
                raise UsageError(f"{self.called} needs {what} of verifiers; {_SERVED}")
        if not one.hooks("reward") and not one.plugged_judges():
            raise ConfigError(f"{self.called} has no reward, so nothing says what is right")

    def samples(self, limit: int | None, seed: int) -> list[Sample]:
        """The first `limit` tasks, in the taskset's order."""
        if self.taskset.INFINITE and limit is None:
            raise UsageError(f"{self.called} never ends; say by --limit how many tasks to take")
        self._take(limit)
        count = len(self._tasks) if limit is None else limit
        return [self._sample(at, one.data) for at, one in enumerate(self._tasks[:count])]

    def _sample(self, at: int, data: Any) -> Sample:
        turns: list[Turn] = []
        if data.system_prompt:
            turns.append({"role": "system", "content": data.system_prompt})
        if isinstance(data.prompt, str):
            turns.append({"role": "user", "content": data.prompt})
        else:
            messages: list[Any] = data.prompt or []
            for message in messages:
                if not isinstance(message.content, str):
                    raise UsageError(f"{self.called} has more than turns of text; {_SERVED}")
                turns.append({"role": message.role, "content": message.content})
        if not turns or turns[-1]["role"] != "user":
            raise UsageError(f"{self.called} does not end with a user's turn; {_SERVED}")
        shown = {
            "question": turns[-1]["content"],
            "answer": str(getattr(data, "answer", "") or ""),
            "turns": turns,
            "at": at,
        }
        return Sample(str(at if data.idx is None else data.idx), shown)

    def question(self, sample: Sample, seed: int) -> Question:
        """The task's prompt."""
        asked = prompt_of(sample.data["turns"])
        return open_question(asked, self.reader, seed, max_tokens=self.max_tokens)

    def correct(self, sample: Sample, answer: Answer) -> bool:
        """Whether the share of the reward is `right_from` or more."""
        return self.credit(sample, answer) >= min(1.0, self.right_from)

    def credit(self, sample: Sample, answer: Answer) -> float:
        """The reward, as a share of what the positive weights can give."""
        rewards = [one for one in self._scored(sample, answer).rewards.values() if one is not None]
        most = sum(max(0.0, one.weight) for one in rewards)
        given = sum(one.score * one.weight for one in rewards)
        return min(1.0, max(0.0, round(given / most, 9))) if most else 0.0

    def notes(self, sample: Sample, answer: Answer) -> dict[str, Any]:
        """Each reward, and each metric."""
        trace = self._scored(sample, answer)
        rewards = {name: one.score for name, one in trace.rewards.items() if one is not None}
        return {"scores": rewards | dict(trace.metrics)}

    def _scored(self, sample: Sample, answer: Answer) -> Any:
        """The trace of an answer, with its rewards."""
        at, text = sample.data["at"], text_of_answer(answer.text)
        if (found := self._known.get((at, text))) is not None:
            return found
        self._take(at + 1)
        own = self._tasks[at]
        trace = self._trace(own, sample.data["turns"], text)
        in_own_loop(lambda: own.score(trace))
        if len(self._known) >= 4096:
            self._known.clear()
        self._known[at, text] = trace
        return trace

    def _trace(self, own: Any, turns: list[Turn], text: str) -> Any:
        """What verifiers would have recorded of one answer to the turns."""
        vf = self.library
        kinds = {"system": vf.SystemMessage, "user": vf.UserMessage}
        said = [kinds.get(t["role"], vf.AssistantMessage)(content=t["content"]) for t in turns]
        said.append(vf.AssistantMessage(content=text))
        nodes = [
            vf.MessageNode(parent=i - 1 if i else None, message=one, sampled=i == len(turns))
            for i, one in enumerate(said)
        ]
        generic: Any = importlib.import_module("verifiers.v1.utils.generic")
        state = generic.concrete_type(type(own), vf.State) or vf.State
        return vf.Trace(
            agent=vf.AgentInfo(config=vf.AgentConfig()),
            task=vf.TraceTask(type=type(own).__name__, data=own.data, key=own.key, hash=own.hash),
            nodes=nodes,
            state=state(),
        )


def _looks_into(hook: Any) -> bool:
    """Whether a reward or metric must have a runtime."""
    wanted = inspect.signature(hook).parameters.get("runtime")
    return wanted is not None and wanted.default is inspect.Parameter.empty


def _settings(text: str) -> dict[str, Any]:
    try:
        read: Any = json.loads(text)
    except ValueError as e:
        raise ConfigError(f"config of verifiers is not JSON: {e}; write an object") from None
    if not isinstance(read, dict):
        raise ConfigError('config of verifiers must be a JSON object, such as {"split": "test"}')
    return cast("dict[str, Any]", read)
