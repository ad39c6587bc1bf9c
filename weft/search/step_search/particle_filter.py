"""particle_filter: sampling good answers instead of searching for the best."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence

from weft.parts.parameters import param, temperature
from weft.search.step_search.ahead import StepsAhead, ahead_param
from weft.search.step_search.final_answer import final_answer, pick_param
from weft.search.step_search.frontier import Frontier, Indices, Move, Path, explore
from weft.search.step_search.resampling import RESAMPLING
from weft.search.step_search.steps import Steps
from weft.search.strategy import Answer, Question, Strategy, stable_seed, strategy
from weft.search.verifiers import read_verifier, verifier_param

_CLIP = 1e-7


@strategy("particle_filter")
class ParticleFilter(Strategy):
    """n particles take steps and are resampled by a verifier's score (Puri et al. 2025).

    With R the score of an answer so far and o = (R / (1 - R))^(1 / tau), the particles are a
    sample of the posterior p(answer) o(answer), where p is the model's own probability; the more
    particles, the better. For this a particle is weighed by how o changed with its step
    (`weight=ratio`, sequential Monte Carlo). `weight=latest` weighs by the newest o, as the
    paper does. Then o counts after every step, and the last one again in each round that others
    go on: so early scores count more than once, and answers that end early count more if they
    are good.

    Answers without a readable value are left out. The answer is drawn (`pick=draw`), so it is a
    sample of the posterior; `vote` gives the likeliest value instead, and `best` the highest
    score. All particles must be scored before they are resampled: this barrier is the method's
    own.
    """

    family = "search"
    source = "Puri et al. 2025"
    needs = ("verifier", "steps", "continuation")

    n: int = param(8, "particles", least=1, main=True)
    verifier: str = verifier_param()
    tau: float = param(1.0, "temperature of the weights", above=0)
    weight: str = param(
        "ratio", "change of the score, or the newest score", choices=("ratio", "latest")
    )
    resample: str = param("multinomial", "how particles are redrawn", choices=tuple(RESAMPLING))
    pick: str = pick_param("draw", default="draw")
    ahead: int = ahead_param()
    temperature: float = temperature()

    async def solve(self, question: Question) -> Answer:
        """Answer the question."""
        steps = Steps(question, read_verifier(self.verifier), self.temperature)
        rng = random.Random(stable_seed(question.seed, "particles"))
        frontier = ParticleFrontier(steps.root, self, rng)
        ahead = StepsAhead(steps.mover(), self.ahead)
        errors = await explore(frontier, ahead.step, ahead)
        slots = [p for p in frontier.slots if p.depth]
        finished = [p for p in slots if p.finished]
        weights = frontier.weights if len(finished) == self.n else None
        chosen = frontier.draw() if self.pick == "draw" else None
        return final_answer(
            finished,
            steps,
            errors,
            pick=self.pick,
            weights=weights,
            chosen=chosen,
            ess=[round(e, 6) for e in frontier.ess],
            steps=frontier.steps,
            **ahead.details,
        )


class ParticleFrontier(Frontier):
    """The policy of particle filtering.

    Args:
        root: where all particles start.
        settings: of the filter.
        rng: its chance.
        indices: of the continuations made, where others make some of the same paths.
        first: the order of the first particle's moves.
        reference: a finished path that the first particle follows, whatever its weight
            (conditional sequential Monte Carlo, Andrieu et al. 2010).

    Attributes:
        slots: the particles.
        weights: theirs, adding up to 1, when the search has ended.
        ess: effective sample size of each round before resampling, from 1 to n.
        steps: how many steps have landed.
        over: whether no particle has a step left to make.
    """

    def __init__(
        self,
        root: Path,
        settings: ParticleFilter,
        rng: random.Random,
        *,
        indices: Indices | None = None,
        first: int = 0,
        reference: Path | None = None,
    ) -> None:
        self.slots = [root] * settings.n
        self.weights = [1 / settings.n] * settings.n
        self.ess: list[float] = []
        self.steps, self.over = 0, False
        self._settings, self._rng, self._first = settings, rng, first
        self._indices = Indices() if indices is None else indices
        self._follows = reference is not None
        self._ahead: list[Path] = []  # what the reference has still to come, the next one last
        while reference is not None and reference.depth:
            self._ahead.append(reference)
            reference = reference.parent
        self._moving: set[int] = set()
        self._moved: set[int] = set()
        self._dead: set[int] = set()

    def begin(self) -> Sequence[Move]:
        """All particles start from the root."""
        return self._move()

    def on_landed(self, path: Path) -> Sequence[Move]:
        """Resample and go on when the last particle of the round is there."""
        slot = path.order - self._first
        self.slots[slot] = path
        self.steps += 1
        self._moving.remove(slot)
        self._moved.add(slot)
        return self._next_round()

    def on_failed(self, move: Move) -> Sequence[Move]:
        """The particle has no weight, so another takes its place."""
        slot = move.order - self._first
        self._moving.remove(slot)
        self._dead.add(slot)
        return self._next_round()

    def guesses(self) -> Iterable[Move]:
        """Two steps of each particle that has landed, by how often it would be drawn."""
        weights = self._weigh() if self._moved else self.weights
        likely = [
            (-weights[slot] / (copy + 1), move.path.tie, slot, move)
            for slot in self._moved
            if not self.slots[slot].finished
            for copy, move in enumerate(self._indices.ahead([(self.slots[slot], 2)]))
        ]
        return [move for *_, move in sorted(likely, key=lambda one: one[:3])]

    def draw(self) -> Path | None:
        """A particle with a readable answer, drawn by the weights; None before all are finished."""
        odds = [
            0.0 if p.value is None else w for p, w in zip(self.slots, self.weights, strict=True)
        ]
        if not all(p.finished for p in self.slots) or math.fsum(odds) <= 0:
            return None
        return self._rng.choices(self.slots, odds)[0]

    def _next_round(self) -> Sequence[Move]:
        moves: list[Move] = []
        while not self._moving and not self.over:
            self.over = len(self._dead) == len(self.slots)
            if self.over:
                break
            self.weights = self._weigh()
            self.ess.append(1 / math.fsum(w * w for w in self.weights))
            self.over = all(p.finished for p in self.slots)
            if self.over:
                break
            drawn = RESAMPLING[self._settings.resample](self.weights, self._rng)
            if self._follows:
                drawn[0] = 0
            self.slots = [self.slots[i] for i in drawn]
            self.weights = [1 / len(self.slots)] * len(self.slots)
            moves = self._move()
        return moves

    def _move(self) -> list[Move]:
        self._moving = {i for i, p in enumerate(self.slots) if not p.finished}
        self._moved, self._dead = set(), set()
        if self._ahead:
            self.slots[0] = self._ahead.pop()
            self._moving.discard(0)
            self._moved.add(0)
        return [
            Move(self.slots[i], self._indices.of(self.slots[i]), self._first + i)
            for i in sorted(self._moving)
        ]

    def _weigh(self) -> list[float]:
        logs = [
            -math.inf if i in self._dead or i in self._moving else self._log_weight(i, path)
            for i, path in enumerate(self.slots)
        ]
        top = max(logs)
        raw = [math.exp(log - top) for log in logs]
        total = math.fsum(raw)
        return [w / total for w in raw]

    def _log_weight(self, slot: int, path: Path) -> float:
        log = _log_odds(path)
        if self._settings.weight == "ratio":
            # A finished particle that stood still has not changed.
            log = log - _log_odds(path.parent) if slot in self._moved else 0.0
        return log / self._settings.tau


def _log_odds(path: Path | None) -> float:
    """The logit of a path's score; of a path without one, that of the path it extends."""
    while path is not None and path.score is None:
        path = path.parent
    return logit(path.score if path is not None else None)


def logit(score: float | None) -> float:
    """ln(score / (1 - score)), clipped; 0, that is even odds, without a score."""
    if score is None:
        return 0.0
    score = min(1 - _CLIP, max(_CLIP, score))
    return math.log(score / (1 - score))
