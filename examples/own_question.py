"""A question of your own for the methods of search: how it is asked, read, and judged.

The model walks through a maze, a line for each step; a check says which walks can still arrive.
Beam search, A*, REBASE, MCTS and the others keep the promising walks.

    weft run examples/own_question.py -a method="beam(n=8, width=4)" -e ENGINE
"""

from weft import Prompt, program
from weft.search import Question, parse_strategy

MAZE = ["S.#", "#..", "#.G"]
MOVES = {"right": (0, 1), "down": (1, 0), "left": (0, -1), "up": (-1, 0)}
RULES = f"""Walk from S to G through this maze, without entering #. Write one move on each line: \
right, down, left or up. Write `done` on a line when you are at G.
{chr(10).join(MAZE)}"""


def end_of(text: str) -> tuple[int, int] | None:
    """Where a walk ends; None if it leaves the maze or enters a wall."""
    row, column = 0, 0
    for line in text.split():
        if line == "done":
            break
        down, right = MOVES.get(line, (9, 9))
        row, column = row + down, column + right
        if not (0 <= row < 3 and 0 <= column < 3) or MAZE[row][column] == "#":
            return None
    return row, column


def check(text: str) -> float:
    """How good a walk is so far: 0 outside the maze, 1 at the goal."""
    end = end_of(text)
    return 0.0 if end is None else (1 + sum(end)) / 5


QUESTION = Question(
    prompt=Prompt.user(RULES),
    answer=lambda text: " ".join(text.split()) if end_of(text) == (2, 2) else None,
    complete=lambda text: text.rstrip().endswith("done"),
    check=check,
    steps="\n",
    max_steps=8,
    max_tokens=60,
)


@program
async def walk(method: str = "beam(n=8, width=4, verifier=function)") -> str:
    """A walk that arrives, found by a method that the check guides."""
    answer = await parse_strategy(method)(QUESTION)
    return answer.value or "no walk was found"
