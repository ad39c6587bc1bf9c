"""KeptText: a text that was drawn for an answer, as a row keeps it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any

from weft.errors import PartFailed
from weft.programs.scope.hearing import Heard
from weft.search.answers.readable import read_text
from weft.search.strategy import Question


@dataclass(slots=True)  # as a row is
class KeptText:
    """What one call generated for a sample. It is never changed.

    Attributes:
        text: what was generated, without thinking.
        thinking: before it.
        value: the answer that can be read from the whole text; None without one.
        vote: the value that it votes for, where that is written otherwise.
        score: by a verifier; None if none scored the whole text.
        after: which of the row's texts this one continues; None if it begins an answer.
        asked: what was asked, if that is not the sample's question.
        finish: why it ended.
        whole: False if its call was broken off.
        prompt: tokens of the prompt, `cached` ones of these included.
        cached: tokens that the engine had in its cache.
        tokens: generated, thinking included.
        reasoning: how many of these were thinking.
        queued: seconds in weft's queue.
        first_token: seconds from sending to the first token.
        seconds: in all.
        engine: which answered.
    """

    text: str
    thinking: str = ""
    value: str | None = None
    vote: str | None = None
    score: float | None = None
    after: int | None = None
    asked: str = ""
    finish: str = "stop"
    whole: bool = True
    prompt: int = 0
    cached: int = 0
    tokens: int = 0
    reasoning: int = 0
    queued: float = 0.0
    first_token: float = 0.0
    seconds: float = 0.0
    engine: str = ""

    @property
    def voted(self) -> str | None:
        """The value as the first text gave it that has the same."""
        return self.value if self.vote is None else self.vote

    def json(self) -> dict[str, Any]:
        """What differs from the defaults."""
        given = zip(_DEFAULTS.items(), _values(self), strict=True)
        return {"text": self.text} | {
            name: value for (name, default), value in given if value != default
        }


_DEFAULTS: dict[str, Any] = {f.name: f.default for f in fields(KeptText)[1:]}
_values = attrgetter(*_DEFAULTS)


def kept_texts(
    heard: Sequence[Heard], question: Question, scores: Mapping[str, float], answer: str | None
) -> tuple[list[KeptText], int | None]:
    """All texts that were generated for a question, and which of them is, or ends, the answer.

    Args:
        heard: the texts, as they ended.
        question: what they answer.
        scores: of whole texts and of beginnings, by verifiers.
        answer: the text that a strategy gave.
    """
    found: list[KeptText] = []
    reached: dict[str, int] = {}
    groups = _Groups(question)
    chosen: int | None = None
    for prompt, outcome, whole in heard:
        try:
            before, thinking, value = read_text(question, prompt, outcome, whole)
        except PartFailed:
            before, thinking, value = None, outcome.thinking, None
        asked = "" if before is not None else _last_turn(prompt.messages)
        full = thinking.text
        usage, timing = outcome.usage, outcome.timing
        found.append(
            KeptText(
                outcome.text if before else full,
                outcome.reasoning if before else thinking.reasoning or outcome.reasoning,
                value,
                groups.add(value),
                scores.get(full),
                reached.get(before) if before else None,
                asked,
                outcome.finish_reason,
                whole,
                usage.prompt,
                usage.cached,
                usage.generated,
                usage.reasoning,
                round(timing.queued, 4),
                round(timing.first_token, 4),
                round(timing.total, 4),
                outcome.engine,
            )
        )
        if before is not None:
            reached.setdefault(before + outcome.text, len(found) - 1)
        if answer is not None and full == answer and (chosen is None or not found[chosen].whole):
            chosen = len(found) - 1
    return found, chosen


class _Groups:
    """Which values are the same."""

    def __init__(self, question: Question) -> None:
        self._question = question
        self._seen: list[str] = []

    def add(self, value: str | None) -> str | None:
        """The first value that is the same, if it is written otherwise."""
        if value is None or value in self._seen:
            return None
        try:
            first = next((v for v in self._seen if self._question.same(v, value)), None)
        except PartFailed:
            first = None
        if first is None:
            self._seen.append(value)
        return first


def _last_turn(messages: Sequence[Any]) -> str:
    return messages[-1].content if messages else ""
