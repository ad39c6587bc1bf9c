"""Searching pipelines: all choices are pipelines; a slice is searched, the rest decides."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

from typer.testing import CliRunner

from weft.backends.mock.server import running
from weft.backends.scripted.engine import ScriptedEngine
from weft.cli.main import app
from weft.evals.studies.pipelines import layers_of, space
from weft.search.collaboration.pipelines.layers import read_layers
from weft.types import Request


def test_every_choice_is_a_pipeline_that_keeps_the_rules() -> None:
    among = space(["solver", "draft"])
    found = {layers_of(dict(zip(among, one, strict=True))) for one in product(*among.values())}
    assert "generator(n=1)" in found
    assert (
        "generator(n=2) + generator(n=4, role=draft) | screen | unit_tests | evaluator(k=6) | "
        "critic | ranker(k=4) | fuser(n=2) | fuser(n=1)"
    ) in found
    for layers in sorted(found)[::40]:
        assert read_layers(layers)
    assert layers_of({name: values[0] for name, values in among.items()}) == "generator(n=1)"


def test_a_slice_is_searched_and_the_rest_decides(tmp_path: Path) -> None:
    """Only fusers know the answer."""
    rows = [{"question": f"{i} + 1?", "answer": i + 1} for i in range(10)]
    path = tmp_path / "q.jsonl"
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))

    def answer(request: Request) -> str:
        asked = request.messages[-1].content
        fuses = "better than each" in asked
        return str(int(asked.split()[0]) + 1) if fuses else "0"

    engine, out = ScriptedEngine(answer, {"yes": 1.0}, model="m"), tmp_path / "o"
    with running(engine) as url:
        arguments = [
            *("eval", "search", str(path), "-e", url, "-s", "greedy", "--out", str(out)),
            *("--trials", "8", "--slice", "0.3", "--by", "greedy", "--by", "random"),
        ]
        done = CliRunner().invoke(app, arguments, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        asked = len(engine.requests)
        again = CliRunner().invoke(app, arguments, catch_exceptions=False)
        assert again.exit_code == 0
        assert len(engine.requests) == asked  # nothing is paid twice
    found = {one["by"]: one for one in json.loads((out / "search.json").read_text())}
    assert set(found) == {"greedy", "random", "given: greedy"}
    for name in ("greedy", "random"):
        assert found[name]["trials"] <= 8
        assert "fuser" in found[name]["pipeline"]
        assert found[name]["slice"][0] == found[name]["rest"][0] == 1
    assert found["given: greedy"]["rest"][0] == 0
    kept = [json.loads(line) for line in (out / "samples.jsonl").read_text().splitlines()]
    by = {
        spec: {r["id"] for r in kept if r["strategy"] == spec}
        for spec in {r["strategy"] for r in kept}
    }
    tried = by[next(spec for spec in by if len(by[spec]) == 3)]
    assert all(ids in (tried, {r["id"] for r in kept}) for ids in by.values())


def test_bad_searches_are_said(tmp_path: Path) -> None:
    path = tmp_path / "q.jsonl"
    path.write_text('{"question": "1?", "answer": 1}\n')
    for more, words in (
        (["--by", "tpee"], "unknown search 'tpee'; did you mean tpe"),
        (["--slice", "1"], "--slice 1 must be above 0 and below 1"),
        (["-e", "scripted:1"], "leaves none to search"),
    ):
        done = CliRunner().invoke(
            app, ["eval", "search", str(path), "--out", str(tmp_path / "o"), *more]
        )
        assert done.exit_code == 2
        assert words in " ".join(done.stderr.split()), done.output
