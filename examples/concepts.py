"""A memory of concepts: what solved one problem helps with the next (ArcMemo, 2025).

Sequences are continued. Only solutions that are right teach anything; what they teach is put in
general terms, and is picked for later problems by a model that reads a short index. With a file the
memory is there the next time.

    weft run examples/concepts.py -a file=concepts.db -e ENGINE
"""

from weft import Prompt, Store, generate, program
from weft.memory import ConceptMemory, study

SEQUENCES = {"1 2 4 8": 16, "3 9 27 81": 243, "5 4 3 2": 1, "2 20 200": 2000}


async def solve(problem: str, notes: str) -> str:
    """The next number, with its reason."""
    asked = f"Continue the sequence: {problem}\nEnd with the number alone, on a line of its own."
    return (await generate(Prompt.user(f"{notes}\n\n{asked}".strip()), max_tokens=300)).text


def judge(problem: str, solution: str) -> bool | str:
    """Whether the number is right; else what is wrong."""
    last = solution.split()[-1] if solution.split() else "nothing"
    return last == str(SEQUENCES[problem]) or f"{last} is not the next number"


@program
async def concepts(file: str | None = None, passes: int = 2) -> dict[str, str]:
    """What became of each problem, and by which concepts."""
    with Store(file) if file else Store() as store:
        memory = ConceptMemory(store)
        done = await study([*SEQUENCES], solve, judge, memory, passes=passes, batch=2)
    return {
        one.problem: f"{'solved' if one.solved else 'not solved'} in pass {one.passes}"
        + (f", with {', '.join(one.concepts)}" if one.concepts else "")
        for one in done
    }
