"""A task from a file of one's own: one JSON object a line, with a question and an answer."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, cast

from weft.errors import ConfigError
from weft.evals.tasks.json_lines import read_objects, text_of
from weft.evals.tasks.scorer import parse_scorer
from weft.evals.tasks.task import Sample, Task, task
from weft.programs import Prompt
from weft.search.choices import LETTERS, Choices, lettered
from weft.search.readers import parse_reader
from weft.search.readers.suiting import reader_for
from weft.search.strategy import Answer, Question
from weft.thinking import visible

_VERIFY = (
    "\n\nAn answer, perhaps unfinished:\n{}\n\nIs it right as far as it goes? Answer yes or no."
)


@task("jsonl")
class JsonlTask(Task):
    r"""Questions and answers from your own JSONL file, compared as a reader says.

    Args:
        path: the file.
        question: the field that holds the question.
        answer: the field that holds the right answer, a text or a number, or a list of them of
            which any is right.
        id: a field that names the sample; the line's number if the field is missing.
        system: a system turn that comes first.
        think: a system turn for strategies that ask for visible thinking.
        pattern: a regular expression that finds the answer in a text; its last match counts,
            and in it the first group if there is one. Without it, the reader has the whole
            text.
        reader: what reads answers and compares them, see `weft readers`: `number`, `choice`,
            `math`, `text`, `json`, or a reader of your own. By default as `match` says.
        match: `numeric` is the reader `number`, `exact` the reader `text(case=true)`; `auto` is
            the reader that suits all right answers; behind a pattern `number` or `text`.
        scorer: gives partial credit to answers that are not right, see `weft scorers`: `f1`,
            `items`, `prefix`, or a scorer of your own; none by default.
        max_tokens: the most tokens of an answer.
        steps: the text that ends a step, for step searches; `\n` in it is a newline.
        cluster: a field that names what lines have in common that are not independent, such as the
            text that they ask about; errors are then those of clusters.
        choices: a field that holds the options of a question, a list of two to ten texts. They
            are put below it as A, B, C ...; the right answer is a letter, or an option's text.
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
        reader: str = "",
        match: Literal["auto", "numeric", "exact"] = "auto",
        scorer: str = "",
        max_tokens: int = 1024,
        steps: str = "\n",
        cluster: str = "",
        choices: str = "",
    ) -> None:
        self.path = Path(path).expanduser()
        self.fields = (question, answer, id)
        self.cluster, self.choices = cluster, choices
        self.system = system
        self.think = think
        self.max_tokens = max_tokens
        self.steps = steps.replace("\\n", "\n")
        try:
            self.pattern = re.compile(pattern) if pattern else None
        except re.error as e:
            raise ConfigError(f"jsonl: pattern {pattern!r} is no regular expression: {e}") from None
        if max_tokens < 1:
            raise ConfigError(f"jsonl: max_tokens={max_tokens} must be at least 1")
        self._samples = self._read()
        right = [one for s in self._samples for one in _right(s)]
        if reader and match != "auto":
            raise ConfigError("jsonl: reader and match both say how to compare; leave out match")
        suits = reader_for(right)
        if self.pattern and suits != "number":
            suits = "text"  # the pattern says what of a text is the answer
        named = {"auto": suits, "numeric": "number", "exact": "text(case=true)"}
        self.reader = parse_reader(reader or named[match])
        self.scorer = parse_scorer(scorer) if scorer else None
        for s in self._samples:
            if not all(written.strip() for written in _right(s)):
                raise ConfigError(f"{self.path}: the answer of {s.id!r} is empty; give it one")
            if any(self.reader.alone(written) is None for written in _right(s)):
                raise ConfigError(
                    f"{self.path}: the answer of {s.id!r} is nothing that the reader "
                    f"{self.reader.spec} finds; correct it, or name another reader"
                )
        self.fingerprint = self._digest()

    def _digest(self) -> str:
        """Of all that decides what is asked and what is right; not of where the file is."""
        rows = [[s.id, *s.data.values()] for s in self._samples]
        pattern = self.pattern.pattern if self.pattern else None
        settings = [self.system, self.think, self.steps, self.max_tokens, pattern, self.reader.spec]
        if self.scorer is not None:
            settings.append(self.scorer.spec)
        return hashlib.sha256(json.dumps([rows, settings]).encode()).hexdigest()[:16]

    @property
    def spec(self) -> str:
        """Names the file only: `fingerprint` holds what is in it."""
        path = str(self.path).replace("'", "''")
        return f"jsonl(path='{path}')"

    def _read(self) -> list[Sample]:
        lines = list(read_objects(self.path))
        rows = [(at, self._row(at, row)) for at, row in lines]
        clusters = [text_of(row.get(self.cluster)) or "" for _, row in lines]
        if self.cluster and not any(clusters):
            raise ConfigError(f"{self.path}: no line has a text or a number as {self.cluster!r}")
        taken: dict[str, int] = {}
        for at, (id, _, _) in rows:
            if id is not None and taken.setdefault(id, at) != at:
                raise ConfigError(
                    f"{self.path}:{at}: id {id!r} is there twice, first in line {taken[id]}; "
                    "give each line its own"
                )
        samples: list[Sample] = []
        for (at, (id, question, answer)), (_, row), cluster in zip(
            rows, lines, clusters, strict=True
        ):
            if id is None:
                id = str(at)
                while id in taken:  # lines have ids like it
                    id = f"line {id}"
            data: dict[str, Any] = {"question": question, "answer": answer}
            if self.choices:
                data |= self._options(at, row, answer)
            samples.append(Sample(id, data, cluster))
        if not samples:
            raise ConfigError(f"{self.path} holds no samples; put one JSON object on each line")
        return samples

    def _row(self, at: int, row: dict[str, Any]) -> tuple[str | None, str, str | list[str]]:
        """A line's id, None where it has none, its question and its answer, or its answers."""
        question, answer, id = self.fields
        several = row.get(answer)
        given: list[Any] = [several]
        if isinstance(several, list) and several:
            given = cast("list[Any]", several)
        fields = [(id, row.get(id)), (question, row.get(question)), *((answer, v) for v in given)]
        found: list[str | None] = []
        for name, value in fields:
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
        right = [text or "" for text in found[2:]]
        return found[0], found[1] or "", right if isinstance(several, list) else right[0]

    def _options(self, at: int, row: dict[str, Any], answer: str | list[str]) -> dict[str, Any]:
        """A line's options, and the letter of the right one, or of several."""
        where, given = f"{self.path}:{at}", row.get(self.choices)
        options = [text_of(one) for one in cast("list[Any]", given)] if _is_list(given) else []
        if not 2 <= len(options) <= len(LETTERS) or None in options:
            raise ConfigError(
                f"{where}: field {self.choices!r} must be a list of 2 to {len(LETTERS)} texts"
            )
        found: list[str] = []
        for one in answer if isinstance(answer, list) else [answer]:
            letter = one.strip().strip("().").upper()
            if one in options:
                letter = LETTERS[options.index(one)]
            if letter not in LETTERS[: len(options)] or len(letter) != 1:
                raise ConfigError(
                    f"{where}: the answer {one!r} is neither a letter from A to "
                    f"{LETTERS[len(options) - 1]} nor one of the options"
                )
            found.append(letter)
        return {"answer": found if isinstance(answer, list) else found[0], "choices": options}

    def samples(self, limit: int | None, seed: int) -> list[Sample]:
        """The first `limit` lines; the seed does not matter."""
        return self._samples[:limit]

    def read(self, text: str) -> str | None:
        """The answer found in a text, in the form in which answers are compared."""
        if self.pattern is None:
            return self.reader(text)
        body = visible(text)
        return None if body is None else self._matched(list(self.pattern.finditer(body)))

    def read_cut(self, text: str) -> str | None:
        """The answer in a text that was cut off: what the reader takes for one, mostly nothing.

        What a pattern finds at the very end does not count: more may have been to come.
        """
        if self.pattern is None:
            return self.reader.cut(text)
        if (body := visible(text)) is None:
            return None
        return self._matched([m for m in self.pattern.finditer(body) if m.end() < len(body)])

    def _matched(self, found: list[re.Match[str]]) -> str | None:
        assert self.pattern is not None
        if not found:
            return None
        return self.reader.alone(found[-1][1 if self.pattern.groups else 0] or "")

    def question(self, sample: Sample, seed: int) -> Question:
        """The question as a user's turn, after the system turn if there is one."""
        question: str = sample.data["question"]
        options: list[str] = sample.data.get("choices", [])
        if not options:
            return self._asked(question, seed)
        choices = Choices(tuple(options), lambda some: self._asked(lettered(question, some), seed))
        return replace(choices.ask(options), choices=choices)

    def _asked(self, question: str, seed: int) -> Question:
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
            same=self.reader.equality,
            # Without a pattern only the model can say that it has finished.
            complete=lambda text: self.pattern is not None and self.read(text) is not None,
            verify=verify,
            check=None,
            seed=seed,
        )

    def correct(self, sample: Sample, answer: Answer) -> bool:
        """Whether the reader takes the value and one of the right answers for the same."""
        value = answer.value
        return value is not None and any(
            self.reader.agree(value, one) for one in self._known(sample)
        )

    def credit(self, sample: Sample, answer: Answer) -> float:
        """What the scorer gives for the right answer that the value is nearest to."""
        if answer.value is None or self.scorer is None:
            return 0.0
        return max(self.scorer(answer.value, one) for one in self._known(sample))

    def _known(self, sample: Sample) -> list[str]:
        """The right answers as they are read."""
        read = (self.reader.alone(written) for written in _right(sample))
        return [one for one in read if one is not None]


def _right(sample: Sample) -> list[str]:
    """The right answers of a sample, of which any will do."""
    given: str | list[str] = sample.data["answer"]
    return given if isinstance(given, list) else [given]


def _is_list(value: object) -> bool:
    return isinstance(value, list)


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
