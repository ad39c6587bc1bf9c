"""Test-time scaling: fan-outs that share a prompt, with early exits."""

from __future__ import annotations

from collections.abc import Iterator

from weft.errors import UsageError
from weft.parts.parameters import param
from weft.simulation.sources import Source, source
from weft.simulation.sources.contexts import Fresh, Run, Scale, length, space
from weft.simulation.sources.generators.drawing import Draws
from weft.simulation.sources.planned_calls import PlannedCalls
from weft.simulation.workload import Job, Parallel, PlannedCall, Step

_INSTRUCTIONS = 400
_VERIFY = 60  # what a verifier's prompt adds
_SPREAD = 0.5  # of questions' lengths: standard deviation of the logarithm


class _Maker:
    """Makes the calls of one question.

    Attributes:
        prompt: instructions, shared by all questions, and the question.
    """

    def __init__(self, name: str, seed: int, number: int, scale: Scale, question: float) -> None:
        self._scale = scale
        self.draws = Draws(name, seed, number)
        self.fresh = Fresh(f"{name}:{seed}:{number}")
        instructions = (space(f"{name}:instructions"), _INSTRUCTIONS)
        self.prompt: list[Run] = [instructions, self.fresh(self.draws.tokens(question, _SPREAD))]

    def branch(
        self, prompt: list[Run], answer: Run, verify: bool, stage: str
    ) -> tuple[PlannedCall, ...]:
        """An answer, and a verifier's verdict of one token on it."""
        planned = PlannedCalls(self._scale, self.fresh)
        context = [*prompt, answer]
        made = planned.make(context, length(prompt), answer[1], stage=stage)
        if not verify:
            return (made,)
        prompt = [*context, (space("verify"), _VERIFY)]
        verdict = planned.make([*prompt, self.fresh(1)], length(prompt), 1, stage="verify")
        return (made, verdict)


@source("best_of_n")
class BestOfNWorkload(Source):
    """Questions that are answered several times at once, the answers judged by a verifier.

    With `enough`, a question is done when so many of its answers are, and the others are
    cancelled, as in `short_m_at_k` (2025).
    """

    n: int = param(100, "questions", least=1, main=True)
    width: int = param(16, "answers to each", least=1, main=True)
    enough: int = param(0, "how many must end, 0 for all", least=0)
    verify: bool = param(True, "whether a verifier judges each answer")
    question: float = param(150.0, "median tokens of a question", least=1)
    answer: float = param(600.0, "median tokens of an answer", least=1)
    spread: float = param(0.7, "of answers: standard deviation of the logarithm", least=0)
    scale: float = param(1.0, "factor on all lengths in tokens", above=0, most=16)

    def __post_init__(self) -> None:
        super().__post_init__()
        _at_most_width(self.name, "enough", self.enough, self.width)

    def jobs(self, block_size: int, seed: int) -> Iterator[Job]:
        """The questions; they announce their calls unless some may be cancelled."""
        scale = Scale(self.scale, block_size)
        calls = None if self.enough else self.width * (1 + self.verify)
        for number in range(self.n):
            steps = self._steps(scale, seed, number)
            yield Job(f"question-{number}", steps, name=self.name, calls=calls)

    def _steps(self, scale: Scale, seed: int, number: int) -> Iterator[Step]:
        maker = _Maker(self.name, seed, number, scale, self.question)
        # Hard questions have long answers: half of the variance lies between questions.
        hard = maker.draws.normal()
        branches = [
            maker.branch(maker.prompt, maker.fresh(tokens), self.verify, "answer")
            for _ in range(self.width)
            for score in (maker.draws.near(hard, 0.5**0.5),)
            for tokens in (maker.draws.tokens(self.answer, self.spread, score),)
        ]
        yield Parallel(tuple(branches), self.enough or None)


@source("tree_search")
class TreeSearch(Source):
    """Step searches such as beam search: each level extends the best paths of the one before.

    Every step is judged by a verifier, and `keep` of them are extended, by `width` steps in
    all. With `enough`, a level is done when so many of its steps are, and the others are
    cancelled; only the shortest steps are extended then. A search may be solved early.
    """

    n: int = param(100, "questions", least=1, main=True)
    width: int = param(16, "steps of a level", least=1, main=True)
    depth: int = param(8, "most levels", least=1, main=True)
    keep: int = param(4, "paths that are extended", least=1)
    enough: int = param(0, "how many steps of a level must end, 0 for all", least=0)
    solved: float = param(0.1, "chance that a level is the last", least=0, most=1)
    verify: bool = param(True, "whether a verifier judges each step")
    question: float = param(150.0, "median tokens of a question", least=1)
    step: float = param(80.0, "median tokens of a step", least=1)
    spread: float = param(0.6, "of steps: standard deviation of the logarithm", least=0)
    scale: float = param(1.0, "factor on all lengths in tokens", above=0, most=16)

    def __post_init__(self) -> None:
        super().__post_init__()
        _at_most_width(self.name, "keep", self.keep, self.width)
        _at_most_width(self.name, "enough", self.enough, self.width)
        if self.enough:
            _at_most_width(self.name, "keep", self.keep, self.enough, "enough")

    def jobs(self, block_size: int, seed: int) -> Iterator[Job]:
        """The questions; they announce their calls unless searches may end early."""
        scale = Scale(self.scale, block_size)
        known = not self.enough and not self.solved
        calls = self.depth * self.width * (1 + self.verify) if known else None
        for number in range(self.n):
            steps = self._steps(scale, seed, number)
            yield Job(f"question-{number}", steps, name=self.name, calls=calls)

    def _steps(self, scale: Scale, seed: int, number: int) -> Iterator[Step]:
        maker = _Maker(self.name, seed, number, scale, self.question)
        draws, parents = maker.draws, [maker.prompt]
        for _ in range(self.depth):
            made = [
                (parents[i % len(parents)], maker.fresh(draws.tokens(self.step, self.spread)))
                for i in range(self.width)
            ]
            branches = [maker.branch(path, step, self.verify, "step") for path, step in made]
            yield Parallel(tuple(branches), self.enough or None)
            if draws.chance(self.solved):
                return
            if self.enough:
                made = sorted(made, key=lambda one: one[1][1])[: self.enough]
            parents = [[*path, step] for path, step in draws.random.sample(made, self.keep)]


def _at_most_width(owner: str, name: str, value: int, most: int, bound: str = "width") -> None:
    if value > most:
        raise UsageError(
            f"{name}={value} of {owner} must be at most {bound}={most}; lower it or raise {bound}"
        )
