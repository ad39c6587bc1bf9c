"""Effort for each step of an agent: a small model says how much the large one should think.

Reading a file needs no thought, finding a fault does. After Ares (2026), whose judge is trained;
`weft strategies effort` has the same for questions.

    weft run examples/effort.py -e BIG -e SMALL --role draft=SMALL
"""

from dataclasses import dataclass, field

from weft import Completion, Prompt, generate, node, program, tool
from weft.search.collaboration.routing.effort import choose_effort

LEVELS = ["low", "medium", "high"]
LOG = """10:02 backup began
10:05 disk full
10:05 backup failed
10:40 disk was cleared"""


@tool
async def read_log(last: int) -> str:
    """The last lines of the log."""
    return "\n".join(LOG.splitlines()[-last:])


@dataclass
class Solved:
    """An answer, and the effort of each step on the way to it."""

    answer: str = "gave up"
    efforts: list[str] = field(default_factory=list)


@node
async def step(prompt: Prompt, solved: Solved) -> Completion:
    """The agent's next step, with the least effort that is enough for it."""
    history = "\n".join(f"{turn.role}: {turn.whole}" for turn in prompt.messages)
    effort = (await choose_effort(history, LEVELS)).level
    solved.efforts.append(effort)
    return await generate(prompt, tools=[read_log], reasoning_effort=effort, max_tokens=2000)


@program
async def effort(question: str = "Why is there no backup?", steps: int = 6) -> Solved:
    """An answer by the log."""
    prompt, solved = Prompt.system("Answer by the log.").user(question), Solved()
    for _ in range(steps):
        said = await step(prompt, solved)
        if not said.calls:
            solved.answer = said.text
            break
        prompt = said.prompt.tools(await said.act())
    return solved
