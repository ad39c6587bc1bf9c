"""What is installed as an extra: named where it is missing, and not needed by the rest."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from weft.extras import EXTRAS

ROOT = Path(__file__).parent.parent
HIDE = """
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name in {names!r} or name.startswith(tuple(n + "." for n in {names!r})):
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Hidden())
"""


def without(extras: list[str], code: str) -> subprocess.CompletedProcess[str]:
    """Run code in an interpreter that lacks what some extras bring."""
    names = sorted({name for extra in extras for name in EXTRAS[extra]})
    code = HIDE.format(names=names) + code
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=170, check=False
    )


def weft(extras: list[str], *words: str) -> subprocess.CompletedProcess[str]:
    return without(
        extras, f"sys.argv = {['weft', *words]!r}\nfrom weft.cli.main import main; main()"
    )


def test_extras_bring_the_modules_that_are_asked_for() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    plain = {re.split(r"[^\w-]", line)[0].lower() for line in declared["dependencies"]}
    known = packages_distributions()
    for extra, modules in EXTRAS.items():
        brought = {
            re.split(r"[^\w-]", line)[0].lower()
            for line in declared["optional-dependencies"][extra]
        }
        for module in modules:
            top = module.split(".")[0]
            names = {name.lower().replace("_", "-") for name in known.get(top, [top])}
            assert names & brought, f"{extra} does not bring {module}"
            assert module.startswith("opentelemetry") or not names & plain


def test_programs_strategies_and_evaluations_need_no_extra() -> None:
    done = without(
        list(EXTRAS),
        "import anyio\n"
        "import weft.cli.main, weft.evals.reports.report, weft.evals.running.runner, weft.search\n"
        "import weft.backends.openai, weft.backends.vllm\n"
        "from weft import Pool, Prompt, ScriptedEngine, Store, generate\n"
        "async def main():\n"
        "    async with Pool(ScriptedEngine('yes'), store=Store()):\n"
        "        print((await generate(Prompt.user('?'))).text)\n"
        "anyio.run(main)",
    )
    assert done.stdout.strip() == "yes", done.stderr


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ("serve", ["serve", "--engine", "scripted:x"]),
        ("serve", ["mock", "--reply", "x"]),
        ("serve", ["key", "new"]),
        ("simulate", ["simulate", "best_of_n(n=2)", "-n", "2"]),
        ("simulate", ["tune", "best_of_n(n=2)", "--policy", "cap"]),
    ],
)
def test_a_missing_extra_is_named_in_one_sentence(extra: str, words: list[str]) -> None:
    done = weft([extra], *words)
    assert done.returncode == 2, done.stdout + done.stderr
    [line] = done.stderr.strip().splitlines()
    assert f"pip install 'weft[{extra}]'" in line


def test_a_framework_that_is_missing_is_named_with_what_installs_it() -> None:
    done = without(
        ["pydantic-ai", "langgraph", "openai-agents"],
        "from importlib import import_module\n"
        "from weft.errors import MissingExtra\n"
        "for name in ('pydantic_ai', 'langgraph', 'openai_agents'):\n"
        "    try: import_module(f'weft.frameworks.{name}')\n"
        "    except MissingExtra as error: print(error)",
    )
    first, second, third = done.stdout.splitlines()
    assert first == (
        "weft.frameworks.pydantic_ai needs pydantic_ai; install what is missing with: "
        "pip install 'weft[pydantic-ai]'"
    )
    assert second.endswith(
        "langgraph and langchain_openai; install what is missing with: "
        "pip install 'weft[langgraph]'"
    )
    assert third.endswith("pip install 'weft[openai-agents]'")


def test_a_report_without_its_plot_says_so() -> None:
    done = without(
        ["report"],
        "from types import SimpleNamespace\n"
        "from weft.evals.reports.report import _picture\n"
        "print(_picture([SimpleNamespace(n=1, rows=[], strategy='greedy')]))",
    )
    assert "pip install" in done.stdout, done.stderr
    assert done.returncode == 0
