"""Engines of users: named by file, module and package, wherever an engine's spec is read."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from weft import Pool, Prompt, generate
from weft.backends.kinds import KINDS
from weft.backends.kinds.specs import open_engines, parse
from weft.cli.main import app
from weft.errors import ConfigError, PartFailed, UsageError
from weft.evals.suites.suite import load as load_suite
from weft.service.config.file import load_config

Put = Callable[[str, str], Path]
MINE = """
from contextlib import asynccontextmanager

from weft.backends.kinds import EngineKind, engine_kind
from weft.backends.scripted.engine import ScriptedEngine


class Echo(ScriptedEngine):
    '''Says what it is told to.

    Args:
        says: the answer.
    '''

    def __init__(self, says: str, times: int = 1, model: str = "echo") -> None:
        super().__init__(says * times, model=model, name=f"echo of {says}")


@engine_kind("twins")
class Twins(EngineKind):
    '''Two of a kind, for a while.'''

    def __init__(self, says: str = "hi", replicas: int = 2, api_key: str | None = None) -> None:
        self.says, self.replicas, self.api_key = says, replicas, api_key

    @asynccontextmanager
    async def open(self, say):
        say(f"{self.replicas} begin with {self.api_key}")
        yield [Echo(f"{self.says}{i}") for i in range(self.replicas)]
        say("they end")
"""
PROGRAM = """
from weft import *

@program
async def ask():
    return (await generate(Prompt.user("?"))).text
"""


def weft(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), catch_exceptions=False)


@pytest.mark.parametrize(
    "spec",
    [
        "./mine.py:Echo(says=ha, times=2)",
        "mine:Echo(says=ha, times=2)",
        "mine.py:Echo(says=ha)?times=2&rate=50",
        "mine.py:Echo?says=haha",
    ],
)
async def test_an_engine_by_file_or_module(put: Put, spec: str) -> None:
    put("mine.py", MINE)
    async with Pool(spec) as pool:
        assert (await generate(Prompt.user("?"))).text == "haha"
        assert pool.engines[0].rate == (50 if "rate" in spec else None)


async def test_a_kind_opens_several_and_closes_them(put: Put, monkeypatch: pytest.MonkeyPatch):
    put("mine.py", MINE)
    monkeypatch.setenv("MY_KEY", "k-1")
    parse("mine.py:Twins")  # and now its name is known
    for spec, names in {
        "twins": ["echo of hi0", "echo of hi1", "echo of hi2"],
        "twins:ho?replicas=1": ["echo of ho0"],
        "twins(replicas=2, says='o, (k)')?key=MY_KEY": ["echo of o, (k)0", "echo of o, (k)1"],
    }.items():
        said: list[str] = []
        async with open_engines([spec], replicas=3, on_progress=said.append) as engines:
            assert [engine.name for engine in engines] == names
        key = "k-1" if "key" in spec else None
        assert said == [f"{len(names)} begin with {key}", "they end"]
    with pytest.raises(UsageError, match="Echo engines take no key; leave out key"):
        parse("mine.py:Echo(says=x)?key=MY_KEY")


def test_the_verbs_take_engines_of_users(put: Put) -> None:
    put("mine.py", MINE)
    put("ask.py", PROGRAM)
    put("data.jsonl", '{"question": "1+1", "answer": 2}\n')
    done = weft("run", "ask.py:ask", "-e", "mine.py:Echo(says=2)", "--model", "mine")
    assert (done.exit_code, done.stdout) == (0, "2\n")
    done = weft("run", "ask.py:ask", "-e", "twins:7?replicas=1", "--import", "mine.py")
    assert (done.exit_code, done.stdout) == (0, "70\n")
    done = weft("eval", "run", "data.jsonl", "-s", "greedy", "-e", "mine.py:Echo(says=2)")
    assert done.exit_code == 0, done.stderr
    assert "100.0" in done.stdout


def test_yaml_finds_files_beside_itself(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    put("etc/mine.py", MINE)
    suite = put("etc/suite.yaml", "task: countdown\nstrategies: greedy\nengine: mine.py:Echo\n")
    serve = put(
        "etc/serve.yaml",
        "engines: ['./mine.py:Echo(says=a?b)?rate=3', {spec: 'mine.py:Twins(says=x)', name: t}]\n",
    )
    put("elsewhere/x", "")
    monkeypatch.chdir("elsewhere")
    with pytest.raises(ConfigError, match=r"suite.yaml:3: engine.0: engine Echo needs says"):
        load_suite(suite)
    suite.write_text(suite.read_text().replace("Echo", "Echo(says=2)"))
    assert load_suite(suite).engine == [f"{suite.parent}/mine.py:Echo(says=2)"]
    first, second = load_config(serve).engines
    assert parse(first.spec).values == {"says": "a?b"}
    assert parse(first.spec).options == {"rate": 3.0}
    assert second.spec.startswith(str(serve.parent))
    serve.write_text(serve.read_text().replace("says=x", "say=x"))
    with pytest.raises(ConfigError, match=r"serve.yaml:1: engines.1.spec: .*'say'.* says"):
        load_config(serve)


def test_engines_of_packages(put: Put, tmp_path: Path) -> None:
    put("site/acme_parts.py", MINE.replace("twins", "acme_twins"))
    info = tmp_path / "site/acme-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(
        "[weft.engines]\nacme_twins = acme_parts:Twins\nacme_echo = acme_parts:Echo\n"
    )
    sys.path.insert(0, str(tmp_path / "site"))
    assert parse("openai:m").kind.__name__ == "OpenAI"
    assert "acme_parts" not in sys.modules
    assert parse("acme_echo:yes").values == {"says": "yes"}
    listed = {one["name"]: one for one in json.loads(weft("engines", "kinds", "--json").stdout)}
    assert {"vllm", "openai", "local", "scripted"} <= listed.keys()
    assert listed["openai"]["from"] == "weft"
    for name in ("acme_twins", "acme_echo"):
        assert listed[name]["from"] == "acme 1.2"
    assert listed["acme_echo"]["about"] == "Says what it is told to."
    assert listed["acme_echo"]["parameters"][0] == {
        **{"name": "says", "default": "", "required": True, "meaning": "the answer."}
    }
    done = weft("engines", "kinds", "acme_twins")
    assert "Two of a kind" in done.stdout
    for name in ("acme_twins", "acme_echo"):
        KINDS._known.pop(name)


@pytest.mark.parametrize(
    ("text", "spec", "says"),
    [
        (MINE, "mine.py:Ecko(says=2)", "unknown engine in mine.py 'Ecko'; did you mean Echo"),
        (MINE, "mine.py:asynccontextmanager", "is no engine; it must be a class that extends"),
        (MINE, "mine.py:Echo(says=2, times=two)", "times=two of Echo must be a whole number"),
        (MINE, "none.py:Echo", "there is no file none.py"),
        (MINE, "mine.py", "mine.py is a file; name the engine in it: mine.py:NAME"),
        (
            "from weft.backends.engine import Engine\nclass Half(Engine):\n"
            "    async def connect(self): ...\n    async def aclose(self): ...\n",
            "mine.py:Half",
            "Half in mine.py has no complete; write it",
        ),
        (
            MINE.replace("        super", "        raise KeyError('gone')\n        super"),
            "mine.py:Echo(says=2)",
            "engine Echo failed at {}: KeyError: 'gone'",
        ),
        (
            MINE.replace("        say(f", "        raise OSError('full')\n        say(f"),
            "mine.py:Twins",
            "engine Twins failed at {}: OSError: full",
        ),
        (
            MINE + "\nclass Odd(Echo):\n    async def connect(self): raise OSError('no way in')\n",
            "mine.py:Odd(says=2)",
            "engine Odd failed at {}: OSError: no way in",
        ),
        (
            MINE + "\nclass Odd(Echo):\n    async def complete(self, *_): return 1 / 0\n",
            "mine.py:Odd(says=2)",
            "engine Odd failed at {}: ZeroDivisionError: division by zero",
        ),
        (
            MINE.replace("yield [", "yield iter([").replace("replicas)]", "replicas)])"),
            "mine.py:Twins",
            "engine Twins opened no list of engines",
        ),
    ],
)
def test_what_is_wrong_is_one_sentence(put: Put, text: str, spec: str, says: str) -> None:
    file = put("mine.py", text)
    put("ask.py", PROGRAM)
    done = weft("run", "ask.py:ask", "-e", spec)
    assert done.exit_code == 2
    assert done.stderr.strip().splitlines()[-1].startswith("weft: ")
    raising = [i for i, line in enumerate(text.splitlines(), 1) if re.search(r"raise |1 / 0", line)]
    assert says.format(f"{file}:{(raising or [0])[0]}") in done.stderr.splitlines()[-1]


async def test_an_engine_that_raises_leaves_the_others(put: Put) -> None:
    put(
        "mine.py",
        MINE + "\nclass Odd(Echo):\n    async def complete(self, *_): raise KeyError('x')\n",
    )
    engines = "mine.py:Odd(says=1)", "mine.py:Echo(says=2, model=other)"
    async with Pool(*engines, roles={"verifier": "other"}) as pool:
        with pytest.raises(PartFailed, match="engine Odd failed"):
            await generate(Prompt.user("?"))
        assert (await generate(Prompt.user("?"), role="verifier")).text == "2"
        assert not any(r.in_flight for r in pool.scheduler.replicas)


def test_a_kind_needs_a_name_that_can_be_written(put: Put) -> None:
    put("mine.py", MINE.replace('"twins"', '"my-twins"'))
    with pytest.raises(UsageError, match="'my-twins' is no name for an engine"):
        parse("mine.py:Twins")
