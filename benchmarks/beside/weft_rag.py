"""A RAG loop in weft."""

from pathlib import Path

from weft import Pool, Prompt, Store, generate, program, run
from world import RAG_RULES, ROUNDS, Step, find


@program
async def look_up(question: str):
    prompt = Prompt.system(RAG_RULES).user(f"{question}\n\n{find(question)}")
    for _ in range(ROUNDS):
        said = await generate(prompt, returns=Step)
        if said.value.answer:
            return said.value.answer
        prompt = said.prompt.user(find(said.value.search or question))
    return None


async def main(pool: Pool, folder: Path, question: str):
    with Store(folder / "runs.db") as store:
        return (await run(look_up, question, pool=pool, store=store, id="rag")).value
