"""What a model might say to each example: so all of them run without a model.

    weft run examples/panel.py -e "examples/scripted.py:Model(example=panel)"

Each function gets a request and gives the answer. Your own tests can do the same: a
`ScriptedEngine` is an engine like any other.
"""

import json
import random

from weft import ScriptedEngine, ToolCall
from weft.backends import Request
from weft.backends.scripted.engine import Scripted
from weft.evals.tasks.puzzles.countdown_player import Player


def last(request: Request) -> str:
    """The last turn that is no open answer."""
    turns = request.messages[:-1] if request.open else request.messages
    return turns[-1].content


def results(request: Request) -> list[str]:
    """What tools have said so far."""
    return [turn.content for turn in request.messages if turn.role == "tool"]


def calls(*given: tuple[str, dict]) -> Scripted:
    """An answer that calls tools."""
    return Scripted(tools=[ToolCall(name, arguments) for name, arguments in given])


def text_to_sql(request: Request) -> list[str]:
    join = "from readers join loans on id = reader group by id order by"
    if "no such column" in last(request):
        return [json.dumps({"sql": f"select name {join} count(*) desc limit 1"})]
    queries = [
        "select name from readers, loans where id = reader group by name"
        " order by count(*) desc limit 1",
        f"select name {join} books desc limit 1",
        f"select name {join} sum(days) desc limit 2",
        f"select name {join} count(title) desc limit 1",
        f"select name {join} count(*) desc limit 1",
    ]
    return [json.dumps({"sql": query}) for query in queries]


MENDED = {
    "prices.py": ("def total(prices)\n", "def total(prices):\n"),
    "words.py": ("'bee']\n", "'bee']) == 'bee'\n"),
    "dates.py": ("== 0\n", "== 0 and (year % 100 != 0 or year % 400 == 0)\n"),
}


def coding_agent(request: Request) -> Scripted | str:
    said = results(request)
    name = next(name for name in MENDED if f"Mend {name}" in request.messages[1].content)
    if not said:
        return calls(("read", {}), ("test", {}))
    if said[-1] == "done":
        return calls(("test", {}))
    if said[-1] == "all tests pass":
        return f"I mended {name}."
    old, new = MENDED[name]
    if name == "words.py" and len(said) > 2:
        old, new = "min(words", "max(words"
    return calls(("replace", {"old": old, "new": new}))


def parallel_threads(request: Request) -> str:
    asked, written = last(request), request.messages[-1].content if request.open else ""
    ends, subject = "".join(request.sampling.stop), {"1": "Bees fly.", "2": "Moss stays."}
    if request.sampling.schema is not None:  # `outline` asks for the parts
        return json.dumps({"parts": ["bees", "moss"]})
    if written.endswith(("1:", "2:")):
        end = "</Path>" if "<Path>" in written else "</Thread>"
        return f" {subject[written[-2]]}{end}"
    if written.endswith("]:"):  # a worker of `rounds`, and its step's number
        step = "Bees fly." if written.endswith("[1]:") else "So the final answer is near."
        return f" {step}\n\n"
    if written:
        return " Only bees fly."
    if "</call>" in ends:
        return "<call>\nbees\nmoss\n</call>"
    if "</Goal>" in ends or "</Outlines>" in ends:
        end = "</Goal>" if "</Goal>" in ends else "</Outlines>"
        return f"<Parallel>\n<Outline>1: bees</Outline>\n<Outline>2: moss</Outline>\n{end}"
    return f"Bees fly, moss stays: {asked[:20]}"


def rag_loop(request: Request) -> str:
    known = "\n".join(turn.content for turn in request.messages)
    if "[Mill]" not in known:
        return json.dumps({"search": "old mill house river"})
    return json.dumps({"answer": "Near Bern.", "documents": ["Ada", "Mill"]})


def tool_search(request: Request) -> Scripted | str:
    said = results(request)
    if "Do something else" in last(request):
        return calls(("town_of", {"person": "Ada"}))
    if not said:
        return calls(("search_web", {"query": "weather where Ada lives"}))
    if said[-1] == "Bern":
        return calls(("degrees", {"town": "Bern"}))
    return f"It is {said[-1]} degrees where Ada lives."


def panel(request: Request) -> list[str]:
    if "Others said" in last(request):
        return [json.dumps({"reason": "It holds the seeds.", "answer": "Fruit"})]
    answers = [
        ("Cooks say so.", "vegetable"),
        ("It holds the seeds.", "fruit"),
        ("It depends.", "both"),
    ]
    return [json.dumps({"reason": reason, "answer": answer}) for reason, answer in answers]


def research(request: Request) -> str:
    asked = last(request)
    if "Three questions" in asked:
        return json.dumps(["How do bees fly?", "What do bees eat?", "Where do bees live?"])
    if asked.startswith("A report"):
        return "Bees fly, eat nectar, and live in hives."
    return f"Note: {asked.splitlines()[0]}"


def deep_search(request: Request) -> Scripted | str:
    said = results(request)
    queries = ["bees bern", "bees basel"], ["bern inhabitants", "basel inhabitants"]
    if len(said) < 4:
        wanted = queries[len(said) // 2]
        return calls(*(("search", {"query": query}) for query in wanted))
    return "Basel: 5 for 177,000 are more than 3 for 146,000."


def crawler(request: Request) -> str:
    page = last(request).splitlines()[2]
    links = last(request).partition("Links: ")[2]
    found = "Beside the cellar's door." if "A key hangs" in page else None
    return json.dumps({"answer": found, "follow": links.split(", ") if "/" in links else []})


def own_question(request: Request) -> str:
    walk = ["right", "down", "right", "down", "done"]
    begun = request.messages[-1].content.split() if request.open else []
    chance = random.Random(f"{begun} {request.sampling.seed}")
    rest = walk[len(begun) :] if begun == walk[: len(begun)] else ["up", "done"]
    if chance.random() < 0.4:
        rest[0] = chance.choice(["left", "up", "down"])
    return "\n".join(rest) + "\n"


def subtasks(request: Request) -> str:
    asked, schema = last(request), str(request.sampling.schema)
    if "subproblems" in schema:  # `gated` asks for the parts, and then how difficult they are
        return json.dumps({"subproblems": ["legs of two bees", "legs of a goat", "the sum"]})
    if "difficulties" in schema:
        return json.dumps({"difficulties": [0.1, 0.1, 0.4]})
    if asked.startswith("Solve"):
        return "12" if "bees" in asked else "4" if "goat" in asked else "12 + 4 = 16"
    if "pseudo-Python" in asked:
        return "def legs(animals):\n    return sum(count * legs_of(one) for one, count in animals)"
    if "subtasks" not in schema:
        return "16 legs."
    task: dict[str, object] = {"title": "all"}  # `tim` goes through the tree of tasks
    if asked == "Now subtask 1: bees":
        task = {"title": "bees", "tool": {"name": "legs_of", "arguments": {"animal": "bee"}}}
    elif asked.startswith("Result of legs_of"):
        task = {"title": "bees", "conclusion": "two bees have 12 legs"}
    elif asked == "Now subtask 2: goat":
        task = {"title": "goat", "conclusion": "a goat has 4 legs"}
    elif asked.startswith("Go on with the whole"):
        task["conclusion"] = "16 legs."
    else:
        task["subtasks"] = [{"title": "bees"}, {"title": "goat"}]
    return json.dumps(task)


def looking_up(request: Request) -> str:
    asked, known = last(request), "\n".join(turn.content for turn in request.messages)
    if asked.startswith("What do these passages say"):
        return "Ada's hives are at the old mill." if "Ada" in asked else "It is north of Bern."
    if "by the documents, in steps" in known:
        if "north of Bern" not in known:
            return "Follow up: Where is the old mill?"
        return "Intermediate answer: north of Bern.\nFinal answer: Bern"
    if "</search>" in known and "of Bern" not in known:
        return "Two facts are missing.\n<search>\nAda's bees;\nold mill\n</search>"
    if "Query:" in known and "north of Bern" not in known:
        query = "old mill river" if "hives" in known else "Ada bees"
        return f"That is not known yet.\nQuery: {query}"
    return "Final answer: Bern"


def concepts(request: Request) -> str:
    asked = last(request)
    known = "factor" if "factor" in asked else "step" if "step" in asked else ""
    if "Which of them may help" in asked:
        problem = asked.partition("Problem:")[2]
        return json.dumps(["constant step" if "5 4 3 2" in problem else "constant factor"])
    if asked.startswith("From this pseudocode"):
        name = "constant factor" if "times" in asked else "constant step"
        cue = "each number is made of the one before"
        return json.dumps([{"name": name, "kind": "routine", "cues": [cue]}])
    if asked.startswith("Problem:"):
        return "look at two neighbours; the next is the last " + (
            "less their difference" if "5 4 3 2" in asked else "times their quotient"
        )
    right = {"1 2 4 8": "Doubled:\n16", "5 4 3 2": "One less:\n1"}
    learned = {"3 9 27 81": "Times 3:\n243", "2 20 200": "Times 10:\n2000"}
    for problem, said in (right | (learned if known else {})).items():
        if problem in asked:
            return said
    return "It grows:\n100"


def effort(request: Request) -> Scripted | str:
    said = results(request)
    if not said:
        return calls(("read_log", {"last": 1}))
    if "disk full" not in said[-1]:
        return calls(("read_log", {"last": 4}))
    return "The disk was full at 10:05, and nobody began the backup again."


def efforts(request: Request) -> dict[str, float]:
    """How much thought the judge gives a step of `effort`: much where there is a fault to find."""
    hard = "disk full" in last(request)
    return {"low": 0.1, "medium": 0.2, "high": 0.7} if hard else {"low": 0.8, "high": 0.2}


def serving(request: Request) -> str:
    asked = last(request)
    if asked.startswith("Plan"):
        return "Read the last line.\nTest files without a newline."
    return "The first patch." if asked.startswith("Which patch") else f"A patch: {asked[:24]}"


class Model(ScriptedEngine):
    """Says what a model might say to one of the examples.

    Args:
        example: the name of the example's file, without `.py`.
        seconds: time for each token.
        model: the name of the model.
    """

    def __init__(self, example: str, seconds: float = 0.0, model: str = "scripted") -> None:
        player = Player(0.7)
        replies = player.reply if example == "methods" else globals()[example]
        scores = efforts if example == "effort" else player.scores
        super().__init__(replies, scores, token_seconds=seconds, model=model)
