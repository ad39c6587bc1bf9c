"""Answers of the game Countdown: lines of steps, and the expression that the steps write down."""

from __future__ import annotations

import re
from dataclasses import dataclass

from weft.parts.parameters import param
from weft.search.readers.expression import Expression
from weft.search.readers.reader import Reader, reader

Numbers = tuple[int, ...]

_LINE = re.compile(r"\s*(\d+) ([-+*/]) (\d+) = (\d+) \| (\d+(?: \d+)*)\s*")


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation `a op b = result`, and the numbers left after it."""

    a: int
    op: str
    b: int
    result: int
    left: Numbers

    def __str__(self) -> str:
        return f"{self.a} {self.op} {self.b} = {self.result} | {' '.join(map(str, self.left))}"


def claimed_step(line: str) -> Operation | None:
    """The step that a line claims, right or wrong; None if it has not the form of one."""
    if (match := _LINE.fullmatch(line)) is None:
        return None
    left = tuple(map(int, match[5].split()))
    return Operation(int(match[1]), match[2], int(match[3]), int(match[4]), left)


def step_lines(text: str) -> list[str]:
    """The lines of an answer that are meant as steps (they have a bar), in order."""
    return [line.strip() for line in text.splitlines() if "|" in line]


@reader("countdown")
class CountdownReader(Reader):
    """The expression that the steps of a Countdown answer write down, in normal form.

    Two lists of steps that differ only in their order, or in the order of terms and
    factors, give the same text. Nothing is checked that a voter could not see without doing
    the sums: results may be wrong, and operands may be made up.
    """

    numbers: str = param("", "the numbers of the problem, such as '15 9 11 17'")

    def read(self, text: str) -> str | None:
        """The expression; None if a line has not the form of a step, or more numbers are left."""
        parts = [(int(n), Expression.number(int(n))) for n in self.numbers.split()]
        ended = False
        for line in step_lines(text):
            if (step := claimed_step(line)) is None:
                return None
            taken: list[Expression] = []
            for operand in (step.a, step.b):
                # Among equal values any will do; the choice must only be the same each time.
                alike = [p for p in parts if p[0] == operand]
                if alike:
                    part = min(alike, key=lambda p: p[1].text)
                    parts.remove(part)
                    taken.append(part[1])
                else:
                    taken.append(Expression.number(operand))
            parts.append((step.result, taken[0].join(step.op, taken[1])))
            ended = len(step.left) == 1
        return parts[-1][1].text if ended else None
