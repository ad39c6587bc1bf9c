"""All strategies on the shipped model: accuracy against tokens and wall time.

Every strategy of the registry solves the same held-out Countdown problems, on two vLLM replicas
of the shipped model. A round takes new problems; within a round the strategies run one after the
other, each with all problems at once. Tokens are all that the engines computed: prompts that were
not cached, answers, verdicts, and what was cancelled.

    python benchmarks/strategies.py --quick
    python benchmarks/strategies.py --minutes 15 --json strategies.json
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from math import sqrt
from pathlib import Path
from statistics import fmean
from typing import Any

import anyio

from tts import counted, engines
from weft import Limits, Pool, run
from weft.backends.vllm import VLLMEngine
from weft.errors import WeftError
from weft.evals.statistics import paired
from weft.evals.tasks.puzzles.countdown_task import CountdownTask
from weft.evals.tasks.task import Sample
from weft.search import Strategy, parse_strategy, strategies
from weft.search.strategy import stable_seed
from weft.types import Usage

BASES = ("majority(n={n})", "best_of_n(n={n})")
SETTINGS: dict[str, list[str]] = {
    "greedy": ["greedy", "greedy(think=true)"],
    "majority": [
        "majority(n={n})",
        "majority(n={n}, confidence=0.95, parallel={few})",
        "majority(n=1, think=true)",
        "majority(n={half}, think=true)",
        "majority(n={few}, of=astar)",
    ],
    "best_of_n": [
        "best_of_n(n={few})",
        "best_of_n(n={n})",
        "best_of_n(n={few}, of=majority(n=1, think=true))",
        "best_of_n(n={few}, of=beam(n=4, width=2))",
    ],
    "first_finish": ["first_finish(n={few})"],
    "short_m_at_k": ["short_m_at_k(m={few}, k={half})"],
    "beam": ["beam(n={half}, width={few})"],
    "dvts": ["dvts(n={half}, width={few})"],
    "rebase": ["rebase(n={half})"],
    "deepconf": ["deepconf(n={half})"],
    "deepconf_online": ["deepconf_online(n={half}, warmup={few})"],
    "astar": ["astar(k={few})", "astar(k={few}, parallel=4)"],
    "mcts": ["mcts(n=40)"],
    "ab_mcts": ["ab_mcts(n=40)"],
    "particle_filter": ["particle_filter(n={half})"],
}
"""What to run of each strategy. One that is not named here has its default parameters, but `n`."""


@dataclass
class Measured:
    """What a strategy came to.

    Attributes:
        right: of each problem, in the order of all.
        tokens: computed, of each problem.
        usage: of all problems.
        seconds: of wall time, of all rounds.
        error: why it can't run here.
    """

    right: list[bool] = field(default_factory=list[bool])
    tokens: list[int] = field(default_factory=list[int])
    usage: Usage = field(default_factory=Usage)
    seconds: float = 0.0
    error: str = ""

    @property
    def accuracy(self) -> float:
        return fmean(self.right)

    @property
    def stderr(self) -> float:
        return sqrt(self.accuracy * (1 - self.accuracy) / max(1, len(self.right) - 1))

    def half(self, odd: int) -> Measured:
        """Every other problem."""
        return Measured(self.right[odd::2], self.tokens[odd::2])


def specs(n: int) -> tuple[list[str], list[str]]:
    """The specs of all strategies, and those of the two that others are compared with."""
    numbers = {"n": n, "half": max(4, n // 2), "few": max(2, n // 4)}
    found: list[str] = []
    for name, kind in sorted(strategies().items()):
        usual = f"{name}(n={{n}})" if any(p.name == "n" for p in kind.parameters()) else name
        found += SETTINGS.get(name, [usual])
    canonical = [parse_strategy(spec.format(**numbers)).spec for spec in (*BASES, *found)]
    return list(dict.fromkeys(canonical)), canonical[: len(BASES)]


async def one_round(
    pool: Pool, strategy: Strategy, samples: Sequence[Sample], seed: int, total: Measured
) -> None:
    """A strategy on problems, all at once."""
    task = CountdownTask()
    answers = strategy.side_by_side(len(samples), len(samples))
    done: list[tuple[bool, Usage]] = [(False, Usage())] * len(samples)

    async def solve(place: int, sample: Sample) -> None:
        question = task.question(sample, stable_seed(seed, strategy.spec, sample.id))
        result = await run(answers, question, pool=pool, budget=Limits(calls=2000))
        done[place] = task.correct(sample, result.value), result.usage

    begun = anyio.current_time()
    try:
        async with anyio.create_task_group() as group:
            for place, sample in enumerate(samples):
                group.start_soon(solve, place, sample)
    except ExceptionGroup as errors:
        if (wrong := errors.subgroup(WeftError)) is None:
            raise
        total.error = str(wrong.exceptions[0])
        return
    total.seconds += anyio.current_time() - begun
    total.right += [right for right, _ in done]
    total.tokens += [usage.computed for _, usage in done]
    total.usage = sum((usage for _, usage in done), total.usage)


async def measure(
    options: argparse.Namespace, urls: list[str], wanted: Iterable[str]
) -> tuple[dict[str, Measured], float]:
    """All strategies on as many rounds as there is time for; and tokens generated by the servers
    for each that weft counted."""
    sums = {spec: Measured() for spec in wanted}
    most = options.problems * (1000 if options.minutes else 1)
    samples = CountdownTask().samples(min(most, 5000), options.seed)
    async with Pool(*map(VLLMEngine, urls)) as pool:
        for warm in ("best_of_n(n=2)", "beam(n=2, width=2)"):  # first verdicts cost seconds
            await one_round(pool, parse_strategy(warm), samples[-4:], -1, Measured())
        before, begun, took = await counted(urls), anyio.current_time(), 0.0
        while samples:
            start = anyio.current_time()
            now, samples = samples[: options.problems], samples[options.problems :]
            for spec, total in sums.items():
                if not total.error:
                    await one_round(pool, parse_strategy(spec), now, options.seed, total)
            took = anyio.current_time() - start
            if anyio.current_time() - begun + took > 60 * options.minutes:
                break
        after = await counted(urls)
    ours = sum(m.usage.generated for m in sums.values())
    return sums, (after["generated"] - before["generated"]) / max(1, ours)


def frontier(sums: dict[str, Measured], cost: Callable[[Measured], float]) -> list[str]:
    """Those than which none is as accurate for less; cheapest first."""
    best, found = -1.0, list[str]()
    for spec in sorted(sums, key=lambda s: (cost(sums[s]), -sums[s].accuracy)):
        if sums[spec].accuracy > best:
            best = sums[spec].accuracy
            found.append(spec)
    return found


def chosen(sums: dict[str, Measured], base: str) -> str:
    """The cheapest that is as accurate as another one: chosen on half of the problems, and told
    as it is on the other half, so that luck among many does not count."""
    first = {spec: m.half(0) for spec, m in sums.items()}
    able = [s for s in first if s != base and first[s].accuracy >= first[base].accuracy]
    if not able:
        return f"none is as accurate as {base} on half of the problems"
    best = min(able, key=lambda s: fmean(first[s].tokens))
    ours, theirs = sums[best].half(1), sums[base].half(1)
    gap = paired([float(r) for r in ours.right], [float(r) for r in theirs.right])
    return (
        f"as accurate as {base} for the fewest tokens, on half of the problems: {best}; on the "
        f"other half {100 * gap.mean:+.1f} ± {100 * gap.stderr:.1f} points for "
        f"{fmean(theirs.tokens) / fmean(ours.tokens):.2f}x fewer tokens"
    )


def table(sums: dict[str, Measured], bases: Sequence[str]) -> str:
    """The figures for people, a strategy a row, those on the frontier marked."""
    best, lines = frontier(sums, lambda m: fmean(m.tokens)), list[str]()
    wide = max(map(len, sums))
    lines.append(
        f"{'':{wide}}  accuracy, %    computed generated cancelled  calls  ms/problem  "
        "tokens, and points, against majority      and best-of-n"
    )
    for spec, m in sums.items():
        problems, used = len(m.right), m.usage
        against: list[str] = []
        for base in bases:
            other = sums[base]
            gap = paired([float(r) for r in m.right], [float(r) for r in other.right])
            ratio = fmean(m.tokens) / fmean(other.tokens)
            against.append(f"{ratio:6.2f}x {100 * gap.mean:+6.1f} ± {100 * gap.stderr:.1f}")
        lines.append(
            f"{spec:{wide}} {'*' if spec in best else ' '}{100 * m.accuracy:5.1f} ± "
            f"{100 * m.stderr:4.1f} {used.computed / problems:11.0f} "
            f"{used.completion / problems:9.0f} {used.cancelled / problems:9.0f} "
            f"{used.calls / problems:6.1f} {1e3 * m.seconds / problems:11.0f}        "
            f"{'     '.join(against)}"
        )
    return "\n".join(lines)


def rows(sums: dict[str, Measured], bases: Sequence[str]) -> list[dict[str, Any]]:
    """The figures as rows; the peers are the two strategies that all know."""

    def figures(m: Measured) -> list[tuple[str, str, str, float]]:
        return [
            ("accuracy", "share", "higher", m.accuracy),
            ("computed", "tokens/problem", "lower", fmean(m.tokens)),
            ("seconds", "s/problem", "lower", m.seconds / len(m.right)),
        ]

    return [
        {
            "name": f"{spec} {name}",
            "unit": unit,
            "better": better,
            "weft": round(value, 5),
            "peers": {base: round(figures(sums[base])[place][3], 5) for base in bases},
        }
        for spec, m in sums.items()
        for place, (name, unit, better, value) in enumerate(figures(m))
    ]


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--engine", action="append", default=[], metavar="URL", help="a running vLLM server")
    add("--problems", type=int, default=20, help="problems a round (%(default)s)")
    add("--minutes", type=float, default=0.0, help="begin rounds that end within; one if 0")
    add("--n", type=int, default=16, help="samples of the two to compare with (%(default)s)")
    add("--seed", type=int, default=0, help="of the problems (%(default)s)")
    add("--strategies", nargs="+", metavar="SPEC", help="these alone, beside the two")
    add("--quick", action="store_true", help="6 problems, n=8: under a minute")
    add("--json", type=Path, metavar="FILE", help="write the figures there")
    options = parser.parse_args()
    if options.quick:
        options.problems, options.n, options.minutes = 6, 8, 0.0
    return options


async def main() -> None:
    options = arguments()
    wanted, bases = specs(options.n)
    if options.strategies:
        wanted = [*bases, *(parse_strategy(spec).spec for spec in options.strategies)]
    async with engines(options.engine) as urls:
        sums, share = await measure(options, urls, wanted)
    for spec, m in sums.items():
        if m.error:
            print(f"{spec}: {m.error}")
    sums = {spec: m for spec, m in sums.items() if not m.error}
    if not set(bases) <= set(sums):
        raise SystemExit("there is nothing to compare with")
    print(table(sums, bases))
    print(f"{len(sums[bases[0]].right)} problems; ±: standard errors, of differences paired ones")
    for what, cost in (
        ("tokens (*)", lambda m: fmean(m.tokens)),
        ("wall time", lambda m: m.seconds),
    ):
        print(f"the frontier in {what}: {', '.join(frontier(sums, cost))}")
    for base in bases:
        print(chosen(sums, base))
    print(f"the servers generated {share:.3f} times the tokens that weft counted")
    if options.json:
        options.json.write_text(json.dumps(rows(sums, bases), indent=2) + "\n")


if __name__ == "__main__":
    anyio.run(main)
