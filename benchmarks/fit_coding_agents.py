"""What `coding_agents` and its test are made from: distributions of recorded sessions.

    python benchmarks/fit_coding_agents.py claude_code_sessions.jsonl.gz
    python benchmarks/fit_coding_agents.py "coding_agents(n=1000)"

prints for recorded sessions of coding agents, or for generated ones, quantiles at the levels of
`weft.simulation.sources.generators.drawing.LEVELS`, and the chances and correlations that the
generator takes. Sub-agents are left out.
"""

from __future__ import annotations

import math
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations, pairwise
from statistics import correlation, fmean

from weft.simulation.sources.generators.drawing import LEVELS
from weft.simulation.workload import PlannedCall, Workload
from weft.simulation.workloads import open_workload

RESUMED = 40_000
"""First prompts that are longer continue an earlier session; there are hardly any near it."""
BLOCK = 64


@dataclass
class Facts:
    samples: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    counts: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    sessions: list[dict[str, float]] = field(default_factory=list)
    growth_and_answer: list[tuple[float, float]] = field(default_factory=list)


def shared(one: Sequence[int], other: Sequence[int]) -> int:
    for i, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return i
    return min(len(one), len(other))


def observe(workload: Workload) -> Facts:
    facts = Facts()
    for job in workload:
        turns = [step for step in job.steps if isinstance(step, PlannedCall)]
        session(facts, turns)
    return facts


def session(facts: Facts, turns: list[PlannedCall]) -> None:
    add, counts = facts.samples, facts.counts
    kind = "resumed" if turns[0].prompt > RESUMED else "new"
    counts[kind] += 1
    add["calls"].append(len(turns))
    add["first prompt"].append(turns[0].prompt)
    add["peak prompt"].append(max(t.prompt for t in turns))
    for name in ("calls", "first prompt"):
        add[f"{name} ({kind})"].append(add[name][-1])
    people, logs = 0, defaultdict(list)
    for before, turn in pairwise(turns):
        person = before.tool == "person"
        people += person
        held = before.prompt // BLOCK
        hit = shared(before.blocks[:held], turn.blocks[: turn.prompt // BLOCK])
        counts["prompt"] += turn.prompt
        counts["hit"] += hit * BLOCK
        who = "person" if person else "tool"
        counts[who] += 1
        add[f"wait ({who})"].append(before.wait)
        if before.wait and not person:
            logs["wait"].append(math.log(before.wait))
        growth = turn.prompt - before.prompt
        if hit >= 0.9 * held:
            add[f"growth ({who})"].append(max(0, growth))
            logs["growth"].append(math.log(max(1, growth)))
            facts.growth_and_answer.append((logs["growth"][-1], math.log(before.answer)))
            counts["extended"] += 1
            if growth >= before.answer:
                counts["extended with the answer"] += 1
                add[f"added to the answer ({who})"].append(growth - before.answer)
            else:
                add["growth without the answer"].append(max(0, growth))
        elif turn.prompt < 0.6 * before.prompt:
            counts[f"compacted ({who})"] += 1
            add["compacted from"].append(before.prompt)
            add["compacted to"].append(turn.prompt)
        else:
            counts[f"rewritten ({who})"] += 1
            add["kept of rewritten"].append(hit * BLOCK)
    for turn in turns:
        add["answer"].append(turn.answer)
        logs["answer"].append(math.log(turn.answer))
    counts["prompt"] += turns[0].prompt
    if len(turns) > 1:
        share = people / (len(turns) - 1)
        add["person share"].append(share)
        add[f"person share ({kind})"].append(share)
    if len(turns) >= 8:
        means = {name: fmean(values) for name, values in logs.items()}
        own = {"calls": math.log(len(turns)), "people": people / len(turns)}
        facts.sessions.append({"wait": 2.0, "growth": 0.0, **own, **means})


def quantile(values: list[float], level: float) -> float:
    ordered = sorted(values)
    at = level * (len(ordered) - 1)
    low = math.floor(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (at - low) * (ordered[high] - ordered[low])


def report(facts: Facts) -> None:
    print("levels", LEVELS)
    for name, values in sorted(facts.samples.items()):
        digits = 3 if "share" in name else 1 if "wait" in name else 0
        row = [round(quantile(values, level), digits) for level in LEVELS]
        shown = ", ".join(f"{v:g}" if digits else f"{v:.0f}" for v in row)
        print(f"{name:24s} ({shown})  mean {fmean(values):.4g}, n {len(values)}")
    for name, count in sorted(facts.counts.items()):
        print(f"{name:24s} {count}")
    counts = facts.counts
    print(f"hit share of the prompt before: {counts['hit'] / counts['prompt']:.4f}")
    print(
        f"person share of all waits: {counts['person'] / (counts['person'] + counts['tool']):.4f}"
    )
    kept = counts["extended with the answer"] / counts["extended"]
    print(f"answers kept by extended prompts: {kept:.4f}")
    growth, answer = zip(*facts.growth_and_answer, strict=True)
    print(f"correlation of log growth and log answer: {correlation(growth, answer):.3f}")
    print("correlations of the sessions' means of logarithms:")
    for one, other in combinations(("calls", "people", "growth", "answer", "wait"), 2):
        a, b = ([s[name] for s in facts.sessions] for name in (one, other))
        print(f"  {one} {other}: {correlation(a, b):.2f}")


if __name__ == "__main__":
    report(observe(open_workload(sys.argv[1], block_size=BLOCK)))
