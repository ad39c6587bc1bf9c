"""Drives frontiers without engines, in any order of events; a game for engines to play."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from weft.backends.scripted.engine import ScriptedEngine
from weft.programs import Prompt
from weft.search import Question
from weft.search.step_search.frontier import Frontier, Move, Path
from weft.search.strategy import stable_seed
from weft.types import Request


@dataclass
class Driver:
    """Makes a frontier's moves, landing them in an order drawn from a seed.

    `grow` gives the text of a move's step, `judge` the score of a text, `ends` whether it is
    finished, `value` its answer, `fails` whether a move comes to nothing.
    """

    grow: Callable[[Move], str]
    judge: Callable[[str], float]
    ends: Callable[[str], bool]
    value: Callable[[str], str | None] = lambda text: text
    fails: Callable[[Move], bool] = lambda move: False
    made: list[Move] = field(default_factory=list)
    landed: list[Path] = field(default_factory=list)
    most_waiting: int = 0

    def __call__(self, frontier: Frontier, seed: int | None = None) -> None:
        rng = random.Random(seed)
        waiting = list(frontier.begin())
        self.made += waiting
        while waiting and not frontier.done:
            self.most_waiting = max(self.most_waiting, len(waiting))
            move = waiting.pop(0 if seed is None else rng.randrange(len(waiting)))
            if self.fails(move):
                new = frontier.on_failed(move)
                self.made += new
                waiting += new
                continue
            text = move.path.text + self.grow(move)
            ends = self.ends(text)
            path = Path(
                move.path.prompt,
                text,
                move.path.depth + 1,
                move.path,
                move.order,
                self.judge(text),
                ends,
                self.value(text) if ends else None,
            )
            self.landed.append(path)
            new = frontier.on_landed(path)
            self.made += new
            waiting += new


@pytest.fixture(scope="session")
def drive() -> type[Driver]:
    return Driver


@pytest.fixture(scope="session")
def root() -> Path:
    return Path(Prompt.user("question"))


GOAL = "312"
"""The answer that a verifier of the digits game likes."""


def digits_answer(text: str) -> str | None:
    found = re.search(r"answer (\w+)", text)
    return found[1] if found else None


def digits_good(text: str) -> bool:
    """Whether the digits so far begin the goal, and the answer repeats them."""
    digits = "".join(re.findall(r"^(\d)$", text, re.MULTILINE))
    return GOAL.startswith(digits) and digits_answer(text) in (None, digits)


@pytest.fixture
def question() -> Question:
    """A game: three lines of a digit each, then `answer` and the digits."""
    return Question(
        prompt=Prompt.user("solve"),
        think=Prompt.user("think"),
        answer=digits_answer,
        complete=lambda text: digits_answer(text) is not None,
        verify=lambda text: Prompt.user(f"verify\n{text}"),
        check=lambda text: float(digits_good(text)),
        max_tokens=40,
        max_think_tokens=400,
        max_steps=6,
        seed=3,
    )


def play(request: Request) -> str:
    """Plays the game at random; goes on with what is there of an open answer."""
    written = request.messages[-1].content if request.open else ""
    rng = random.Random(f"{written} {request.sampling.seed}")
    digits = re.findall(r"\d", written.partition("answer")[0])
    new = [rng.choice("0123") for _ in range(3 - len(digits))]
    rest = "".join(f"{d}\n" for d in new) + f"answer {''.join([*digits, *new])}"
    whole = "".join(f"{d}\n" for d in digits) + rest
    # What breaks off within a line goes on there.
    return whole[len(written) :] if whole.startswith(written) else rest


def likely(request: Request) -> dict[str, float]:
    """The probability of `yes`, for a verifier of the game."""
    good = digits_good(request.messages[-1].content.removeprefix("verify\n"))
    return {"yes": 0.72 if good else 0.08, "no": 0.08 if good else 0.72}


@pytest.fixture
def playing() -> Callable[[Request], str]:
    """How the game is played."""
    return play


@pytest.fixture
def player() -> Callable[..., ScriptedEngine]:
    """Makes engines that play the game, and judge it."""

    def make(replies: Any = play, scores: Any = likely, **settings: Any) -> ScriptedEngine:
        return ScriptedEngine(replies, scores, **settings)

    return make


@pytest.fixture
def by_index(question: Question) -> Callable[..., Callable[[Request], Any]]:
    """Replies that depend on which sample it is."""

    def make(*replies: Any) -> Callable[[Request], Any]:
        by_seed = {stable_seed(question.seed, i): reply for i, reply in enumerate(replies)}
        return lambda request: by_seed[request.sampling.seed or 0]

    return make
