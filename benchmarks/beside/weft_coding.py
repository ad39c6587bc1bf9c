"""A coding agent in weft."""

from pathlib import Path

from weft import Pool, Prompt, Store, generate, program, run, tool
from world import CODING_RULES, TOOLS, TURNS

KEPT = [tool(keep=True)(one) for one in TOOLS]


@program
async def mend(question: str):
    prompt = Prompt.system(CODING_RULES).user(question)
    for _ in range(TURNS):
        said = await generate(prompt, tools=KEPT)
        if not said.calls:
            return said.text
        prompt = said.prompt.tools(await said.act())
    return "gave up"


async def main(pool: Pool, folder: Path, question: str):
    with Store(folder / "runs.db") as store:
        return (await run(mend, question, pool=pool, store=store, id="coding")).value
