"""The Countdown game as a task: its questions, and when two answers are the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from weft.errors import UsageError
from weft.evals.tasks.puzzles.countdown import (
    Problem,
    answer_lines,
    problems,
    solved,
    still_solvable,
)
from weft.evals.tasks.puzzles.countdown_player import Player
from weft.evals.tasks.task import Sample, Task, task
from weft.parsers.thinking import visible
from weft.programs import Prompt
from weft.search.readers import Reader, parse_reader
from weft.search.readers.countdown import step_lines
from weft.search.strategy import Answer, Question

MOST = 100_000
"""More different problems than anyone runs; a limit above it is taken for a mistake."""


def complete(text: str) -> bool:
    """Whether an answer is finished: one number is left, or the closing line is there."""
    if (body := visible(text)) is None:
        return False
    if any(line.startswith("answer ") for line in body.splitlines()):
        return True
    lines = step_lines(body)
    return bool(lines) and body.endswith("\n") and len(lines[-1].partition("|")[2].split()) == 1


def _verify(problem: Problem) -> Callable[[str], Prompt]:
    def ask(text: str) -> Prompt:
        lines = "".join(f"{line}\n" for line in answer_lines(text))
        return Prompt.user(f"verify {problem}\n{lines}")

    return ask


@task("countdown")
class CountdownTask(Task):
    """Reach a target from four numbers with + - * /; the problems are held out from training."""

    suite = Path(__file__).parents[2] / "suites" / "countdown.yaml"
    engine = "local:countdown"

    @property
    def spec(self) -> str:
        """The task has no parameters."""
        return "countdown"

    def samples(self, limit: int | None, seed: int) -> list[Sample]:
        """Solvable problems drawn with `seed`, no two alike; 1000 if there is no limit."""
        limit = 1000 if limit is None else limit
        if limit > MOST:
            raise UsageError(f"limit of {limit} is too large for countdown; use at most {MOST}")
        found: dict[str, Sample] = {}
        for problem in problems(seed):
            if len(found) == limit:
                break
            data = {"numbers": list(problem.numbers), "target": problem.target}
            found.setdefault(str(problem), Sample(str(problem), data))
        return list(found.values())

    @staticmethod
    def problem(sample: Sample) -> Problem:
        """The game's problem of a sample."""
        return Problem(tuple(sample.data["numbers"]), sample.data["target"])

    @staticmethod
    def reader(problem: Problem) -> Reader:
        """What reads the answers to a problem."""
        return parse_reader({"countdown": {"numbers": " ".join(map(str, problem.numbers))}})

    def question(self, sample: Sample, seed: int) -> Question:
        """Prompts `solve`, `think` and `verify`, and the exact verifier."""
        problem = self.problem(sample)
        return Question(
            prompt=Prompt.user(f"solve {problem}"),
            think=Prompt.user(f"think {problem}"),
            steps="\n",
            max_tokens=64,
            max_think_tokens=512,
            # Three steps use up four numbers; a search ends there, without the closing line.
            max_steps=len(problem.numbers),
            answer=self.reader(problem),
            complete=complete,
            verify=_verify(problem),
            check=lambda text: float(still_solvable(problem, text)),
            seed=seed,
        )

    def player(self, skill: float) -> Player:
        """One that knows the exact solver."""
        return Player(skill)

    def correct(self, sample: Sample, answer: Answer) -> bool:
        """Whether the answer's steps are legal and end with the target."""
        return answer.text is not None and solved(self.problem(sample), answer.text)
