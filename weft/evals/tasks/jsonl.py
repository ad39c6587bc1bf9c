"""A task from a file of one's own: one JSON object a line, with a question and an answer."""

from __future__ import annotations

import hashlib
import json
import re
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Literal

from weft.errors import ConfigError
from weft.evals.tasks.json_lines import read_objects, text_of
from weft.evals.tasks.task import Sample, Task, task
from weft.programs import Prompt
from weft.search.strategy import Answer, Question
from weft.thinking import visible

_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?(?:[eE][-+]?\d{1,6}(?!\w))?")
_PLAIN = 60  # digits; a longer number is compared with its power of ten apart
_VERIFY = (
    "\n\nAn answer, perhaps unfinished:\n{}\n\nIs it right as far as it goes? Answer yes or no."
)


def number(text: str) -> str | None:
    """The last number in a text in one way of writing it (`1,200.0` is `1200`), or None."""
    if not (found := _NUMBER.findall(text)):
        return None
    try:
        value = Decimal(found[-1].replace(",", ""))
    except InvalidOperation:
        return None
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        return None
    # By hand, for `normalize` rounds to 28 digits.
    written = "".join(map(str, digits))
    short = written.rstrip("0")
    exponent += len(written) - len(short)
    short = short.lstrip("0")
    if not short:
        return "0"
    minus = "-" if sign else ""
    if not -_PLAIN <= exponent <= _PLAIN:
        return f"{minus}{short}e{exponent}"
    if exponent >= 0:
        return minus + short + "0" * exponent
    short = short.rjust(1 - exponent, "0")
    return f"{minus}{short[:exponent]}.{short[exponent:]}"


@task("jsonl")
class JsonlTask(Task):
    """Questions and answers from your own JSONL file, compared as numbers or exactly.

    Args:
        path: the file.
        question: the field that holds the question.
        answer: the field that holds the right answer, a text or a number.
        id: a field that names the sample; the line's number if the field is missing.
        system: a system turn that comes first.
        think: a system turn for strategies that ask for visible thinking.
        pattern: a regular expression that finds the answer in a text; its last match counts,
            and in it the first group if there is one. Without it, the last number or, for
            exact answers, the last line.
        match: `numeric` compares the last number, `exact` the text but for spaces; `auto`
            is numeric if every right answer is a number.
        max_tokens: the most tokens of an answer.
        steps: the text that ends a step, for step searches.
    """

    def __init__(
        self,
        path: Path,
        question: str = "question",
        answer: str = "answer",
        id: str = "id",
        system: str | None = None,
        think: str | None = None,
        pattern: str | None = None,
        match: Literal["auto", "numeric", "exact"] = "auto",
        max_tokens: int = 1024,
        steps: str = "\n",
    ) -> None:
        self.path = Path(path).expanduser()
        self.fields = (question, answer, id)
        self.system = system
        self.think = think
        self.max_tokens = max_tokens
        self.steps = steps
        try:
            self.pattern = re.compile(pattern) if pattern else None
        except re.error as e:
            raise ConfigError(f"jsonl: pattern {pattern!r} is no regular expression: {e}") from None
        if max_tokens < 1:
            raise ConfigError(f"jsonl: max_tokens={max_tokens} must be at least 1")
        self._samples = self._read()
        right = [s.data["answer"] for s in self._samples]
        self.numeric = match == "numeric" or (
            match == "auto" and all(_NUMBER.fullmatch(a.strip()) for a in right)
        )
        for s in self._samples:
            if self._form(s.data["answer"]) is None:
                what = "has no number; use match=exact" if self.numeric else "is empty; give it one"
                raise ConfigError(f"{self.path}: the answer of {s.id!r} {what}")
        self.fingerprint = self._digest()

    def _digest(self) -> str:
        """Of all that decides what is asked and what is right; not of where the file is."""
        rows = [[s.id, s.data["question"], s.data["answer"]] for s in self._samples]
        pattern = self.pattern.pattern if self.pattern else None
        settings = [self.system, self.think, self.steps, self.max_tokens, pattern, self.numeric]
        return hashlib.sha256(json.dumps([rows, settings]).encode()).hexdigest()[:16]

    @property
    def spec(self) -> str:
        """Names the file only: `fingerprint` holds what is in it."""
        path = str(self.path).replace("'", "''")
        return f"jsonl(path='{path}')"

    def _read(self) -> list[Sample]:
        rows = [(at, self._row(at, row)) for at, row in read_objects(self.path)]
        taken: dict[str, int] = {}
        for at, (id, _, _) in rows:
            if id is not None and taken.setdefault(id, at) != at:
                raise ConfigError(
                    f"{self.path}:{at}: id {id!r} is there twice, first in line {taken[id]}; "
                    "give each line its own"
                )
        samples: list[Sample] = []
        for at, (id, question, answer) in rows:
            if id is None:
                id = str(at) if str(at) not in taken else f"line {at}"
            samples.append(Sample(id, {"question": question, "answer": answer}))
        if not samples:
            raise ConfigError(f"{self.path} holds no samples; put one JSON object on each line")
        return samples

    def _row(self, at: int, row: dict[str, Any]) -> tuple[str | None, str, str]:
        """A line's id, None where it has none, its question and its answer."""
        question, answer, id = self.fields
        found: list[str | None] = []
        for name in (id, question, answer):
            value = row.get(name)
            text = text_of(value)
            if text is None and not (name == id and value is None):
                has = ", ".join(row) or "no fields"
                raise ConfigError(
                    f"{self.path}:{at}: field {name!r} must be a text or a number; the line has "
                    f"{has}"
                )
            if text is not None and not text.isascii() and not _encodes(text):
                raise ConfigError(
                    f"{self.path}:{at}: field {name!r} holds half a character (a lone surrogate); "
                    "write it whole"
                )
            found.append(text)
        return found[0], found[1] or "", found[2] or ""

    def samples(self, limit: int | None, seed: int) -> list[Sample]:
        """The first `limit` lines; the seed does not matter."""
        return self._samples[:limit]

    def read(self, text: str) -> str | None:
        """The answer found in a text, in the form in which answers are compared."""
        if (body := visible(text)) is None:
            return None
        if self.pattern is not None:
            return self._matched(list(self.pattern.finditer(body)))
        return self._form(body if self.numeric else _last_line(body))

    def read_cut(self, text: str) -> str | None:
        """The answer in a text that was cut off: its last number or line is not the answer.

        Nor is what a pattern finds at the very end, of which more may have been to come.
        """
        if self.pattern is None or (body := visible(text)) is None:
            return None
        return self._matched([m for m in self.pattern.finditer(body) if m.end() < len(body)])

    def _matched(self, found: list[re.Match[str]]) -> str | None:
        assert self.pattern is not None
        return self._form(found[-1][1 if self.pattern.groups else 0] or "") if found else None

    def _form(self, text: str) -> str | None:
        return number(text) if self.numeric else " ".join(text.split()) or None

    def question(self, sample: Sample, seed: int) -> Question:
        """The question as a user's turn, after the system turn if there is one."""
        question: str = sample.data["question"]

        def verify(text: str) -> Prompt:
            return Prompt.user(question + _VERIFY.format((visible(text) or "").strip()))

        prompt = Prompt.system(self.system) if self.system else Prompt()
        return Question(
            prompt=prompt.user(question),
            think=Prompt.system(self.think).user(question) if self.think else None,
            steps=self.steps,
            max_tokens=self.max_tokens,
            max_think_tokens=4 * self.max_tokens,
            max_steps=32,
            answer=self.read,
            answer_cut=self.read_cut,
            # Without a pattern only the model can say that it has finished.
            complete=lambda text: self.pattern is not None and self.read(text) is not None,
            verify=verify,
            check=None,
            seed=seed,
        )

    def correct(self, sample: Sample, answer: Answer) -> bool:
        """Whether the value equals the right answer in the same form."""
        return answer.value is not None and answer.value == self._form(sample.data["answer"])


def _last_line(text: str) -> str:
    lines = [line for line in text.split("\n") if line.strip()]
    return lines[-1] if lines else ""


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
