"""Result checks of an evaluation: calls that a second engine was asked too, and what differed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from weft.errors import PartFailed, StoreError
from weft.evals.records import Folder
from weft.evals.statistics import Share, share
from weft.programs.calls.checks import CheckedCall
from weft.programs.history.outcome import Outcome
from weft.search.answers.readable import read_text
from weft.search.strategy import Question

CHECKS = "checks.jsonl"
"""The file of an evaluation's folder that has a line for each call that was checked."""
_SHOWN = 5
"""Disagreements of a strategy that a report shows with their texts."""


@dataclass(frozen=True, slots=True)
class CheckedText:
    """A call that two engines were asked; a line of `checks.jsonl`.

    Attributes:
        strategy: whose call it was.
        id: of the sample.
        repeat: of the sample.
        engines: the first, and the one that was asked too.
        texts: of both; the second is None if its engine failed.
        values: the answers read from both.
        verdict: `same text`, `same answer`, `other answer`, `other text` where no answer is to be
            read from either, or `failed`.
        tokens: that the second call took.
        dollars: that it cost.
        error: why it failed.
    """

    strategy: str
    id: str
    repeat: int
    engines: tuple[str, str]
    texts: tuple[str, str | None]
    values: tuple[str | None, str | None]
    verdict: str
    tokens: int = 0
    dollars: float = 0.0
    error: str = ""


@dataclass(slots=True)
class CheckSummary:
    """What the checks of one strategy came to.

    Attributes:
        strategy: its spec.
        counts: of each verdict.
        tokens: of all second calls.
        dollars: that these cost.
        shown: the first calls to which engines gave other answers, or other texts without answers.
    """

    strategy: str
    counts: dict[str, int] = field(default_factory=dict[str, int])
    tokens: int = 0
    dollars: float = 0.0
    shown: list[CheckedText] = field(default_factory=list[CheckedText])

    def count(self, *verdicts: str) -> int:
        """How many calls had one of the verdicts."""
        return sum(self.counts.get(one, 0) for one in verdicts)

    @property
    def compared(self) -> int:
        """Calls to which both engines gave an answer."""
        return sum(self.counts.values()) - self.count("failed")

    @property
    def differ(self) -> Share:
        """The share of these to which the engines gave other answers, or other texts."""
        differ = self.count("other answer", "other text")
        values = [1.0] * differ + [0.0] * (self.compared - differ)
        return share(values, list(range(len(values))))

    def add(self, one: CheckedText) -> None:
        """Count a call."""
        self.counts[one.verdict] = self.counts.get(one.verdict, 0) + 1
        self.tokens += one.tokens
        self.dollars += one.dollars
        if one.verdict.startswith("other") and len(self.shown) < _SHOWN:
            self.shown.append(one)


def keeping(
    folder: Folder, strategy: str, id: str, repeat: int, question: Question
) -> Callable[[CheckedCall], None]:
    """What writes down each checked call of a sample."""

    def keep(call: CheckedCall) -> None:
        first, second = call.first, call.second
        values = _value(question, call, first), _value(question, call, second)
        engine = second.engine if second is not None else ""
        line = CheckedText(
            strategy,
            id,
            repeat,
            (first.engine, engine),
            (first.text, None if second is None else second.text),
            values,
            _verdict(question, call, values),
            call.usage.total,
            call.usage.dollars,
            call.error,
        )
        with (folder.path / CHECKS).open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(line)) + "\n")

    return keep


def _value(question: Question, call: CheckedCall, outcome: Outcome | None) -> str | None:
    try:
        return None if outcome is None else read_text(question, call.prompt, outcome, True).value
    except PartFailed:
        return None


def _verdict(question: Question, call: CheckedCall, values: tuple[str | None, str | None]) -> str:
    if call.second is None:
        return "failed"
    if call.same_text:
        return "same text"
    a, b = values
    if a is None and b is None:
        return "other text"
    try:
        same = a is not None and b is not None and (a == b or question.same(a, b))
    except PartFailed:
        same = False
    return "same answer" if same else "other answer"


def read_checks(folder: Folder) -> tuple[CheckSummary, ...]:
    """What the checks in a folder came to, strategy by strategy.

    Raises:
        StoreError: a line is no check.
    """
    found: dict[str, CheckSummary] = {}
    for one in _lines(folder):
        found.setdefault(one.strategy, CheckSummary(one.strategy)).add(one)
    return tuple(found.values())


def _lines(folder: Folder) -> Iterator[CheckedText]:
    path = folder.path / CHECKS
    if not path.exists():
        return
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            try:
                raw: dict[str, Any] = json.loads(line)
                yield CheckedText(**raw)
            except (ValueError, TypeError):
                if line.endswith("\n"):
                    raise StoreError(f"{path}:{number}: not a check of an evaluation") from None
