"""Measure the shipped model on held-out problems, and write down what came out.

    python training/countdown/measure.py --engine local:countdown --log runs/countdown/train.jsonl

Writes `measured.json` and `curves.svg` beside the model:

- *solve* and *think* at temperature 1: pass@k, unbiased (Chen et al. 2021), and tokens;
- *verify*: the area under the ROC curve of P(yes) / (P(yes) + P(no)), by number of steps, on
  the model's own partial solutions and on random legal ones.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import defaultdict
from pathlib import Path

import anyio
import matplotlib.pyplot as plt

from weft import Pool, Prompt, generate, score
from weft.backends.kinds.specs import open_engines
from weft.evals.coverage import pass_at_k
from weft.evals.statistics import mean
from weft.evals.tasks.puzzles.countdown import (
    Problem,
    answer_lines,
    problems,
    solved,
    steps,
    still_solvable,
)

MODEL = Path(__file__).parents[2] / "weft" / "evals" / "models" / "countdown"
KS = (1, 2, 4, 8, 16, 32)


def auc(scored: list[tuple[float, bool]]) -> float:
    """The chance that a solvable one scores above an unsolvable one; ties count half."""
    good = [s for s, label in scored if label]
    bad = [s for s, label in scored if not label]
    wins = sum((g > b) + 0.5 * (g == b) for g in good for b in bad)
    return wins / (len(good) * len(bad))


def random_partial(rng: random.Random, problem: Problem, depth: int) -> str:
    numbers, text = problem.numbers, ""
    for _ in range(depth):
        step = rng.choice(steps(numbers))
        text += f"{step}\n"
        numbers = step.left
    return text


async def sampled(
    asked: list[Problem], skill: str, n: int, max_tokens: int, seed: int
) -> list[list[tuple[str, int]]]:
    """n answers to each problem, with their lengths in tokens."""
    found: list[list[tuple[str, int]]] = [[] for _ in asked]

    async def one(i: int) -> None:
        prompt = Prompt.user(f"{skill} {asked[i]}")
        answers = await generate(prompt, n=n, max_tokens=max_tokens, seed=seed + i * n)
        found[i] = [(c.text, c.usage.completion) for c in answers]

    async with anyio.create_task_group() as group:
        for i in range(len(asked)):
            group.start_soon(one, i)
    return found


async def verified(partials: list[tuple[Problem, str]]) -> list[tuple[float, bool]]:
    scored: list[tuple[float, bool]] = [(0.0, False)] * len(partials)

    async def one(i: int) -> None:
        problem, text = partials[i]
        found = await score(Prompt.user(f"verify {problem}\n{text}"), ["yes", "no"])
        likely = found["yes"] / (found["yes"] + found["no"])
        scored[i] = likely, still_solvable(problem, text)

    async with anyio.create_task_group() as group:
        for i in range(len(partials)):
            group.start_soon(one, i)
    return scored


def passes(asked: list[Problem], answers: list[list[tuple[str, int]]]) -> dict[int, float]:
    n = len(answers[0])
    right = [
        sum(solved(p, text) for text, _ in given) for p, given in zip(asked, answers, strict=True)
    ]
    return {k: round(mean([pass_at_k(n, c, k) for c in right]), 4) for k in KS if k <= n}


async def measure(limit: int, seed: int) -> dict[str, object]:
    stream = problems(seed)
    asked = list(dict.fromkeys(next(stream) for _ in range(limit * 2)))[:limit]
    solve = await sampled(asked, "solve", 32, 64, seed)
    print("solve", passes(asked, solve), flush=True)
    think = await sampled(asked, "think", 4, 576, seed)
    print("think", passes(asked, think), flush=True)
    rng = random.Random(seed)
    own: dict[int, list[tuple[Problem, str]]] = defaultdict(list)
    legal: dict[int, list[tuple[Problem, str]]] = defaultdict(list)
    for problem, answers in zip(asked, solve, strict=True):
        for depth in (1, 2, 3):
            lines = answer_lines(rng.choice(answers)[0])
            if len(lines) >= depth:
                own[depth].append((problem, "".join(f"{line}\n" for line in lines[:depth])))
            legal[depth].append((problem, random_partial(rng, problem, depth)))
    areas: dict[str, dict[str, float]] = {}
    for name, partials in (("own", own), ("random", legal)):
        by_depth = {depth: await verified(given) for depth, given in partials.items()}
        areas[name] = {str(depth): round(auc(s), 4) for depth, s in by_depth.items()}
        areas[name]["all"] = round(auc([s for given in by_depth.values() for s in given]), 4)
        labels = [label for given in by_depth.values() for _, label in given]
        areas[name]["solvable"] = round(mean([float(label) for label in labels]), 4)
    print("verify", areas, flush=True)
    lengths = sorted(tokens for given in think for _, tokens in given)
    return {
        "problems": limit,
        "seed": seed,
        "solve": passes(asked, solve),
        "think": passes(asked, think),
        "tokens": {
            "solve": round(mean([t for given in solve for _, t in given]), 1),
            "think": round(mean(lengths), 1),
            "think_p10": lengths[len(lengths) // 10],
            "think_p90": lengths[len(lengths) * 9 // 10],
        },
        "verifier_auc": areas,
    }


def draw(measured: dict[str, object], log: Path | None, path: Path) -> None:
    """Training losses and pass@k, side by side."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    if log is not None:
        rows = [json.loads(line) for line in log.read_text().splitlines()]
        for name, label in (("short", "solve and verify"), ("think", "think")):
            left.plot([r["step"] for r in rows], [r[name] for r in rows], label=label)
        left.set(xlabel="training step", ylabel="loss, nats a token", yscale="log")
        left.legend(frameon=False)
    for skill in ("solve", "think"):
        curve = measured[skill]
        assert isinstance(curve, dict)
        right.plot(list(map(int, curve)), list(curve.values()), marker="o", label=skill)
    right.set(xlabel="samples k", ylabel="pass@k", xscale="log", ylim=(0, 1))
    right.set_xticks(KS, map(str, KS))
    right.legend(frameon=False)
    plt.rcParams["svg.hashsalt"] = "weft"
    figure.savefig(path, metadata={"Date": None})


async def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--engine", action="append")
    parser.add_argument("--limit", type=int, default=500)
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--log", type=Path)
    parser.add_argument("--out", type=Path, default=MODEL)
    args = parser.parse_args()
    async with (
        open_engines(args.engine or ["local:countdown"], on_progress=print) as engines,
        Pool(*engines),
    ):
        measured = await measure(args.limit, args.seed)
    (args.out / "measured.json").write_text(json.dumps(measured, indent=2) + "\n")
    draw(json.loads(json.dumps(measured)), args.log, args.out / "curves.svg")


if __name__ == "__main__":
    anyio.run(main)
