"""mbr: the sample that is most like all the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from statistics import fmean

from weft.errors import UsageError, WeftError
from weft.parts.parameters import param, temperature
from weft.programs import Prompt, fan_out
from weft.search.answers.failures import NO_RESULT
from weft.search.sampling.drawing import Candidate, drawer, hedge_param, hedged
from weft.search.sampling.samples import answered, collect
from weft.search.strategy import Answer, Question, Strategy, stable_seed, strategy
from weft.search.verifiers.verdicts import ask_verdict

_ALIKE = """Two answers to one request follow. Do they say the same in substance? Answer with yes \
or no alone.

First answer:
{}

Second answer:
{}"""


@strategy("mbr")
class Mbr(Strategy):
    """The sample with the highest mean likeness to the others: minimum Bayes risk.

    A vote for open answers, of which no two are equal. `likeness=overlap` compares characters
    (chrF, Popović 2015) and costs nothing. `likeness=model` asks a model about each pair whether
    both say the same, and takes P(yes). The pool is hedged: its first sample is greedy.

    With `evidence` so many samples more are drawn in another `language`. They are no candidates,
    but count as others (X-MBR, Khairi et al. 2025). Their likeness can only be judged by a model.
    """

    title = "MBR"
    family = "sampling"
    source = "Kumar and Byrne 2004; with `evidence` Khairi et al. 2025"

    n: int = param(5, "samples", least=1, main=True)
    likeness: str = param("overlap", "how two are compared", choices=("overlap", "model"))
    role: str = param("verifier", "who is asked about likeness")
    evidence: int = param(0, "samples in another language, to compare with", least=0)
    language: str = param("English", "of the evidence")
    hedge: bool = hedge_param(True)
    temperature: float = temperature()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.evidence and self.likeness == "overlap":
            raise UsageError(
                f"evidence={self.evidence} of {self.name} is in another language, whose characters "
                "say nothing; give likeness=model too"
            )

    @property
    def texts(self) -> int:
        """Among how many whole texts the strategy chooses: `n`."""
        return self.n

    @property
    def drawn_alike(self) -> bool:
        """Whether all texts are drawn alike; not with a greedy one among them."""
        return not self.hedge

    async def solve(self, question: Question) -> Answer:
        """Answer the question."""
        heat = hedged(self.temperature, self.hedge)
        own = drawer(question, heat)
        other = drawer(in_language(question, self.language), self.temperature)
        drawn = await collect(
            lambda index: own(index) if index < self.n else other(index), self.n + self.evidence
        )
        read = [s for _, s in sorted(drawn.found.items()) if s.value is not None]
        candidates = [s for s in read if s.index < self.n]
        if len(read) < 2 or not candidates:
            return answered(drawn, None, None, compared=0)
        likeness = await self._likeness(read, drawn.errors)
        risk = {
            s.index: fmean(u for pair, u in likeness.items() if s.index in pair)
            for s in candidates
            if any(s.index in pair for pair in likeness)
        }
        if not risk:
            return answered(drawn, candidates[0], None, compared=0)
        best = max(risk, key=lambda i: (risk[i], -i))
        return answered(drawn, drawn.found[best], risk[best], compared=len(likeness))

    async def _likeness(
        self, read: Sequence[Candidate], errors: list[WeftError]
    ) -> dict[tuple[int, int], float]:
        """How alike each two are of which one is a candidate, as far as that can be had."""
        pairs = [(a, b) for a, b in combinations(read, 2) if a.index < self.n]
        if self.likeness == "overlap":
            grams = {s.index: ngrams(s.text) for s in read}
            return {(a.index, b.index): overlap(grams[a.index], grams[b.index]) for a, b in pairs}
        found: dict[tuple[int, int], float] = {}

        async def ask(pair: tuple[Candidate, Candidate]) -> None:
            a, b = pair
            prompt = Prompt.user(_ALIKE.format(a.text, b.text))
            try:
                said = await ask_verdict(prompt, self.role)
            except NO_RESULT as error:
                errors.append(error)
                return
            found[a.index, b.index] = said.score

        async with fan_out(ask, pairs) as asked:
            async for _ in asked:
                pass
        return found


def in_language(question: Question, language: str) -> Question:
    """The question, to be answered in a language, with chance of its own."""
    prompt = question.prompt
    before = prompt.parent or Prompt()
    asked = before.user(f"{prompt.text}\n\nAnswer in {language}.")
    return replace(question, prompt=asked, seed=stable_seed(question.seed, "evidence"))


def ngrams(text: str) -> list[Counter[str]]:
    """How often each 1 to 6 characters of a text are in it, without spaces."""
    bare = "".join(text.split())
    return [Counter(bare[i : i + n] for i in range(len(bare) - n + 1)) for n in range(1, 7)]


def overlap(a: Sequence[Counter[str]], b: Sequence[Counter[str]]) -> float:
    """How alike two texts are, from 0 to 1: chrF with precision and recall of equal weight.

    Args:
        a: the n-grams of one.
        b: the n-grams of the other.
    """
    shares = [
        2 * (one & other).total() / (one.total() + other.total())
        for one, other in zip(a, b, strict=True)
        if one or other
    ]
    return fmean(shares) if shares else 1.0
