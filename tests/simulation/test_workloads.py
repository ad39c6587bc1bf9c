"""Opening workloads: specs, paths, formats, options, tenants."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from weft.errors import ConfigError, UnknownName, UsageError
from weft.simulation.sources import sources
from weft.simulation.sources.generators import CodingAgents
from weft.simulation.workload import PlannedCall
from weft.simulation.workloads import open_workload, readers

SESSION = {
    "id": "s",
    "block_size": 64,
    "calls": [
        {"t": 0, "in": 640, "out": 9, "blocks": [[1, 10]]},
        {"t": 9, "in": 650, "out": 9, "blocks": [[1, 10]]},
    ],
}
REQUEST = {"timestamp": 0, "input_length": 512, "output_length": 5, "hash_ids": [0]}
ROUNDS = (
    "session_id,arrival_time,round_idx,prefix_len,input_len,output_len,tool_wait_after_ms\n"
    "3,0,0,0,90,9,0\n"
)


@pytest.mark.parametrize(
    ("name", "text", "format", "id"),
    [
        ("a.jsonl", json.dumps(SESSION), "sessions", "s"),
        ("b.jsonl", json.dumps(REQUEST), "mooncake", "1"),
        ("c.csv", ROUNDS, "tracelab", "3"),
        ("trace", "\n\n" + ROUNDS, "tracelab", "3"),
    ],
)
def test_a_format_is_found_out_by_the_first_line(
    tmp_path: Path, name: str, text: str, format: str, id: str
) -> None:
    path = tmp_path / name
    for content in (text.encode(), gzip.compress(text.encode())):
        path.write_bytes(content)
        for workload in (
            open_workload(path),
            open_workload(str(path)),
            open_workload(path, format=format),
            open_workload(f"{format}(path='{path}')"),
            open_workload({format: {"path": str(path)}}),
        ):
            assert [job.id for job in workload] == [id]
            assert workload.name == f'{format}(path="{path}")'


def test_a_name_is_a_spec_unless_it_is_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert open_workload("coding_agents").name == "coding_agents(n=100)"
    Path("coding_agents").write_text(json.dumps(SESSION))
    assert open_workload("coding_agents").name == "sessions(path=coding_agents)"


def test_options_belong_to_a_path(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(SESSION))
    workload = open_workload(path, options={"scale": 0.5}, block_size=32)
    assert workload.name == f'sessions(path="{path}", scale=0.5)'
    assert workload.block_size == 32
    (job,) = workload
    assert [len(step.blocks) for step in job.steps if isinstance(step, PlannedCall)] == [10, 10]
    with pytest.raises(UnknownName, match="parameter of sessions 'scal'; did you mean scale"):
        open_workload(path, options={"scal": 0.5})
    with pytest.raises(UsageError, match="scale=x of sessions must be a number"):
        open_workload(path, options={"scale": "x"})
    with pytest.raises(UsageError, match="format and options belong to a file; write"):
        open_workload("coding_agents", options={"n": 3})


def test_a_generator_may_be_given_itself() -> None:
    assert len(list(open_workload(CodingAgents(n=3)))) == 3


def test_tenants_take_turns() -> None:
    assert [job.tenant for job in open_workload("best_of_n(n=5)", tenants=2)] == [
        "tenant-0", "tenant-1", "tenant-0", "tenant-1", "tenant-0"
    ]  # fmt: skip
    assert {job.tenant for job in open_workload("best_of_n(n=5)")} == {""}
    with pytest.raises(UsageError, match="tenants=-1 must be 0 or more"):
        open_workload("best_of_n", tenants=-1)


def test_what_there_is() -> None:
    assert sorted(readers()) == ["mooncake", "recorded", "sessions", "tracelab", "weka"]
    generators = sorted(set(sources()) - set(readers()))
    assert generators == ["best_of_n", "coding_agents", "text_to_sql", "tree_search"]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("missing.jsonl", "there is no file missing.jsonl; name a trace, or a generator"),
        ("coding_agent", "unknown workload 'coding_agent'; did you mean coding_agents"),
        ("coding_agents(n=3", "expected a comma or a closing parenthesis at position 18"),
        ("sessions", r"sessions needs a file; write sessions\(path='...'\)"),
        ("sessions(path='missing.jsonl')", "there is no file missing.jsonl"),
        ({"sessions": {}, "mooncake": {}}, "is not a workload; write a name"),
    ],
)
def test_what_there_is_not(spec: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_workload(spec)


def test_files_of_no_known_format(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    for text in ("time,tokens\n1,2\n", "{}", "[1]", "hello"):
        path.write_text(text)
        with pytest.raises(ConfigError, match=r"no known format; name one of .* by format="):
            open_workload(path)
        with pytest.raises(ConfigError, match=r"a\.csv:1: "):
            list(open_workload(path, format="mooncake"))
    path.write_text("\n")
    with pytest.raises(ConfigError, match=r"a\.csv is empty; name another file"):
        open_workload(path)
    with pytest.raises(UnknownName, match="unknown trace format 'mooncak'; did you mean mooncake"):
        open_workload(path, format="mooncak")
    with pytest.raises(UsageError, match="block_size=0 must be at least 1"):
        open_workload("coding_agents", block_size=0)
