"""One workflow over many inputs: as a batch, and as the same calls without their graph.

    python benchmarks/batches.py [--quick] [--json FILE]
    python benchmarks/batches.py --live [--quick] [--json FILE]

The workflow has five operators over a document and a question: a digest of the document, a plan
for the question, what is found in the document, a check of this against the document, and an
answer in a given style. Several questions are asked about each document, and the inputs are
shuffled. `batch` runs all inputs at once. The others run each input by itself, all at once,
under one policy each; their calls are the same, and operators that need nothing of each other
run side by side there too.

Without --live the programs run on simulated GPUs in virtual time: the real code of programs and
scheduler, on engines that take the time of a roofline model. With --live they run on two vLLM
replicas of a Llama of 34M random weights on a CPU. Answers have a fixed length, and what
operators hand on is made up, so that all runs have the same prompts.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio

from live import say
from real_play import random_llama
from weft import Pool, Prompt, batch, gather, generate, node, run
from weft.backends.engine import Engine
from weft.backends.local.launch import launch
from weft.backends.simulated.engine import SimulatedEngine
from weft.backends.simulated.hardware import find_hardware
from weft.backends.timeline import Timeline
from weft.backends.vllm import VLLMEngine
from weft.errors import WeftError
from weft.programs.workflows import Workflow, workflow
from weft.simulation.clock import VirtualClock
from weft.types import Message, Usage
from words import model_folder, text

MODEL = "llama-34m"
BLOCK = 32
Input = tuple[int, int]
"""The number of a document, and that of a question."""


@dataclass(frozen=True)
class Shape:
    """What is asked.

    Attributes:
        documents: how many.
        questions: about each.
        document: tokens of one.
        style: tokens of the instructions that each operator begins with.
        answer: tokens of each answer.
    """

    documents: int
    questions: int
    document: int
    style: int
    answer: int

    def inputs(self, seed: int, shuffled: bool) -> list[Input]:
        made = [(d, q) for d in range(self.documents) for q in range(self.questions)]
        if shuffled:
            random.Random(seed).shuffle(made)
        return made


SIMULATED = Shape(125, 8, 6000, 500, 100)
LIVE = Shape(16, 4, 1200, 100, 16)


@dataclass(frozen=True)
class Operators:
    """The five operators, for inputs of a shape.

    Attributes:
        shape: of the inputs.
        temperature: of all calls; 0 lets inputs of a batch share calls.
        salt: of the content: what has another salt shares nothing with it.
    """

    shape: Shape
    temperature: float
    salt: str

    async def ask(self, stage: str, *parts: str) -> None:
        """A call of a stage: what is shared comes first, as in all prompts that are to be cached.

        First a document, if there is one, then the stage's instructions, then the rest.
        """
        style = text(f"{self.salt}:{stage}", self.shape.style)
        document = () if stage in ("plan", "write") else parts[:1]
        words = "".join([*document, style, *parts[len(document) :]])
        prompt = Prompt()
        most = self.shape.answer
        await generate(
            prompt.user(words),
            max_tokens=most,
            temperature=self.temperature,
            extra={"ignore_eos": True, "min_tokens": most},
        )

    def said(self, *of: object) -> str:
        """What stands for an answer in the prompts behind it."""
        return text(f"{self.salt}:said:{of}", self.shape.answer)

    def document(self, number: int) -> str:
        return text(f"{self.salt}:document:{number}", self.shape.document)

    def flow(self) -> Workflow:
        """The workflow, which declares its graph."""

        @node(calls=1)
        async def digest(question: Input) -> str:
            await self.ask("digest", self.document(question[0]))
            return self.said("digest", question[0])

        @node(calls=1)
        async def plan(question: Input) -> str:
            await self.ask("plan", self.said("question", question))
            return self.said("plan", question)

        @node(calls=1)
        async def find(question: Input, plan: str) -> str:
            await self.ask("find", self.document(question[0]), plan)
            return self.said("find", question)

        @node(calls=1)
        async def check(question: Input, find: str) -> str:
            await self.ask("check", self.document(question[0]), find)
            return self.said("check", question)

        @node(calls=1)
        async def write(digest: str, find: str, check: str) -> str:
            await self.ask("write", digest, find, check)
            return "done"

        return workflow(digest, plan, find, check, write)

    async def plain(self, question: Input) -> str:
        """The same calls, as a function that declares nothing."""
        document = question[0]

        async def begin(first: bool) -> None:
            if first:
                await self.ask("digest", self.document(document))
            else:
                await self.ask("plan", self.said("question", question))

        await gather(begin, [True, False])
        await self.ask("find", self.document(document), self.said("plan", question))
        await self.ask("check", self.document(document), self.said("find", question))
        parts = self.said("digest", document), self.said("find", question)
        await self.ask("write", *parts, self.said("check", question))
        return "done"


class WordEngine(SimulatedEngine):
    """A simulated engine to which a word of `words` is a token."""

    async def render(
        self,
        messages: tuple[Message, ...],
        *,
        open: bool,
        template: Mapping[str, Any] | None = None,
    ) -> tuple[int, ...]:
        ids: list[int] = []
        for message in messages:  # a role, and words of four letters each
            ids += memoryview(f"\0{message.role[:3]}{message.content}".encode()).cast("I")
        return (*ids, 1)


@dataclass(frozen=True)
class Figures:
    """What a way of running all inputs took."""

    seconds: float
    usage: Usage
    shared: int = 0

    @property
    def cached(self) -> float:
        return self.usage.cached / max(1, self.usage.prompt)


async def as_batch(pool: Pool, operators: Operators, inputs: Sequence[Input]) -> Figures:
    """All inputs in one batch of the declared workflow."""
    begun = anyio.current_time()
    done = await batch(operators.flow(), inputs, pool=pool)
    if done.errors:
        raise SystemExit(f"an input failed: {next(iter(done.errors.values()))}")
    return Figures(anyio.current_time() - begun, done.usage, done.shared)


async def apart(pool: Pool, operators: Operators, inputs: Sequence[Input]) -> Figures:
    """Each input by itself, all at once."""
    begun, usages = anyio.current_time(), list[Usage]()

    async def one(question: Input) -> None:
        usages.append((await run(operators.plain, question, pool=pool)).usage)

    async with anyio.create_task_group() as tasks:
        for question in inputs:
            tasks.start_soon(one, question)
    return Figures(anyio.current_time() - begun, sum(usages, Usage()))


Way = tuple[str, str, float, Callable[[Pool, Operators, Sequence[Input]], Awaitable[Figures]]]


def ways(policies: Sequence[str]) -> list[Way]:
    """All ways to run the inputs: names, policies, temperatures and what runs them."""
    return [
        ("batch", "weft", 0.0, as_batch),
        ("batch, nothing shared", "weft", 1.0, as_batch),
        *((f"apart, {policy}", policy, 0.0, apart) for policy in policies),
    ]


def simulated(way: Way, options: argparse.Namespace, shape: Shape) -> Figures:
    """Run one way on simulated GPUs, in virtual time."""
    timeline = Timeline()
    hardware = find_hardware(options.gpu, options.model)

    async def main() -> Figures:
        async with timeline:
            engines = [
                WordEngine(
                    timeline,
                    hardware,
                    name=f"engine-{i}",
                    kv_tokens=options.kv_tokens,
                    block_size=BLOCK,
                    batched_tokens=options.batched_tokens,
                )
                for i in range(options.engines)
            ]
            return await in_pool(way, engines, options, shape, "simulated")

    clock = VirtualClock(timeline)
    return anyio.run(main, backend="trio", backend_options={"clock": clock})


async def in_pool(
    way: Way, engines: Sequence[Engine], options: argparse.Namespace, shape: Shape, salt: str
) -> Figures:
    _, policy, temperature, go = way
    async with Pool(*engines, policy=policy) as pool:
        operators = Operators(shape, temperature, salt)
        return await go(pool, operators, shape.inputs(options.seed, not options.grouped))


@asynccontextmanager
async def replicas(kv_tokens: int) -> AsyncGenerator[list[str]]:
    """Addresses of two replicas that run for the time of the block."""
    args = [*random_llama(kv_tokens, BLOCK, 4096), "--seed", "0", "--enable-prompt-tokens-details"]
    with tempfile.TemporaryDirectory() as name:
        folder = model_folder(Path(name), 4096)
        async with launch(folder, 2, MODEL, extra_args=args, on_progress=say) as started:
            yield [replica.url for replica in started]


async def live(options: argparse.Namespace, shape: Shape) -> dict[str, Figures]:
    """Run all ways on two real replicas, in turn; the mean of the rounds."""
    found: dict[str, list[Figures]] = {}
    async with replicas(options.kv_tokens or 259 * BLOCK) as urls:
        for turn in range(options.rounds):
            order = ways(options.policy)
            for way in order if turn % 2 == 0 else reversed(order):
                engines = [VLLMEngine(url, name=f"engine-{i}") for i, url in enumerate(urls)]
                salt = f"{way[0]}:{turn}:{random.random()}"
                figures = await in_pool(way, engines, options, shape, salt)
                say(f"round {turn + 1}, {way[0]}: {figures.seconds:.1f} s")
                found.setdefault(way[0], []).append(figures)
    return {
        name: Figures(
            sum(f.seconds for f in several) / len(several),
            sum((f.usage for f in several), Usage()),
            several[0].shared,
        )
        for name, several in ((way[0], found[way[0]]) for way in ways(options.policy))
    }


def table(found: Mapping[str, Figures], rounds: int) -> str:
    """The figures for people."""
    ours = found["batch"].seconds
    lines = [f"{'':24}{'s':>9}{'times':>8}{'calls':>8}{'computed':>12}{'cached':>9}"]
    for name, f in found.items():
        lines.append(
            f"{name:24}{f.seconds:>9.1f}{f.seconds / ours:>7.2f}x{f.usage.calls // rounds:>8}"
            f"{f.usage.computed // rounds:>12,}{f.cached:>9.1%}"
        )
    return "\n".join(lines)


def rows(kind: str, found: Mapping[str, Figures]) -> list[dict[str, Any]]:
    """The figures as rows."""
    ours, *others = found.items()

    def row(
        name: str, unit: str, better: str, figure: Callable[[Figures], float]
    ) -> dict[str, Any]:
        return {
            "name": f"{kind}: {name}",
            "unit": unit,
            "better": better,
            "weft": round(figure(ours[1]), 4),
            "peers": {name: round(figure(f), 4) for name, f in others},
        }

    return [
        row("all inputs", "s", "lower", lambda f: f.seconds),
        row("tokens computed", "tokens", "lower", lambda f: f.usage.computed),
        row("prompt tokens cached", "share", "higher", lambda f: f.cached),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--live", action="store_true", help="on two vLLM replicas on this machine's CPU")
    add("--quick", action="store_true", help="few inputs")
    add("--grouped", action="store_true", help="questions about one document follow each other")
    add("--gpu", default="h100", help="simulated (%(default)s)")
    add("--model", default="llama-3.1-8b", help="simulated (%(default)s)")
    add("--engines", type=int, default=2, help="simulated (%(default)s)")
    add("--kv-tokens", type=int, help="of each engine; what the hardware holds by default")
    add("--batched-tokens", type=int, default=8192, help="of a step, simulated (%(default)s)")
    add("--documents", type=int, help="how many")
    add("--questions", type=int, help="about each document")
    add("--document", type=int, help="tokens of a document")
    add("--policy", nargs="+", default=["weft", "prefix", "fcfs"], help="of inputs apart")
    add("--rounds", type=int, default=1, help="with --live (%(default)s)")
    add("--seed", type=int, default=0, help="of the shuffling (%(default)s)")
    add("--json", type=Path, metavar="FILE", help="write the figures there")
    options = parser.parse_args()
    shape = LIVE if options.live else SIMULATED
    if options.quick:
        shape = Shape(6, 3, 600, 50, 8) if options.live else Shape(20, 4, 6000, 500, 100)
    own = {n: v for n in ("documents", "questions", "document") if (v := getattr(options, n))}
    shape = Shape(**{**vars_of(shape), **own})
    inputs = shape.documents * shape.questions
    print(
        f"{inputs} inputs: {shape.questions} questions about each of {shape.documents} documents "
        f"of {shape.document} tokens, {'in their order' if options.grouped else 'shuffled'}"
    )
    if options.live:
        found = anyio.run(live, options, shape)
    else:
        found = dict[str, Figures]()
        for way in ways(options.policy):
            begun = time.perf_counter()
            found[way[0]] = simulated(way, options, shape)
            say(f"{way[0]}: {time.perf_counter() - begun:.0f} s of real time")
    print(table(found, options.rounds if options.live else 1))
    if options.json:
        kind = "live" if options.live else "simulated"
        options.json.write_text(json.dumps(rows(kind, found), indent=2) + "\n")


def vars_of(shape: Shape) -> dict[str, int]:
    """The fields of a shape."""
    return {name: getattr(shape, name) for name in Shape.__dataclass_fields__}


if __name__ == "__main__":
    try:
        main()
    except WeftError as error:
        raise SystemExit(str(error)) from None
