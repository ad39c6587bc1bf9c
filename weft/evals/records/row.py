"""Row: what one strategy made of one sample."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, fields, replace
from operator import attrgetter
from typing import Any

from weft.evals.records.kept_text import KeptText
from weft.evals.records.kinds import made
from weft.types import Usage

_PLAIN = (str, int, float, bool)
RowKey = tuple[str, tuple[str, int]]
"""A strategy, and what of it: a sample's id and the repeat."""


@dataclass(slots=True)  # not frozen: Python takes five times as long to make what is
class Row:
    """What one strategy made of one sample; a line of `samples.jsonl`. It is never changed.

    Attributes:
        strategy: the canonical spec.
        id: of the sample.
        correct: None if there was an error; False also if engines refused the sample.
        answer: the answer's canonical form, None if there was none.
        score: the strategy's own score of its answer.
        details: what the strategy says of how it went.
        usage: calls and tokens.
        seconds: from start to answer, the wait for an engine included.
        error: why there is no result; such a row is run again at a resume.
        cluster: of the sample; empty if it is its own.
        credit: how much the answer is worth, from 0 to 1; 1 if it is right.
        text: the whole text that the answer was read from, without thinking.
        repeat: how many times the strategy had been asked the sample before.
        drawn: among how many whole texts the strategy chose; 0 if it did not draw all of them, or
            does not say.
        right: how many of these are right.
        vote: what the answer counts as in a vote over repeats, where an earlier one is written
            otherwise.
        question: the turns that asked.
        target: the right answer, as the task shows it.
        texts: what was drawn for the answer, in the order in which it ended.
        chosen: which of these is the answer, or ends it.
        at: when the row came, in seconds since 1970.
        before: what an earlier scoring had said, where it was something else.
        tries: how many times the sample was tried before, in this session, because of errors.
    """

    strategy: str
    id: str
    correct: bool | None
    answer: str | None = None
    score: float | None = None
    details: dict[str, Any] = field(default_factory=dict[str, Any])
    usage: Usage = field(default_factory=Usage)
    seconds: float = 0.0
    error: str | None = None
    text: str | None = None
    credit: float | None = None
    cluster: str = ""
    repeat: int = 0
    drawn: int = 0
    right: int = 0
    vote: str | None = None
    question: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    target: str = ""
    texts: list[KeptText] = field(default_factory=list[KeptText])
    chosen: int | None = None
    at: float = 0.0
    tries: int = 0
    before: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def key(self) -> tuple[str, int]:
        """What rows of several strategies have in common that are compared."""
        return self.id, self.repeat

    @property
    def group(self) -> str:
        """What the row is not independent of: its cluster, or else its sample."""
        return f"cluster {self.cluster}" if self.cluster else f"sample {self.id}"

    @property
    def failed(self) -> bool:
        """Whether there is no result because of an error."""
        return self.correct is None and self.error is not None

    @property
    def refused(self) -> bool:
        """Whether it counts as wrong for an error.

        So do samples that engines refuse, such as one that is longer than their context.
        """
        return self.correct is False and self.error is not None

    @property
    def abstained(self) -> bool:
        """Whether the strategy gave no answer on purpose."""
        return bool(self.details.get("abstained"))

    @property
    def voted(self) -> str | None:
        """The answer as votes over repeats count it."""
        return self.answer if self.vote is None else self.vote

    @property
    def plain_details(self) -> dict[str, Any]:
        """The details that are numbers or texts."""
        return {k: v for k, v in self.details.items() if isinstance(v, _PLAIN)}

    @property
    def slim(self) -> Row:
        """What statistics are made of: without texts, and of details only plain ones."""
        return replace(
            self, text=None, details=self.plain_details, question=[], target="", texts=[], before={}
        )

    def line(self) -> str:
        """The row as a line of JSON, which begins with what `key_of` reads."""
        own = dict(zip(_ORDER, _values(self), strict=True))
        own["usage"] = dict(zip(_USAGE, _counts(self.usage), strict=True))
        own["texts"] = [text.json() for text in self.texts]
        return _json(own) + "\n"

    @classmethod
    def read(cls, line: str | bytes, *, texts: bool = True) -> Row:
        """The row of a line.

        Args:
            line: of `samples.jsonl`.
            texts: whether with what was drawn for the answer.

        Raises:
            ValueError: it is none.
        """
        try:
            raw = json.loads(line)
            raw["usage"] = made(Usage, raw["usage"])
            raw["texts"] = [made(KeptText, one) for one in raw.get("texts", ()) if texts]
        except (KeyError, TypeError):
            raise ValueError("it has no usage, or no texts") from None
        return made(cls, raw, _ANY)


_ANY = ("answer", "vote")
"""What strategies of users may give as they like."""
_USAGE = tuple(f.name for f in fields(Usage))
_FIRST = ("strategy", "id", "repeat")
_ORDER = (*_FIRST, *(f.name for f in fields(Row) if f.name not in _FIRST))
_values, _counts = attrgetter(*_ORDER), attrgetter(*_USAGE)
_json = json.JSONEncoder(default=str).encode
_TEXT = rb'"((?:[^"\\]|\\.)*)"'
_KEY = re.compile(rb'\{"strategy": ' + _TEXT + rb', "id": ' + _TEXT + rb', "repeat": (\d+), ')


def key_of(line: bytes) -> RowKey:
    """What a line is of, for which the rest of the line is not read if it need not be.

    Raises:
        ValueError: it is no row.
    """
    found = _KEY.match(line)
    if found is None or not line.endswith(b"}\n"):
        row = Row.read(line)
        return row.strategy, row.key
    strategy, id, repeat = found.groups()
    return _read(strategy), (_read(id), int(repeat))


def _read(text: bytes) -> str:
    return json.loads(b'"%s"' % text) if b"\\" in text else text.decode()
