"""Countdown: reach a target from four numbers with + - * /, each number used once.

The rules are those of "Stream of Search" (Gandhi et al. 2024), narrowed so that a
model of a million parameters can learn them: numbers from 1 to 20, targets from 10 to
100, and every intermediate result whole, positive and at most 200.

This module is the game alone: steps, exact reachability, the split into training and
evaluation problems, and whether an answer solves its problem. The reader `countdown` reads the
answers. Neither torch nor a model is imported.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import combinations_with_replacement

from weft.parsers.thinking import visible
from weft.search.readers.countdown import Numbers, Operation, claimed_step, step_lines

MAX_NUMBER = 20
MIN_TARGET = 10
MAX_TARGET = 100
MAX_RESULT = 200
_TARGETS = ((1 << (MAX_TARGET + 1)) - 1) & ~((1 << MIN_TARGET) - 1)


@dataclass(frozen=True, slots=True)
class Problem:
    """Four numbers in the order shown, and the target to reach."""

    numbers: Numbers
    target: int

    def __str__(self) -> str:
        return f"{' '.join(map(str, self.numbers))} for {self.target}"


def apply(a: int, op: str, b: int) -> int | None:
    """The result of one operation, or None where the rules forbid it."""
    match op:
        case "+":
            result = a + b
        case "-":
            result = a - b
        case "*":
            result = a * b
        case "/":
            result = a // b if b and a % b == 0 else 0
        case _:
            return None
    return result if 0 < result <= MAX_RESULT else None


def steps(numbers: Numbers) -> list[Operation]:
    """Every different step from `numbers`, the larger operand first.

    `a / 1` is left out: it leads where `a * 1` does.
    """
    found: dict[tuple[int, str, int], Operation] = {}
    for i in range(len(numbers)):
        for j in range(i + 1, len(numbers)):
            a, b = max(numbers[i], numbers[j]), min(numbers[i], numbers[j])
            rest = numbers[:i] + numbers[i + 1 : j] + numbers[j + 1 :]
            for op in "+-*/":
                result = apply(a, op, b)
                if result is None or (op == "/" and b == 1) or (a, op, b) in found:
                    continue
                found[a, op, b] = Operation(a, op, b, result, (*rest, result))
    return list(found.values())


@cache
def _reach(numbers: Numbers) -> int:
    """The values reachable from a sorted multiset, as bits of an integer."""
    if len(numbers) == 1:
        return 1 << numbers[0]
    bits = 0
    for step in steps(numbers):
        bits |= _reach(tuple(sorted(step.left)))
    return bits


def reachable(numbers: Numbers, target: int) -> bool:
    """Whether `target` can be made from all of `numbers` (exact, by enumeration)."""
    return bool(_reach(tuple(sorted(numbers))) >> target & 1)


def targets(numbers: Numbers) -> list[int]:
    """The permitted targets that `numbers` can reach, ascending."""
    bits = _reach(tuple(sorted(numbers))) & _TARGETS
    return [t for t in range(MIN_TARGET, MAX_TARGET + 1) if bits >> t & 1]


def held_out(numbers: Numbers) -> bool:
    """Whether these numbers, in any order, are kept for evaluation (about one set in ten)."""
    key = " ".join(map(str, sorted(numbers))).encode()
    return int.from_bytes(hashlib.sha256(key).digest()[:8], "big") % 10 == 0


@lru_cache(maxsize=2)
def number_sets(evaluation: bool) -> tuple[Numbers, ...]:
    """All sorted sets of four numbers on one side of the split."""
    every = combinations_with_replacement(range(1, MAX_NUMBER + 1), 4)
    return tuple(n for n in every if held_out(n) == evaluation)


def problems(seed: int, *, evaluation: bool = True) -> Iterator[Problem]:
    """An endless, reproducible stream of solvable problems from one side of the split.

    Number sets are drawn uniformly, then a target uniformly from those reachable, then
    the order in which the numbers are shown.
    """
    rng = random.Random(seed)
    sets = number_sets(evaluation)
    while True:
        numbers = rng.choice(sets)
        if not (choice := targets(numbers)):
            continue
        shown = list(numbers)
        rng.shuffle(shown)
        yield Problem(tuple(shown), rng.choice(choice))


def read_step(line: str, numbers: Numbers) -> Operation | None:
    """The step that a line writes, or None unless it is legal from `numbers`."""
    if (step := claimed_step(line)) is None:
        return None
    rest = list(numbers)
    for operand in (step.a, step.b):
        if operand not in rest:
            return None
        rest.remove(operand)
    right = apply(step.a, step.op, step.b) == step.result
    return step if right and sorted((*rest, step.result)) == sorted(step.left) else None


def answer_lines(text: str) -> list[str]:
    """The lines of what a model wrote that are meant as steps, without those it thought."""
    return step_lines(visible(text) or "")


def solved(problem: Problem, text: str) -> bool:
    """Whether the steps in `text` are all legal and end with the target alone."""
    numbers = problem.numbers
    for line in answer_lines(text):
        if (step := read_step(line, numbers)) is None:
            return False
        numbers = step.left
    return numbers == (problem.target,)


def still_solvable(problem: Problem, text: str) -> bool:
    """Whether the steps so far are legal and the target can still be reached."""
    numbers = problem.numbers
    for line in answer_lines(text):
        if (step := read_step(line, numbers)) is None:
            return False
        numbers = step.left
    return reachable(numbers, problem.target)
