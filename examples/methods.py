"""Any reasoning method on a question: sampling, votes, search, early exit, several models.

A method is a spec, such as `majority(n=8)` or `rebase(n=16)`; `weft strategies` lists them. The
questions are Countdown, which the model that comes with weft plays.

    weft run examples/methods.py -a method="rebase(n=16)" -e local:countdown
    weft run examples/methods.py -a method=specreason -e BIG -e SMALL --role draft=SMALL
"""

from dataclasses import dataclass

from weft import program
from weft.evals.tasks.registry import parse_task
from weft.search import parse_strategy


@dataclass
class Result:
    """What a method answered.

    Attributes:
        question: what was asked.
        answer: what was answered.
        right: whether this is right.
        score: how sure the method is, from 0 to 1, if it says so.
    """

    question: str
    answer: str | None
    right: bool
    score: float | None


@program
async def method(method: str = "majority(n=8)", number: int = 0, seed: int = 0) -> Result:
    """Answer question `number` of Countdown by a method."""
    task = parse_task("countdown")
    sample = task.samples(number + 1, 0)[number]
    answer = await parse_strategy(method)(task.question(sample, seed))
    return Result(sample.id, answer.text, task.correct(sample, answer), answer.score)
