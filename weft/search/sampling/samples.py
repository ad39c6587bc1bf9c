"""Samples of a question: drawn until they are enough, and told as an answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from weft.errors import WeftError
from weft.programs import fan_out
from weft.search.answers.failures import NO_RESULT, note
from weft.search.answers.voting import Tally, tally
from weft.search.sampling.drawing import Candidate, Draw
from weft.search.sampling.nesting import note_within
from weft.search.strategy import Answer, Question

Found = dict[int, Candidate]


@dataclass
class Drawn:
    """What became of n samples.

    Attributes:
        found: samples by index, in the order in which they finished.
        missing: indices of those that a budget refused, or that failed.
        errors: why samples are missing, or have no score.
    """

    found: Found = field(default_factory=dict[int, Candidate])
    missing: set[int] = field(default_factory=set[int])
    errors: list[WeftError] = field(default_factory=list[WeftError])
    _next: int = 0

    def add(self, index: int, result: Candidate | WeftError) -> None:
        """Keep what became of a sample."""
        if isinstance(result, Candidate):
            self.found[index] = result
            error = result.error
        else:
            self.missing.add(index)
            error = result
        if error is not None:
            self.errors.append(error)

    def value(self, index: int) -> str | None:
        """The answer of a sample; None if it has none, or is missing."""
        return self.found[index].value if index in self.found else None

    def in_order(self) -> Iterator[int]:
        """The samples before which all others have come, each given once."""
        while self._next in self.found or self._next in self.missing:
            self._next += 1
            yield self._next - 1


async def collect(
    draw: Draw,
    n: int,
    enough: Callable[[Drawn, int], bool] = lambda drawn, index: False,
    *,
    limit: int | None = None,
    quorum: int | None = None,
    counts: Callable[[Candidate], bool] = lambda sample: True,
    drawn: Drawn | None = None,
) -> Drawn:
    """Draw n samples, until all are there or missing, or enough are there.

    Args:
        draw: draws the sample of an index.
        n: how many.
        enough: whether the rest can be cancelled; asked after each sample, with its index.
        limit: how many are drawn at once; None draws all.
        quorum: how many samples that count are enough; None draws all.
        counts: whether a sample counts.
        drawn: the first of the n, if they are there already; the others are added.
    """
    drawn, over, votes = drawn or Drawn(), False, 0
    left = range(len(drawn.found) + len(drawn.missing), n)
    # Handed out as samples start, which trio does in an order of its own.
    indices = iter(left)

    async def attempt(_: int) -> None:
        # What follows from a sample is decided before the next one starts.
        nonlocal over, votes
        if over:
            return
        index = next(indices)
        try:
            result = await draw(index)
        except NO_RESULT as error:
            result = error
        if over:
            return
        drawn.add(index, result)
        if quorum is not None:
            useful = isinstance(result, Candidate) and counts(result)
            votes += useful
            results.quorum += not useful
        over = votes == quorum or enough(drawn, index)

    async with fan_out(attempt, left, limit=limit, quorum=quorum) as results:
        async for _ in results:
            if over:
                break
    return drawn


def answered(drawn: Drawn, chosen: Candidate | None, score: float | None, **details: Any) -> Answer:
    """The Answer that gives `chosen`, or the earliest sample where none could be chosen.

    A sample that can be read comes before one that can't.

    Raises:
        EngineError: there is no sample, and that is for the engines' failures.
    """
    found = drawn.found
    _tell(drawn, details)
    if chosen is None and found:
        chosen = found[min(found, key=lambda i: (found[i].value is None, not found[i].text, i))]
    if chosen is None:
        if "budget" not in details and drawn.errors:
            raise drawn.errors[0]
        return Answer(None, None, None, details)
    text = chosen.text if chosen.within is None else chosen.text or None
    return Answer(text, chosen.value, score, details)


def abstaining(drawn: Drawn, **details: Any) -> Answer:
    """The Answer that gives none on purpose, whatever there is and whatever failed."""
    _tell(drawn, details)
    return Answer(None, None, None, details | {"abstained": True})


def _tell(drawn: Drawn, details: dict[str, Any]) -> None:
    """Say what became of the samples."""
    found = drawn.found
    details["samples"] = len(found)
    details["unparsable"] = sum(s.value is None for s in found.values())
    note(details, drawn.errors)
    note_within(details, [found[i].within or {} for i in sorted(found)])


def voted(drawn: Drawn, count: Tally, **details: Any) -> Answer:
    """The Answer of a plain vote; its score is the winner's share."""
    chosen = drawn.found[count.winner.members[0]] if count.winner else None
    details["votes"] = {c.value: len(c.members) for c in count.clusters}
    return answered(drawn, chosen, count.share if chosen else None, **details)


def unscored(question: Question, drawn: Drawn) -> Answer:
    """The Answer where no sample has a score: that of a plain vote."""
    count = tally({i: s.value for i, s in drawn.found.items()}, same=question.same)
    return voted(drawn, count, scored=0)
