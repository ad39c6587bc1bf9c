"""Procedures to be followed step by step: nothing has to be known, and nothing to be found.

The answer is the text after each step. How many of the first are right says how long a model keeps
to a procedure, as in ProcBench (Fujisawa et al. 2024).
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any, cast

from weft.errors import UsageError
from weft.evals.tasks.task import Sample, Task, task
from weft.parsers.thinking import visible
from weft.programs import Prompt
from weft.search.readers import parse_reader
from weft.search.strategy import Answer, Question, stable_seed

_ASK = (
    "Begin with the text {start}, and follow these steps in order:\n\n{steps}\n\nAnswer with a "
    "JSON list that holds the text after each step, {count} texts in all."
)
_VERIFY = "\n\nAn answer:\n{}\n\nIs it right? Answer yes or no."
_LETTERS = "abcdefgh"
_USUAL = 200
"""Problems where nobody says how many."""

Step = tuple[str, Callable[[str], str]]


@task("procedures")
class ProceduresTask(Task):
    """Follow steps that change a text; partial credit is for the steps up to the first wrong one.

    Args:
        steps: how many steps there are.
        letters: how long the text is at first.
    """

    def __init__(self, steps: int = 6, letters: int = 6) -> None:
        if not (1 <= steps <= 100 and 2 <= letters <= 100):
            raise UsageError(
                f"steps={steps} of procedures must be 1 to 100, and letters={letters} 2 to 100"
            )
        self.steps, self.letters = steps, letters

    @property
    def spec(self) -> str:
        """With steps and letters."""
        return f"procedures(steps={self.steps}, letters={self.letters})"

    def samples(self, limit: int | None, seed: int) -> list[Sample]:
        """Problems drawn with `seed`; 200 if there is no limit."""
        return [self._made(at, seed) for at in range(_USUAL if limit is None else limit)]

    def _made(self, at: int, seed: int) -> Sample:
        rng = random.Random(stable_seed("procedures", self.steps, self.letters, seed, at))
        text = start = "".join(rng.choices(_LETTERS, k=self.letters))
        said: list[str] = []
        states: list[str] = []
        for number in range(1, self.steps + 1):
            words, change = _step(text, rng)
            text = change(text)
            said.append(f"{number}. {words}")
            states.append(text)
        data = {"start": start, "steps": said, "answer": json.dumps(states)}
        return Sample(f"{seed}.{at}", data)

    def question(self, sample: Sample, seed: int) -> Question:
        """The steps, and the form of the answer."""
        steps: list[str] = sample.data["steps"]
        asked = _ASK.format(start=sample.data["start"], steps="\n".join(steps), count=len(steps))
        reader = parse_reader("json")

        def verify(text: str) -> Prompt:
            return Prompt.user(asked + _VERIFY.format((visible(text) or "").strip()))

        return Question(
            prompt=Prompt.user(asked),
            steps="\n",
            max_tokens=64 + 16 * self.steps + self.steps * self.letters,
            max_think_tokens=4096,
            answer=reader,
            answer_cut=reader.cut,
            complete=lambda text: reader(text) is not None,
            verify=verify,
            check=lambda text: self.credit(sample, Answer(text, reader(text))),
            seed=seed,
        )

    def correct(self, sample: Sample, answer: Answer) -> bool:
        """Whether the text after each step is right."""
        return self.credit(sample, answer) == 1.0

    def credit(self, sample: Sample, answer: Answer) -> float:
        """The share of the steps that are right up to the first that is wrong."""
        if answer.value is None:
            return 0.0
        said: Any = json.loads(answer.value)
        given = cast("list[Any]", said) if isinstance(said, list) else []
        right: list[str] = json.loads(sample.data["answer"])
        alike = 0
        for one, other in zip(given, right, strict=False):
            if one != other:
                break
            alike += 1
        return alike / max(len(given), len(right))


def _step(text: str, rng: random.Random) -> Step:
    """A step that can be done with a text, in words and as a function; never to an empty text."""
    letter, at, by = rng.choice(_LETTERS), rng.randrange(len(text)), rng.randint(1, 3)
    other = rng.choice([one for one in _LETTERS if one != letter])
    here = rng.choice(text)
    steps: list[Step] = [
        ("Reverse the text.", lambda t: t[::-1]),
        ("Sort the letters from a to z.", lambda t: "".join(sorted(t))),
        ("Swap the first letter and the last.", lambda t: t[-1] + t[1:-1] + t[0]),
        (f"Put {letter} at the end.", lambda t: t + letter),
        (f"Put {letter} at the beginning.", lambda t: letter + t),
        (f"Put {letter} before letter {at + 1}.", lambda t: t[:at] + letter + t[at:]),
        (f"Replace each {here} by {other}.", lambda t: t.replace(here, other)),
        (f"Move the first letter to the end, {by} times.", lambda t: _turned(t, by)),
        ("Write every letter twice.", lambda t: "".join(2 * one for one in t)),
        (f"Delete letter {at + 1}.", lambda t: t[:at] + t[at + 1 :]),
        (f"Delete each {here}.", lambda t: t.replace(here, "")),
    ]
    # Not so short that nothing is left to do, nor so long that letters must be counted.
    return rng.choice([one for one in steps if 2 <= len(one[1](text)) < len(text) + 12])


def _turned(text: str, by: int) -> str:
    by %= len(text)
    return text[by:] + text[:by]
