"""The examples: each runs on scripted answers, and gives what it should."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from waiting import block_until
from weft import Limits, Pool, Store, run
from weft.backends.mock.server import running
from weft.cli.main import app
from weft.errors import UsageError
from weft.orchestrator import parse_policy
from weft.parts.importing import load
from weft.programs.durable.manage import answer
from weft.sandbox import check_sandbox
from weft.store.kept_runs import KeptRuns
from weft.testing import people

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples"
PAGE = (ROOT / "docs/examples.md").read_text()
FILES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "scripted")


def example(name: str) -> Any:
    return load(str(FOLDER / f"{name}.py"))


def model(name: str, **settings: Any) -> Any:
    return load(str(FOLDER / "scripted.py")).Model(name, **settings)


async def done(name: str, program: str, **arguments: Any) -> Any:
    async with Pool(engine := model(name)) as pool:
        made = await run(getattr(example(name), program), pool=pool, **arguments)
        assert engine.running == pool.scheduler.in_flight == 0
    return made


async def test_text_to_sql_votes_by_rows() -> None:
    made = await done("text_to_sql", "text_to_sql")
    assert made.value.rows == [("Ada",)]
    assert made.usage.calls >= 3


async def test_a_coding_agent_mends_real_files(tmp_path: Path) -> None:
    module = example("coding_agent")
    for name, text in module.PROJECT.items():
        (tmp_path / name).write_text(text)
    made = await done("coding_agent", "repair", folder=str(tmp_path))
    assert made.value == {"prices.py": "I mended prices.py.", "words.py": "I mended words.py."}
    compile((tmp_path / "prices.py").read_text(), "prices.py", "exec")
    try:
        check_sandbox()
    except UsageError:
        return
    assert "max(words" in (tmp_path / "words.py").read_text()


@pytest.mark.parametrize(
    "way", ["outline", "threadweaver", "multiverse", "apr", "parathinker", "hogwild"]
)
async def test_threads_are_shorter_than_what_they_write(way: str) -> None:
    written = (await done("parallel_threads", "threads", way=way)).value
    assert "fl" in written.text
    assert written.critical < written.tokens


async def test_a_rag_loop_searches_until_it_knows() -> None:
    made = await done("rag_loop", "rag")
    assert made.value == "Near Bern. [Ada, Mill]"
    assert made.usage.calls == 2


async def test_a_tool_search_goes_back_after_a_failure() -> None:
    made = await done("tool_search", "tool_search")
    assert made.value == "It is 14 degrees where Ada lives."


async def test_a_panel_reads_each_other_and_agrees() -> None:
    made = await done("panel", "panel")
    assert (made.value, made.usage.calls) == ("fruit", 6)


async def test_deep_search_asks_side_by_side() -> None:
    made = await done("deep_search", "deep_search")
    assert made.value.startswith("Basel")
    assert made.usage.calls == 3
    cut = await done("deep_search", "deep_search", budget=Limits(calls=1))
    assert "within the budget" in cut.value


async def test_a_crawler_stops_when_it_knows() -> None:
    made = await done("crawler", "crawl")
    assert made.value == "Beside the cellar's door."


async def test_a_question_of_ones_own() -> None:
    made = await done("own_question", "walk")
    assert made.value == "right down right down done"


@pytest.mark.parametrize("way", ["tim", "scale", "codeplan"])
async def test_subtasks_come_to_the_same_answer(way: str) -> None:
    worked = (await done("subtasks", "subtasks", way=way)).value
    assert worked.text == "16 legs."
    if way == "tim":
        assert [task[2] for task in worked.about["tasks"][1:]] == [
            "two bees have 12 legs",
            "a goat has 4 legs",
        ]
    if way == "scale":
        assert worked.about["slow"] == [False, False, True]
    if way == "codeplan":
        assert worked.about["plan"].startswith("def legs")


@pytest.mark.parametrize(
    ("way", "calls", "searches"),
    [("auto", 3, 2), ("drag", 1, 1), ("iterdrag", 2, 2), ("parallel", 4, 2)],
)
async def test_looking_up_in_each_way(way: str, calls: int, searches: int) -> None:
    made = await done("looking_up", "looking_up", way=way)
    assert (made.value.answer, made.value.searches, made.usage.calls) == ("Bern", searches, calls)
    assert made.value.passages == ["Ada", "Mill"][: 1 if way == "drag" else 2]


async def test_concepts_of_one_problem_solve_another(tmp_path: Path) -> None:
    file = str(tmp_path / "concepts.db")
    made = (await done("concepts", "concepts", file=file)).value
    assert made["1 2 4 8"] == "solved in pass 1"
    assert made["3 9 27 81"] == "solved in pass 2, with constant factor"
    again = (await done("concepts", "concepts", file=file)).value
    assert again["3 9 27 81"] == "solved in pass 1, with constant factor"


async def test_effort_is_high_where_the_fault_is() -> None:
    solved = (await done("effort", "effort")).value
    assert solved.answer.startswith("The disk was full")
    assert solved.efforts == ["low", "low", "high"]


@pytest.mark.parametrize("policy", ["weft", "saga", "continuum", "thunderagent"])
async def test_serving_does_what_it_declares(policy: str) -> None:
    async with Pool(model("serving"), policy=parse_policy(policy)) as pool:
        made = await run(example("serving").solve, pool=pool)
    assert made.value == "The first patch."
    assert made.differences == []


def specs() -> list[str]:
    """The methods that the page's table names."""
    return re.findall(r"-a method=\"?([a-z_]+(?:\([^)`\"]*\))?)", PAGE)


@pytest.mark.parametrize("spec", dict.fromkeys(specs()))
async def test_each_method_of_the_page(spec: str) -> None:
    made = await done("methods", "method", method=spec)
    assert made.value.answer is not None


async def test_research_without_its_process(tmp_path: Path) -> None:
    with people({"Publish this?": "yes"}) as asked:
        async with Pool(engine := model("research"), store=Store()) as pool:
            how = {"pool": pool, "id": "bees", "folder": str(tmp_path)}
            first = await run(example("research").research, "bees", **how)
            again = await run(example("research").research, "bees", **how)
    assert first.value == again.value
    assert (tmp_path / first.value).read_text() == "Bees fly, eat nectar, and live in hives."
    assert (asked, len(engine.requests)) == (["Publish this?"], 5)


def test_research_is_killed_and_resumed(tmp_path: Path) -> None:
    """kill -9 while it waits for a person: nothing is asked of the engine twice."""
    file, engine = str(tmp_path / "runs.db"), model("research")
    with running(engine) as url:
        command = [sys.executable, "-c", "from weft.cli.main import main; main()", "run"]
        command += [str(FOLDER / "research.py"), "-a", "topic=bees", "-a", f"folder={tmp_path}"]
        command += ["-e", url, "--store", file, "--id", "bees"]

        def waits() -> bool:
            if not Path(file).is_file():
                return False
            with Store(file) as store:
                return bool(KeptRuns(store.database).waiting())

        killed = subprocess.Popen(command)
        block_until(waits)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        asked = len(engine.requests)
        with Store(file) as store:
            answer(store, "bees", "yes")
        resumed = subprocess.run(command, check=True, capture_output=True, text=True)
    assert asked == len(engine.requests) == 5
    assert (tmp_path / resumed.stdout.strip()).is_file()


@pytest.fixture
def weft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(app, words, catch_exceptions=False)


def test_the_command_line_runs_a_file_and_draws_it(weft: Callable[..., Any]) -> None:
    engine = f"{FOLDER}/scripted.py:Model(example=panel)"
    result = weft("run", f"{FOLDER}/panel.py", "-e", engine, "--out", "out")
    assert (result.exit_code, result.stdout) == (0, "fruit\n"), result.output
    shown = weft("run", f"{FOLDER}/methods.py", "-e", engine.replace("panel", "methods"))
    assert json.loads(shown.stdout)["question"]
    simulated = weft("simulate", "out", "-p", "fcfs", "--option", "copies=3", "-n", "2")
    assert simulated.exit_code == 0, simulated.output
    several = weft("run", f"{FOLDER}/coding_agent.py", "-e", engine)
    assert several.exit_code == 2
    assert "mend, repair" in several.stderr


def test_each_example_is_listed_drawn_and_short() -> None:
    drawn = {path.stem for path in (ROOT / "docs/images/examples").glob("*.svg")}
    readme = (FOLDER / "README.md").read_text()
    assert drawn == set(FILES)
    for name in FILES:
        assert f"images/examples/{name}.svg" in PAGE
        assert f"({name}.py)" in readme
        assert len((FOLDER / f"{name}.py").read_text().splitlines()) <= 90, name
