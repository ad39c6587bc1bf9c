"""short_m_at_k: vote among the first m of k samples to finish."""

from __future__ import annotations

from typing import Any

from weft.errors import UsageError
from weft.parts.parameters import param, temperature
from weft.search.answers.voting import tally
from weft.search.sampling.drawing import Candidate, Draw, drawer
from weft.search.sampling.nesting import of_param, texts_of
from weft.search.sampling.samples import Found, answered, collect
from weft.search.strategy import Answer, Question, Strategy, strategy


@strategy("short_m_at_k")
class ShortMAtK(Strategy):
    """The majority among the first m of k samples to finish (short-m@k, Hassid et al. 2025).

    The others are cancelled as soon as m have finished. A sample finishes with the end of its
    answer; one that was cut off or has no readable answer does not count. Ties go to the
    answer with the shortest sample.
    """

    family = "early exit"
    source = "Hassid et al. 2025"

    m: int = param(3, "samples that vote", least=1, main=True)
    k: int = param(8, "samples that start", least=1, main=True)
    think: bool = param(True, "ask for visible thinking, if the task has it")
    temperature: float = temperature()
    of: Strategy | None = of_param()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.m > self.k:
            raise UsageError(f"m={self.m} of {self.name} must be at most k={self.k}")

    @property
    def texts(self) -> int | None:
        """Among how many whole texts the strategy chooses: `k`, or as many of each of `of`."""
        return texts_of(self.k, self.of)

    async def solve(self, question: Question) -> Answer:
        """Answer the question."""
        draw = drawer(question, self.temperature, think=self.think, of=self.of)
        return await shortest(question, draw, self.m, self.k)


async def shortest(question: Question, draw: Draw, m: int, k: int) -> Answer:
    """The vote of the first m of k to finish."""
    drawn = await collect(draw, k, quorum=m, counts=_counts)
    first = _finished(drawn.found)[:m]
    details: dict[str, Any] = {"finished": [s.index for s in first]}
    if not first:
        return answered(drawn, None, None, **details)
    samples = {s.index: s for s in first}
    count = tally({i: s.value for i, s in samples.items()}, same=question.same)
    ahead = max(len(c.members) for c in count.clusters)
    leaders = {i for c in count.clusters if len(c.members) == ahead for i in c.members}
    best = min((samples[i] for i in leaders), key=lambda s: (s.tokens, s.index))
    details["votes"] = {c.value: len(c.members) for c in count.clusters}
    return answered(drawn, best, ahead / len(first), **details)


def _finished(found: Found) -> list[Candidate]:
    """Those that ended with a readable answer, first finished first."""
    return [s for s in found.values() if _counts(s)]


def _counts(sample: Candidate) -> bool:
    return sample.ended and sample.value is not None
