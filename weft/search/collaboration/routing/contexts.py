"""What a router knows of a question before it is answered: how hard its words are, and its kind."""

from __future__ import annotations

import math
import re
from collections import Counter
from zlib import crc32

_WORD = re.compile(r"[^\W\d_]+|\d+")
_SENTENCE = re.compile(r"[.!?]+(?:\s|$)|\n\s*\n")
_VOWELS = re.compile(r"[aeiouyàâäéèêëîïôöûüáíóúů]+", re.IGNORECASE)
_BINS = (40.0, 70.0)
"""Complexities at which texts are no longer plain (Flesch 60), and are very difficult (30)."""

_READ = 4000  # characters of a question
_KINDS = 3
_PLACES = 64


def complexity(text: str) -> float:
    """How hard a text is to read: 100 less Flesch's reading ease (1948); 0 without words."""
    words = _WORD.findall(text)
    if not words:
        return 0.0
    sentences = len(_SENTENCE.findall(text.rstrip(".!? \n"))) + 1
    syllables = sum(max(1, len(_VOWELS.findall(word))) for word in words)
    ease = 206.835 - 1.015 * len(words) / sentences - 84.6 * syllables / len(words)
    return 100 - ease


class Contexts:
    """Contexts of questions, in the order in which they come.

    A context holds a constant 1, one of three bins of complexity, and one of three kinds. Kinds
    are found while questions come, by online k-means (MacQueen 1967) over their words. GreenServ
    has sentence embeddings in place of words; stock engines that answer don't give them.
    """

    size = 1 + len(_BINS) + 1 + _KINDS

    def __init__(self) -> None:
        self._centres: list[list[float]] = []
        self._counts: list[int] = []

    def of(self, text: str) -> tuple[float, ...]:
        """The context of the next question; of a long one its beginning is read."""
        text = text[:_READ]
        bin = sum(complexity(text) > edge for edge in _BINS)
        kind = self._kind(text)
        bins = [float(i == bin) for i in range(len(_BINS) + 1)]
        return (1.0, *bins, *(float(i == kind) for i in range(_KINDS)))

    def _kind(self, text: str) -> int:
        words = _words(text)
        distances = [math.dist(words, centre) for centre in self._centres]
        if len(self._centres) < _KINDS and min(distances, default=1.0) > 0:
            self._centres.append(words)
            self._counts.append(1)
            return len(self._centres) - 1
        kind = distances.index(min(distances))
        self._counts[kind] += 1
        share = 1 / self._counts[kind]
        centre = self._centres[kind]
        self._centres[kind] = [c + share * (w - c) for c, w in zip(centre, words, strict=True)]
        return kind


def _words(text: str) -> list[float]:
    """Which words a text has, hashed to so many places; of length 1."""
    places = Counter(crc32(word.lower().encode()) % _PLACES for word in _WORD.findall(text))
    length = math.sqrt(sum(math.log1p(n) ** 2 for n in places.values())) or 1.0
    return [math.log1p(places[i]) / length for i in range(_PLACES)]
