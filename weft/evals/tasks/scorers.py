"""weft's own scorers: words in common, items in common, and steps that begin alike."""

from __future__ import annotations

import re
from collections import Counter

from weft.evals.tasks.scorer import Scorer, scorer

_ARTICLES = frozenset(("a", "an", "the"))


@scorer("f1")
class F1Scorer(Scorer):
    """Words in common: the harmonic mean of precision and recall (SQuAD, Rajpurkar et al. 2016)."""

    def credit(self, answer: str, right: str) -> float:
        """Case, punctuation and articles don't count."""
        return _f1(Counter(_words(answer)), Counter(_words(right)))


@scorer("items")
class ItemsScorer(Scorer):
    """Items in common of two lists, which commas, semicolons or newlines part, in any order."""

    def credit(self, answer: str, right: str) -> float:
        """The harmonic mean of precision and recall."""
        return _f1(Counter(_items(answer)), Counter(_items(right)))


@scorer("prefix")
class PrefixScorer(Scorer):
    """The share of the right list's items that the answer begins with, in order."""

    def credit(self, answer: str, right: str) -> float:
        """As ProcBench counts steps (Fujisawa et al. 2024): up to the first that differs."""
        given, wanted = _items(answer), _items(right)
        alike = 0
        for one, other in zip(given, wanted, strict=False):
            if one != other:
                break
            alike += 1
        return alike / max(len(given), len(wanted), 1)


def _words(text: str) -> list[str]:
    return [word for word in re.findall(r"\w+", text.casefold()) if word not in _ARTICLES]


def _items(text: str) -> list[str]:
    parts = re.split(r"[,;\n]", text.strip().strip("[](){}"))
    return [" ".join(part.split()).strip("\"'").casefold() for part in parts if part.strip()]


def _f1(given: Counter[str], wanted: Counter[str]) -> float:
    common = (given & wanted).total()
    return 2 * common / (given.total() + wanted.total()) if common else 0.0
