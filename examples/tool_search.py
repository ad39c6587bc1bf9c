"""Tree search over tools: an agent that goes back when a way of using tools leads nowhere.

Each step is a turn of the agent: a call of a tool, its result, or the answer. After a failure the
search goes back, and the model is told what was tried from there. DFSDT, of ToolLLaMA (2024).

    weft run examples/tool_search.py -a question="How warm is it where Ada lives?" -e ENGINE
"""

from collections.abc import Sequence

from weft import Prompt, generate, node, program, tool
from weft.search import AgentTurn, dfsdt

PEOPLE = {"Ada": "Bern", "Ben": "Basel"}
DEGREES = {"Bern": 14, "Basel": 17}


@tool
async def town_of(person: str) -> str:
    """The town that a person lives in."""
    return PEOPLE[person]


@tool
async def degrees(town: str) -> int:
    """How warm it is in a town, in degrees Celsius."""
    return DEGREES[town]


@tool
async def search_web(query: str) -> str:
    """Search the web."""
    raise ConnectionError("the web can't be reached")


@node
async def turn(prompt: Prompt, tried: Sequence[AgentTurn[Prompt]]) -> AgentTurn[Prompt]:
    """One turn from a place of the tree, unlike those that were tried from there."""
    asked = prompt
    if tried:
        asked = prompt.user("Do something else than: " + "; ".join(one.shown for one in tried))
    tools = [search_web, town_of, degrees]
    said = await generate(asked, tools=tools, temperature=0.8, max_tokens=400)
    if not said.calls:
        text = said.text.strip()
        return AgentTurn(said.prompt, text, "answer" if text else "give up")
    results = await said.act()
    shown = "; ".join(
        f"{call.name}({call.text}) -> {result.text}"
        for call, result in zip(said.calls, results, strict=True)
    )
    failed = all(result.failed for result in results)
    # What was tried is no part of the state: later turns read calls and results alone.
    said_so = prompt.assistant(said.text, calls=said.calls) if tried else said.prompt
    return AgentTurn(said_so.tools(results), shown, "error" if failed else None)


@program
async def tool_search(
    question: str = "How warm is it where Ada lives?", width: int = 3, depth: int = 6
) -> str:
    """The answer, or what the search ended with."""
    begin = Prompt.system("Answer by means of the tools.").user(question)
    found = await dfsdt(turn, begin, width=width, depth=depth, calls=20)
    return found.state.answer if found.found and found.state is not None else "no answer"
