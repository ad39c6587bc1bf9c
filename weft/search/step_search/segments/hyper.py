"""hyper: a pool of paths that widens early and is pruned late."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean, median

from weft.parsers.thinking import split_thinking
from weft.parts.parameters import param, temperature
from weft.search.answers.cutting import cut
from weft.search.answers.voting import Same, tally
from weft.search.step_search.final_answer import final_answer
from weft.search.step_search.frontier import Frontier, Indices, Move, Path, explore
from weft.search.step_search.segments.segment_params import every_param
from weft.search.step_search.steps import Steps
from weft.search.strategy import Answer, Question, Strategy, strategy
from weft.types import TokenLogprob

ALTERNATIVES = 5
"""Of how many alternatives to a token the log-probabilities are asked for."""
SUREST = 20.0
"""The margin of a token to which engines tell no alternative, and the largest of any."""


@strategy("hyper")
class Hyper(Strategy):
    """Expand and reduce: what a token budget is spent on shifts from branches to the best paths.

    After HyPER (2026), by our own reading. All unfinished paths grow by a segment; then the pool
    is looked at. How much it *explores*, from 1 down to 0, is the share of `tokens` that is left,
    times how little the paths agree: the entropy of their answers over that of answers that all
    differ, where what is unfinished agrees with nothing. A path's *confidence* is the mean margin
    of its last segment's tokens: by how much the likeliest token's log-probability exceeds the
    second's.

    - *Reduce*: of paths with the same text one stays. A path goes whose confidence is below
      1 - explore of the best one's. So equally confident paths stay together until they part.
    - *Expand*: while the pool explores, paths branch at their most uncertain tokens, up to `n`
      paths: the branch keeps what is before the token.

    The answers vote, each weighed by its confidence over all of it, and by its length: half as
    long as the middle one, or twice, is half the weight. What the paper does with the experts of
    a model, one token at a time, needs the inside of an engine, and is left out.
    """

    title = "HyPER"
    family = "search"
    source = "after HyPER, 2026"
    needs = ("logprobs", "continuation")

    n: int = param(8, "unfinished paths at most; it begins with half of them", least=1, main=True)
    tokens: int = param(16384, "tokens that may be generated in all", least=1)
    every: int = every_param(64)
    uncertain: float = param(1.0, "a margin below which a token is a place to branch", least=0)
    temperature: float = temperature()

    async def solve(self, question: Question) -> Answer:
        """Answer the question."""
        steps = Steps(
            question,
            None,
            self.temperature,
            every=self.every,
            depth=sys.maxsize,
            logprobs=ALTERNATIVES,
        )
        frontier = HyperFrontier(steps.root, self, question.same)
        errors = await explore(frontier, steps.mover())
        finished = sorted(frontier.finished, key=lambda p: (p.depth, p.tie))
        return final_answer(
            finished,
            steps,
            errors,
            pick="vote",
            weights=weights(finished),
            checks=frontier.checks,
            generated=frontier.spent,
            branched=frontier.branched,
            pruned=frontier.pruned,
        )


class HyperFrontier(Frontier):
    """The policy of expanding and reducing.

    Attributes:
        finished: paths that came to their ends.
        checks: how many times the pool was looked at.
        spent: tokens that were generated.
        branched: how many paths began within another one.
        pruned: how many paths were given up, twins included.
    """

    def __init__(self, root: Path, settings: Hyper, same: Same) -> None:
        self.finished: list[Path] = []
        self.checks = self.spent = self.branched = self.pruned = 0
        self._root, self._settings, self._same = root, settings, same
        self._indices = Indices()
        self._live: list[Path] = []
        self._to_come = 0

    def begin(self) -> Sequence[Move]:
        """Half of the paths that there may be."""
        return self._grow([self._root] * max(1, self._settings.n // 2))

    def on_landed(self, path: Path) -> Sequence[Move]:
        """Look at the pool when the last path of the round is there."""
        assert path.parent is not None
        self.spent += path.tokens - path.parent.tokens
        (self.finished if path.finished else self._live).append(path)
        return self._look()

    def on_failed(self, move: Move) -> Sequence[Move]:
        """The pool has a path less."""
        return self._look()

    def _look(self) -> Sequence[Move]:
        self._to_come -= 1
        if self._to_come:
            return ()
        self.checks += 1
        explore = 1 - self.spent / self._settings.tokens
        explore *= disagreement(self._live, self.finished, self._same)
        kept = reduced(self._live, explore)
        self.pruned += len(self._live) - len(kept)
        self._live = []
        branches = expanded(kept, self._settings.uncertain)
        branches = branches[: int(explore * (self._settings.n - len(kept)))]
        self.branched += len(branches)
        return self._grow([*kept, *branches])

    def _grow(self, paths: list[Path]) -> list[Move]:
        """A segment for each path, the first ones alone if tokens are left for no more."""
        left = self._settings.tokens - self.spent
        paths = paths[:left]
        self._to_come = len(paths)
        most = min(self._settings.every, left // len(paths)) if paths else 0
        return [Move(path, self._indices.of(path), most=most) for path in paths]


def margin(token: TokenLogprob) -> float:
    """By how much the likeliest token in a place exceeds the second, in nats."""
    known = {**token.top, token.token: token.logprob}.values()
    best = sorted((value for value in known if math.isfinite(value)), reverse=True)
    return min(SUREST, best[0] - best[1]) if len(best) > 1 else SUREST


def confidence(path: Path) -> float:
    """The mean margin of a path's last segment."""
    return fmean(map(margin, path.logprobs)) if path.logprobs else 0.0


def disagreement(live: Sequence[Path], finished: Sequence[Path], same: Same) -> float:
    """How little paths agree, from 0 to 1: the entropy of their answers over the largest one.

    Unfinished paths agree if their texts are the same so far. A path alone says nothing, which
    counts as 1.
    """
    count = len(live) + len(finished)
    if count < 2:
        return 1.0
    votes = tally({i: path.value for i, path in enumerate(finished)}, same=same)
    groups = [len(cluster.members) for cluster in votes.clusters] + [1] * votes.unparsable
    texts = [path.text for path in live]
    groups += [texts.count(text) for text in dict.fromkeys(texts)]
    return -sum(n / count * math.log(n / count) for n in groups) / math.log(count)


def reduced(live: Sequence[Path], explore: float) -> list[Path]:
    """The paths that stay, the most confident first.

    Args:
        live: unfinished paths.
        explore: how much the pool explores, from 0 to 1.
    """
    different: list[Path] = []
    for path in sorted(live, key=lambda p: (-len(p.text), p.tie)):
        if not any(other.text.startswith(path.text) for other in different):
            different.append(path)
    sure = {path: confidence(path) for path in different}
    least = (1 - explore) * max(sure.values(), default=0.0)
    return sorted((p for p in different if sure[p] >= least), key=lambda p: (-sure[p], p.tie))


def expanded(kept: Sequence[Path], uncertain: float) -> list[Path]:
    """Paths up to their most uncertain token, the most uncertain first."""
    places: list[tuple[float, tuple[int, str], Path, int]] = []
    for path in kept:
        margins = [margin(token) for token in path.logprobs]
        if margins and (least := min(margins)) < uncertain:
            places.append((least, path.tie, path, margins.index(least)))
    return [up_to(path, at) for _, _, path, at in sorted(places, key=lambda p: p[:2])]


def up_to(path: Path, count: int) -> Path:
    """A path up to so many tokens of its last segment."""
    above = path.parent
    assert above is not None
    texts = [token.token for token in path.logprobs]
    kept = "".join(texts[:count])
    begun = above.prompt.in_thinking
    part, all = split_thinking(kept, inside=begun), split_thinking("".join(texts), inside=begun)
    # Where a template has opened the thinking, only what comes later shows it.
    before = all.unopened and not part.unopened
    inside = part.inside or before or (path.prompt.in_thinking and not all.inside)
    text = above.text + kept
    return replace(
        path,
        prompt=cut(path.prompt, texts, len(kept), in_thinking=inside) if count else above.prompt,
        text=text,
        tokens=above.tokens + count,
        confidence=above.confidence.plus(path.logprobs[:count]),
        shown="" if inside else split_thinking(text).text,
        logprobs=path.logprobs[:count],
    )


def weights(finished: Sequence[Path]) -> list[float]:
    """What answers count for in the vote: their confidence times a factor of their lengths."""
    if not finished:
        return []
    middle = median(path.tokens for path in finished)
    return [
        _overall(p) * min(p.tokens / middle, middle / p.tokens) if p.tokens and middle else 0.0
        for p in finished
    ]


def _overall(path: Path) -> float:
    """The mean margin of all tokens of a path."""
    margins: list[float] = []
    at: Path | None = path
    while at is not None:
        margins += map(margin, at.logprobs)
        at = at.parent
    return fmean(margins) if margins else 0.0
