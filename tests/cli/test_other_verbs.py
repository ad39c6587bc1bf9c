from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from ports import free_port
from waiting import block_until
from weft.backends.mock.server import running
from weft.backends.scripted.engine import ScriptedEngine
from weft.evals.tasks.puzzles.countdown_player import Player
from weft.evals.tasks.task import TASKS
from weft.search import strategies

Weft = Callable[..., Result]
pytestmark = pytest.mark.timeout(240)  # they render plots and start processes
COMMAND = [sys.executable, "-c", "from weft.cli.main import main; main()"]


def said(result: Result, *words: str) -> None:
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    assert result.stderr.count("weft: ") == 1
    for word in words:
        assert word in result.stderr


@pytest.mark.parametrize(
    "verb",
    [
        [], ["demo"], ["run"], ["eval"], ["eval", "run"], ["eval", "show"], ["eval", "compare"],
        ["engines"], ["engines", "up"], ["engines", "down"], ["engines", "ls"], ["strategies"],
        ["tasks"], ["readers"], ["verifiers"], ["workloads"], ["arrivals"], ["mock"],
        ["engines", "kinds"], ["simulate"], ["explain"], ["tune"], ["tune", "code"], ["policies"],
        ["tune", "engine"], ["tune", "policy"], ["eval", "sweep"], ["eval", "search"],
        ["eval", "frontier"], ["eval", "runtime"],
    ],
)  # fmt: skip
def test_every_verb_has_help(weft: Weft, verb: list[str]) -> None:
    result = weft(*verb, "--help")
    assert result.exit_code == 0
    assert "Usage:" in result.stdout
    if verb not in ([], ["eval"], ["engines"]):
        assert "Example: weft" in result.stdout


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "sys.argv = ['weft', '--help']\n"
        "from weft.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print([m for m in ('matplotlib', 'networkx', 'torch', 'vllm', 'openai', 'optuna', 'trio') "
        "if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_usage_errors_exit_with_2(weft: Weft) -> None:
    assert weft("evil").exit_code == 2
    assert weft("eval", "run").exit_code == 2
    assert weft("eval", "run", "countdown", "--limit", "many").exit_code == 2


def test_strategies_and_tasks(weft: Weft) -> None:
    listed = weft("strategies").stdout
    assert all(name in listed for name in strategies())
    assert all(name in weft("tasks").stdout for name in TASKS.known())
    assert listed.index("sampling: draw whole answers") < listed.index("majority")
    assert listed.index("majority") < listed.index("search: grow") < listed.index("astar")
    shown = weft("strategies", "best_of_n").stdout
    assert "verifier" in shown
    assert "family: sampling\npaper: Cobbe et al. 2021\nneeds: a verifier" in shown
    assert "16" in shown or "8" in shown
    assert "field that holds the question" in weft("tasks", "jsonl").stdout
    assert "no parameters" in weft("tasks", "countdown").stdout
    said(weft("strategies", "best"), "unknown strategy 'best'; did you mean best_of_n")
    said(weft("tasks", "jsn"), "unknown task 'jsn'; did you mean jsonl")


def test_version(weft: Weft) -> None:
    assert weft("--version").stdout.startswith("weft ")


PROGRAM = """
from __future__ import annotations
from weft import Prompt, generate, program, node

@node
async def ask(question: str):
    return await generate(Prompt.user(question))

@program
async def twice(question: str, times: int = 2) -> list[str]:
    return [(await ask(question)).text for _ in range(times)]

@program
async def broken():
    raise ValueError("no good")

async def plain(text: str) -> str:
    return text.upper()
"""


@pytest.fixture
def file(weft: Weft) -> Path:
    Path("mine.py").write_text(PROGRAM)
    return Path("mine.py")


def test_run_a_program(weft: Weft, file: Path) -> None:
    with running(ScriptedEngine("Hello.", model="m")) as url:
        result = weft("run", "mine.py:twice", "-a", "question=Hi", "-a", "times=3", "-e", url)
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout) == ["Hello."] * 3
        assert "3 calls" in result.stderr
        drawn = weft("run", "mine.py:twice", "--arg", "question=42", "-e", url, "--graph")
        assert "flowchart" in drawn.stdout
        assert weft("run", "mine:plain", "-a", "text=12", "-e", url, "-p", "cap").stdout == "12\n"
        limited = weft("run", "mine.py:twice", "-a", "question=a", "-e", url, "--budget", "calls=1")
        said(limited, "budget of 1 calls used up")
        said(weft("run", "mine.py:broken", "-e", url), "mine.py:15: ValueError: no good")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["mine.py"], ["name what to run in mine.py, as mine.py:PROGRAM; it has twice, broken"]),
        (["mine"], ["FILE.py:PROGRAM"]),
        (["none.py:x"], ["there is no file none.py"]),
        (["none:x"], ["there is no module none"]),
        (["mine.py:twise"], ["unknown program in mine.py 'twise'; did you mean twice"]),
        (["mine.py:twice"], ["needs question; give --arg question=VALUE"]),
        (["mine.py:twice", "-a", "question=x", "-a", "time=1"], ["'time'; did you mean times"]),
        (
            ["mine.py:twice", "-a", "question=x", "-a", "times=two"],
            ["--arg times=two does not fit"],
        ),
        (["mine.py:twice", "-a", "question"], ["--arg 'question' must be written as key=value"]),
        (["mine.py:broken", "-a", "x=1"], ["takes no arguments; leave out --arg x"]),
        (["mine.py:twice", "-a", "question=x"], ["give --engine"]),
    ],
)
def test_bad_programs(weft: Weft, file: Path, arguments: list[str], words: list[str]) -> None:
    said(weft("run", *arguments), *words)


def test_what_a_program_returns_is_shown_or_is_its_fault(weft: Weft) -> None:
    Path("odd.py").write_text(
        "class Mute:\n"
        "    def __repr__(self): raise ValueError('no words')\n"
        "async def mute(): return Mute()\n"
        "async def half(): return 'a\\ud800b'\n"
    )
    result = weft("run", "odd.py:mute", "-e", "scripted:x")
    assert result.exit_code == 2
    assert re.search(r"program mute failed at .*odd.py:2: ValueError: no words", result.stderr)
    result = weft("run", "odd.py:half", "-e", "scripted:x")
    assert (result.exit_code, result.stdout) == (0, "a\\ud800b\n")


def test_a_file_that_can_not_be_imported(weft: Weft) -> None:
    Path("bad.py").write_text("import nothing_like_it\n")
    said(weft("run", "bad.py:x"), "bad.py can't be imported: ModuleNotFoundError")


def test_no_engines_are_up(weft: Weft) -> None:
    assert "no engines are up" in weft("engines", "ls").stdout
    assert "no engines are up" in weft("engines", "down").stdout
    said(weft("engines", "down", "countdown"), "no local engine 'countdown' is up")


def wait_for(port: int) -> None:
    def listens() -> bool:
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", port)) == 0

    block_until(listens)


def test_the_mock_serves_until_interrupted(weft: Weft) -> None:
    Path("answers.json").write_text(json.dumps({"Hi": "Hello.", "Bye": ["Bye.", "Bye-bye."]}))
    port = free_port()
    command = [*COMMAND, "mock", "--replies", "answers.json", "--port", str(port)]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        wait_for(port)
        Path("mine.py").write_text(PROGRAM)
        url = f"http://127.0.0.1:{port}"
        result = weft("run", "mine.py:twice", "-a", "question=Bye", "-e", url)
        assert json.loads(result.stdout) == ["Bye.", "Bye-bye."]
        said(weft("mock", "--port", str(port)), "give another --port")
    finally:
        server.send_signal(signal.SIGINT)
        _, err = server.communicate()
    assert server.returncode == 0
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--replies", "none.json"], "can't read --replies none.json"),
        (["--scores", "yes=2"], "--scores yes=2 must be a number from 0 to 1"),
        (["--scores", "yes"], "--scores 'yes' must be written as key=value"),
        (["--task", "chess"], "unknown task 'chess'"),
        (["--faults", "404=0.1"], "unknown fault '404'"),
        (["--faults", "cut=a"], "--faults cut=a must be a number from 0 to 1"),
        (["--faults", "cut=0.7,500=0.7"], "add up to more than 1; lower them"),
    ],
)
def test_bad_mocks(weft: Weft, arguments: list[str], words: str) -> None:
    said(weft("mock", *arguments), words)


def test_an_interrupted_evaluation_says_what_is_kept(weft: Weft) -> None:
    play = Player()
    engine = ScriptedEngine(play.reply, play.scores, model="countdown", token_seconds=0.01)
    with running(engine) as url:
        command = [
            *COMMAND, "eval", "run", "countdown", "-s", "greedy", "-e", url,
            "--limit", "500", "--concurrency", "4", "--out", "o",
        ]  # fmt: skip
        pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        # What is started in the background may have been told to ignore interrupts.
        heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
        run = subprocess.Popen(command, preexec_fn=heard, **pipes)
        rows = Path("o/samples.jsonl")
        block_until(lambda: rows.exists() and rows.stat().st_size)
        os.kill(run.pid, signal.SIGINT)
        _, err = run.communicate()
    assert run.returncode == 130, err
    assert "Traceback" not in err
    kept = len(rows.read_text().splitlines())
    assert f"interrupted; {kept} finished samples are kept in o" in err
    assert json.loads(Path("o/run.json").read_text())["results"][0]["n"] == kept


def test_the_demo_writes_its_report_here(
    weft: Weft, player: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from weft.evals.tasks.puzzles.countdown_task import CountdownTask

    suite = Path("small.yaml")
    suite.write_text(
        f"task: countdown\nengine: {player}\nlimit: 4\n"
        "strategies: [greedy, best_of_n(n=2), astar(k=2)]\n"
    )
    monkeypatch.setattr(CountdownTask, "suite", suite.resolve())
    result = weft("demo")
    assert result.exit_code == 0, result.output
    assert "Does A* reach" in result.stdout
    assert Path("report.html").read_text().startswith("<!doctype html>")
    assert f"report: {Path('report.html').resolve()}" in result.stdout
    kept = weft("demo", "--out", "d", "--limit", "2")
    assert kept.exit_code == 0
    assert json.loads(Path("d/run.json").read_text())["results"][0]["n"] == 2
