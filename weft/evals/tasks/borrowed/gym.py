"""The procedural tasks of the package `reasoning-gym`, each with its own verifier."""

from __future__ import annotations

import importlib
import json
import re
from importlib.metadata import version
from typing import Any, cast

from weft.errors import ConfigError, UnknownName
from weft.evals.tasks.task import Sample, Task, task
from weft.extras import need
from weft.parsers.thinking import visible
from weft.parts.faults import said
from weft.parts.spec import written
from weft.programs import Prompt
from weft.search.readers import parse_reader
from weft.search.strategy import Answer, Question

_ASK = "{}\n\nGive the final answer alone between <answer> and </answer>."
_VERIFY = (
    "\n\nAn answer, perhaps unfinished:\n{}\n\nIs it right as far as it goes? Answer yes or no."
)
_TAGS = re.compile(r"<answer>(.*?)</answer>", re.DOTALL | re.IGNORECASE)
_USUAL = 100
"""Problems where nobody says how many."""


@task("reasoning_gym")
class ReasoningGymTask(Task):
    """A procedural task of Reasoning Gym, judged by its own scorer (Stojanovski et al. 2025).

    The task needs the extra `gym`. Problems are made by the seed. An answer that the scorer gives
    1 is right, and less is partial credit.

    Args:
        name: the dataset, such as `chain_sum`.
        config: the dataset's settings as JSON, such as `{"min_terms": 3}`.
        max_tokens: the most tokens of an answer.
    """

    slow = True

    def __init__(self, name: str, config: str = "", max_tokens: int = 1024) -> None:
        need("gym", "the task reasoning_gym")
        self.library: Any = importlib.import_module("reasoning_gym")
        self.dataset, self.max_tokens = name, max_tokens
        known = sorted(importlib.import_module("reasoning_gym.factory").DATASETS)
        if name not in known:
            raise UnknownName("dataset of reasoning_gym", name, known)
        try:
            read: Any = json.loads(config or "{}")
        except ValueError as e:
            raise ConfigError(
                f"config of reasoning_gym is not JSON: {e}; write an object"
            ) from None
        if not isinstance(read, dict):
            raise ConfigError('config of reasoning_gym must be a JSON object, such as {"size": 3}')
        self.config = cast("dict[str, Any]", read)
        self.reader = parse_reader("text(case=true)")
        self.fingerprint = version("reasoning-gym")
        self._entries: dict[str, tuple[Any, dict[str, Any]]] = {}
        self._made(1, 0)

    @property
    def spec(self) -> str:
        """The dataset, with its settings."""
        shown = f", config={written(json.dumps(self.config, sort_keys=True))}"
        return f"reasoning_gym(name={self.dataset}{shown if self.config else ''})"

    def samples(self, limit: int | None, seed: int) -> list[Sample]:
        """Problems made by the seed; 100 if there is no limit."""
        made = self._made(_USUAL if limit is None else limit, seed)
        samples: list[Sample] = []
        for at in range(_USUAL if limit is None else limit):
            entry: dict[str, Any] = made[at]
            id = f"{seed}.{at}"
            self._entries[id] = made, entry
            known = entry["answer"]  # None where only the scorer knows what is right
            data = {"question": str(entry["question"]), "answer": str(known or "")}
            samples.append(Sample(id, data))
        return samples

    def _made(self, size: int, seed: int) -> Any:
        settings = {**self.config, "size": max(1, size), "seed": seed}
        try:
            return self.library.create_dataset(self.dataset, **settings)
        except (TypeError, ValueError, AssertionError) as e:
            raise ConfigError(
                f"config of reasoning_gym does not suit {self.dataset}: {said(e)}; correct it"
            ) from None

    def read(self, text: str) -> str | None:
        """What stands between the last tags, or else what the text states."""
        body = visible(text)
        if body is None:
            return None
        tagged = _TAGS.findall(body)
        return tagged[-1].strip() or None if tagged else self.reader.read(body)

    def question(self, sample: Sample, seed: int) -> Question:
        """The problem, with the form of the answer."""
        asked = _ASK.format(sample.data["question"])

        def verify(text: str) -> Prompt:
            return Prompt.user(asked + _VERIFY.format((visible(text) or "").strip()))

        return Question(
            prompt=Prompt.user(asked),
            steps="\n",
            max_tokens=self.max_tokens,
            max_think_tokens=4 * self.max_tokens,
            max_steps=32,
            answer=self.read,
            answer_cut=self.reader.cut,
            complete=lambda text: _TAGS.search(text) is not None,
            verify=verify,
            seed=seed,
        )

    def correct(self, sample: Sample, answer: Answer) -> bool:
        """Whether the dataset's scorer gives 1."""
        return self.credit(sample, answer) >= 1.0

    def credit(self, sample: Sample, answer: Answer) -> float:
        """What the dataset's scorer gives, from 0 to 1."""
        if answer.value is None:
            return 0.0
        made, entry = self._entries[sample.id]
        try:
            given = float(made.score_answer(answer=answer.value, entry=entry))
        except Exception:  # some scorers raise where an answer has not the form they expect
            return 0.0
        return min(1.0, max(0.0, given))
