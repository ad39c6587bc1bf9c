"""A player of Countdown by rule, to try evaluations and tests without a model.

It answers the same prompts as the shipped model, from the exact solver and with mistakes
at a given rate. `weft mock --task countdown` serves it.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from weft.evals.tasks.puzzles.countdown import (
    Problem,
    answer_lines,
    reachable,
    read_step,
    steps,
    still_solvable,
)
from weft.types import Request

_ASKED = re.compile(r"(solve|think|verify) (\d+(?: \d+)*) for (\d+)\n?")


@dataclass(frozen=True, slots=True)
class Player:
    """Plays by rule; the same request gets the same answer.

    Attributes:
        skill: how likely each step is a good one where there is one, and how far its
            verdicts are to be trusted.
    """

    skill: float = 0.7

    def reply(self, request: Request) -> str:
        """The answer to a request, or the rest of an open one."""
        asked, begun = _parts(request)
        if (match := _ASKED.match(asked)) is None:
            return "no"
        problem = Problem(tuple(map(int, match[2].split())), int(match[3]))
        if match[1] == "verify":
            return "yes" if still_solvable(problem, asked[match.end() :]) else "no"
        how = request.sampling
        rng = random.Random(f"{asked}|{begun}|{how.seed}|{how.temperature}")
        thinking = ""
        if match[1] == "think" and not begun:
            tries = [self._lines(problem, "", rng) for _ in range(rng.randrange(4))]
            back = f"wait back to {' '.join(map(str, problem.numbers))}\n"
            thinking = f"<think>\n{''.join(t + back for t in tries)}</think>\n"
        return f"{thinking}{self._lines(problem, begun, rng)}answer {problem.target}"

    def scores(self, request: Request) -> dict[str, float]:
        """Probabilities of `yes` and `no`."""
        yes = 0.5 + self.skill / 2 if self.reply(request) == "yes" else 0.5 - self.skill / 2
        return {"yes": yes, "no": 1 - yes}

    def _lines(self, problem: Problem, begun: str, rng: random.Random) -> str:
        numbers = problem.numbers
        for line in answer_lines(begun):
            if (step := read_step(line, numbers)) is None:
                return ""
            numbers = step.left
        lines = ""
        while len(numbers) > 1 and (options := steps(numbers)):
            good = [s for s in options if reachable(s.left, problem.target)]
            step = rng.choice(good if good and rng.random() < self.skill else options)
            lines += f"{step}\n"
            numbers = step.left
        return lines


def _parts(request: Request) -> tuple[str, str]:
    """What was asked, and what there is of an open answer."""
    last = request.messages[-1]
    if request.open and len(request.messages) > 1:
        return request.messages[-2].content, last.content
    return last.content, ""
