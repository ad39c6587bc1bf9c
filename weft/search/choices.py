"""Choices: the options of a question that names some, and the same question in another order."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from weft.search.question import Question

LETTERS = "ABCDEFGHIJ"
_ABOVE = re.compile(r"\b(?:above|below|these|those|others?)\b", re.IGNORECASE)
"""Options such as `none of the above`, which keep their place."""
_NAMES = re.compile(r"\b[A-J]\b\)?\s*(?:,|/|&|and|or)\s*\(?\b[A-J]\b")
"""Options such as `both A and B`: with one of them, none can change its place."""


@dataclass(frozen=True)
class Choices:
    """The options of a question.

    Attributes:
        options: their texts, in the order in which the question has them as A, B, C ...
        ask: the question with options in another order, under the same letters.
    """

    options: tuple[str, ...]
    ask: Callable[[Sequence[str]], Question]

    def orders(self, seed: int, n: int) -> list[tuple[int, ...]]:
        """So many orders: in each, at place i stands the option of number `order[i]`.

        Of as many orders in a row as there are options, each option stands at each place once:
        they are one order by chance, turned round. Options that speak of those above stay where
        they are; if one names others by their letters, all do.
        """
        same = tuple(range(len(self.options)))
        if any(_NAMES.search(option) for option in self.options):
            return [same] * n
        free = [i for i in same if not _ABOVE.search(self.options[i])]
        rng, found = random.Random(seed), list[tuple[int, ...]]()
        while free and len(found) < n:
            mixed = rng.sample(free, len(free))
            for turn in range(len(free)):
                order = list(same)
                for place, option in zip(free, mixed[turn:] + mixed[:turn], strict=True):
                    order[place] = option
                found.append(tuple(order))
        return found[:n] or [same] * n


def lettered(question: str, options: Sequence[str]) -> str:
    """A question with its options below, each behind its letter."""
    named = (f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=False))
    return "\n".join([question, "", *named])


def reordered(question: Question, order: Sequence[int]) -> Question:
    """The question with its options in an order; its answers are read in the letters of the old.

    Args:
        question: with choices.
        order: at place i stands the option of number `order[i]`.
    """
    choices = question.choices
    assert choices is not None
    asked = choices.ask([choices.options[i] for i in order])

    def old(value: str | None) -> str | None:
        if value is None:
            return None
        places = [LETTERS[: len(order)].find(one) for one in value.split(", ")]
        if any(place < 0 for place in places) or len(places) != len(set(places)):
            return None
        return ", ".join(sorted(LETTERS[order[place]] for place in places))

    def read(given: Callable[[str], str | None]) -> Callable[[str], str | None]:
        return lambda text: old(given(text))

    return replace(
        question,
        prompt=asked.prompt,
        think=asked.think,
        verify=asked.verify,
        check=asked.check,
        complete=asked.complete,
        answer=read(asked.answer),
        answer_cut=None if asked.answer_cut is None else read(asked.answer_cut),
        choices=None,
    )
