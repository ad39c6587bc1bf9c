"""rpc: samples vote with the probabilities that the model gave them."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import fmean

from weft.parts.parameters import param, temperature
from weft.search.answers.voting import Same, Tally, tally
from weft.search.sampling.drawing import Candidate, drawer
from weft.search.sampling.samples import answered, collect, unscored
from weft.search.sampling.votes.weibull import two_weibulls
from weft.search.strategy import Answer, Question, Strategy, strategy
from weft.search.verifiers import read_verifier

FEW = 8
"""Of fewer samples no two modes can be told."""


@strategy("rpc")
class Rpc(Strategy):
    """Samples vote with their probabilities, less those of the unlikely mode (Zhou et al. 2025).

    Reasoning-pruning Perplexity Consistency. A sample's probability is the geometric mean of its
    tokens' probabilities, its thinking's too. Two Weibull distributions are fitted to the
    samples' probabilities. Samples that rather belong to the lower one, and are below the mean,
    are dropped. Of the others each different text counts once, with its probability, and the
    answer with the largest sum wins. Where a vote's error falls as 1/n, that of this sum falls
    exponentially.

    Of fewer than eight samples with an answer, and where the fit fails, none is dropped. The text
    given is that of the winner's likeliest sample; the score is the winner's share of the sum.
    """

    title = "RPC"
    family = "sampling"
    source = "Zhou et al. 2025"
    needs = ("logprobs",)

    n: int = param(16, "samples", least=1, main=True)
    prune: bool = param(True, "drop samples of the unlikely mode")
    think: bool = param(False, "ask for visible thinking, if the task has it")
    temperature: float = temperature()

    @property
    def texts(self) -> int:
        """Among how many whole texts the strategy chooses: `n`."""
        return self.n

    async def solve(self, question: Question) -> Answer:
        """Answer the question."""
        likelihood = read_verifier("logprob")
        draw = drawer(question, self.temperature, think=self.think, verifier=likelihood)
        drawn = await collect(draw, self.n)
        scored = {i: s for i, s in drawn.found.items() if s.score is not None}
        if not scored:
            return unscored(question, drawn)
        kept = likely(scored.values()) if self.prune else [*scored.values()]
        count = consistency(kept, question.same)
        assert count.winner is not None
        best = max(count.winner.members, key=lambda i: scored[i].score or 0.0)
        votes = {c.value: round(c.weight, 6) for c in count.clusters}
        pruned = len(scored) - len(kept)
        return answered(drawn, scored[best], count.share, votes=votes, pruned=pruned)


def likely(samples: Iterable[Candidate]) -> list[Candidate]:
    """Those that are not of the unlikely mode, in the order of their indices.

    Args:
        samples: with their probabilities as scores.
    """
    samples = sorted(samples, key=lambda s: s.index)
    chances = [s.score or 0.0 for s in samples]
    if len(samples) < FEW or (modes := two_weibulls(chances)) is None:
        return samples
    mean = fmean(chances)
    return [
        s
        for s, chance in zip(samples, chances, strict=True)
        if chance >= mean or modes.is_high(chance) >= 0.5
    ]


def consistency(samples: Iterable[Candidate], same: Same) -> Tally:
    """Each answer's sum of the probabilities of different texts.

    A text that was drawn twice votes once: its second vote has no weight.

    Args:
        samples: in the order of their indices, with their probabilities as scores.
        same: whether two answers are the same.
    """
    values: dict[int, str | None] = {}
    weights: dict[int, float] = {}
    written: set[tuple[str, str]] = set()
    for s in samples:
        values[s.index] = s.value
        weights[s.index] = 0.0 if (text := (s.reasoning, s.text)) in written else s.score or 0.0
        written.add(text)
    return tally(values, weights, same)
