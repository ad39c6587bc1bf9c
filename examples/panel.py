"""A panel: three models answer, read each other, and vote.

If two of three agree at once, the third is not waited for: its call is aborted in its engine.
Members are roles of the pool; with one model, the model sits on all three chairs.

    weft run examples/panel.py -a question="..." -e ENGINE
    weft run examples/panel.py -a question="..." -e A -e B -e C --role draft=B --role verifier=C
"""

from collections import Counter

from pydantic import BaseModel

from weft import Prompt, fan_out, gather, generate, node, program

MEMBERS = ["solver", "draft", "verifier"]


class Opinion(BaseModel):
    """What a member thinks."""

    reason: str
    answer: str


def majority(opinions: list[Opinion]) -> str | None:
    """The answer of two or more, if there is one."""
    votes = Counter(one.answer.strip().lower() for one in opinions)
    return next((answer for answer, count in votes.items() if count > 1), None)


@program
async def panel(question: str = "Is a tomato a fruit or a vegetable?") -> str:
    """The panel's answer."""

    @node
    async def first(member: str) -> tuple[str, Opinion]:
        said = await generate(
            Prompt.user(question), returns=Opinion, role=member, retries=1, max_tokens=400
        )
        return member, said.value

    @node
    async def again(member: str) -> Opinion:
        others = [f"- {one.answer}: {one.reason}" for name, one in heard.items() if name != member]
        prompt = Prompt.user(f"{question}\n\nOthers said:\n" + "\n".join(sorted(others)))
        said = await generate(prompt, returns=Opinion, role=member, retries=1, max_tokens=400)
        return said.value

    heard: dict[str, Opinion] = {}
    async with fan_out(first, MEMBERS) as opinions:
        async for member, opinion in opinions:
            heard[member] = opinion
            if (agreed := majority(list(heard.values()))) is not None:
                return agreed
    last = await gather(again, MEMBERS)
    return majority(last) or last[0].answer.strip().lower()
