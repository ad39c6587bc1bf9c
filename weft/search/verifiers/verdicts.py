"""Verdicts: what a model says to a question of yes or no."""

from __future__ import annotations

from dataclasses import dataclass

from weft.programs import Prompt
from weft.programs.calls.score import pool_texts


def forms(word: str) -> list[str]:
    """A word as models begin an answer with it."""
    cases = (word, word.capitalize(), word.upper())
    plain = [before + case for before in ("", " ", "**", "\n") for case in cases]
    return [*plain, *(f"{one}." for one in plain[:6])]


VERDICTS = {word: forms(word) for word in ("yes", "no")}
"""What counts as yes and as no."""


@dataclass(frozen=True)
class Verdict:
    """A model's yes or no, by its probabilities.

    Attributes:
        score: P(yes) / (P(yes) + P(no)); 0.5 of a model that gives neither any probability.
        mass: P(yes) + P(no): how much of the model's probability the score rests on. The rest
            is of answers that begin otherwise.
    """

    score: float
    mass: float


async def ask_verdict(prompt: Prompt, role: str) -> Verdict:
    """Ask for yes or no; case, and space before the word, don't matter.

    Args:
        prompt: asks for yes or no alone.
        role: of the model that is asked.

    Raises:
        WeftError: the model could not be asked.
    """
    found = await pool_texts(prompt, VERDICTS, role=role)
    mass = found["yes"] + found["no"]
    return Verdict(found["yes"] / mass if mass > 0 else 0.5, min(1.0, mass))
