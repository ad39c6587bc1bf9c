"""Numbers in English words: `twenty-one`, `three hundred and five`."""

from __future__ import annotations

import re
from fractions import Fraction

_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen"
)
_BY_TEN = "twenty thirty forty fifty sixty seventy eighty ninety"
_SMALL = {word: value for value, word in enumerate(_ONES.split())}
_TENS = {word: 10 * value for value, word in enumerate(_BY_TEN.split(), start=2)}
_LARGE = {"thousand": 10**3, "million": 10**6, "billion": 10**9}
_ALL = "|".join([*_SMALL, *_TENS, "hundred", *_LARGE])
_SPELLED = re.compile(rf"(minus |negative )?((?:{_ALL})(?:(?:[\s-]|\s+and\s+)(?:{_ALL}))*)\b", re.I)


def spelled(text: str) -> Fraction | None:
    """The number that a text begins with in words, if it says little else; None without one."""
    found = _SPELLED.match(text)
    if found is None or len(text[found.end() :].split()) > 4:
        return None
    total = part = 0
    for word in re.findall(r"[a-z]+", found[2].lower()):
        if word in _LARGE:
            total, part = total + max(part, 1) * _LARGE[word], 0
        elif word == "hundred":
            part = max(part, 1) * 100
        else:
            part += _SMALL.get(word, 0) + _TENS.get(word, 0)
    return Fraction(-(total + part) if found[1] else total + part)
