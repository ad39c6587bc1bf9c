"""Training texts for the three skills, generated without end from a seed."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache

import numpy as np

from weft.evals.tasks.puzzles.countdown import (
    MAX_RESULT,
    Numbers,
    Operation,
    Problem,
    number_sets,
    reachable,
    steps,
    targets,
)

CUES = ("wait", "but", "alternatively", "hmm")
MAX_TRIES = 16


@dataclass(frozen=True, slots=True)
class Example:
    """A text, and for each step of an answer the good steps it was drawn from, by weight.

    Where there are none, what was chosen is no example to follow and is not learned; what
    follows from it (result, numbers left) is.
    """

    prompt: str
    answer: str
    drawn_from: tuple[tuple[Operation, dict[Operation, int]], ...] = ()

    @property
    def text(self) -> str:
        return f"<|user|>{self.prompt}<|assistant|>{self.answer}<|end|>"


def problem(rng: random.Random, *, evaluation: bool = False) -> Problem:
    """A solvable problem whose numbers lie on the wanted side of the split."""
    while True:
        numbers = rng.choice(number_sets(evaluation))
        if choice := targets(numbers):
            shown = list(numbers)
            rng.shuffle(shown)
            return Problem(tuple(shown), rng.choice(choice))


@cache
def _ways(numbers: Numbers) -> np.ndarray:
    """How many solutions a sorted multiset has for each target."""
    if len(numbers) == 1:
        return np.eye(1, MAX_RESULT + 1, numbers[0], dtype=np.uint32)[0]
    children = [_ways(tuple(sorted(step.left))) for step in steps(numbers)]
    return np.stack(children).sum(axis=0, dtype=np.uint32)


def good_steps(numbers: Numbers, target: int) -> list[Operation]:
    return [s for s in steps(numbers) if reachable(s.left, target)]


def _written(path: list[Operation], target: int) -> str:
    return "".join(f"{step}\n" for step in path) + f"answer {target}"


def solve(rng: random.Random) -> Example:
    """A solution drawn uniformly from all of them: a step's weight is how many begin with it.

    One in five is no solution, and its choices are not learned: without these a model takes
    it that the last result is the target whatever the operands, and writes false sums.
    """
    p = problem(rng)
    good = rng.random() < 0.8
    path: list[tuple[Operation, dict[Operation, int]]] = []
    numbers = p.numbers
    while len(numbers) > 1:
        if good:
            ways = {s: int(_ways(tuple(sorted(s.left)))[p.target]) for s in steps(numbers)}
            options = {s: n for s, n in ways.items() if n}
            path.append((rng.choices(list(options), list(options.values()))[0], options))
        else:
            path.append((_near(rng, numbers, p.target), {}))
        numbers = path[-1][0].left
    written = _written([step for step, _ in path], path[-1][0].left[0])
    return Example(f"solve {p}", written, tuple(path))


def _near(rng: random.Random, numbers: Numbers, target: int) -> Operation:
    """A step as models err: at random, the last one often nearly reaching the target."""
    options = steps(numbers)
    if len(numbers) == 2 and rng.random() < 0.6:
        return min(options, key=lambda s: (s.result == target, abs(s.result - target)))
    return rng.choice(options)


def think(rng: random.Random) -> Example:
    """A depth-first search with dead ends: after each, go back to some earlier state.

    How often the next step is a good one is drawn for each trace, so lengths differ widely.
    """
    while True:
        p = problem(rng)
        skill = rng.uniform(0.35, 0.95)
        lines: list[str] = []
        path: list[Operation] = []
        for _ in range(MAX_TRIES):
            numbers = path[-1].left if path else p.numbers
            while len(numbers) > 1:
                options = good_steps(numbers, p.target) if rng.random() < skill else []
                options = options or steps(numbers)
                if not options:
                    break
                step = rng.choice(options)
                lines.append(str(step))
                path.append(step)
                numbers = step.left
            if numbers == (p.target,):
                trace = "".join(f"{line}\n" for line in lines)
                return Example(
                    f"think {p}", f"<think>\n{trace}</think>\n{_written(path, p.target)}"
                )
            path = path[: rng.randrange(len(path))]
            numbers = path[-1].left if path else p.numbers
            lines.append(f"{rng.choice(CUES)} back to {' '.join(map(str, numbers))}")


def _spoiled(rng: random.Random, numbers: Numbers, target: int) -> Operation:
    """A step that breaks the rules in a way that models do: a wrong result or operand."""
    step = _near(rng, numbers, target)
    kind = rng.random()
    if kind < 0.8:
        wrong = target if len(numbers) == 2 else step.result + rng.choice((-10, -2, -1, 1, 2, 10))
        if wrong != step.result and 0 < wrong <= MAX_RESULT:
            return Operation(step.a, step.op, step.b, wrong, (*step.left[:-1], wrong))
    if kind < 0.9 and len(step.left) > 1:
        left = list(step.left)
        where = rng.randrange(len(left) - 1)
        left[where] = rng.choice([n for n in range(1, 21) if n != left[where]])
        return Operation(step.a, step.op, step.b, step.result, tuple(left))
    a = rng.choice([n for n in range(1, 21) if n not in numbers])
    return Operation(a, "+", step.b, a + step.b, (*step.left[:-1], a + step.b))


def verify(rng: random.Random) -> Example:
    """A partial or whole answer and whether the target can still be reached, half of each.

    The question is mostly open until the last step; among whole answers, many a wrong one
    claims the target.
    """
    p = problem(rng)
    depth = rng.choices((0, 1, 2, 3), (1, 8, 8, 10))[0]
    right = rng.random() < 0.45
    path: list[Operation] = []
    numbers = p.numbers
    legal = True
    for i in range(depth):
        good = good_steps(numbers, p.target)
        last = i == depth - 1
        if right or (not last and rng.random() < (0.5 if depth == 3 and i else 0.9)):
            step = rng.choice(good or steps(numbers))
        elif last and rng.random() < (0.5 if depth == 3 else 0.25):
            step = _spoiled(rng, numbers, p.target)
            legal = False
        else:
            step = _near(rng, numbers, p.target)
        path.append(step)
        numbers = step.left
    verdict = "yes" if legal and reachable(numbers, p.target) else "no"
    body = "".join(f"{step}\n" for step in path)
    return Example(f"verify {p}\n{body}", verdict)
