"""Problems from rows: which fields hold the question and the answer, and how they are asked."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from string import Formatter
from typing import Any, cast

from weft.errors import ConfigError
from weft.evals.tasks.files.json_lines import text_of
from weft.evals.tasks.task import Sample
from weft.search.choices import LETTERS, lettered


@dataclass(frozen=True, slots=True)
class FileProblem:
    """A row as a problem.

    Attributes:
        id: unique in its file.
        question: without its options.
        answer: the right answer, or several of which any is right.
        shown: what an example answers.
        cluster: what rows have in common that are not independent.
        options: of which the answer is one, by its letter; none of an open question.
        tests: Python code that judges a program; None where an answer is compared.
        demands: how much the problem demands, by dimension.
        priority: rows with a lower number are asked first.
    """

    id: str
    question: str
    answer: str | list[str]
    shown: str
    cluster: str
    options: list[str]
    tests: str | None
    demands: Mapping[str, float]
    priority: int = 0

    @property
    def right(self) -> list[str]:
        """The right answers."""
        return self.answer if isinstance(self.answer, list) else [self.answer]

    @property
    def asked(self) -> str:
        """The question with its options below."""
        return lettered(self.question, self.options) if self.options else self.question

    @property
    def sample(self) -> Sample:
        """The problem as a sample of a task."""
        data: dict[str, Any] = {"question": self.question, "answer": self.answer}
        if self.options:
            data["choices"] = self.options
        if self.tests is not None:
            data["tests"] = self.tests
        if self.demands:
            data["demands"] = dict(self.demands)
        return Sample(self.id, data, self.cluster, self.priority)


@dataclass(frozen=True, slots=True)
class Columns:
    """Which fields of a row hold what; empty ones are not used.

    Attributes:
        question: the question.
        answer: the right answer.
        id: the sample's name.
        template: how the question is asked, with fields in braces.
        choices: a list of options.
        tests: tests of a program.
        solution: what an example answers.
        cluster: what rows have in common.
        demands: names of fields with numbers, the larger the harder, with spaces between them.
        priority: which rows are asked first.
    """

    question: str
    answer: str
    id: str
    template: str
    choices: str
    tests: str
    solution: str
    cluster: str
    demands: str
    priority: str

    def problems(self, path: Path, rows: Iterable[tuple[int, dict[str, Any]]]) -> list[FileProblem]:
        """The problems of a file.

        Raises:
            ConfigError: a row lacks a field, or has an id that another has; names the line.
        """
        found: list[tuple[int, str | None, FileProblem]] = []
        taken: dict[str, int] = {}
        for at, row in rows:
            given = _Row(path, at, row)
            id = None if row.get(self.id) is None else given.text(self.id)
            if id is not None and taken.setdefault(id, at) != at:
                raise ConfigError(
                    f"{path}:{at}: id {id!r} is there twice, first in line {taken[id]}; "
                    "give each line its own"
                )
            found.append((at, id, self._problem(given)))
        if not found:
            raise ConfigError(f"{path} holds no samples; put one problem on each line")
        if self.cluster and not any(one.cluster for _, _, one in found):
            raise ConfigError(f"{path}: no line has a text or a number as {self.cluster!r}")
        problems: list[FileProblem] = []
        for at, id, one in found:
            if id is None:
                id = str(at)
                while id in taken:  # rows have ids like it
                    id = f"line {id}"
            problems.append(replace(one, id=id))
        return problems

    def _problem(self, row: _Row) -> FileProblem:
        question = row.text(self.question) if not self.template else self._filled(row)
        tests = "\n".join(row.texts(self.tests)) if self.tests else None
        unknown = tests is not None and row.found(self.answer) is None
        answer = [""] if unknown else row.texts(self.answer)
        options = row.options(self.choices) if self.choices else []
        if options:
            answer = [row.letter(one, options) for one in answer]
        several = isinstance(row.found(self.answer), list)
        shown = row.text(self.solution) if self.solution else answer[0]
        cluster = text_of(row.found(self.cluster)) or "" if self.cluster else ""
        given = answer if several else answer[0]
        demands = {name: row.number(name) for name in self.demands.split()}
        priority = row.whole(self.priority) if self.priority else 0
        return FileProblem("", question, given, shown, cluster, options, tests, demands, priority)

    def _filled(self, row: _Row) -> str:
        """The template with a row's fields."""
        text = ""
        try:
            parts = list(Formatter().parse(self.template))
        except ValueError as e:
            raise ConfigError(
                f"template {self.template!r} can't be read: {e}; write a single brace twice"
            ) from None
        for before, name, _, _ in parts:
            text += before + (row.text(name) if name is not None else "")
        return text


class _Row:
    """A row, and where it stands."""

    def __init__(self, path: Path, at: int, row: Mapping[str, Any]) -> None:
        self._where, self._row = f"{path}:{at}", row

    def found(self, name: str) -> Any:
        """A field's value, of inner fields by `outer.inner`; None if there is none."""
        if name in self._row or "." not in name:
            return self._row.get(name)
        value: Any = self._row
        for part in name.split("."):
            value = cast("dict[str, Any]", value).get(part) if isinstance(value, dict) else None
        return value

    def text(self, name: str) -> str:
        """A field that must hold a text or a number."""
        return self._text(name, self.found(name))

    def texts(self, name: str) -> list[str]:
        """A field that may hold several."""
        value = self.found(name)
        if not (isinstance(value, list) and value):
            return [self._text(name, value)]
        several = cast("list[Any]", value)
        return [self._text(name, one) for one in several]

    def number(self, name: str) -> float:
        """A field that must hold a number."""
        text = text_of(self.found(name)) or ""
        try:
            found = float(text)
        except ValueError:
            found = math.nan
        if not math.isfinite(found):
            raise ConfigError(f"{self._where}: field {name!r} must be a number{self._has()}")
        return found

    def options(self, name: str) -> list[str]:
        """A field that holds a list, perhaps written as JSON, or with `|` between the options."""
        value = self.found(name)
        if isinstance(value, str):
            try:
                value = json.loads(value) if value.lstrip().startswith("[") else value.split("|")
            except ValueError:
                value = None
            if isinstance(value, list):
                value = [str(one) for one in cast("list[Any]", value)]
        given = cast("list[Any]", value) if isinstance(value, list) else []
        options = [text.strip() for one in given if (text := text_of(one)) is not None]
        if not 2 <= len(given) <= len(LETTERS) or len(options) < len(given):
            raise ConfigError(
                f"{self._where}: field {name!r} must be a list of 2 to {len(LETTERS)} texts"
                f"{self._has()}"
            )
        return options

    def letter(self, answer: str, options: list[str]) -> str:
        """The letter of an option that is given by its text, its letter, or its number from 0."""
        known, letter = LETTERS[: len(options)], answer.strip().strip("().").upper()
        if answer.strip() in options:
            return LETTERS[options.index(answer.strip())]
        if letter.isdecimal() and int(letter) < len(options):
            return LETTERS[int(letter)]
        if len(letter) == 1 and letter in known:
            return letter
        raise ConfigError(
            f"{self._where}: the answer {answer[:40]!r} is neither a letter from A to {known[-1]} "
            "nor one of the options, nor their number from 0"
        )

    def whole(self, name: str) -> int:
        """A field with a whole number; 0 where it is empty."""
        text = text_of(self.found(name)) or "0"
        try:
            return int(text)
        except ValueError:
            raise ConfigError(
                f"{self._where}: field {name!r} must be a whole number, not {text[:20]!r}"
            ) from None

    def _text(self, name: str, value: Any) -> str:
        text = text_of(value)
        if text is None:
            raise ConfigError(
                f"{self._where}: field {name!r} must be a text or a number{self._has()}"
            )
        if not text.isascii() and not _encodes(text):
            raise ConfigError(
                f"{self._where}: field {name!r} holds half a character (a lone surrogate); "
                "write it whole"
            )
        return text

    def _has(self) -> str:
        return f"; the line has {', '.join(self._row) or 'no fields'}"


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
