"""Agent programs on two real vLLM replicas, with a scheduler that sees the program and without.

    python benchmarks/workflows.py [--quick] [--json FILE]

Three kinds of programs, some of each at once, with contexts that together are larger than the KV:

- threads: Countdown problems behind worked examples, each thought about on several paths at once
  that are joined before the answer (`weft.threads.parallel_paths`);
- tools: agents whose context grows by a scripted tool's result each turn, which takes its time;
- retrieval: questions that are answered in rounds, each of which finds further passages of a
  small corpus (SQLite's FTS5). One passage holds the planted answer, and must be found.

`weft` is told of programs, fan-outs and tools. The other policies are not: they see the same calls
one by one. The replicas serve a Llama of 34M random weights on a CPU, to which a word is a token,
so all answers have their full length. Rounds alternate the order.
"""

from __future__ import annotations

import argparse
import json
import random
import sqlite3
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from statistics import fmean
from typing import Any

import anyio

from batches import BLOCK, replicas
from live import say
from weft import Pool, Prompt, generate, node, program, run, waiting
from weft.backends.vllm import VLLMEngine
from weft.errors import WeftError
from weft.evals.tasks.puzzles.countdown_task import CountdownTask
from weft.threads import parallel_paths
from weft.types import Usage
from words import text

KV = 259 * BLOCK
WHOLE = {"ignore_eos": True}


@dataclass(frozen=True)
class Sizes:
    """How much of each kind there is; lengths in tokens, times in seconds.

    Attributes:
        programs: of each kind, all at once.
        turns: calls of an agent, and rounds of a question.
        opening: that a program begins with and no other has.
        tool: of a tool's result.
        passages: that a round of retrieval finds at most.
        answer: of each answer.
        paths: of each problem.
        seconds: that a tool takes.
    """

    programs: int = 16
    turns: int = 6
    opening: int = 700
    tool: int = 150
    passages: int = 3
    answer: int = 24
    paths: int = 4
    seconds: float = 0.5


QUICK = Sizes(programs=6, turns=3, opening=900, answer=8, seconds=0.2)
SHARED = 150  # tokens of instructions that all programs of a kind have
PASSAGE = 60  # tokens


class Corpus:
    """Passages, each question's answer planted in one of them."""

    def __init__(self, salt: str, questions: int) -> None:
        self._db = sqlite3.connect(":memory:")
        self._db.execute("create virtual table passages using fts5(content)")
        rows = [text(f"{salt}:passage:{i}", PASSAGE) for i in range(12 * questions)]
        self.planted = [7 * i + 3 for i in range(questions)]
        self.keys = [" ".join(rows[at].split()[5:11]) for at in self.planted]
        self._db.executemany("insert into passages(rowid, content) values (?, ?)", enumerate(rows))

    def find(self, words: str, most: int, seen: set[int]) -> dict[int, str]:
        """Passages that were not seen, in the corpus's order: what is common then comes first."""
        query = " OR ".join(words.split())
        found = self._db.execute(
            "select rowid, content from passages where passages match ? order by rank", (query,)
        )
        best = [(at, passage) for at, passage in found if at not in seen][:most]
        return dict(sorted(best))


@dataclass
class Kind:
    """What the programs of a kind came to.

    Attributes:
        seconds: of each program.
        critical: tokens generated along its longest chain.
        usage: of all.
    """

    seconds: list[float] = field(default_factory=list[float])
    critical: list[int] = field(default_factory=list[int])
    usage: Usage = field(default_factory=Usage)

    def __add__(self, other: Kind) -> Kind:
        return Kind(
            self.seconds + other.seconds,
            self.critical + other.critical,
            self.usage + other.usage,
        )

    @property
    def mean(self) -> float:
        return fmean(self.seconds)

    @property
    def path(self) -> float:
        return fmean(self.critical)

    @property
    def cached(self) -> float:
        return self.usage.cached / max(1, self.usage.prompt)


def programs_of(sizes: Sizes, salt: str) -> dict[str, list[Callable[[], Awaitable[int]]]]:
    """The programs of each kind; each gives the tokens along its critical path."""
    problems = CountdownTask().samples(sizes.programs, 0)
    corpus = Corpus(salt, sizes.programs)

    def opened(kind: str, number: int) -> Prompt:
        shared = text(f"{salt}:{kind}", SHARED)
        return Prompt.system(shared).user(text(f"{salt}:{kind}:{number}", sizes.opening))

    @program
    async def threads(number: int) -> int:
        problem = CountdownTask.problem(problems[number])
        done = await parallel_paths(
            opened("threads", number).user(f"{problem}"),
            sizes.paths,
            max_tokens=2 * sizes.answer,
            answer_tokens=sizes.answer,
            first=False,  # without a seed: with one, vLLM's CPU build dies of a prompt in chunks
            extra=WHOLE,
        )
        return done.critical_tokens

    @node
    async def turn(prompt: Prompt) -> Prompt:
        said = await generate(prompt, max_tokens=sizes.answer, temperature=0.8, extra=WHOLE)
        return said.prompt

    @program(calls=sizes.turns)
    async def tools(number: int) -> int:
        prompt = opened("tools", number)
        for at in range(sizes.turns):
            prompt = await turn(prompt)
            if at < sizes.turns - 1:
                async with waiting("tool", expects=sizes.seconds):
                    await anyio.sleep(sizes.seconds)
                prompt = prompt.user(text(f"{salt}:result:{number}:{at}", sizes.tool))
        return sizes.turns * sizes.answer

    @program(calls=sizes.turns)
    async def retrieval(number: int) -> int:
        prompt, seen, asks = opened("retrieval", number), set[int](), corpus.keys[number]
        for _ in range(sizes.turns):
            found = corpus.find(asks, sizes.passages, seen)
            seen |= set(found)
            prompt = await turn(prompt.user("".join(found.values())))
            asks = " ".join(prompt.text.split()[:8]) or "none"
        if corpus.planted[number] not in seen:
            raise SystemExit(f"the planted passage of question {number} was not found")
        return sizes.turns * sizes.answer

    return {
        kind.__name__: [lambda kind=kind, i=i: kind(i) for i in range(sizes.programs)]
        for kind in (threads, tools, retrieval)
    }


async def one_pass(
    urls: Sequence[str], policy: str, sizes: Sizes, salt: str
) -> tuple[float, dict[str, Kind]]:
    """All programs at once under a policy: seconds in all, and each kind."""
    engines = [VLLMEngine(url, name=f"engine-{i}") for i, url in enumerate(urls)]
    found: dict[str, Kind] = {}
    async with Pool(*engines, policy=policy) as pool:
        begun = anyio.current_time()

        async def one(kind: str, started: Callable[[], Awaitable[int]]) -> None:
            done = await run(started, pool=pool)
            seconds = anyio.current_time() - begun
            found[kind] = found.get(kind, Kind()) + Kind([seconds], [done.value], done.usage)

        made = [(k, p) for k, several in programs_of(sizes, salt).items() for p in several]
        random.Random(0).shuffle(made)  # kinds come mixed, everywhere in the same order
        async with anyio.create_task_group() as tasks:
            for kind, started in made:
                tasks.start_soon(one, kind, started)
        return anyio.current_time() - begun, found
    raise AssertionError("unreachable")


@dataclass
class Policies:
    """The passes of one policy."""

    walls: list[float] = field(default_factory=list[float])
    kinds: dict[str, Kind] = field(default_factory=dict[str, Kind])

    @property
    def wall(self) -> float:
        return fmean(self.walls)

    @property
    def all(self) -> Kind:
        return sum(self.kinds.values(), Kind())


def table(found: Mapping[str, Policies]) -> str:
    """The figures for people."""
    ours = next(iter(found.values()))
    lines = [
        f"{'':14}{'wall s':>9}{'mean s':>9}{'times':>8}{'cached':>9}   mean s (cached) of each kind"
    ]
    for name, one in found.items():
        kinds = ", ".join(
            f"{k} {v.mean:.1f} ({v.cached:.0%})" for k, v in sorted(one.kinds.items())
        )
        lines.append(
            f"{name:14}{one.wall:>9.1f}{one.all.mean:>9.1f}{one.all.mean / ours.all.mean:>7.2f}x"
            f"{one.all.cached:>9.1%}   {kinds}"
        )
    return "\n".join(lines)


def rows(found: Mapping[str, Policies]) -> list[dict[str, Any]]:
    """The figures as rows."""
    (_, ours), *others = found.items()

    def row(
        name: str, unit: str, better: str, figure: Callable[[Policies], float]
    ) -> dict[str, Any]:
        return {
            "name": name,
            "unit": unit,
            "better": better,
            "weft": round(figure(ours), 4),
            "peers": {peer: round(figure(one), 4) for peer, one in others},
        }

    made = [row("wall time", "s", "lower", lambda one: one.wall)]
    for kind in ("all", *sorted(ours.kinds)):

        def of(one: Policies, kind: str = kind) -> Kind:
            return one.all if kind == "all" else one.kinds[kind]

        made += [
            row(f"{kind}: mean completion", "s", "lower", lambda one, of=of: of(one).mean),
            row(f"{kind}: critical path", "tokens", "lower", lambda one, of=of: of(one).path),
            row(
                f"{kind}: prompt tokens cached",
                "share",
                "higher",
                lambda one, of=of: of(one).cached,
            ),
        ]
    return made


async def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="few and short programs, one round")
    add("--policy", nargs="+", default=["weft", "fcfs", "round_robin"], help="the first is weft's")
    add("--programs", type=int, help="of each kind")
    add("--rounds", type=int, default=2, help="rounds (%(default)s)")
    add("--kv-tokens", type=int, default=KV, help="of each replica (%(default)s)")
    add("--json", type=Path, metavar="FILE", help="write the figures there")
    options = parser.parse_args()
    sizes = QUICK if options.quick else Sizes()
    if options.programs:
        sizes = Sizes(**{**vars_of(sizes), "programs": options.programs})
    rounds = 1 if options.quick else options.rounds
    ends = sizes.opening + SHARED + sizes.turns * (sizes.answer + sizes.tool)
    share = 3 * sizes.programs * ends / (2 * options.kv_tokens)
    print(f"3 x {sizes.programs} programs, some {ends} tokens at the end of each: {share:.1f} x KV")
    found = {policy: Policies() for policy in options.policy}
    numbers = count()
    async with replicas(options.kv_tokens) as urls:
        for turn in range(rounds):
            for policy in options.policy if turn % 2 == 0 else reversed(options.policy):
                # A salt of its own: nobody finds in the caches what others have left there.
                salt = f"{next(numbers)}:{random.random()}"
                wall, kinds = await one_pass(urls, policy, sizes, salt)
                say(f"round {turn + 1}, {policy}: {wall:.1f} s")
                own = found[policy]
                own.walls.append(wall)
                for kind, one in kinds.items():
                    own.kinds[kind] = own.kinds.get(kind, Kind()) + one
    print(table(found))
    if options.json:
        options.json.write_text(json.dumps(rows(found), indent=2) + "\n")


def vars_of(sizes: Sizes) -> dict[str, Any]:
    """The fields of sizes."""
    return {name: getattr(sizes, name) for name in Sizes.__dataclass_fields__}


if __name__ == "__main__":
    try:
        anyio.run(main)
    except WeftError as error:
        raise SystemExit(str(error)) from None
