"""How many documents, shots and iterations are worth their tokens: the allocation model."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import product

from weft.errors import UsageError
from weft.extras import need

DOCUMENTS = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
SHOTS = (0, 1, 2, 4, 8, 16, 32, 64, 128, 256)
ITERATIONS = (1, 2, 3, 4, 5)
"""What the paper tried of each."""

Three = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class RagSize:
    """How much drag or iter_drag reads.

    Attributes:
        documents: passages of a question or follow-up.
        shots: solved questions.
        iterations: calls; 1 is drag.
    """

    documents: int
    shots: int
    iterations: int = 1


@dataclass(frozen=True, slots=True)
class RagRun:
    """What a size came to on a task.

    Attributes:
        size: that was tried.
        score: the mean on the task, from 0 to 1.
        gains: of the task: how much its score rises by one document alone, by one shot alone, and
            by iterations, which the paper sets to 0.
    """

    size: RagSize
    score: float
    gains: Three = (0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class AllocationModel:
    """Predicts a score: `logit(score) = (a + b * gains) . log(size + shift) + c`.

    Yue et al. 2024 (arXiv 2410.04343), section 5; the sizes are documents, shots and iterations.

    Attributes:
        a: of each of the three.
        b: how much more each counts by its gain.
        c: the score where all logarithms are 0.
        shift: is added to documents and shots before the logarithm, so that there may be none;
            0 is the paper's own formula.
        distinct: whether the runs told `a` and `b` apart. Of a single task they can't: then only
            predictions for its own gains mean something.
    """

    a: Three
    b: Three
    c: float
    shift: float = 1.0
    distinct: bool = True

    def predict(self, size: RagSize, gains: Three = (0.0, 0.0, 0.0)) -> float:
        """The score of a size, from 0 to 1.

        Raises:
            UsageError: a size of 0 has no logarithm, for `shift` is 0.
        """
        logs = _logs(size, self.shift)
        slopes = [a + b * gain for a, b, gain in zip(self.a, self.b, gains, strict=True)]
        x = sum(slope * log for slope, log in zip(slopes, logs, strict=True)) + self.c
        return 1 / (1 + math.exp(-x)) if x > -700 else 0.0

    def choose(
        self,
        tokens: float,
        cost: Callable[[RagSize], float],
        *,
        gains: Three = (0.0, 0.0, 0.0),
        documents: Sequence[int] = DOCUMENTS,
        shots: Sequence[int] = SHOTS,
        iterations: Sequence[int] = ITERATIONS,
    ) -> RagSize:
        """The size of the best predicted score that a budget pays for; of equals the cheapest.

        Args:
            tokens: the budget of effective context: input tokens of all calls of a question.
            cost: of a size in tokens, such as a partial of `effective_context`.
            gains: of the task.
            documents: numbers to choose among; so are the others.
            shots: likewise.
            iterations: likewise.

        Raises:
            UsageError: no size is within the budget.
        """
        least = 1 if self.shift == 0 else 0
        sizes = [
            size
            for size in (RagSize(*three) for three in product(documents, shots, iterations))
            if min(size.documents, size.shots) >= least and cost(size) <= tokens
        ]
        if not sizes:
            raise UsageError(f"no size costs {tokens:g} tokens or fewer; raise the budget")
        return max(sizes, key=lambda size: (round(self.predict(size, gains), 12), -cost(size)))


def fit_allocation(runs: Iterable[RagRun], *, shift: float = 1.0) -> AllocationModel:
    """Fit the allocation model to runs of small sizes, by least squares.

    Scores of 0 and 1, which have no logit, count as a hundredth from there. With `shift=0`, runs
    without documents or shots are left out. Where the runs leave something open, the smallest
    numbers are taken.

    Args:
        runs: of one task or several; gains tell tasks apart.
        shift: is added to documents and shots (see `AllocationModel`).

    Raises:
        UsageError: there are fewer than two runs, or a number is out of range.
        MissingExtra: numpy is not installed.
    """
    need("retrieval", "fit_allocation")
    import numpy as np

    if not (math.isfinite(shift) and shift >= 0):
        raise UsageError(f"shift={shift!r} must be a number, 0 or more")
    used = [run for run in runs if shift > 0 or min(run.size.documents, run.size.shots) > 0]
    if len(used) < 2:
        raise UsageError("fit_allocation needs at least two runs that can be used")
    rows: list[list[float]] = []
    wanted: list[float] = []
    for run in used:
        if not 0 <= run.score <= 1:
            raise UsageError(f"score={run.score!r} of {run.size} must be from 0 to 1")
        logs = _logs(run.size, shift)
        rows.append([*logs, *(g * log for g, log in zip(run.gains, logs, strict=True)), 1.0])
        score = min(max(run.score, 0.01), 0.99) if run.score in (0, 1) else run.score
        wanted.append(math.log(score / (1 - score)))
    matrix = np.array(rows)
    fitted, _, rank, _ = np.linalg.lstsq(matrix, np.array(wanted), rcond=None)
    numbers = [float(one) for one in fitted]
    varied = int(np.any(np.abs(matrix[:, 3:6]) > 0, axis=0).sum())
    varied += int(np.any(np.abs(matrix[:, :3]) > 0, axis=0).sum()) + 1
    a, b = numbers[:3], numbers[3:6]
    return AllocationModel(
        (a[0], a[1], a[2]), (b[0], b[1], b[2]), numbers[6], shift, int(rank) == varied
    )


def effective_context(size: RagSize, *, question: float, document: float, shot: float) -> float:
    """Input tokens of all calls of one question, as iter_drag makes them.

    Call number i has the question, all shots, and the documents of the question and of i - 1
    follow-ups.

    Args:
        size: how much is read.
        question: tokens of the question with its instructions.
        document: tokens of a document.
        shot: tokens of a shot with its own documents.
    """
    n = size.iterations
    return n * (question + size.shots * shot) + n * (n + 1) / 2 * size.documents * document


def _logs(size: RagSize, shift: float) -> Three:
    numbers = size.documents + shift, size.shots + shift, float(size.iterations)
    if min(numbers) <= 0 or min(size.documents, size.shots) < 0:
        raise UsageError(f"{size} has no logarithm; numbers must be above 0, or shift=1")
    return math.log(numbers[0]), math.log(numbers[1]), math.log(numbers[2])
