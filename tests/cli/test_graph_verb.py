"""weft graph: programs as declared, as learned, and as they ran."""

from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import Result

from weft.backends.mock.server import running
from weft.backends.scripted.engine import ScriptedEngine

Weft = Callable[..., Result]

FILE = """
from weft import Prompt, generate, node, program

@node
async def plan():
    return (await generate(Prompt.user("Plan."), index=0)).text

@program(stages=[plan], calls=1)
async def fix():
    return await plan()

@program
async def plain():
    return await plan()
"""


@pytest.fixture(autouse=True)
def file(weft: Weft) -> None:
    Path("mine.py").write_text(FILE)


def said(result: Result, words: str) -> None:
    assert result.exit_code == 2, result.output
    assert words in " ".join(result.output.split())


def test_declared(weft: Weft) -> None:
    drawn = weft("graph", "mine.py:fix")
    assert drawn.exit_code == 0, drawn.output
    assert drawn.stdout.startswith('flowchart TD\n  n0(["fix<br>1 call"])\n  n1["plan"]')
    assert weft("graph", "mine.py:fix", "--out", "fix.svg").stdout == ""
    ElementTree.parse("fix.svg")
    bare = weft("graph", "mine.py:plain")
    assert bare.exit_code == 0
    assert "declares no stages" in bare.stderr


def test_learned_and_ran(weft: Weft) -> None:
    with running(ScriptedEngine("Done.", model="m")) as url:
        done = weft("run", "mine.py:fix", "-e", url, "--store", "s.db", "--out", "out")
        assert done.exit_code == 0, done.output
    drawn = weft("graph", "fix", "--learned", "--store", "s.db")
    assert "1 run, in the mean" in drawn.stdout
    assert '"plan<br>1 call, ' in drawn.stdout
    assert weft("graph", "fix", "--learned", "--store", "sqlite:///s.db").stdout == drawn.stdout
    assert '"generate (solver)' in weft("graph", "out").stdout
    assert weft("graph", "out", "--out", "again.html").exit_code == 0
    assert Path("again.html").read_text() == Path("out/run.html").read_text()
    assert weft("graph", "out", "--out", "again.svg").exit_code == 0
    said(weft("graph", "fxi", "--learned", "--store", "s.db"), "unknown program in s.db 'fxi'; did")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["mine.py"], "name what to run in mine.py, as mine.py:PROGRAM; it has fix, plain"),
        (["runs/none"], "no folder of weft run; else write FILE.py:PROGRAM"),
        (["mine.py:fxi"], "did you mean fix"),
        (["mine.py:fix", "--out", "x.png"], "--out x.png must end with .mmd, .svg or .html"),
        (["mine.py:fix", "--out", "x.html"], "--out x.html is for a folder of weft run"),
        (["mine.py:fix", "--out", "none/x.svg"], "can't write none/x.svg"),
        (["mine.py:fix", "--store", "s.db"], "add --learned"),
        (["fix", "--learned"], "--learned needs --store FILE"),
        (["fix", "--learned", "--store", "none.db"], "there is no store none.db"),
        (["."], ". holds no run"),
    ],
)
def test_what_is_wrong_is_said(weft: Weft, arguments: list[str], words: str) -> None:
    said(weft("graph", *arguments), words)
