"""Deep search: in each turn the model asks several queries at once, and reads all results.

Queries of one turn run side by side, at most four at a time. What depends on a result comes in a
later turn: a call that refers to another call's output is refused, and the model is told why
(DTA-Llama, 2025). After HybridDeepSearcher (2025).

    weft run examples/deep_search.py -a question="..." -e ENGINE
"""

from weft import Prompt, generate, program, tool
from weft.errors import BudgetExceeded

PAGES = {
    "bees bern": "Bern has 3 bee gardens.",
    "bees basel": "Basel has 5 bee gardens.",
    "bern inhabitants": "Bern has 146,000 inhabitants.",
    "basel inhabitants": "Basel has 177,000 inhabitants.",
}
RULES = """Search until you can answer. Ask all queries that don't need each other's results in \
one turn, as several calls."""


@tool(timeout=20, retry=2, limit=8, expects=1.0)
async def search(query: str) -> str:
    """Search the web.

    Args:
        query: two or three words.
    """
    words = set(query.lower().split())
    found = [text for name, text in PAGES.items() if words >= set(name.split())]
    return "\n".join(found) or "nothing found"


@program
async def deep_search(
    question: str = "Which has more bee gardens for each inhabitant, Bern or Basel?", turns: int = 8
) -> str:
    """The answer; when turns or a budget run out, the best that is known by then."""
    prompt = Prompt.system(RULES).user(question)
    try:
        for _ in range(turns):
            said = await generate(prompt, tools=[search], max_tokens=500)
            if not said.calls:
                return said.text
            prompt = said.prompt.tools(await said.act(limit=4))
        return (await generate(prompt.user("Answer now."), max_tokens=200)).text
    except BudgetExceeded as over:
        return over.text or "nothing was found within the budget"
