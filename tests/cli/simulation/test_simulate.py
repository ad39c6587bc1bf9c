from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console
from typer.testing import Result

from weft.backends.mock.server import running
from weft.backends.scripted.engine import ScriptedEngine
from weft.orchestrator.policy import policies

Weft = Callable[..., Result]
pytestmark = pytest.mark.timeout(240)  # they render plots and start processes
COMMAND = [sys.executable, "-c", "from weft.cli.main import main; main()"]
AGENTS = "coding_agents(n=10, wait_max=20, max_tokens=30000, max_calls=5)"
SMALL = ["--engines", "2", "--kv-tokens", "40000", "--scale", "0.2"]


def said(result: Result, *words: str) -> None:
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    assert result.stderr.count("weft: ") == 1, result.stderr
    for word in words:
        assert word in result.stderr


def done(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return result.stdout


def rows(table: str) -> dict[str, list[str]]:
    """The rows of a printed table by their first words."""
    split = (line.split() for line in table.splitlines() if line.startswith(" "))
    return {words[0]: words[1:] for words in split}


def content(path: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(path)): p.read_bytes()
        for p in sorted(path.rglob("*"))
        if p.is_file() and p.name != "speed.json"
    }


def test_policies_are_compared(weft: Weft) -> None:
    arguments = [AGENTS, "-p", "fcfs", "-p", "cap(k=1)", *SMALL, "-n", "8", "--slo", "60"]
    table = done(weft("simulate", *arguments, "--out", "o"))
    found = rows(table)
    for name in (
        "mean s", "p50 s", "p95 s", "p99 s", "goodput/s", "programs/s", "tokens/s", "TTFT s",
        "TTFT p99", "hits %", "optimum", "fairness", "forced", "longest wait s", "decisions/s",
    ):  # fmt: skip
        assert name in table
    assert "arrivals" not in table
    assert re.search(r"\d s simulated in .* times faster than real time", table)
    metrics = json.loads(Path("o/cap-k=1/closed-n=8/metrics.json").read_text())
    shown = found["cap(k=1)"]
    assert float(shown[0]) == pytest.approx(metrics["mean"], rel=0.006)
    assert shown[10] == f"{metrics['to_optimum']:.2f}x"
    assert metrics["goodput"] < metrics["programs_per_second"]
    simulation = json.loads(Path("o/simulation.json").read_text())
    assert simulation["workload"].startswith("coding_agents(n=10, scale=0.2,")
    assert simulation["fleet"]["kv_tokens"] == 40000
    assert "speed.json" in {p.name for p in Path("o").iterdir()}
    assert not Path("o/completion.svg").exists()
    assert Path("o/fcfs/closed-n=8/timeline.svg").read_text().startswith("<?xml")


def test_a_policy_that_lets_nothing_in_ends_with_a_sentence(weft: Weft) -> None:
    """What was simulated before is shown, and a search goes on without such a policy."""
    Path("shut.py").write_text(
        "from weft.orchestrator import Admission, Placement, Policy, policy\n"
        "from weft.parts.parameters import param\n"
        "@policy('shut')\n"
        "class Shut(Policy):\n"
        "    most: int = param(9, 'calls that are let in', least=1, most=9)\n"
        "    def admit(self, call, engine, view):\n"
        "        return Admission(call.arrival < self.most, 'it is shut')\n"
        "    def place(self, call, view):\n"
        "        return Placement(view.engines[0], 'the first')\n"
    )
    work = ["coding_agents(n=2, max_calls=2, max_tokens=9000)", *SMALL, "-n", "2"]
    result = weft("simulate", *work, "-p", "fcfs", "-p", "shut.py:Shut(most=1)", "-p", "weft")
    said(result, "policy shut keeps 2 calls waiting for ever", "shut.py:3", "'it is shut'")
    assert list(rows(result.stdout)) == ["policy", "fcfs"]
    said(weft("tune", *work, "-p", "shut.py:Shut(most=1)"), "policy shut keeps 2 calls waiting")
    assert "9" in done(weft("tune", *work, "-p", "shut.py:Shut(most=9)", "--trials", "4"))


def test_several_loads(weft: Weft) -> None:
    arguments = [AGENTS, "-p", "sticky", *SMALL, "--rate", "0.1", "--rate", "1", "--no-belady"]
    table = done(weft("simulate", *arguments, "--arrivals", "gamma(cv=3)", "--out", "o"))
    assert table.count("gamma(rate=") == 2
    # No optimum is computed, or shown.
    assert " - " in table
    metrics = json.loads(Path("o/sticky/gamma-rate=1-cv=3/metrics.json").read_text())
    assert metrics["best_hit_rate"] is None
    assert "programs a second" in Path("o/completion.svg").read_text()


def test_the_same_seed_gives_the_same_bytes_in_other_processes(weft: Weft) -> None:
    arguments = [
        "simulate", "text_to_sql(n=6)", "-p", "saga", "-p", "thunderagent",
        "--engines", "2", "--kv-tokens", "20000", "-n", "4", "--tenants", "2",
    ]  # fmt: skip
    done(weft(*arguments, "--out", "1"))
    # Sets and dicts of texts have another order under another hash seed.
    seed = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    subprocess.run(
        [*COMMAND, *arguments, "--out", "2"],
        env={**os.environ, "PYTHONHASHSEED": seed},
        check=True,
        capture_output=True,
    )
    first, second = content(Path("1")), content(Path("2"))
    assert len(first) == 1 + 2 * 5
    assert first == second
    done(weft(*arguments, "--out", "3", "--seed", "1"))
    assert content(Path("3")) != first


def terminal(width: int) -> Console:
    return Console(width=width, force_terminal=True, no_color=True, highlight=False)


@pytest.mark.parametrize(
    ("width", "there", "left_out"),
    [
        (60, ["mean s", "p99 s", "hits %"], ["p50 s", "decisions/s", "forced"]),
        (110, ["mean s", "goodput/s", "p50 s"], ["decisions/s", "forced"]),
        (200, ["mean s", "fairness", "decisions/s", "forced"], []),
    ],
)
def test_a_narrow_terminal_shows_the_most_important(
    weft: Weft, monkeypatch: pytest.MonkeyPatch, width: int, there: list[str], left_out: list[str]
) -> None:
    monkeypatch.setattr("weft.cli.simulation.table.stdout", lambda: terminal(width))
    table = done(weft("simulate", AGENTS, "-p", "fcfs", *SMALL, "-n", "8", "--limit", "3"))
    assert all(name in table for name in there)
    assert not any(name in table for name in left_out)
    lines = re.sub(r"\x1b\[[\d;]*m", "", table).splitlines()
    assert all(len(line) <= width for line in lines if "faster than" not in line)


def test_traces_come_as_they_were_recorded(weft: Weft) -> None:
    requests = [
        {"timestamp": 1000 * i, "input_length": 600, "output_length": 20, "hash_ids": [0, i + 1]}
        for i in range(5)
    ]
    Path("t.jsonl").write_text("".join(json.dumps(r) + "\n" for r in requests))
    table = done(weft("simulate", "t.jsonl", "-p", "prefix", "--out", "o", "-o", "max_tokens=700"))
    assert "recorded" in table
    (jobs,) = Path("o").glob("prefix*/recorded/jobs.jsonl")
    arrived = [json.loads(line)["arrived"] for line in jobs.read_text().splitlines()]
    assert arrived == [0, 1, 2, 3, 4]


def test_programs_that_fail_are_told_of(weft: Weft, monkeypatch: pytest.MonkeyPatch) -> None:
    from weft.errors import RequestRejected
    from weft.simulation.simulate import SimulatedEngine

    complete, count = SimulatedEngine.complete, iter(range(99))

    async def refuse(self: SimulatedEngine, *arguments: Any) -> None:
        if next(count) == 3:
            raise RequestRejected("the engine has had enough")
        await complete(self, *arguments)

    monkeypatch.setattr(SimulatedEngine, "complete", refuse)
    result = weft("simulate", AGENTS, "-p", "fcfs", *SMALL, "-n", "8")
    done(result)
    assert "1 programs failed; the first: the engine has had enough" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([AGENTS, "-p", "fcsf"], ["unknown policy 'fcsf'; did you mean fcfs"]),
        ([AGENTS, "-p", "cap(k=0)"], ["k=0 of cap must be at least 1"]),
        ([AGENTS, "-p", "none.yaml"], ["can't read policy none.yaml"]),
        ([AGENTS, "-p", "fcfs", "--gpu", "h10"], ["unknown GPU 'h10'; did you mean h100"]),
        ([AGENTS, "-p", "fcfs", "--model", "llama-8b"], ["'llama-8b'", "llama-3.1-8b"]),
        ([AGENTS, "-p", "fcfs", "--model", "qwen3-235b-a22b"], ["tensor parallel degree"]),
        ([AGENTS, "-p", "fcfs", "--kv-tokens", "9"], ["--kv-tokens 9", "one block of 64"]),
        ([AGENTS, "-p", "fcfs", "--rate", "0"], ["rate=0 of poisson must be above 0"]),
        ([AGENTS, "-p", "fcfs", "--rate", "-1"], ["rate=-1 of poisson must be above 0"]),
        ([AGENTS, "-p", "fcfs", "-n", "0"], ["n=0 of closed must be at least 1"]),
        ([AGENTS, "-p", "fcfs", "-n", "2", "-r", "2"], ["give --rate or --n, not both"]),
        ([AGENTS, "-p", "fcfs", "--arrivals", "poison"], ["'poison'; did you mean poisson"]),
        ([AGENTS, "-p", "fcfs", "--arrivals", "burst", "-r", "2"], ["burst have no rate"]),
        ([AGENTS, "-p", "fcfs", "--arrivals", "recorded"], ["does not say when job session-0"]),
        ([AGENTS, "-p", "fcfs", "--slo", "0"], ["--slo 0 must be above 0"]),
        ([AGENTS, "-p", "fcfs", "--scale", "0"], ["--scale 0 must be above 0"]),
        ([AGENTS, "-p", "fcfs", "-o", "n"], ["--option 'n' must be written as key=value"]),
        ([AGENTS, "-p", "fcfs", "-o", "m=3"], ["unknown parameter of coding_agents 'm'"]),
        (["codingagents(n=3)", "-p", "fcfs"], ["'codingagents'; did you mean coding_agents"]),
        (["coding_agents(n=0)", "-p", "fcfs"], ["n=0 of coding_agents must be at least 1"]),
        (["coding_agents(n=", "-p", "fcfs", "-o", "n=3"], ["expected a value", "found the end"]),
        (["none.jsonl", "-p", "fcfs"], ["there is no file none.jsonl"]),
        (["none.jsonl", "-p", "fcfs", "--scale", "1"], ["there is no file none.jsonl"]),
        (["holes.jsonl", "-p", "fcfs"], ["holes.jsonl:2: field output_length is missing"]),
        (
            [AGENTS, "-p", "fcfs", "--kv-tokens", "20000"],
            ["holds", "an engine's KV cache holds 19968", "--scale", "--kv-tokens"],
        ),
    ],
)
def test_bad_arguments(weft: Weft, arguments: list[str], words: list[str]) -> None:
    Path("holes.jsonl").write_text(
        '{"timestamp": 0, "input_length": 5, "output_length": 2, "hash_ids": [0]}\n'
        '{"timestamp": 0, "input_length": 5, "hash_ids": [0]}\n'
    )
    said(weft("simulate", *arguments), *words)


def test_a_folder_that_can_not_be_used(weft: Weft) -> None:
    Path("file").write_text("")
    said(weft("simulate", AGENTS, "-p", "fcfs", *SMALL, "--out", "file"), "can't use file")


@pytest.fixture
def simulated(weft: Weft) -> Path:
    done(weft("simulate", AGENTS, "-p", "fcfs", "-p", "cap(k=1)", *SMALL, "-n", "8", "--out", "o"))
    return Path("o")


def test_explain_a_simulation(weft: Weft, simulated: Path) -> None:
    waits = done(weft("explain", "o", "--policy", "cap", "--top", "2"))
    table, _, causes = waits.partition("\n\n")
    listed = rows(table)
    assert len(listed) == 3
    assert causes
    call = list(listed)[1]
    story = done(weft("explain", "o", "--policy", "cap(k=1)", "--call", call)).splitlines()
    calls = (simulated / "cap-k=1/closed-n=8/calls.jsonl").read_text().splitlines()
    record = next(r for r in map(json.loads, calls) if r["id"] == call)
    job = call.split("/")[0]
    assert story[0] == f"Call {call} of program {job} came at {record['came']:,.3f} s."
    assert story[1] == "It was its program's first call."
    assert "1 of 1 programs live there" in story[3]
    assert f"It went to {record['engine']} after" in story[4]
    assert record["sent"] - record["came"] == pytest.approx(float(listed[call][0]), abs=0.01)
    assert "The cause of most of its wait: others were ahead of it." in story
    found = (
        f"{record['answer']} tokens generated, {record['cached']} of {record['prompt']} were "
        f"cached ({record['foreseen']} foreseen)"
    )
    assert sum(found in sentence for sentence in story) == 1
    assert "was kept till it ends: programs stay until they end" in story[-1]
    assert done(weft("explain", "o/cap-k=1/closed-n=8", "--call", call)).splitlines() == story


def test_explain_says_what_it_can_not_find(weft: Weft, simulated: Path) -> None:
    said(weft("explain", "o"), "o holds 2 runs; name one of them: o/fcfs/closed-n=8, o/cap-k=1")
    said(weft("explain", "o", "--policy", "caps"), "unknown policy in o 'caps'; did you mean cap")
    said(weft("explain", "nowhere"), "nowhere holds no run; name the --out of weft simulate")
    said(
        weft("explain", "o", "--policy", "fcfs", "--call", "session-0/99"),
        "unknown call 'session-0/99'; did you mean session-",
    )
    (simulated / "fcfs/closed-n=8/decisions.jsonl").write_text("{")
    said(weft("explain", "o", "--policy", "fcfs"), "decisions.jsonl:1: not a decision")


PROGRAM = """
from weft import Prompt, fan_out, generate, node, program

@node
async def ask(question: str):
    return (await generate(Prompt.user(question))).text

@program
async def many(times: int = 3):
    async with fan_out(ask, [f"Question {i}" for i in range(times)]) as answers:
        found = [answer async for answer in answers]
    if times > 3:
        raise ValueError("too many")
    return found
"""


def test_explain_a_real_run(weft: Weft) -> None:
    Path("mine.py").write_text(PROGRAM)
    with running(ScriptedEngine("Hello.", model="m", token_seconds=0.01)) as url:
        arguments = [
            "run",
            "mine.py:many",
            "-e",
            url,
            "--store",
            "s.sqlite",
            "--policy",
            "cap(k=1)",
        ]
        done(weft(*arguments, "--out", "a"))
        events = [json.loads(line) for line in Path("a/events.jsonl").read_text().splitlines()]
        call = next(e["id"] for e in events if e["kind"] == "call")
        (sent,) = (e for e in events if e["kind"] == "sent" and e["id"] == call)
        story = done(weft("explain", "a", "--call", call))
        assert f"{call} in ask asks m: 'Question 0'." in story
        assert sent["data"]["reason"] in story
        assert f"It went to {url}" in story
        assert "tokens generated" in story
        waits = weft("explain", "a")
        assert waits.exit_code == 0
        said(weft("explain", "a", "--call", "call-99"), "unknown call 'call-99'")

        done(weft(*arguments, "--out", "b"))
        assert "no call waited" in done(weft("explain", "b"))
        story = done(weft("explain", "b", "--call", call))
        assert "Its result came from the store; no engine was asked." in story

        # What happened is kept of programs that fail too.
        said(weft(*arguments, "--out", "c", "-a", "times=4"), "ValueError: too many")
        assert "Question 3" in Path("c/events.jsonl").read_text()
        said(weft(*arguments, "--policy", "capp"), "unknown policy 'capp'")
        Path("file").write_text("")
        said(weft(*arguments, "--out", "file"), "can't use --out file")


def test_the_policies(weft: Weft) -> None:
    listed = done(weft("policies"))
    assert all(name in listed for name in policies())
    assert "programs that may live on an engine at once" in done(weft("policies", "cap"))
    assert "It has no parameters." in done(weft("policies", "fcfs"))
    said(weft("policies", "stick"), "unknown policy 'stick'; did you mean sticky")


def test_tune_leaves_a_bad_value_behind(weft: Weft, player: str) -> None:
    arguments = [AGENTS, "-p", "cap(k=1)", *SMALL, "-n", "8", "--trials", "6"]
    told = done(weft("tune", *arguments, "--out", "found.yaml"))
    found = yaml.safe_load(Path("found.yaml").read_text())
    assert found["policy"]["cap"]["k"] > 1
    assert found["found"]["value"] < found["found"]["given_value"]
    assert (found["found"]["given"], found["found"]["trials"]) == ("cap(k=1)", 6)
    spec = f"cap(k={found['policy']['cap']['k']})"
    assert spec in told
    # The simulator, runs and evaluations take it, and get what was promised.
    table = done(weft("simulate", AGENTS, "-p", "found.yaml", *SMALL, "-n", "8"))
    assert float(rows(table)[spec][0]) == pytest.approx(found["found"]["value"], rel=0.006)
    Path("mine.py").write_text(PROGRAM)
    done(weft("run", "mine.py:many", "-e", player, "--policy", "found.yaml"))
    evaluation = ["eval", "run", "countdown", "-s", "greedy", "-e", player, "--limit", "2"]
    done(weft(*evaluation, "--policy", "found.yaml", "--out", "e"))
    said(weft(*evaluation, "--policy", "caps"), "unknown policy 'caps'; did you mean cap")
    Path("s.yaml").write_text("task: countdown\nstrategies: greedy\npolicy: caps\n")
    said(weft("eval", "run", "s.yaml"), "s.yaml:3: policy: unknown policy 'caps'")


@pytest.mark.parametrize("objective", ["mean", "p99", "goodput"])
def test_tune_never_gets_worse(weft: Weft, objective: str) -> None:
    arguments = [AGENTS, "-p", "saga", *SMALL, "-n", "8", "--limit", "6", "--slo", "50"]
    done(weft("tune", *arguments, "--objective", objective, "--trials", "3", "--out", "a.yaml"))
    found = yaml.safe_load(Path("a.yaml").read_text())["found"]
    better = found["given_value"] - found["value"]
    assert (-better if objective == "goodput" else better) >= 0
    done(weft("tune", *arguments, "--objective", objective, "--trials", "3", "--out", "b.yaml"))
    assert Path("a.yaml").read_bytes() == Path("b.yaml").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--objective", "men"], ["unknown objective 'men'; did you mean mean"]),
        (["-p", "fcfs"], ["policy fcfs has no parameters to tune"]),
        (["-n", "3", "-n", "4"], ["weft tune takes one load"]),
        (["--out", "nowhere/x.yaml"], ["can't write --out nowhere/x.yaml"]),
        (["--out", "."], ["can't write --out ."]),
    ],
)
def test_bad_tuning(weft: Weft, arguments: list[str], words: list[str]) -> None:
    said(weft("tune", AGENTS, "-p", "cap", *SMALL, *arguments), *words)
