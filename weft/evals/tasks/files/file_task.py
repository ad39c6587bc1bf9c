"""FileTask: questions and answers from rows with named fields, wherever the rows come from."""

from __future__ import annotations

import hashlib
import json
import random
import re
from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from weft.errors import ConfigError
from weft.evals.tasks.code_tests import failure
from weft.evals.tasks.files.problems import Columns, FileProblem
from weft.evals.tasks.scorer import parse_scorer
from weft.evals.tasks.task import Sample, Task
from weft.parsers.thinking import visible
from weft.programs import Prompt
from weft.sandbox import SandboxLimits, check_sandbox
from weft.search.choices import Choices, lettered
from weft.search.readers import parse_reader
from weft.search.readers.suiting import reader_for
from weft.search.strategy import Answer, Question, stable_seed

_VERIFY = (
    "\n\nAn answer, perhaps unfinished:\n{}\n\nIs it right as far as it goes? Answer yes or no."
)


class FileTask(Task):
    r"""A task from rows, whose answers a reader compares; subclasses read the rows.

    Args:
        path: the file.
        question: the field that holds the question.
        answer: the field that holds the right answer, a text or a number, or a list of them of
            which any is right.
        id: a field that names the sample; the number of the line if the field is missing.
        system: a system turn that comes first.
        think: a system turn for strategies that ask for visible thinking.
        template: how the question is asked, such as `Q: {question}\nA:`, with fields in braces; a
            single brace is written twice.
        choices: a field that holds the options of a question, a list of two to ten texts. They
            are put below it as A, B, C ...; the right answer is a letter, an option's text, or an
            option's number from 0.
        tests: a field with tests, Python code or a list of lines of it, that judge the program in
            an answer in a sandbox; no right answer is needed then.
        shots: how many examples with their answers come before each question.
        examples: a file that the examples are drawn from; by default they are other rows of the
            same file.
        solution: a field that holds what an example answers; by default the right answer.
        shuffle: whether rows are in an order drawn by the seed, so that the first of them are a
            random part; else they are as in the file.
        pattern: a regular expression that finds the answer in a text; its last match counts,
            and in it the first group if there is one. Without it, the reader has the whole
            text.
        reader: what reads answers and compares them, see `weft readers`: `number`, `choice`,
            `math`, `text`, `json`, `code`, or a reader of your own. By default as `match` says.
        match: `numeric` is the reader `number`, `exact` the reader `text(case=true)`; `auto` is
            the reader that suits all right answers; behind a pattern `number` or `text`.
        scorer: gives partial credit to answers that are not right, see `weft scorers`: `f1`,
            `items`, `prefix`, or a scorer of your own; none by default. The judges `judged` and
            `preferred` also say which answers are right.
        max_tokens: the most tokens of an answer.
        steps: the text that ends a step, for step searches; `\n` in it is a newline.
        cluster: a field that names what rows have in common that are not independent, such as the
            text that they ask about; errors are then those of clusters.
        demands: fields with numbers that say how much a question demands, the larger the harder,
            with spaces between their names; the strategy `by_demands` uses them.
        priority: a field with a whole number: rows with a lower one are asked first.
    """

    def __init__(
        self,
        path: Path,
        question: str = "question",
        answer: str = "answer",
        id: str = "id",
        system: str | None = None,
        think: str | None = None,
        template: str = "",
        choices: str = "",
        tests: str = "",
        shots: int = 0,
        examples: Path | None = None,
        solution: str = "",
        shuffle: bool = False,
        pattern: str | None = None,
        reader: str = "",
        match: Literal["auto", "numeric", "exact"] = "auto",
        scorer: str = "",
        max_tokens: int = 1024,
        steps: str = "\n",
        cluster: str = "",
        demands: str = "",
        priority: str = "",
    ) -> None:
        self.path = Path(path).expanduser()
        template = template.replace("\\n", "\n")
        asked = question, answer, id, template, choices, tests, solution, cluster
        fields = (*asked, demands, priority)
        self.columns = Columns(*fields)
        self.system, self.think = system, think
        if tests:
            check_sandbox()
        self.shots, self.shuffle = shots, shuffle
        self.max_tokens = max_tokens
        self.steps = steps.replace("\\n", "\n")
        try:
            self.pattern = re.compile(pattern) if pattern else None
        except re.error as e:
            raise self._wrong(f"pattern {pattern!r} is no regular expression: {e}") from None
        if max_tokens < 1:
            raise self._wrong(f"max_tokens={max_tokens} must be at least 1")
        if shots < 0:
            raise self._wrong(f"shots={shots} must be at least 0")
        shown = bool(shots) and examples is None
        asked = self.columns if shown else replace(self.columns, solution="")
        self._problems = asked.problems(self.path, self.rows(self.path))
        right = [one for problem in self._problems for one in problem.right]
        if reader and match != "auto":
            raise self._wrong("reader and match both say how to compare; leave out match")
        suits = "code" if tests else reader_for(right)
        if self.pattern and suits != "number":
            suits = "text"  # the pattern says what of a text is the answer
        named = {"auto": suits, "numeric": "number", "exact": "text(case=true)"}
        self.reader = parse_reader(reader or named[match])
        self.scorer = parse_scorer(scorer) if scorer else None
        if not tests:
            self._check_answers()
        self._examples = self._problems
        if examples is not None:
            path = Path(examples).expanduser()
            self._examples = self.columns.problems(path, self.rows(path))
        if shots > len(self._examples) - (examples is None):
            raise self._wrong(
                f"shots={shots} are more examples than {examples or path} has; take fewer, or "
                "name a file by examples"
            )
        judged = self.scorer is not None and self.scorer.right_from is not None
        self.slow = judged or bool(tests) or self.reader.slow
        self.fingerprint = self._digest()

    @abstractmethod
    def rows(self, path: Path) -> Iterable[tuple[int, dict[str, Any]]]:
        """The rows of a file with the numbers of their lines; numbers are texts as written.

        Raises:
            ConfigError: the file can't be read; names the line.
        """

    @property
    def spec(self) -> str:
        """Names the file only: `fingerprint` holds what is in it."""
        path = str(self.path).replace("'", "''")
        return f"{self.name}(path='{path}')"

    def _wrong(self, what: str) -> ConfigError:
        return ConfigError(f"{self.name}: {what}")

    def _check_answers(self) -> None:
        for one in self._problems:
            if not all(written.strip() for written in one.right):
                raise ConfigError(f"{self.path}: the answer of {one.id!r} is empty; give it one")
            if any(self.reader.alone(written) is None for written in one.right):
                raise ConfigError(
                    f"{self.path}: the answer of {one.id!r} is nothing that the reader "
                    f"{self.reader.spec} finds; correct it, or name another reader"
                )

    def _digest(self) -> str:
        """Of all that decides what is asked and what is right; not of where the file is."""
        rows = [[one.id, *one.sample.data.values()] for one in self._problems]
        pattern = self.pattern.pattern if self.pattern else None
        settings = [self.system, self.think, self.steps, self.max_tokens, pattern, self.reader.spec]
        if self.scorer is not None:
            settings.append(self.scorer.spec)
        if self.shots:
            settings += [self.shots, [[e.asked, e.shown] for e in self._examples]]
        if self.shuffle:
            settings.append("shuffled")
        return hashlib.sha256(json.dumps([rows, settings]).encode()).hexdigest()[:16]

    def samples(self, limit: int | None, seed: int) -> list[Sample]:
        """The first `limit` rows, as in the file or in the order that the seed gives."""
        order = list(self._problems)
        if self.shuffle:
            random.Random(stable_seed(seed, "rows")).shuffle(order)
        return [one.sample for one in order[:limit]]

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
        """The question as a user's turn, after the system turn and examples if there are any."""
        question: str = sample.data["question"]
        options: list[str] = sample.data.get("choices", [])
        if not options:
            return self._asked(question, sample, seed)
        choices = Choices(
            tuple(options), lambda some: self._asked(lettered(question, some), sample, seed)
        )
        return replace(choices.ask(options), choices=choices)

    def _asked(self, question: str, sample: Sample, seed: int) -> Question:
        def verify(text: str) -> Prompt:
            return Prompt.user(question + _VERIFY.format((visible(text) or "").strip()))

        return Question(
            prompt=self._asking(self.system, question, sample),
            think=self._asking(self.think, question, sample) if self.think else None,
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
            demands=sample.data.get("demands", {}),
        )

    def _asking(self, system: str | None, question: str, sample: Sample) -> Prompt:
        prompt = Prompt.system(system) if system else Prompt()
        for example in self._shown(sample):
            prompt = prompt.user(example.asked).assistant(example.shown)
        return prompt.user(question)

    def _shown(self, sample: Sample) -> list[FileProblem]:
        """The examples before a question, the same in every run; never the question itself."""
        if not self.shots:
            return []
        rng = random.Random(stable_seed("examples", sample.id))
        drawn = rng.sample(self._examples, min(self.shots + 1, len(self._examples)))
        return [one for one in drawn if one.question != sample.data["question"]][: self.shots]

    def correct(self, sample: Sample, answer: Answer) -> bool:
        """Whether the reader takes the value and one of the right answers for the same.

        Tests or a scorer may decide that instead.
        """
        if (tests := sample.data.get("tests")) is not None:
            return answer.value is not None and not failure(answer.value, tests, SandboxLimits())
        if self.scorer is not None and self.scorer.right_from is not None:
            return self.credit(sample, answer) >= self.scorer.right_from
        value = answer.value
        return value is not None and any(
            self.reader.agree(value, one) for one in self._known(sample)
        )

    def credit(self, sample: Sample, answer: Answer) -> float:
        """What the scorer gives for the right answer that the value is nearest to."""
        if self.scorer is None:
            return 0.0
        said, known = answer.value, self._known(sample)
        if self.scorer.right_from is not None:
            said, known = visible(answer.text or ""), self._written(sample)
        if not said:
            return 0.0
        return max(self.scorer(said, one, sample.data["question"]) for one in known)

    def _known(self, sample: Sample) -> list[str]:
        """The right answers as they are read."""
        read = map(self.reader.alone, self._written(sample))
        return [one for one in read if one is not None]

    @staticmethod
    def _written(sample: Sample) -> list[str]:
        given: str | list[str] = sample.data["answer"]
        return given if isinstance(given, list) else [given]
