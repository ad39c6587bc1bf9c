"""weft against its_hub on the same replicas: seconds, tokens and accuracy by strategy.

Both solve the same Countdown problems with the same model, samples, temperature and verifier
(the model's own P(yes)). Rounds take new problems, and who goes first alternates. Tokens are
what the servers count; `computed` leaves out prompt tokens found in the prefix cache.
its_hub runs in an environment of its own, which is made on the first call.

    python benchmarks/tts.py --quick
    python benchmarks/tts.py --engine http://127.0.0.1:8000 --engine http://127.0.0.1:8001
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import venv
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import anyio
import httpx
from anyio.streams.buffered import BufferedByteReceiveStream

from weft import Pool, run
from weft.backends.local.launch import launch
from weft.backends.local.shipped import shipped_model
from weft.backends.vllm import VLLMEngine
from weft.evals.tasks.puzzles.countdown_task import CountdownTask
from weft.search import Answer, Question, Strategy, parse_strategy

ROOT = Path(__file__).resolve().parent.parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "weft"
ITS_HUB = "its_hub[lm,iaas]==1.2.0"
STRATEGIES = {
    "best_of_n": "best_of_n(n={n}, verifier=model, temperature={temperature})",
    "self_consistency": "majority(n={n}, temperature={temperature})",
    "beam_search": "beam(n={n}, width={width}, verifier=model, temperature={temperature})",
    "particle_filtering": "particle_filter(n={n}, verifier=model, weight=latest, pick=best, "
    "temperature={temperature})",
}
COUNTERS = {
    "prompt": "vllm:prompt_tokens_total",
    "generated": "vllm:generation_tokens_total",
    "cached": "vllm:prefix_cache_hits_total",
}


@dataclass(frozen=True)
class Work:
    """What one pass does; both sides are handed the same."""

    strategy: str
    problems: int
    seed: int
    n: int
    width: int
    temperature: float
    model: str
    urls: list[str]
    max_concurrency: int


@dataclass
class Sum:
    """What the passes of one side with one strategy add up to."""

    problems: int = 0
    seconds: float = 0.0
    correct: float = 0.0
    tokens: dict[str, float] = field(default_factory=lambda: dict.fromkeys(COUNTERS, 0.0))
    error: str | None = None

    def add(self, work: Work, done: dict[str, float], tokens: dict[str, float]) -> None:
        self.problems += work.problems
        self.seconds += done["seconds"]
        self.correct += done["correct"] * work.problems
        for name, count in tokens.items():
            self.tokens[name] += count

    def rates(self) -> dict[str, float]:
        """The figures that are reported, a problem."""
        if not self.problems or self.error:
            return {}
        tokens = self.tokens
        return {
            "seconds": self.seconds / self.problems,
            "computed": (tokens["prompt"] - tokens["cached"] + tokens["generated"]) / self.problems,
            "generated": tokens["generated"] / self.problems,
            "accuracy": self.correct / self.problems,
        }


class Weft:
    """weft's side, in this process."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool

    async def __call__(self, work: Work) -> dict[str, float]:
        spec = STRATEGIES[work.strategy].format(**asdict(work))
        strategy = parse_strategy(spec)
        task = CountdownTask()
        samples = task.samples(work.problems, work.seed)
        right = 0

        async def solve(index: int, strategy: Strategy, question: Question) -> None:
            nonlocal right
            answer: Answer = (await run(strategy, question, pool=self.pool)).value
            right += task.correct(samples[index], answer)

        begun = anyio.current_time()
        async with anyio.create_task_group() as group:
            for index, sample in enumerate(samples):
                group.start_soon(solve, index, strategy, task.question(sample, work.seed))
        return {"seconds": anyio.current_time() - begun, "correct": right / len(samples)}


class ItsHub:
    """its_hub's side, in a process of its own that stays for the whole comparison."""

    def __init__(self, python: Path, timeout: float) -> None:
        self.python, self.timeout = python, timeout
        self.process: anyio.abc.Process | None = None

    async def start(self) -> None:
        self.process = await anyio.open_process(
            [str(self.python), str(ROOT / "benchmarks" / "tts_its_hub.py")], stderr=None
        )

    async def stop(self) -> None:
        if self.process is not None:
            if self.process.returncode is None:
                self.process.kill()
            await self.process.aclose()
            self.process = None

    async def __call__(self, work: Work) -> dict[str, float]:
        if self.process is None:
            await self.start()
        assert self.process is not None
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            with anyio.fail_after(self.timeout):
                await self.process.stdin.send(json.dumps(asdict(work)).encode() + b"\n")
                lines = BufferedByteReceiveStream(self.process.stdout)
                done: dict[str, Any] = json.loads(await lines.receive_until(b"\n", 1 << 20))
        except (TimeoutError, anyio.IncompleteRead) as error:
            await self.stop()
            late = isinstance(error, TimeoutError)
            raise RuntimeError(f"hung for {self.timeout:g} s" if late else "died") from None
        if "error" in done:
            raise RuntimeError(done["error"])
        return done


def environment(folder: Path) -> Path:
    """The Python of an environment with its_hub and weft's own dependencies."""
    python = folder / "bin" / "python"
    if not (folder / ".installed").exists():
        print(f"installing its_hub into {folder} (once) ...", file=sys.stderr)
        venv.create(folder, with_pip=True)
        subprocess.run(
            [python, "-m", "pip", "install", "-qq", ITS_HUB, "numpy", "-e", ROOT], check=True
        )
        (folder / ".installed").touch()
    return python


@asynccontextmanager
async def engines(urls: list[str]) -> AsyncIterator[list[str]]:
    """The given engines, or two replicas of the shipped model for the time of the block."""
    if urls:
        yield urls
        return
    model = shipped_model("countdown")
    if model is None:
        raise SystemExit("the package has no countdown model; give --engine twice")
    say = lambda text: print(text, file=sys.stderr)  # noqa: E731
    async with launch(model, replicas=2, served_name="countdown", on_progress=say) as replicas:
        yield [replica.url for replica in replicas]


async def counted(urls: list[str]) -> dict[str, float]:
    """The servers' token counters, added up."""
    await anyio.sleep(0.3)  # they are brought up to date a moment after an answer
    found = dict.fromkeys(COUNTERS, 0.0)
    async with httpx.AsyncClient() as http:
        for url in urls:
            lines = (await http.get(f"{url}/metrics")).text.splitlines()
            for name, counter in COUNTERS.items():
                values = (x.split() for x in lines if x.startswith((f"{counter}{{", f"{counter} ")))
                found[name] += sum(float(words[-1]) for words in values)
    return found


async def compare(
    options: argparse.Namespace, urls: list[str], hub: ItsHub
) -> dict[str, dict[str, Sum]]:
    """Run all passes."""
    sums = {name: {"weft": Sum(), "its_hub": Sum()} for name in options.strategies}
    async with Pool(*map(VLLMEngine, urls)) as pool:
        model = pool.engines[0].model
        sides = {"weft": Weft(pool), "its_hub": hub}

        def work(strategy: str, problems: int, seed: int) -> Work:
            return Work(
                strategy,
                problems,
                seed,
                options.n,
                options.width,
                options.temperature,
                model,
                urls,
                options.max_concurrency,
            )

        for side in sides.values():  # the first scores cost a server seconds
            for strategy in options.strategies:
                await side(work(strategy, 2, options.seed + 1000))
        for turn in range(options.rounds):
            for place, strategy in enumerate(options.strategies):
                wanted = work(strategy, options.problems, options.seed + turn)
                for name in sorted(sides, reverse=(turn + place) % 2 == 0):
                    total = sums[strategy][name]
                    before = await counted(urls)
                    try:
                        done = await sides[name](wanted)
                    except RuntimeError as error:
                        total.error = str(error)
                        continue
                    after = await counted(urls)
                    total.add(wanted, done, {key: after[key] - before[key] for key in after})
    return sums


UNITS = {
    "seconds": ("s/problem", "lower"),
    "computed": ("tokens/problem", "lower"),
    "generated": ("tokens/problem", "lower"),
    "accuracy": ("share", "higher"),
}


def rows(sums: dict[str, dict[str, Sum]]) -> list[dict[str, Any]]:
    """The figures that both sides have, as rows."""
    found: list[dict[str, Any]] = []
    for strategy, sides in sums.items():
        ours, theirs = sides["weft"].rates(), sides["its_hub"].rates()
        for name, (unit, better) in UNITS.items():
            if name in ours and name in theirs:
                found.append(
                    {
                        "name": f"{strategy} {name}",
                        "unit": unit,
                        "better": better,
                        "weft": round(ours[name], 5),
                        "peers": {"its_hub": round(theirs[name], 5)},
                    }
                )
    return found


def table(sums: dict[str, dict[str, Sum]]) -> str:
    """The figures for people."""
    lines = [
        f"{'':20}{'ms/problem':>18}{'ratio':>7}{'computed tokens':>18}{'generated':>14}"
        f"{'accuracy':>16}",
        f"{'':20}{'weft  its_hub':>18}{'':>7}{'weft  its_hub':>18}{'':>14}{'weft  its_hub':>16}",
    ]
    for strategy, sides in sums.items():
        for name, total in sides.items():
            if total.error:
                lines.append(f"{strategy:20}{name}: {total.error}")
        a, b = sides["weft"].rates(), sides["its_hub"].rates()
        if a and b:
            lines.append(
                f"{strategy:20}{a['seconds'] * 1e3:>9.0f}{b['seconds'] * 1e3:>9.0f}"
                f"{b['seconds'] / a['seconds']:>6.1f}x{a['computed']:>9.0f}{b['computed']:>9.0f}"
                f"{a['generated']:>7.0f}{b['generated']:>7.0f}"
                f"{a['accuracy']:>8.1%}{b['accuracy']:>8.1%}"
            )
    return "\n".join(lines)


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--engine", action="append", default=[], metavar="URL", help="a running vLLM server")
    add("--problems", type=int, default=100, help="problems a round (%(default)s)")
    add("--rounds", type=int, default=2, help="rounds (%(default)s)")
    add("--n", type=int, default=16, help="samples, beams, particles (%(default)s)")
    add("--width", type=int, default=4, help="beam width (%(default)s)")
    add("--temperature", type=float, default=0.8, help="of sampling (%(default)s)")
    add("--seed", type=int, default=0, help="of the problems (%(default)s)")
    add("--strategies", nargs="+", choices=STRATEGIES, default=list(STRATEGIES), metavar="NAME")
    add("--max-concurrency", type=int, default=32, help="its_hub's, an endpoint (%(default)s)")
    add("--timeout", type=float, default=300.0, help="seconds a pass of its_hub may take")
    add("--its-hub-venv", type=Path, default=CACHE / "its_hub-1.2.0", metavar="DIR")
    add("--quick", action="store_true", help="20 problems, n=8, two rounds: under a minute")
    add("--json", type=Path, metavar="FILE", help="write the figures there")
    options = parser.parse_args()
    if options.quick:
        options.problems, options.n, options.rounds = 20, 8, 2
    return options


async def main() -> None:
    options = arguments()
    hub = ItsHub(environment(options.its_hub_venv), options.timeout)
    try:
        async with engines(options.engine) as urls:
            sums = await compare(options, urls, hub)
    finally:
        with anyio.CancelScope(shield=True):
            await hub.stop()
    print(table(sums))
    if options.json:
        options.json.write_text(json.dumps(rows(sums), indent=2) + "\n")


if __name__ == "__main__":
    anyio.run(main)
