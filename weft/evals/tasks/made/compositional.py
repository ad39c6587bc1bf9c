"""Small tasks, alone and put together: what a model can do alone it may fail to do in a row.

Each part is a look into a short list. Parts are chained, done side by side, or done only if another
part says so, as in UI-NEXUS (Guo et al. 2025). The accuracy of `atomic` beside that of the others
is what putting together costs.
"""

from __future__ import annotations

import random
from typing import Literal

from weft.errors import UsageError
from weft.evals.tasks.task import Sample, Task, task
from weft.parsers.thinking import visible
from weft.programs import Prompt
from weft.search.readers import parse_reader
from weft.search.strategy import Answer, Question, stable_seed

_ASK = "{lists}\n\nWhat is {task}? Give the number alone, as: Answer: NUMBER"
_VERIFY = "\n\nAn answer:\n{}\n\nIs it right? Answer yes or no."
_PEOPLE = ("Ada", "Ben", "Chloe", "Dan", "Eve", "Finn", "Gita", "Hugo")
_TOWNS = ("Bern", "Oslo", "Lima", "Kyiv", "Riga", "Turin")
_USUAL = 200
"""Problems where nobody says how many."""

Kind = Literal["atomic", "chain", "branch", "condition", "mixed"]
_MIXED: tuple[Kind, ...] = ("atomic", "chain", "branch", "condition")
Part = tuple[str, int]
"""What is asked for, in words, and its value."""


class _Lists:
    """Who is whose friend, who lives where, and what a ticket to where costs."""

    def __init__(self, rng: random.Random) -> None:
        others = rng.sample(_PEOPLE, len(_PEOPLE))
        after = [*others[1:], others[0]]  # one ring, so nobody is their own friend's friend
        self.friend: dict[str, str] = dict(zip(others, after, strict=True))
        self.town: dict[str, str] = {one: rng.choice(_TOWNS) for one in _PEOPLE}
        prices = rng.sample(range(10, 100), len(_TOWNS))
        self.price: dict[str, int] = dict(zip(_TOWNS, prices, strict=True))

    def __str__(self) -> str:
        rows = [f"{p} lives in {self.town[p]}; the friend is {self.friend[p]}." for p in _PEOPLE]
        return "\n".join([*rows, *(f"A ticket to {t} costs {n}." for t, n in self.price.items())])

    def part(self, rng: random.Random, steps: int) -> Part:
        """What a ticket costs, to a town that takes `steps` - 1 looks to know."""
        if steps == 1:
            town = rng.choice(_TOWNS)
            return f"the price of a ticket to {town}", self.price[town]
        person = rng.choice(_PEOPLE)
        words = person
        for _ in range(steps - 2):
            words, person = f"the friend of {words}", self.friend[person]
        return f"the price of a ticket to where {words} lives", self.price[self.town[person]]

    def composed(self, rng: random.Random, kind: Kind, steps: int) -> Part:
        """Parts put together."""
        if kind == "atomic":
            return self.part(rng, 1)
        (words, value), by = self.part(rng, steps), rng.randint(2, 9)
        if kind == "chain":
            return rng.choice([(f"{words}, plus {by}", value + by), (f"twice {words}", 2 * value)])
        others, other = self.part(rng, steps)
        if kind == "branch":
            return rng.choice(
                [
                    (f"the sum of {words} and {others}", value + other),
                    (f"the larger of {words} and {others}", max(value, other)),
                    (f"the smaller of {words} and {others}", min(value, other)),
                ]
            )
        test, known = self.part(rng, steps)
        limit = known + rng.choice([-by, by])
        told = f"{words} if {test} is more than {limit}, and otherwise {others}"
        return told, value if known > limit else other


@task("compositional")
class CompositionalTask(Task):
    """Looks into short lists, alone, chained, side by side, or under a condition.

    Args:
        kind: `atomic` is one look, `chain` several that need each other, `branch` two chains side
            by side, `condition` a chain that another one chooses; `mixed` is all of these in turn.
        steps: how many looks a chain has.
    """

    def __init__(self, kind: Kind = "mixed", steps: int = 3) -> None:
        if not 2 <= steps <= 20:
            raise UsageError(f"steps={steps} of compositional must be from 2 to 20")
        self.kind: Kind = kind
        self.steps = steps

    @property
    def spec(self) -> str:
        """With kind and steps."""
        return f"compositional(kind={self.kind}, steps={self.steps})"

    def samples(self, limit: int | None, seed: int) -> list[Sample]:
        """Problems drawn with `seed`; 200 if there is no limit."""
        return [self._made(at, seed) for at in range(_USUAL if limit is None else limit)]

    def _made(self, at: int, seed: int) -> Sample:
        kind: Kind = _MIXED[at % len(_MIXED)] if self.kind == "mixed" else self.kind
        rng = random.Random(stable_seed("compositional", kind, self.steps, seed, at))
        lists = _Lists(rng)
        words, value = lists.composed(rng, kind, self.steps)
        data = {"lists": str(lists), "task": words, "answer": value, "kind": kind}
        return Sample(f"{kind}.{seed}.{at}", data)

    def question(self, sample: Sample, seed: int) -> Question:
        """The lists, and what is asked for."""
        asked = _ASK.format(lists=sample.data["lists"], task=sample.data["task"])
        reader = parse_reader("number")

        def verify(text: str) -> Prompt:
            return Prompt.user(asked + _VERIFY.format((visible(text) or "").strip()))

        return Question(
            prompt=Prompt.user(asked),
            steps="\n",
            max_tokens=256 + 32 * self.steps,
            max_think_tokens=2048,
            max_steps=16,
            answer=reader,
            answer_cut=reader.cut,
            same=reader.equality,
            complete=lambda text: "answer:" in text.lower() and reader(text) is not None,
            verify=verify,
            seed=seed,
        )

    def correct(self, sample: Sample, answer: Answer) -> bool:
        """Whether the number is right."""
        return answer.value == str(sample.data["answer"])
