"""The same task through weft, Inspect and lm-eval on the same engine.

    python benchmarks/harnesses.py [--problems 100] [--rounds 3] [--quick] [--json FILE]

Held-out Countdown problems, greedy, on a vLLM replica of the shipped model. Each harness asks over
HTTP and judges by the game's own rules; weft also runs Inspect's task file as it is. The engine
counts requests and tokens. Then a scripted engine answers at once, so that only the harnesses' own
work takes time: from the first request to the last, and of the process as a whole. Harnesses take
turns, round by round. Those that are not installed are left out, and the text says so.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from math import sqrt
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from weft.backends.kinds.specs import open_engines
from weft.backends.mock.server import running
from weft.backends.scripted.engine import ScriptedEngine
from weft.evals.tasks.puzzles.countdown_task import CountdownTask

TASK = """
import json
from pathlib import Path

from inspect_ai import Task, task
from inspect_ai.dataset import Sample
from inspect_ai.model import GenerateConfig
from inspect_ai.scorer import CORRECT, INCORRECT, Score, accuracy, scorer, stderr

from weft.evals.tasks.puzzles.countdown import Problem, solved

ROWS = [json.loads(line) for line in Path(__file__).with_name("rows.jsonl").open()]


@scorer(metrics=[accuracy(), stderr()])
def rules():
    async def score(state, target):
        problem = Problem(tuple(state.metadata["numbers"]), state.metadata["target"])
        right = solved(problem, state.output.completion)
        return Score(value=CORRECT if right else INCORRECT)

    return score


@task
def game():
    rows = [Sample(row["question"], target=str(row["target"]), id=row["id"], metadata=row)
            for row in ROWS]
    return Task(dataset=rows, scorer=rules(), config=GenerateConfig(max_tokens=64, temperature=0))
"""
LM_EVAL = """
task: weft_game
dataset_path: json
dataset_kwargs:
  data_files: {test: ROWS}
test_split: test
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{target}}"
process_results: !function rules.process
generation_kwargs: {until: ["<nothing>"], max_gen_toks: 64, temperature: 0, do_sample: false}
metric_list:
  - {metric: acc, aggregation: mean, higher_is_better: true}
"""
RULES = """
from weft.evals.tasks.puzzles.countdown import Problem, solved


def process(doc, results):
    problem = Problem(tuple(doc["numbers"]), doc["target"])
    return {"acc": float(solved(problem, results[0]))}
"""
MODEL = "countdown"
AT_ONCE = 32
"""Requests that each harness has under way."""
_COUNTED = {
    "requests": r"^vllm:request_success_total{.*} (\S+)$",
    "prompt tokens": r"^vllm:prompt_tokens_total{.*} (\S+)$",
    "generated tokens": r"^vllm:generation_tokens_total{.*} (\S+)$",
}


@dataclass
class Harness:
    """One way to run the task.

    Attributes:
        module: what must be installed.
        command: arguments of Python, for an engine's address and a folder of results.
        accuracy: reads the share of right answers from that folder.
        seen: figures of the rounds.
    """

    module: str
    command: Callable[[str, Path], list[str]]
    accuracy: Callable[[Path], float]
    seen: dict[str, list[float]] = field(default_factory=dict)

    def note(self, figure: str, value: float) -> None:
        self.seen.setdefault(figure, []).append(value)

    def median(self, figure: str) -> float:
        return statistics.median(self.seen[figure])


def harnesses(work: Path, problems: int) -> dict[str, Harness]:
    """The harnesses, over files that are written into a folder."""
    task = CountdownTask()
    with (work / "rows.jsonl").open("w") as rows:
        for sample in task.samples(problems, 0):
            question = task.question(sample, 0).prompt.messages[-1].content
            rows.write(json.dumps({"id": sample.id, "question": question, **sample.data}) + "\n")
    (work / "game.py").write_text(TASK)
    (work / "weft_game.yaml").write_text(LM_EVAL.replace("ROWS", str(work / "rows.jsonl")))
    (work / "rules.py").write_text(RULES)

    def ours(task: str) -> Callable[[str, Path], list[str]]:
        def command(url: str, out: Path) -> list[str]:
            line = ["-c", "from weft.cli.main import main; main()", "eval", "run", task]
            line += ["-s", "greedy", "-e", f"vllm:{url}", "--limit", str(problems)]
            line += ["--out", str(out), "--seed", "0"]
            return [*line, "--concurrency", str(AT_ONCE)]

        return command

    def inspect(url: str, out: Path) -> list[str]:
        line = ["-m", "inspect_ai", "eval", f"{work / 'game.py'}@game", "--log-dir", str(out)]
        line += ["--model", f"openai-api/here/{MODEL}", "--log-format", "json"]
        return [*line, "--max-connections", str(AT_ONCE), "--display", "none"]

    def lm_eval(url: str, out: Path) -> list[str]:
        args = f"model={MODEL},base_url={url}/v1/chat/completions,num_concurrent={AT_ONCE}"
        line = ["-m", "lm_eval", "--model", "local-chat-completions", "--model_args", args]
        line += ["--tasks", "weft_game", "--include_path", str(work), "--apply_chat_template"]
        return [*line, "--output_path", str(out)]

    return {
        "weft": Harness("weft", ours("countdown"), _of_weft),
        "weft, Inspect's task": Harness("inspect_ai", ours(f"{work / 'game.py'}@game"), _of_weft),
        "Inspect": Harness("inspect_ai", inspect, _of_inspect),
        "lm-eval": Harness("lm_eval", lm_eval, _of_lm_eval),
    }


def _of_weft(out: Path) -> float:
    return json.loads((out / "run.json").read_text())["results"][0]["accuracy"]


def _of_inspect(out: Path) -> float:
    log: Any = json.loads(next(out.glob("*.json")).read_text())
    if log["status"] != "success":
        raise SystemExit(f"Inspect: {log.get('error')}")
    return log["results"]["scores"][0]["metrics"]["accuracy"]["value"]


def _of_lm_eval(out: Path) -> float:
    found: Any = json.loads(next(out.rglob("results_*.json")).read_text())
    return found["results"]["weft_game"]["acc,none"]


def counted(url: str) -> dict[str, float]:
    """What a vLLM server has counted so far."""
    with urllib.request.urlopen(f"{url}/metrics") as reply:
        text = reply.read().decode()
    return {
        name: sum(map(float, re.findall(pattern, text, re.MULTILINE)))
        for name, pattern in _COUNTED.items()
    }


def run(harness: Harness, url: str) -> float:
    """Run a harness once; gives its accuracy. The process's seconds are noted."""
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TQDM_DISABLE": "1"}
    keys = {"HERE_BASE_URL": f"{url}/v1", "HERE_API_KEY": "k", "OPENAI_API_KEY": "k"}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        env = os.environ | offline | keys | {"HF_HOME": str(Path(folder) / "hf")}
        began = time.perf_counter()
        command = [sys.executable, *harness.command(url, out)]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        harness.note("process s", time.perf_counter() - began)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)}:\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}")
        return harness.accuracy(out)


def on_vllm(url: str, found: dict[str, Harness], rounds: int) -> None:
    """Accuracies, requests and tokens, as the engine counts them."""
    for turn in range(rounds):
        order = list(found.values())
        for harness in order[turn % len(order) :] + order[: turn % len(order)]:
            before = counted(url)
            harness.note("accuracy", run(harness, url))
            for name, value in counted(url).items():
                harness.note(name, value - before[name])


async def on_own(found: dict[str, Harness], rounds: int) -> None:
    """The same on a replica that is started for it."""
    async with open_engines(["local:countdown"], replicas=1) as (engine,):
        url = str(getattr(engine, "url", ""))
        await anyio.to_thread.run_sync(on_vllm, url, found, rounds)


def on_mock(found: dict[str, Harness], rounds: int) -> None:
    """Seconds where the engine answers at once."""
    times: list[float] = []

    def reply(_: object) -> str:
        times.append(time.perf_counter())
        return "1 + 1 = 2 | 2\nanswer 2\n"

    with running(ScriptedEngine(reply, model=MODEL)) as url:
        for turn in range(rounds):
            order = list(found.values())
            for harness in order[turn % len(order) :] + order[: turn % len(order)]:
                times.clear()
                harness.seen.pop("process s", None) if not turn else None
                run(harness, url)
                harness.note("asking s", times[-1] - times[0])


FIGURES = {
    "accuracy": ("", "higher"),
    "requests": ("", "lower"),
    "prompt tokens": ("", "lower"),
    "generated tokens": ("", "lower"),
    "asking s": ("s", "lower"),
    "process s": ("s", "lower"),
}
"""The figures, in the order of the table: unit, and which is better."""


def rows(found: dict[str, Harness], problems: int) -> list[dict[str, Any]]:
    return [
        {
            "name": f"{figure.removesuffix(' s')} of {problems} problems",
            "unit": unit,
            "better": better,
            "weft": round(found["weft"].median(figure), 4),
            "peers": {n: round(h.median(figure), 4) for n, h in found.items() if n != "weft"},
        }
        for figure, (unit, better) in FIGURES.items()
    ]


def table(found: dict[str, Harness], problems: int) -> str:
    lines = ["| figure | " + " | ".join(found) + " |", "|---" * (len(found) + 1) + "|"]
    for row in rows(found, problems):
        values = [row["weft"], *row["peers"].values()]
        cells = [f"{value:g}" for value in values]
        if row["unit"] == "s":
            cells = [f"{value:.2f} s ({value / values[0]:.1f}x)" for value in values]
        lines.append(f"| {row['name']} | " + " | ".join(cells) + " |")
    share = found["weft"].median("accuracy")
    sampling = 1.96 * sqrt(max(share * (1 - share), 0.25 / problems) / problems)
    apart = max(abs(h.median("accuracy") - share) for h in found.values())
    return "\n".join(lines) + (
        f"\n\nAccuracies differ by {apart:.3f} at most; sampling alone allows {sampling:.3f}."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problems", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="16 problems, one round")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--engine", metavar="URL", help="a vLLM server of the shipped model")
    given = parser.parse_args()
    problems, rounds = (16, 1) if given.quick else (given.problems, given.rounds)
    with tempfile.TemporaryDirectory() as folder:
        every = harnesses(Path(folder), problems)
        found = {name: one for name, one in every.items() if find_spec(one.module)}
        if missing := [name for name in every if name not in found]:
            print(f"not installed, so left out: {', '.join(missing)}\n")
        if given.engine:
            on_vllm(given.engine, found, rounds)
        else:
            anyio.run(on_own, found, rounds)
        on_mock(found, rounds)
    print(table(found, problems))
    if given.json:
        given.json.write_text(json.dumps(rows(found, problems), indent=2) + "\n")


if __name__ == "__main__":
    main()
