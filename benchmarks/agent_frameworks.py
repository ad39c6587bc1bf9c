"""The same agents in weft, LangGraph and pydantic-ai: lines, requests, tokens, kill -9, losers.

    python benchmarks/agent_frameworks.py [--quick] [--json FILE]

Three programs stand in `benchmarks/beside/`, once for each framework, as somebody would write them
who knows it: text to SQL by a vote of five attempts that ends when it is decided; a coding agent
with tools; a loop of retrieval. All have the same prompts, and ask one endpoint over HTTP
(`weft mock`), which counts requests, tokens, and what is generated for nobody. Each program runs
in a process of its own. Then each is killed (kill -9) in the middle of its work and begun again,
the coding agent twice: within an answer, and while one of two tools runs. What had been paid
before a kill and is paid again counts as paid twice; answers in flight at the kill do not.

LangGraph keeps its state in SQLite if `langgraph-checkpoint-sqlite` is installed, pydantic-ai in
DBOS if `dbos` is; else they are measured without.
"""

from __future__ import annotations

import argparse
import ast
import json
import multiprocessing
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

BESIDE = Path(__file__).parent / "beside"
sys.path.insert(0, str(BESIDE))

from run_one import HAS_DBOS, HAS_SAVER, go  # noqa: E402
from said import Asked, Counting  # noqa: E402
from weft.backends.mock.server import running  # noqa: E402

WEFT = "weft"
PROGRAMS = {"sql": "text to SQL", "coding": "coding agent", "rag": "RAG loop"}


@dataclass(frozen=True)
class Way:
    """A way to run the programs.

    Attributes:
        files: of each program, the module in `beside`.
        pooled: whether calls go over a Pool of weft in the program's process.
    """

    files: dict[str, str]
    pooled: bool = False


def way(name: str, *programs: str, pooled: bool = False) -> Way:
    return Way({one: f"{name}_{one}" for one in programs or PROGRAMS}, pooled)


WAYS = {
    WEFT: way("weft"),
    "LangGraph": way("langgraph"),
    "LangGraph, Send": Way({"sql": "langgraph_sql_graph"}),
    "pydantic-ai": way("pydantic_ai"),
    **({"pydantic-ai, DBOS": way("pydantic_ai_dbos")} if HAS_DBOS else {}),
    "LangGraph over a Pool": way("langgraph", "sql", pooled=True),
    "pydantic-ai over a Pool": way("pydantic_ai", "sql", pooled=True),
}


@dataclass
class Part:
    """What happened since a process was started.

    Attributes:
        asked: requests of the program.
        notes: what its tools did, and when.
    """

    asked: list[Asked]
    notes: list[tuple[str, float]]

    def times(self, what: str) -> list[float]:
        return [at for name, at in self.notes if name == what]


When = Callable[[Part], bool]


def within_answer(number: int) -> When:
    """In the middle of the answer of that number."""
    return lambda part: len(part.asked) == number and len(part.asked[-1].at) > 100


def behind(what: str, count: int = 1, seconds: float = 0.0) -> When:
    """So long after a tool did something for the last of so many times."""

    def holds(part: Part) -> bool:
        done = part.times(what)
        return len(done) >= count and time.monotonic() - done[count - 1] >= seconds

    return holds


ANSWERS = {"sql": "[('Ada',)]", "coding": "I mended dates.py.", "rag": "Bern"}
KILLS: dict[str, list[When]] = {
    "sql": [behind("rows", 3, seconds=0.2)],
    "coding": [within_answer(5), behind("commit", seconds=0.2)],
    "rag": [within_answer(3)],
}


class Bench:
    """The endpoint, and the processes that ask it."""

    def __init__(self, engine: Counting, url: str, folder: Path) -> None:
        self._engine, self._url, self._folder = engine, url, folder
        self._context = multiprocessing.get_context("forkserver")
        # Importing takes seconds; processes are forked from one that has imported all.
        files = [file for one in WAYS.values() for file in one.files.values()]
        heavy = [
            *("weft.backends.openai", "weft.store.store", "openai.resources.chat"),
            *("weft.frameworks.langgraph", "weft.frameworks.pydantic_ai"),
        ]
        self._context.set_forkserver_preload(["run_one", *heavy, *files])
        self._number = 0

    def folder(self) -> Path:
        self._number += 1
        folder = self._folder / str(self._number)
        folder.mkdir()
        self._engine.attempts.clear()
        return folder

    def run(self, way: Way, program: str, folder: Path, kill: When | None = None) -> Part:
        """Run a program to its end, or until it is to be killed."""
        before, noted = len(self._engine.asked), len(_notes(folder))
        given = way.files[program], program, self._url, str(folder), way.pooled
        process = self._context.Process(target=go, args=given)
        process.start()

        def part() -> Part:
            return Part(self._engine.asked[before:], _notes(folder)[noted:])

        while process.exitcode is None:
            if kill is not None and kill(part()):
                process.kill()
                process.join()
                return self._settled(part)
            process.join(0.005)
        value = folder / "value.json"
        if kill or not value.exists() or json.loads(value.read_text()) != ANSWERS[program]:
            raise SystemExit(
                f"{way.files[program]} ended with {process.exitcode}, not as it should"
            )
        return self._settled(part)

    def _settled(self, part: Callable[[], Part]) -> Part:
        """What happened, when the endpoint knows of each request that it is over."""
        while any(not one.done and one.left is None for one in part().asked):
            time.sleep(0.01)
        return part()


def _notes(folder: Path) -> list[tuple[str, float]]:
    file = folder / "notes.jsonl"
    lines = file.read_text().split("\n")[:-1] if file.exists() else []
    return [tuple(json.loads(line)) for line in lines]


@dataclass
class Figures:
    """What came of one program one way."""

    lines: int
    requests: float = 0.0
    generated: float = 0.0
    prompt: float = 0.0
    late: list[float] = field(default_factory=list[float])
    wasted: list[int] = field(default_factory=list[int])
    twice: int | None = None
    effects: int | None = None


def lines_of(file: str) -> int:
    """Lines of code: without blank lines, comments and docstrings."""
    text = (BESIDE / f"{file}.py").read_text()
    taken = set[int]()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.stmt) and not (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            last = node.end_lineno if not hasattr(node, "body") else node.body[0].lineno - 1  # pyright: ignore
            taken.update(range(node.lineno, (last or node.lineno) + 1))
    shown = text.splitlines()
    return sum(bool(shown[at - 1].strip()) for at in taken)


def losers(part: Part) -> tuple[list[float], list[int]]:
    """Of answers that nobody waited for: milliseconds until the engine knew, and their tokens.

    The vote is decided when rows have come for the fourth time: three that agree, one refused.
    """
    decided = part.times("rows")[3]
    lost = [one for one in part.asked if one.at and one.at[-1] > decided]
    late = [1000 * (one.left - decided) for one in lost if one.left is not None]
    return late, [sum(at > decided for at in one.at) for one in lost]


def paid_twice(whole: Part, parts: Sequence[Part]) -> int:
    """Tokens that were paid before a kill, and again after it.

    Args:
        whole: the program when nobody kills it.
        parts: the program when it is killed, process by process.
    """
    needed = Counter(one.key for one in whole.asked)
    paid = [one for part in parts[:-1] for one in part.asked if one.done]
    made = Counter([one.key for one in [*paid, *parts[-1].asked]])
    total = 0
    for key, count in made.items():
        again = [one for one in paid if one.key == key][: max(0, count - needed[key])]
        total += sum(one.tokens for one in again)
    return total


def measure(bench: Bench, way: Way, program: str, rounds: int, kills: bool) -> Figures:
    """Run a program some times whole, and once with kills."""
    figures = Figures(lines_of(way.files[program]))
    wholes = [bench.run(way, program, bench.folder()) for _ in range(rounds)]
    figures.requests = fmean(len(one.asked) for one in wholes)
    figures.generated = fmean(sum(len(a.at) for a in one.asked) for one in wholes)
    figures.prompt = fmean(sum(a.prompt for a in one.asked) for one in wholes)
    if program == "sql":
        for one in wholes:
            late, wasted = losers(one)
            figures.late += late
            figures.wasted += wasted
    if kills and not way.pooled:
        folder = bench.folder()
        parts = [bench.run(way, program, folder, kill) for kill in KILLS[program]]
        parts.append(bench.run(way, program, folder))
        figures.twice = paid_twice(wholes[0], parts)
        if program == "coding":
            figures.effects = sum(len(part.times("commit")) for part in parts) - 1
    return figures


SHOWN: list[tuple[str, str, Callable[[Figures], float | None]]] = [
    ("lines of code", "lines", lambda one: one.lines),
    ("requests", "requests", lambda one: one.requests),
    ("prompt tokens", "tokens", lambda one: one.prompt),
    ("generated tokens", "tokens", lambda one: one.generated),
    (
        "generated for each loser after the vote was decided",
        "tokens",
        lambda one: fmean(one.wasted) if one.wasted else None,
    ),
    (
        "until a loser is aborted in the engine, mean",
        "ms",
        lambda one: fmean(one.late) if one.late else None,
    ),
    (
        "until a loser is aborted in the engine, longest",
        "ms",
        lambda one: max(one.late) if one.late else None,
    ),
    ("paid twice after kill -9", "tokens", lambda one: one.twice),
    ("effects done twice after kill -9", "commits", lambda one: one.effects),
]


def rows(found: dict[str, dict[str, Figures]]) -> list[dict[str, Any]]:
    """The figures as rows."""
    made: list[dict[str, Any]] = []
    for program, title in PROGRAMS.items():
        for name, unit, figure in SHOWN:
            each = {
                way: round(value, 1)
                for way, one in found.items()
                if program in one and (value := figure(one[program])) is not None
            }
            if each:
                ours = each.pop(WEFT, None)
                about = {"name": f"{title}: {name}", "unit": unit, "better": "lower"}
                made.append({**about, "weft": ours, "peers": each})
    return made


def table(made: list[dict[str, Any]], ways: Sequence[str]) -> str:
    """The rows for people, as the documentation has them."""
    lines = [f"| | {' | '.join(ways)} |", f"|---|{'---|' * len(ways)}"]
    for row in made:
        each = {WEFT: row["weft"], **row["peers"]}
        cells = [f"{each[one]:,g}" if each.get(one) is not None else "" for one in ways]
        unit = f", {row['unit']}" if row["unit"] not in row["name"] else ""
        lines.append(f"| {row['name']}{unit} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="one vote each, and a coding agent that is killed")
    add("--rounds", type=int, default=5, help="votes of each way (%(default)s)")
    add("--ways", nargs="+", choices=WAYS, help="only these, and weft")
    add("--json", type=Path, metavar="FILE", help="write the figures there")
    options = parser.parse_args()
    if not HAS_SAVER:
        print("LangGraph keeps its state in memory: pip install langgraph-checkpoint-sqlite")
    if not HAS_DBOS:
        print("pydantic-ai has no durable means here: pip install dbos")
    found: dict[str, dict[str, Figures]] = {}
    with tempfile.TemporaryDirectory() as folder, running(engine := Counting()) as url:
        bench = Bench(engine, url, Path(folder))
        for name, way in WAYS.items():
            if options.ways and name not in (WEFT, *options.ways):
                continue
            for program in way.files:
                if program == "rag" and options.quick:
                    continue
                rounds = options.rounds if program == "sql" and not options.quick else 1
                kills = program == "coding" or not options.quick
                found.setdefault(name, {})[program] = measure(bench, way, program, rounds, kills)
    made = rows(found)
    print(table(made, list(found)))
    if options.json:
        options.json.write_text(json.dumps(made, indent=2) + "\n")


if __name__ == "__main__":
    main()
