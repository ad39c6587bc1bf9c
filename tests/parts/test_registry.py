"""Parts of users: named by file, module or package, refused in one sentence, blamed by line."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any, cast

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from waiting import PATIENCE
from weft.backends.kinds.specs import parse as parse_engine
from weft.backends.mock import server
from weft.backends.scripted.engine import ScriptedEngine
from weft.cli.main import app
from weft.errors import ConfigError, PartFailed, UnknownName, UsageError
from weft.evals.records import Folder, Session, Settings
from weft.evals.running.runner import Plan, evaluate
from weft.evals.suites.suite import load as load_suite
from weft.evals.tasks.files.jsonl import JsonlTask
from weft.evals.tasks.registry import parse_task
from weft.orchestrator.policy import POLICIES, parse_policy
from weft.orchestrator.policy_file import dump_policy, load_policy
from weft.orchestrator.pool import Pool
from weft.parts.importing import import_all, names_only
from weft.parts.spec import Spec, as_text, quoted, read_spec
from weft.programs import Prompt, generate, run
from weft.search import Answer, BestOfN, Question, parse_strategy
from weft.search.readers import parse_reader
from weft.search.verifiers import read_verifier
from weft.service.config.file import load_config
from weft.service.strategies.offers import configured
from weft.simulation.workloads import open_workload

Put = Callable[[str, str], Path]

MINE = """
from weft.orchestrator import Placement, Policy, policy
from weft.parts.parameters import param
from weft.programs import generate
from weft.search import Answer, Question, Reader, Strategy, Verifier, reader, strategy, verifier
from weft.evals import Sample, Task, task
from weft.programs import Prompt
from weft.simulation import Job, PlannedCall, Source, source


@policy("brisk")
class Brisk(Policy):
    '''Goes to the first engine.'''

    most: int = param(5, "how many", least=1, main=True)

    def place(self, call, view):
        return Placement(view.engines[0], "the first")


@strategy("calm")
class Calm(Strategy):
    '''Asks once.'''

    n: int = 1

    async def solve(self, question):
        completion = await generate(question.prompt)
        return Answer(completion.text, completion.text)


@verifier("length")
class Length(Verifier):
    '''The shorter, the better.'''

    strict: bool = param(False, "whether anything counts")

    async def score(self, question, text, confidence):
        return 1 / (1 + len(text))


@reader("loud")
class Loud(Reader):
    '''What is shouted.'''

    def read(self, text):
        return text.upper() or None


@task("echo")
class Echo(Task):
    '''Says it again.'''

    def __init__(self, word: str, times: int = 2) -> None:
        self.word, self.times = word, times
        self.spec = f"echo(word={word}, times={times})"

    spec = ""

    def samples(self, limit, seed):
        return [Sample(str(i)) for i in range(self.times)][:limit]

    def question(self, sample, seed):
        return Question(Prompt.user(self.word), lambda text: text, lambda text: False)

    def correct(self, sample, answer):
        return answer.value == self.word

    def player(self, skill):
        return Parrot(self.word)


class Parrot:
    def __init__(self, word):
        self.word = word

    def reply(self, request):
        return self.word

    def scores(self, request):
        return {"yes": 1.0, "no": 0.0}


@source("two_jobs")
class TwoJobs(Source):
    '''Two short jobs.'''

    def jobs(self, block_size, seed):
        for i in range(2):
            yield Job(f"job-{i}", (PlannedCall(prompt=64, answer=8, blocks=(1,)),))
"""


TRACE = """
from pathlib import Path

from weft.simulation.sources import Source, source
from weft.simulation.workload import Job, PlannedCall


@source("{name}")
class Lines(Source):
    '''A job a line.'''

    path: str = ""

    @classmethod
    def recognizes(cls, line):
        return line.startswith("job ")

    def jobs(self, block_size, seed):
        for line in Path(self.path).read_text().splitlines():
            yield Job(line, (PlannedCall(prompt=64, answer=8, blocks=(1,)),))
"""


ENGINES = """
from weft import Prompt, ScriptedEngine, generate, program
from weft.backends import engine_kind


@engine_kind("says")
class Says(ScriptedEngine):
    '''Says always the same.'''

    def __init__(self, what: str) -> None:
        super().__init__(what)


@engine_kind("near")
class Near(Says):
    '''A server near by.'''

    def __init__(self, url: str) -> None:
        super().__init__("")
        self.url = url


@program
async def ask() -> str:
    return (await generate(Prompt.user("?"))).text
"""


def package(folder: Path, name: str, entries: str) -> None:
    """What pip leaves of an installed package that brings parts."""
    info = folder / f"{name}-1.2.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(dedent(entries))


def weft(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), catch_exceptions=False)


def question() -> Question:
    return Question(Prompt.user("How?"), lambda text: text, lambda text: False)


# ---------------------------------------------------------------- by file, module, package


@pytest.mark.parametrize("spec", ["mine.py:Brisk", "./mine.py:Brisk", "mine:Brisk", "{}:Brisk"])
def test_a_part_by_file_or_module(put: Put, spec: str) -> None:
    spec = spec.format(put("mine.py", MINE))
    assert parse_policy(f"{spec}(most=2)").spec == "brisk(most=2)"
    assert parse_policy({spec: {"most": 3}}).spec == "brisk(most=3)"
    assert parse_policy("brisk(most=2)") == parse_policy(f"{spec}(most=2)")


@pytest.mark.parametrize("file", ["a b/mine.py", "a-b/it's (1).py", "C:\\parts\\mine.py"])
def test_files_with_any_name(put: Put, file: str) -> None:
    put(file, MINE)
    assert parse_policy(f"./{file}:Brisk(most=2)").spec == "brisk(most=2)"


def test_every_kind_can_be_brought(put: Put) -> None:
    put("mine.py", MINE)
    assert parse_strategy("mine.py:Calm").spec == "calm"
    made = parse_strategy("best_of_n(n=2, verifier=mine.py:Length(strict=true))")
    assert made.spec == 'best_of_n(n=2, verifier="length(strict=true)")'
    assert parse_strategy(made.spec) == made
    assert parse_strategy({"best_of_n": {"n": 2, "verifier": {"length": {"strict": True}}}}) == made
    assert read_verifier("length").spec == "length"
    assert parse_reader("mine.py:Loud")("yes") == "YES"
    put("q.jsonl", '{"question": "?", "answer": "yes"}')
    loud = parse_task("jsonl(path=q.jsonl, reader=mine.py:Loud)")
    (sample,) = loud.samples(None, 0)
    assert loud.correct(sample, Answer("", loud.question(sample, 0).answer("Yes")))
    task = parse_task("mine.py:Echo(word=a b)")
    assert task.spec == "echo(word=a b, times=2)"
    assert [job.id for job in open_workload("mine.py:TwoJobs").jobs] == ["job-0", "job-1"]


def test_a_file_is_run_once_whatever_names_it(put: Put) -> None:
    put("mine.py", MINE + "\nprint('imported')\n")
    found = {type(parse_policy(s)) for s in ("mine.py:Brisk", "./mine.py:Brisk", "mine:Brisk")}
    assert len(found) == 1


def test_parts_of_packages_are_found_when_asked_for(put: Put, tmp_path: Path) -> None:
    put("site/acme.py", MINE)
    put("site/broken.py", "import nothing_of_that_name\n")
    site = tmp_path / "site"
    package(site, "acme", "[weft.policies]\nbrisk = acme:Brisk\n[weft.tasks]\necho = acme:Echo\n")
    package(site, "rotten", "[weft.policies]\nrotten = broken:Rotten\n")
    sys.path.insert(0, str(site))
    parse_policy("fcfs")
    assert "acme" not in sys.modules
    assert parse_policy("brisk(most=2)").spec == "brisk(most=2)"
    assert parse_task("echo(word=x)").spec == "echo(word=x, times=2)"
    with pytest.raises(UsageError, match=r"package rotten .*No module named 'nothing_of"):
        parse_policy("rotten")
    done = weft("policies")
    assert done.exit_code == 0
    assert re.search(r"brisk +Goes to the first engine. +acme 1.2", done.stdout)
    assert re.search(r"cap +.* weft", done.stdout)
    assert "policy 'rotten' of package rotten" in done.stderr
    listed = {one["name"]: one for one in json.loads(weft("policies", "--json").stdout)}
    assert listed["brisk"]["from"] == "acme 1.2"
    assert listed["brisk"]["parameters"][0]["name"] == "most"
    assert listed["weft"]["from"] == "weft"


def test_readers_of_packages_are_found_when_asked_for(put: Put, tmp_path: Path) -> None:
    put("site/acme.py", MINE)
    put("q.jsonl", '{"question": "?", "answer": "yes"}')
    entries = "[weft.readers]\nloud = acme:Loud\n[weft.strategies]\ncalm = acme:Calm\n"
    package(tmp_path / "site", "acme", entries)
    sys.path.insert(0, str(tmp_path / "site"))
    parse_reader("number")
    assert "acme" not in sys.modules
    assert parse_reader("loud")("<think>No.</think>yes") == "YES"
    task = parse_task("jsonl(path=q.jsonl, reader=loud)")
    (sample,) = task.samples(None, 0)
    assert task.question(sample, 0).answer("Yes") == "YES"
    assert task.correct(sample, Answer("", "YES"))
    listed = {one["name"]: one["from"] for one in json.loads(weft("readers", "--json").stdout)}
    assert listed["loud"] == "acme 1.2"
    assert listed["number"] == "weft"
    config = put(
        "serve.yaml",
        """
        engines: [http://127.0.0.1:1]
        strategies: {models: [{model: m, strategy: calm, reader: loud}]}
        """,
    )
    assert [m.reader for m in load_config(config).strategies.models] == ["loud"]


def test_verbs_take_parts_of_packages_by_name(put: Put, tmp_path: Path) -> None:
    put("site/acme.py", MINE)
    put("site/acme_engines.py", ENGINES)
    entries = """
        [weft.engines]
        near = acme_engines:Near
        says = acme_engines:Says
        [weft.policies]
        brisk = acme:Brisk
        [weft.strategies]
        calm = acme:Calm
        [weft.workloads]
        two_jobs = acme:TwoJobs
        """
    package(tmp_path / "site", "acme", entries)
    sys.path.insert(0, str(tmp_path / "site"))
    config = """
        engines: ["near:http://127.0.0.1:1/v1"]
        policy: {brisk: {most: 2}}
        strategies: {models: [{model: m, strategy: calm}]}
        """
    put("serve.yaml", config)
    for command, said in {
        "run acme_engines:ask -e says:yes -p brisk": "yes",
        "graph acme_engines:ask": "flowchart TD",
        "simulate two_jobs -p brisk(most=2) --engines 1": "brisk",
        "serve serve.yaml --check": "",
        "engines kinds near": "from: acme 1.2",
    }.items():
        done = weft(*command.split())
        assert done.exit_code == 0, done.output
        assert said in done.stdout
    said = weft("serve", "-e", "says:yes", "--check").stderr
    assert "set `url` in Says" in said


def test_a_name_taken_twice_names_both_places(put: Put, tmp_path: Path) -> None:
    first, second = put("one.py", MINE), put("two.py", MINE)
    parse_policy("one.py:Brisk")
    with pytest.raises(UsageError) as caught:
        parse_policy("two.py:Brisk")
    assert f"{first}:11" in str(caught.value)
    assert f"{second}:11" in str(caught.value)
    put("own.py", MINE.replace('"brisk"', '"cap"'))
    with pytest.raises(UsageError, match=r"'cap' is that of two policies: .*policies/\w+\.py:\d+"):
        parse_policy("own.py:Brisk")


def test_two_packages_with_one_name(put: Put, tmp_path: Path) -> None:
    package(tmp_path / "site", "acme", "[weft.policies]\nbrisk = acme:Brisk\n")
    package(tmp_path / "site", "bolt", "[weft.policies]\nbrisk = bolt:Brisk\n")
    sys.path.insert(0, str(tmp_path / "site"))
    with pytest.raises(UsageError) as caught:
        parse_policy("brisk")
    assert "package acme (acme:Brisk)" in str(caught.value)
    assert "package bolt (bolt:Brisk)" in str(caught.value)


def test_a_package_with_a_name_of_weft(tmp_path: Path) -> None:
    package(tmp_path / "site", "acme", "[weft.policies]\ncap = acme:Brisk\n")
    sys.path.insert(0, str(tmp_path / "site"))
    with pytest.raises(UsageError, match=r"two policies: .*\.py:\d+ and package acme \(acme"):
        parse_policy("cap(k=3)")


def test_a_cell_run_again_replaces_its_class(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = (
        "from weft.orchestrator import Policy, policy\n"
        "@policy('cell')\n"
        "class Cell(Policy):\n"
        "    k: int = {}\n"
        "    def place(self, call, view): ...\n"
    )
    names: dict[str, Any] = {"__name__": "__main__"}
    for k in (1, 2):
        exec(compile(cell.format(k), f"<cell {k}>", "exec"), names)
        assert parse_policy("cell") == names["Cell"]()
        assert getattr(parse_policy("cell"), "k") == k  # noqa: B009
    monkeypatch.delitem(POLICIES._known, "cell")


# ---------------------------------------------------------------- where specs are read


def test_a_policy_of_a_file_at_the_command_line(put: Put) -> None:
    put("mine.py", MINE)
    small = ("--engines", "2", "-n", "2", "--no-belady")
    done = weft("simulate", "mine.py:TwoJobs", "-p", "./mine.py:Brisk(most=2)", *small)
    assert done.exit_code == 0, done.stderr
    assert "brisk(most=2)" in done.stdout
    done = weft("simulate", "two_jobs", "-p", "brisk", "--import", "mine.py", *small)
    assert done.exit_code == 0, done.stderr
    assert "brisk(most=5)" in done.stdout
    assert str(Path("mine.py").absolute()) in weft("policies", "mine.py:Brisk").stdout
    done = weft("policies", "mine.py")
    assert done.exit_code == 2
    assert "mine.py is a file; name the policy in it: mine.py:NAME" in done.stderr
    put("ask.py", "from weft import *\n@program\nasync def ask(): return 'done'\n")
    done = weft("run", "ask.py:ask", "-e", "scripted:hi", "--policy", "mine.py:Brisk")
    assert (done.exit_code, done.stdout) == (0, "done\n")


def test_a_suite_finds_its_files_beside_itself(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    put("suites/parts/mine.py", MINE)
    path = put(
        "suites/s.yaml",
        """
        import: parts/mine.py
        task: ./parts/mine.py:Echo(word=yes)
        strategies: [calm, "best_of_n(n=1, verifier=parts/mine.py:Length)"]
        policy: parts/mine.py:Brisk(most=2)
        engine: scripted:yes
        """,
    )
    put("elsewhere/x", "")
    monkeypatch.chdir(path.parent.parent / "elsewhere")
    task, strategies = load_suite(path).parts()
    assert task.spec == "echo(word=yes, times=2)"
    assert [s.spec for s in strategies] == ["calm", "best_of_n(n=1, verifier=length)"]
    done = weft("eval", "run", str(path), "--out", "results")
    assert done.exit_code == 0, done.stderr
    assert "calm" in done.stdout


def test_specs_may_be_written_as_yaml(put: Put) -> None:
    put("mine.py", MINE)
    path = put(
        "suite.yaml",
        """
        task: {mine.py:Echo: {word: "it, is", times: 3}}
        strategies:
          - {mine.py:Calm: }
          - {best_of_n: {n: 4, verifier: {role: {}}}}
        policy: {cap: {k: 3}}
        """.replace("{role: {}}", "model"),
    )
    suite = load_suite(path)
    task, strategies = suite.parts()
    assert task.spec == parse_task('mine.py:Echo(word="it, is", times=3)').spec
    assert [s.spec for s in strategies] == ["calm", "best_of_n(n=4, verifier=model)"]
    assert load_policy(suite.policy).spec == "cap(k=3)"
    assert as_text({"best_of_n": {"n": 4, "verifier": {"mine.py:V": {"x": True}}}}) == (
        "best_of_n(n=4, verifier=mine.py:V(x=true))"
    )
    for malformed in ({}, {"a": 1, "b": 2}, {"a": 7}, ["a"], 7):
        assert as_text(malformed) is malformed
    config = put(
        "serve.yaml",
        """
        engines: [http://127.0.0.1:1]
        policy: {cap: {k: 3}}
        strategies: {models: [{model: m, strategy: {majority: {n: 4}}, reader: {number: }}]}
        """,
    )
    loaded = load_config(config)
    assert loaded.policy == "cap(k=3)"
    assert [(m.strategy, m.reader) for m in loaded.strategies.models] == [
        ("majority(n=4)", "number")
    ]


@pytest.mark.parametrize(
    ("mark", "word"),
    [
        ("@strategy", "@strategy needs a name"),
        ("@strategy(7)", "@strategy needs a name"),
        ("@strategy('a b')", "'a b' is no name for a strategy"),
        ("@policy", "@policy needs a name"),
        ("@task", "@task needs a name"),
        ("@engine_kind", "@engine_kind needs a name"),
        (
            "@strategy('odd')",
            "is no strategy; it must be a class that extends weft.search.Strategy,",
        ),
        (
            "@policy('odd')",
            "is no policy; it must be a class that extends weft.orchestrator.Policy,",
        ),
        ("@task('odd')", "is no task; it must be a class that extends weft.evals.Task,"),
        (
            "@engine_kind('odd')",
            "is no engine; it must be a class that extends weft.backends.Engine",
        ),
    ],
)
@pytest.mark.parametrize("what", ["class Odd: ...", "def odd(): ..."])
def test_a_mark_that_can_not_be_is_told_at_once(put: Put, mark: str, word: str, what: str) -> None:
    path = put(
        "odd.py",
        f"""
        from weft.backends.kinds import engine_kind
        from weft.evals.tasks.task import task
        from weft.orchestrator import policy
        from weft.search import strategy

        {mark}
        {what}
        """,
    )
    with pytest.raises(UsageError) as caught:
        import_all([str(path)])
    assert word in str(caught.value)
    assert f"{path}:" in str(caught.value)
    sys.modules.pop("odd", None)


def test_an_engine_with_a_typo_is_told_what_it_may_mean(put: Put) -> None:
    meant = {"opnai:gpt@http://x/v1": "openai", "scriptd:x": "scripted", "vlm": "vllm"}
    for text, near in meant.items():
        with pytest.raises(UsageError, match=f"unknown engine {text!r}; did you mean {near}"):
            parse_engine(text)


def test_a_suites_problems_and_their_reader_are_beside_it(
    put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    put("suites/mine.py", MINE)
    put("suites/q.jsonl", '{"question": "?", "answer": "Yes"}')
    path = put(
        "suites/s.yaml",
        """
        task: jsonl(path=q.jsonl, reader=mine.py:Loud)
        strategies: [greedy]
        engine: scripted:yes
        """,
    )
    monkeypatch.chdir(path.parent.parent)
    task, _ = load_suite(path).parts()
    assert isinstance(task, JsonlTask)
    assert task.reader.spec == "loud"


def test_a_trace_of_a_users_own_format(put: Put, tmp_path: Path) -> None:
    put("t.txt", "job 1\njob 2\n")
    with pytest.raises(ConfigError, match="no known format"):
        open_workload("t.txt")
    put("site/acme.py", TRACE.format(name="acme_lines"))
    put("site/own.py", TRACE.format(name="own_lines").replace('"job "', '"own "'))
    entries = "[weft.workloads]\nacme_lines = acme:Lines\nown_lines = own:Lines\n"
    package(tmp_path / "site", "acme", entries)
    sys.path.insert(0, str(tmp_path / "site"))
    with pytest.raises(UnknownName, match="own_lines"):
        open_workload("t.txt", format="own_lnes")
    for format in ("own_lines", "own:Lines"):
        assert open_workload("t.txt", format=format).name.startswith("own_lines")
    with pytest.raises(UsageError, match=r"coding_agents reads no file; name one of .*own_lines"):
        open_workload("t.txt", format="coding_agents")
    assert [job.id for job in open_workload("t.txt").jobs] == ["job 1", "job 2"]
    put("more.py", TRACE.format(name="more_lines"))
    import_all(["more.py"])
    with pytest.raises(ConfigError, match="acme_lines and more_lines; name one of"):
        open_workload("t.txt")
    assert open_workload("t.txt", format="more_lines").name.startswith("more_lines")


def test_the_mock_plays_any_task_that_brings_a_player(
    put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    put("mine.py", MINE)
    served: list[ScriptedEngine] = []

    async def serve(engine: ScriptedEngine, host: str, port: int) -> None:
        served.append(engine)
        async with Pool(engine) as pool:
            done = await run(lambda: generate(Prompt.user("Anything?")), pool=pool)
            assert done.value.text == "yes"

    monkeypatch.setattr(server, "serve", serve)
    done = weft("mock", "--import", "mine.py", "--task", "echo(word=yes)", "--port", "65000")
    assert done.exit_code == 0, done.stderr
    assert served
    put("q.jsonl", '{"question": "?", "answer": "yes"}')
    done = weft("mock", "--task", "q.jsonl")
    assert done.exit_code == 2
    assert "can't be answered by rule" in done.stderr


def test_a_service_finds_its_files_beside_itself(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    put("etc/mine.py", MINE)
    path = put(
        "etc/serve.yaml",
        """
        engines: [http://127.0.0.1:1]
        import: [mine.py]
        policy: brisk(most=2)
        strategies: {models: [{model: m, strategy: "./mine.py:Calm(n=2)", reader: mine.py:Loud}]}
        """,
    )
    monkeypatch.chdir(path.parent.parent)
    config = load_config(path)
    assert [m.title for m in config.strategies.models] == ["m:calm(n=2)"]
    assert [parse_reader(m.reader).spec for m in config.strategies.models] == ["loud"]
    path.write_text(path.read_text().replace("[mine.py]", "[other.py]"))
    with pytest.raises(ConfigError, match=r"serve.yaml:3: import.0: there is no file .*other.py"):
        load_config(path)


def test_a_tuned_policy_of_a_file_is_found_again(put: Put) -> None:
    file = put("mine.py", MINE)
    path = put("policy.yaml", dump_policy(parse_policy("mine.py:Brisk(most=2)"), {}))
    assert f"import:\n- {file}" in path.read_text()
    assert load_policy(str(path)).spec == "brisk(most=2)"
    assert "import" not in dump_policy(parse_policy("cap"), {})


def test_clients_can_not_have_code_imported(put: Put) -> None:
    put("mine.py", "raise RuntimeError('imported')")
    for spec in ("mine.py:Calm", "best_of_n(verifier=mine.py:X)", "best_of_n(verifier='os:path')"):
        with names_only(), pytest.raises(UsageError, match="can't be imported from here"):
            parse_strategy(spec)


def test_clients_can_use_what_packages_brought_at_the_start(
    put: Put, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put("site/acme.py", MINE)
    entries = """
        [weft.strategies]
        calm = acme:Calm
        rotten = acme:Nothing
        [weft.verifiers]
        length = acme:Length
        """
    package(tmp_path / "site", "acme", entries)
    sys.path.insert(0, str(tmp_path / "site"))
    specs = ("calm", "best_of_n(verifier=length)")
    for spec in specs:
        with names_only(), pytest.raises(UsageError, match="can't be imported from here"):
            parse_strategy(spec)
    assert "acme" not in sys.modules
    config = load_config(put("serve.yaml", "engines: [http://127.0.0.1:1]"))
    configured(Pool(ScriptedEngine("Yes.")), config, lambda _: None)
    assert "'rotten' of package acme" in caplog.text
    with names_only():
        for spec in specs:
            parse_strategy(spec)


def test_a_file_of_problems_is_a_task(put: Put) -> None:
    put("data/my problems.jsonl", '{"question": "1+1", "answer": 2}\n')
    for spec in (
        "data/my problems.jsonl",
        "jsonl(path=data/my problems.jsonl)",
        "jsonl(path='data/my problems.jsonl')",
    ):
        assert [s.data["answer"] for s in parse_task(spec).samples(None, 0)] == ["2"]
    done = weft("eval", "run", "data/my problems.jsonl", "-s", "greedy", "-e", "scripted:2")
    assert done.exit_code == 0, done.stderr
    assert Path("eval-my problems/report.html").is_file()
    done = weft("eval", "run", "none.jsonl", "-s", "greedy")
    assert done.exit_code == 2
    assert "there is no file none.jsonl" in done.stderr


ROW = '{"question": "1+1", "answer": %d}\n'


@pytest.mark.parametrize("task", ["data/p.jsonl", "jsonl(path=data/p.jsonl, match=exact)"])
def test_a_suite_finds_its_data_beside_itself(
    put: Put, monkeypatch: pytest.MonkeyPatch, task: str
) -> None:
    put("suites/data/p.jsonl", ROW % 2)
    put("suites/p.yaml", "policy: cap(k=3)\n")
    path = put("suites/s.yaml", f"task: {task}\nstrategies: greedy\npolicy: p.yaml\n")
    put("elsewhere/x", "")
    monkeypatch.chdir(path.parent.parent / "elsewhere")

    def right() -> str:
        (sample,) = load_suite(path).parts()[0].samples(None, 0)
        return sample.data["answer"]

    assert right() == "2"
    assert load_policy(load_suite(path).policy).spec == "cap(k=3)"
    put("elsewhere/data/p.jsonl", ROW % 3)
    put("elsewhere/p.yaml", "policy: fcfs\n")
    assert right() == "2", "what is beside the suite counts"
    (path.parent / "data/p.jsonl").unlink()
    (path.parent / "p.yaml").unlink()
    assert right() == "3", "what is only here is found too"
    assert load_policy(load_suite(path).policy).spec == "fcfs"
    Path("data/p.jsonl").unlink()
    with pytest.raises(ConfigError, match=r"s.yaml:1: task: .*suites/data/p.jsonl"):
        load_suite(path)


def test_data_in_the_current_folder_stays_as_written(put: Put) -> None:
    put("p.jsonl", ROW % 2)
    path = put("s.yaml", "task: jsonl(path=p.jsonl)\nstrategies: greedy\n")
    assert load_suite(path).task == "jsonl(path=p.jsonl)"


def test_paths_of_a_users_task(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    text = MINE.replace("word: str, times", "word: Path, times")
    put("suites/mine.py", "from pathlib import Path\n" + text)
    path = put("suites/s.yaml", "import: mine.py\ntask: echo(word=it is.txt)\nstrategies: greedy\n")
    put("suites/it is.txt", "")
    monkeypatch.chdir("/")
    assert load_suite(path).task == f'echo(word="{path.parent}/it is.txt")'


# ---------------------------------------------------------------- what is wrong is said


@pytest.mark.parametrize(
    ("text", "spec", "says"),
    [
        (MINE, "none.py:Brisk", ["there is no file none.py"]),
        (MINE, "none_such:Brisk", ["there is no module none_such"]),
        (MINE, "mine.py:Brik", ["unknown policy in mine.py 'Brik'", "Brisk"]),
        (MINE, "mine.py:Calm", ["Calm in mine.py is no policy", "Policy", "@policy(NAME)"]),
        (MINE, "mine.py:param", ["param in mine.py is no policy"]),
        (MINE, "mine.py", ["mine.py is a file; name the policy in it: mine.py:NAME"]),
        (MINE, "mine.py(most=1)", ["mine.py is a file; name the policy in it: mine.py:NAME"]),
        (MINE, "mine.py:", ["mine.py is a file; name the policy in it: mine.py:NAME"]),
        (MINE, "my.mine(most=1)", ["no policy 'my.mine'; if that is a module, ", "my.mine:NAME"]),
        (MINE, "my/mine:Brisk", ["'my/mine:Brisk' is no name of a policy", "FILE.py:NAME"]),
        (MINE, "my..mine:Brisk", ["'my..mine:Brisk' is no name of a policy", "module:NAME"]),
        (MINE, "mine.py:Brisk(most=my.mine(x=1))", ["there is no part 'my.mine'"]),
        (MINE, "mine.py:Brisk(most=0)", ["most=0 of brisk must be at least 1"]),
        (MINE, "mine.py:Brisk(mots=1)", ["unknown parameter of brisk 'mots'", "most"]),
        ("x = 1\ndef f(:\n", "mine.py:Brisk", ["mine.py:2: not valid Python: invalid syntax"]),
        ("import sys\nsys.exit(3)", "mine.py:Brisk", ["mine.py:2: ", "__main__"]),
        ("\n1 / 0", "mine.py:Brisk", ["mine.py:2: ", "ZeroDivisionError: division by zero"]),
        ("import gone", "mine.py:Brisk", ["mine.py:1: ", "No module named 'gone'"]),
        ("", "mine.py:Brisk", ["mine.py has no policy 'Brisk', nor any other"]),
        (
            "from weft.orchestrator import Policy\nclass Brisk(Policy):\n  def place(*_): ...",
            "mine.py:Brisk",
            ["Brisk in mine.py has no name; mark the class @policy(NAME)"],
        ),
        (
            "from weft.orchestrator import Policy, policy\n@policy('b')\nclass Brisk(Policy): ...",
            "mine.py:Brisk",
            ["mine.py:2: Brisk in mine.py has no place; write it"],
        ),
        (
            "from weft.orchestrator import Policy, policy\n@policy('b-c')\nclass B(Policy): ...",
            "mine.py:B",
            ["mine.py:2: 'b-c' is no name for a policy"],
        ),
        (
            "from weft.orchestrator import Policy, policy\n@policy('c')\nclass B(Policy):\n k: int",
            "mine.py:B",
            ["k of B needs a default"],
        ),
        (
            MINE.replace("    def place", "    def __post_init__(self): 1 / 0\n\n    def place"),
            "mine.py:Brisk",
            ["policy Brisk failed at", "mine.py:17: ZeroDivisionError"],
        ),
    ],
)  # fmt: skip
def test_bad_input_is_one_sentence(put: Put, text: str, spec: str, says: list[str]) -> None:
    put("mine.py", text)
    with pytest.raises(UsageError) as caught:
        parse_policy(spec)
    done = weft("simulate", "coding_agents(n=1)", "-p", spec)
    assert done.exit_code == 2
    for message in (str(caught.value), done.stderr):
        assert "\n" not in message.strip()
        for part in says:
            assert part in message


def test_a_file_that_failed_can_be_mended(put: Put) -> None:
    put("mine.py", MINE + "\n1 / 0\n")
    with pytest.raises(UsageError, match="ZeroDivisionError"):
        parse_policy("mine.py:Brisk")
    put("mine.py", MINE + "\n\n")
    assert parse_policy("mine.py:Brisk").spec == "brisk(most=5)"


def test_unknown_names_suggest_those_of_packages(put: Put, tmp_path: Path) -> None:
    package(tmp_path / "site", "acme", "[weft.strategies]\nserene = acme:Serene\n")
    sys.path.insert(0, str(tmp_path / "site"))
    with pytest.raises(UnknownName, match="serene"):
        parse_strategy("seren")


# ---------------------------------------------------------------- exceptions at work


async def test_a_strategy_that_raises_is_named_and_leaves_nothing(put: Put) -> None:
    file = put(
        "mine.py",
        """
        import anyio
        from weft.programs import generate, Prompt
        from weft.search import Strategy, strategy

        @strategy("wild")
        class Wild(Strategy):
            async def solve(self, question):
                async with anyio.create_task_group() as group:
                    for i in range(4):
                        group.start_soon(self.ask, i)
                    await anyio.sleep(0.01)
                    raise KeyError("gone")

            async def ask(self, i):
                await generate(Prompt.user(str(i)))
        """,
    )
    wild = parse_strategy("mine.py:Wild")
    engine = ScriptedEngine("a very long answer", token_seconds=60)
    async with Pool(engine) as pool:
        with anyio.fail_after(PATIENCE), pytest.raises(PartFailed) as caught:
            await run(wild, question(), pool=pool)
        assert str(caught.value) == f"strategy Wild failed at {file}:13: KeyError: 'gone'"
        assert isinstance(caught.value.__cause__, KeyError)
        assert not pool.scheduler.replicas[0].in_flight


@pytest.mark.loops("asyncio")
@pytest.mark.parametrize(
    ("raises", "said"),
    [
        ("sys.exit(3)", "SystemExit: 3"),
        ("raise Own('odd')", "Own: odd"),
        ("raise asyncio.CancelledError()", "CancelledError"),
    ],
)
async def test_a_strategy_ends_nothing_but_itself(put: Put, raises: str, said: str) -> None:
    file = put(
        "mine.py",
        f"""
        import asyncio, sys
        from weft.search import Strategy, strategy

        class Own(BaseException): ...

        @strategy("leaver")
        class Leaver(Strategy):
            async def solve(self, question):
                {raises}
        """,
    )
    leaver = parse_strategy("mine.py:Leaver")
    async with Pool(ScriptedEngine("hm")) as pool:
        with pytest.raises(PartFailed) as caught:
            await run(leaver, question(), pool=pool)
    assert str(caught.value) == f"strategy Leaver failed at {file}:10: {said}"


async def test_a_strategy_that_is_cancelled_has_not_failed(put: Put) -> None:
    put(
        "mine.py",
        """
        import anyio
        from weft.search import Strategy, strategy

        @strategy("sleeper")
        class Sleeper(Strategy):
            async def solve(self, question):
                await anyio.sleep(3600)
        """,
    )
    sleeper = parse_strategy("mine.py:Sleeper")
    async with Pool(ScriptedEngine("hm")) as pool:
        with anyio.move_on_after(0.01) as scope:
            await run(sleeper, question(), pool=pool)
        assert scope.cancelled_caught


async def test_what_is_no_answer_or_no_score_is_told(put: Put) -> None:
    put(
        "mine.py",
        """
        from weft.search import Strategy, strategy
        from weft.search.verifiers import Verifier, verifier

        @strategy("mute")
        class Mute(Strategy):
            async def solve(self, question): ...

        @verifier("odd")
        class Odd(Verifier):
            async def score(self, question, text, confidence):
                return "high"
        """,
    )
    async with Pool(ScriptedEngine("hm")) as pool:
        with pytest.raises(PartFailed, match=r"strategy Mute failed .*must be Answer, not None"):
            await run(parse_strategy("mine.py:Mute"), question(), pool=pool)
        for wrong, why in (
            ("Answer(5, None)", "text must be str, not 5"),
            ("Answer('x', 'x', score='high')", "score must be a number, not 'high'"),
            ("Answer('x', 'x', score=float('nan'))", "score nan"),
            ("Answer('x', 'x', details=None)", "details must be dict, not None"),
            ("Answer", "must be Answer, not <class"),
            ("self.solve(question)", "must be Answer, not a coroutine; await it"),
            ("await never()", "StopIteration"),
        ):
            put(
                "wrong.py",
                f"""
                from weft.search import Answer, Strategy, strategy

                async def never():
                    raise StopIteration

                @strategy("wrong")
                class Wrong(Strategy):
                    async def solve(self, question):
                        return {wrong}
                """,
            )
            sys.modules.pop("wrong", None)
            with pytest.raises(
                PartFailed, match=rf"strategy Wrong failed at .*wrong.py:\d+.*{why}"
            ):
                await run(parse_strategy("wrong.py:Wrong"), question(), pool=pool)
        odd = parse_strategy("best_of_n(n=2, verifier=mine.py:Odd)")
        with pytest.raises(PartFailed, match=r"verifier Odd failed at .*mine.py:\d+: TypeError"):
            await run(odd, question(), pool=pool)


class Silent:
    """Watches nothing."""

    def begin(self, *_: object) -> None: ...

    row = end = tick = begin


@pytest.mark.parametrize("method", ["question", "correct", "answer"])
async def test_a_task_that_raises_costs_its_own_sample(
    put: Put, tmp_path: Path, method: str
) -> None:
    text = MINE.replace("times: int = 2", "times: int = 40")
    if method == "question":
        text = text.replace("return Question(", "return 1 / (int(sample.id) - 3) and Question(")
    elif method == "correct":
        text = text.replace(
            "return answer.value ==", "return 1 / (int(sample.id) - 3) and answer =="
        )
    else:
        text = text.replace(
            "lambda text: text,", "lambda text: text if sample.id != '3' else text[99],"
        )
    put("mine.py", text)
    task = parse_task("mine.py:Echo(word=yes)")
    greedy = parse_strategy("greedy")
    plan = Plan(task, [greedy], task.samples(None, 0), Settings("echo", "", "m", 0))
    async with Pool(ScriptedEngine("yes")) as pool:
        folder, watch = Folder(tmp_path / "out", create=True), cast(Any, Silent())
        await evaluate(plan, pool, folder, Session(), watch)
    rows = {row.id: row for row in folder.rows()}
    assert len(rows) == 40
    assert [id for id, row in rows.items() if row.error] == ["3"]
    error = rows["3"].error or ""
    assert re.match(rf"task Echo failed at {tmp_path}/mine.py:\d+: (Zero|Index)\w*Error", error)


def test_a_workload_that_raises_ends_with_a_sentence(put: Put) -> None:
    put("mine.py", MINE + "            if i: raise OSError('disk gone')\n")
    done = weft("simulate", "mine.py:TwoJobs", "-p", "fcfs", "-n", "1")
    assert done.exit_code == 2
    assert re.search(r"workload TwoJobs failed at .*mine.py:\d+: OSError: disk gone", done.stderr)


@pytest.mark.parametrize(
    ("jobs", "says"),
    [
        ("yield 17", "it gave 17 where Job is needed"),
        ("yield Job('a', (17,))", "it gave 17 where PlannedCall or Parallel is needed"),
        ("yield Job('a', iter([17]))", "it gave 17 where PlannedCall or Parallel is needed"),
        ("yield Job('a', (1 / n for n in (0,)))", "ZeroDivisionError: division by zero"),
        ("return 17", "must be Iterable, not 17"),
    ],
)
def test_a_workload_that_gives_something_else_is_told(put: Put, jobs: str, says: str) -> None:
    put("mine.py", MINE[: MINE.index("        for i in range(2):")] + f"        {jobs}\n")
    done = weft("simulate", "mine.py:TwoJobs", "-p", "fcfs", "-n", "1")
    assert done.exit_code == 2
    assert re.fullmatch(rf"weft: workload TwoJobs failed at .*mine.py:\d+: .*{says}\n", done.stderr)


@pytest.mark.parametrize(
    ("times", "says"),
    [
        ("yield 0.0", "it gave 0.0 where tuple is needed"),
        ("yield 0.0, job, 1", "too many values to unpack"),
        ("raise OSError('no clock')", "OSError: no clock"),
    ],
)
def test_arrivals_that_give_something_else_are_told(put: Put, times: str, says: str) -> None:
    put(
        "mine.py",
        f"""
        from weft.simulation.arrivals import Arrivals, arrivals

        @arrivals("odd")
        class OddTimes(Arrivals):
            def times(self, jobs, seed):
                for job in jobs:
                    {times}
        """,
    )
    done = weft("simulate", "coding_agents(n=2)", "-p", "fcfs", "--arrivals", "mine.py:OddTimes")
    assert done.exit_code == 2
    assert re.search(
        rf"^weft: arrival process OddTimes failed at .*mine.py:\d+: .*{says}", done.stderr, re.M
    )


# ---------------------------------------------------------------- values of specs


@pytest.mark.parametrize(
    ("written", "value", "text"),
    [
        ("/data/x.jsonl", "/data/x.jsonl", "/data/x.jsonl"),
        ("./x.jsonl", "./x.jsonl", "./x.jsonl"),
        ("0.jsonl", "0.jsonl", "0.jsonl"),
        ("~/my data/x.jsonl ", "~/my data/x.jsonl", "~/my data/x.jsonl"),
        ("C:\\data\\x.jsonl", "C:\\data\\x.jsonl", "C:\\data\\x.jsonl"),
        ("http://h:1/?a=b&c=d#e", "http://h:1/?a=b&c=d#e", "http://h:1/?a=b&c=d#e"),
        ("it's", "it's", "it's"),
        ("007", 7, "007"),
        ("1e22", 1e22, "1e22"),
        ("-.5", -0.5, "-.5"),
        ("true", True, "true"),
        ("'a, (b)'", "a, (b)", None),
        ('"say ""hi"", it\'s"', 'say "hi", it\'s', None),
        ("''", "", None),
    ],
)
def test_values_as_people_write_them(written: str, value: object, text: str | None) -> None:
    read = read_spec(f"jsonl(path={written}, n=1)")
    assert read == Spec("jsonl", {"path": value, "n": 1})
    assert read.texts.get("path") == text


def test_texts_stay_as_written(put: Put) -> None:
    put("007", '{"question": "1+1", "answer": 2}\n')
    assert len(parse_task("jsonl(path=007)").samples(None, 0)) == 1


@pytest.mark.parametrize("spec", ["jsonl(path=a (1).jsonl)", "jsonl(path=a,b.jsonl)"])
def test_commas_and_parentheses_need_quotes(spec: str) -> None:
    with pytest.raises(UsageError, match="a value with commas or parentheses in quotes"):
        parse_task(spec)


@given(st.text())
def test_any_text_in_quotes_is_read_back(text: str) -> None:
    assert read_spec(f"x(y={quoted(text)})").values["y"] == text


@given(st.text(min_size=1), st.integers(1, 9))
def test_any_role_makes_a_spec_that_reads_back(role: str, n: int) -> None:
    made = BestOfN(n=n, verifier=f"role:{role}")
    assert parse_strategy(made.spec) == made
