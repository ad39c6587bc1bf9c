"""A crawler: a fan-out that grows while it runs, and ends as soon as the answer is there.

Leaving the block cancels what still runs, in the engines too.

    weft run examples/crawler.py -a question="Where is the key?" -e ENGINE
"""

from pydantic import BaseModel

from weft import Prompt, fan_out, generate, node, program

SITE = {
    "/": ("A house of four rooms.", ["/hall", "/kitchen", "/attic"]),
    "/hall": ("Coats and shoes.", ["/kitchen", "/cellar"]),
    "/kitchen": ("A table with a note: the key is below.", ["/cellar"]),
    "/attic": ("Dust and boxes.", []),
    "/cellar": ("A key hangs beside the door.", ["/"]),
}


class Reading(BaseModel):
    """What a page says to the question."""

    answer: str | None
    follow: list[str]


@program
async def crawl(question: str = "Where is the key?", limit: int = 2) -> str:
    """The first answer that a page gives."""

    @node
    async def read(page: str) -> Reading:
        text, links = SITE[page]
        prompt = Prompt.user(f"{question}\n\n{page}: {text}\nLinks: {', '.join(links) or 'none'}")
        return (await generate(prompt, returns=Reading, retries=1, max_tokens=200)).value

    seen = {"/"}
    async with fan_out(read, ["/"], limit=limit) as pages:
        async for reading in pages:
            if reading.answer:
                return reading.answer
            new = [page for page in reading.follow if page in SITE and page not in seen]
            seen.update(new)
            pages.add(*dict.fromkeys(new))
    return "no page says so"
