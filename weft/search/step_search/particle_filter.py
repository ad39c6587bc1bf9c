"""particle_filter: sampling good answers instead of searching for the best."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from itertools import accumulate

from weft.parameters import param, temperature
from weft.search.step_search.final_answer import final_answer, pick_param
from weft.search.step_search.frontier import Frontier, Indices, Move, Path, explore
from weft.search.step_search.steps import Steps
from weft.search.strategy import Answer, Question, Strategy, stable_seed, strategy
from weft.search.verifiers import read_verifier, verifier_param

_CLIP = 1e-7


@strategy("particle_filter")
class ParticleFilter(Strategy):
    """n particles take steps and are resampled by a verifier's score (Puri et al. 2025).

    A particle's weight is the softmax of logit(score) / tau over the newest scores
    (`weight=latest`, the paper's), or over the change of logit(score) since the step before
    (`weight=ratio`, the weights of sequential Monte Carlo). Finished particles keep their
    weight and may be copied. All particles must be scored before they are resampled: this
    barrier is the method's own.
    """

    n: int = param(8, "particles", least=1, main=True)
    verifier: str = verifier_param()
    tau: float = param(1.0, "temperature of the weights", above=0)
    weight: str = param("latest", "newest score, or its change", choices=("latest", "ratio"))
    resample: str = param(
        "multinomial", "how particles are redrawn", choices=("multinomial", "systematic")
    )
    pick: str = pick_param("draw")
    temperature: float = temperature()

    async def solve(self, question: Question) -> Answer:
        """Answer the question."""
        steps = Steps(question, read_verifier(self.verifier), self.temperature)
        rng = random.Random(stable_seed(question.seed, "particles"))
        frontier = ParticleFrontier(steps.root, self, rng)
        errors = await explore(frontier, steps.mover())
        slots = [p for p in frontier.slots if p.depth]
        finished = [p for p in slots if p.finished]
        weights = frontier.weights if len(finished) == self.n else None
        chosen = None
        if self.pick == "draw" and weights is not None:
            valued = {i: p for i, p in enumerate(finished) if p.value is not None}
            odds = [weights[i] for i in valued]
            if sum(odds) > 0:
                chosen = rng.choices(list(valued.values()), odds)[0]
        return final_answer(
            finished,
            steps.paths,
            [*errors, *steps.errors],
            same=question.same,
            pick=self.pick,
            weights=weights,
            chosen=chosen,
            ess=[round(e, 6) for e in frontier.ess],
            steps=frontier.steps,
            **steps.verifier.details,
        )


class ParticleFrontier(Frontier):
    """The policy of particle filtering.

    Attributes:
        slots: the particles.
        weights: theirs, adding up to 1, when the search has ended.
        ess: effective sample size of each round before resampling, from 1 to n.
        steps: how many steps have landed.
    """

    def __init__(self, root: Path, settings: ParticleFilter, rng: random.Random) -> None:
        self.slots = [root] * settings.n
        self.weights = [1 / settings.n] * settings.n
        self.ess: list[float] = []
        self.steps = 0
        self._settings, self._rng, self._indices = settings, rng, Indices()
        self._moving: set[int] = set()
        self._moved: set[int] = set()
        self._dead: set[int] = set()

    def begin(self) -> Sequence[Move]:
        """All particles start from the root."""
        return self._move()

    def on_landed(self, path: Path) -> Sequence[Move]:
        """Resample and go on when the last particle of the round is there."""
        self.slots[path.order] = path
        self.steps += 1
        self._moving.remove(path.order)
        self._moved.add(path.order)
        return self._next_round()

    def on_failed(self, move: Move) -> Sequence[Move]:
        """The particle has no weight, so another takes its place."""
        self._moving.remove(move.order)
        self._dead.add(move.order)
        return self._next_round()

    def _next_round(self) -> Sequence[Move]:
        if self._moving or len(self._dead) == len(self.slots):
            return ()
        self.weights = self._weigh()
        self.ess.append(1 / math.fsum(w * w for w in self.weights))
        if all(p.finished for p in self.slots):
            return ()
        draw = systematic if self._settings.resample == "systematic" else multinomial
        self.slots = [self.slots[i] for i in draw(self.weights, self._rng)]
        self.weights = [1 / len(self.slots)] * len(self.slots)
        return self._move()

    def _move(self) -> list[Move]:
        self._moving = {i for i, p in enumerate(self.slots) if not p.finished}
        self._moved, self._dead = set(), set()
        return [
            Move(self.slots[i], self._indices.of(self.slots[i]), i) for i in sorted(self._moving)
        ]

    def _weigh(self) -> list[float]:
        logs = [
            -math.inf if i in self._dead else self._log_weight(i, path)
            for i, path in enumerate(self.slots)
        ]
        top = max(logs)
        raw = [math.exp(log - top) for log in logs]
        total = math.fsum(raw)
        return [w / total for w in raw]

    def _log_weight(self, slot: int, path: Path) -> float:
        log = logit(path.score)
        if self._settings.weight == "ratio":
            # A finished particle that stood still has not changed.
            before = path.parent.score if path.parent is not None else None
            log = log - logit(before) if slot in self._moved else 0.0
        return log / self._settings.tau


def logit(score: float | None) -> float:
    """ln(score / (1 - score)), clipped; 0, that is even odds, without a score."""
    if score is None:
        return 0.0
    score = min(1 - _CLIP, max(_CLIP, score))
    return math.log(score / (1 - score))


def multinomial(weights: Sequence[float], rng: random.Random) -> list[int]:
    """As many independent draws of an index as there are weights."""
    return rng.choices(range(len(weights)), weights, k=len(weights))


def systematic(weights: Sequence[float], rng: random.Random) -> list[int]:
    """Draws of an index at even distances from one random start, as many as there are weights.

    Each index comes up floor(n w) or ceil(n w) times, and n w times in the mean.
    """
    n, start = len(weights), rng.random()
    ends = list(accumulate(weights))
    drawn: list[int] = []
    index = 0
    for i in range(n):
        # Scaling by the sum makes up for weights that add up to 1 but for rounding.
        while index < n - 1 and (start + i) * ends[-1] / n >= ends[index]:
            index += 1
        drawn.append(index)
    return drawn
