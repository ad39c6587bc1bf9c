"""particle_gibbs: particle filters that each follow an answer of the one before."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from weft.parts.parameters import param, temperature
from weft.search.step_search.final_answer import final_answer, pick_param
from weft.search.step_search.frontier import Frontier, Indices, Move, Path, explore
from weft.search.step_search.particle_filter import ParticleFilter, ParticleFrontier, logit
from weft.search.step_search.steps import Steps
from weft.search.strategy import Answer, Question, Strategy, stable_seed, strategy
from weft.search.verifiers import read_verifier, verifier_param


@strategy("particle_gibbs")
class ParticleGibbs(Strategy):
    """Particle filters of n particles, one after another (particle Gibbs, Andrieu et al. 2010).

    After each sweep an answer is drawn by the particles' weights. The next sweep's first particle
    follows this answer step by step, and is kept whenever the particles are resampled; others
    may go on from its beginnings. So the answers that are drawn are, the more sweeps there are,
    a sample of the posterior that `particle_filter` names, with however few particles.

    With `chains` above 1, as many run side by side, at temperatures tau up to `hottest` (parallel
    tempering). Hot ones roam. After each sweep neighbours swap their answers, with the
    probability that leaves the posterior of each as it is. Puri et al. (2025) put both to use for
    language models. The answer is that of the coldest chain: the last one drawn (`pick=draw`),
    the likeliest value by all sweeps' weights (`vote`), or that of the highest score (`best`).
    """

    family = "search"
    source = "Andrieu et al. 2010, Puri et al. 2025"
    needs = ("verifier", "steps", "continuation")

    n: int = param(4, "particles of a sweep", least=2, main=True)
    sweeps: int = param(2, "filters, one after another", least=1, main=True)
    chains: int = param(1, "chains at different temperatures", least=1)
    verifier: str = verifier_param()
    tau: float = param(1.0, "temperature of the weights", above=0)
    hottest: float = param(4.0, "temperature of the last chain", above=0)
    pick: str = pick_param("draw", default="draw")
    temperature: float = temperature()

    @property
    def taus(self) -> list[float]:
        """The temperatures of the chains, at equal ratios."""
        ratio = (self.hottest / self.tau) ** (1 / max(1, self.chains - 1))
        return [self.tau * ratio**chain for chain in range(self.chains)]

    async def solve(self, question: Question) -> Answer:
        """Answer the question."""
        steps = Steps(question, read_verifier(self.verifier), self.temperature)
        frontier = GibbsFrontier(steps.root, self, question.seed)
        errors = await explore(frontier, steps.mover())
        return final_answer(
            frontier.finished,
            steps,
            errors,
            pick=self.pick,
            weights=frontier.weights,
            chosen=frontier.references[0] if self.pick == "draw" else None,
            steps=frontier.steps,
            sweeps=frontier.sweeps,
            swaps=frontier.swaps,
        )


class GibbsFrontier(Frontier):
    """The policy of particle Gibbs: a particle filter for each chain, and then the next ones.

    Attributes:
        finished: the particles of the coldest chain's sweeps.
        weights: theirs; those of a sweep add up to 1.
        references: the answer that was drawn last, of each chain.
        sweeps: how many have ended.
        steps: how many steps have landed.
        swaps: how many times neighbours swapped their answers.
    """

    def __init__(self, root: Path, settings: ParticleGibbs, seed: int) -> None:
        self.finished: list[Path] = []
        self.weights: list[float] = []
        self.references: list[Path | None] = [None] * settings.chains
        self.sweeps = self.steps = self.swaps = 0
        self._root, self._settings, self._seed = root, settings, seed
        self._rng = random.Random(stable_seed(seed, "swaps"))
        # Of each chain its own: none may depend on which of the others is ahead.
        self._indices = [Indices(c, settings.chains) for c in range(settings.chains)]
        self._filters: list[ParticleFrontier] = []
        self._each = [ParticleFilter(n=settings.n, tau=tau) for tau in settings.taus]

    def begin(self) -> Sequence[Move]:
        """The first sweep."""
        return self._sweep()

    def on_landed(self, path: Path) -> Sequence[Move]:
        """The filter of this particle goes on; when all are over, the next sweep begins."""
        self.steps += 1
        return self._go_on(self._of(path.order).on_landed(path))

    def on_failed(self, move: Move) -> Sequence[Move]:
        """The filter does without this particle."""
        return self._go_on(self._of(move.order).on_failed(move))

    def _of(self, order: int) -> ParticleFrontier:
        return self._filters[order // self._settings.n]

    def _go_on(self, moves: Sequence[Move]) -> Sequence[Move]:
        if not all(one.over for one in self._filters):
            return moves
        self.sweeps += 1
        for chain, one in enumerate(self._filters):
            self.references[chain] = one.draw() or self.references[chain]
        coldest = self._filters[0]
        if all(path.finished for path in coldest.slots):
            self.finished += coldest.slots
            self.weights += coldest.weights
        self._swap()
        return self._sweep() if self.sweeps < self._settings.sweeps else ()

    def _sweep(self) -> list[Move]:
        self._filters = [
            ParticleFrontier(
                self._root,
                settings,
                random.Random(stable_seed(self._seed, "sweep", self.sweeps, chain)),
                indices=self._indices[chain],
                first=chain * settings.n,
                reference=self.references[chain],
            )
            for chain, settings in enumerate(self._each)
        ]
        return [move for one in self._filters for move in one.begin()]

    def _swap(self) -> None:
        taus = self._settings.taus
        for chain in range(len(taus) - 1):
            cold, hot = self.references[chain], self.references[chain + 1]
            if cold is None or hot is None:
                continue
            gain = (logit(hot.score) - logit(cold.score)) * (1 / taus[chain] - 1 / taus[chain + 1])
            if gain >= 0 or self._rng.random() < math.exp(gain):
                self.references[chain], self.references[chain + 1] = hot, cold
                self.swaps += 1
