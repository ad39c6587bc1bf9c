"""Weka's traces of coding agents: content by hash ids, overlaps, sub-agents, bad files."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from weft.cli.main import main
from weft.errors import ConfigError
from weft.simulation.workload import Job, Parallel
from weft.simulation.workloads import open_workload

Entry = dict[str, Any]


def request(
    t: float, ids: list[int], prompt: int = 0, out: int = 10, kind: str = "tool_result", **more: Any
) -> Entry:
    """A request of blocks of 64 tokens, which took 2 seconds."""
    entry = {"t": t, "type": "s", "model": "m", "in": prompt or 64 * len(ids), "out": out}
    entry |= {"hash_ids": ids, "input_types": [kind], "output_types": ["text"], "stop": "tool_use"}
    return entry | {"api_time": 2.0} | more


def agent(t: float, seconds: float | None, *requests: Entry) -> Entry:
    entry = {"t": t, "type": "subagent", "agent_id": "agent_001", "subagent_type": "Explore"}
    entry |= {"duration_ms": seconds and seconds * 1000, "total_tokens": 9, "tool_use_count": 1}
    return entry | {"status": "completed", "requests": list(requests), "models": ["m"]}


def trace(id: str, *requests: Entry, **more: Any) -> Entry:
    entry = {"id": id, "models": ["m"], "block_size": 64, "hash_id_scope": "local"}
    return entry | {"tool_tokens": 0, "system_tokens": 0, "requests": list(requests)} | more


def write(path: Path, *traces: Entry) -> Path:
    path.write_text("".join(json.dumps(one) + "\n" for one in traces))
    return path


def jobs(path: Path, **options: Any) -> list[tuple[Job, list[Any]]]:
    return [(j, list(j.steps)) for j in open_workload(path, block_size=64, options=options)]


def same(one: Any, other: Any) -> int:
    agreed = 0
    for a, b in zip(one.blocks, other.blocks, strict=False):
        if a != b:
            break
        agreed += 1
    return agreed


PLAIN = (
    request(0, [1, 2, 3], 200, 90, "text"),
    request(5, [1, 2, 3, 4, 5]),
    request(20, [1, 2, 9], kind="text", think_time=12.5, ttft=0.3),
)


def test_requests_keep_lengths_waits_and_content(tmp_path: Path) -> None:
    ((job, (first, second, third)),) = jobs(write(tmp_path / "a.json", trace("s", *PLAIN)))
    assert (job.id, job.name, job.arrival) == ("s", "coding_agent", None)
    assert [(c.prompt, c.answer) for c in (first, second, third)] == [
        (200, 90), (320, 10), (192, 10),
    ]  # fmt: skip
    assert [(c.wait, c.tool) for c in (first, second, third)] == [
        (3.0, "tool"), (12.5, "person"), (0.0, ""),
    ]  # fmt: skip
    assert same(first, second) == 4, "three of the prompt, and what the answer fills"
    assert same(second, third) == 2


@pytest.mark.parametrize("form", ["zipped", "wide", "folder", "cut"])
def test_forms_of_files(tmp_path: Path, form: str) -> None:
    one, two = trace("one", *PLAIN), trace("two", *PLAIN)
    path = tmp_path / "t"
    if form == "zipped":
        path.write_bytes(gzip.compress((json.dumps(one) + "\n" + json.dumps(two)).encode()))
    elif form == "wide":
        path.write_text(json.dumps(one, indent=1))
    else:
        path.mkdir()
        write(path / "b.json", two)
        write(path / "a.jsonl", one)
        (path / "notes.txt").write_text("not a trace")
    if form == "cut":
        write(path / "c.json", one).write_text(json.dumps(one)[:300])
        with pytest.raises(ConfigError, match=r"c\.json:1: not JSON \(EOF .*; write one object"):
            jobs(path)
        return
    found = jobs(path)
    assert [job.id for job, _ in found] == (["one"] if form == "wide" else ["one", "two"])
    assert all(len(steps) == 3 for _, steps in found)


def test_ids_are_a_traces_own_or_all_traces(tmp_path: Path) -> None:
    def shared(scope: str) -> int:
        pair = (trace(id, *PLAIN, hash_id_scope=scope) for id in "ab")
        (_, one), (_, two) = jobs(write(tmp_path / "a.json", *pair))
        return same(one[0], two[0])

    assert shared("local") == 0
    assert shared("global") == 4, "and of the answer what the next prompt has by its ids"


def test_a_last_block_may_be_partial_and_content_unknown(tmp_path: Path) -> None:
    entries = (request(0, [1, 2, 3], 130), request(9, [1, 2, 3, 4]), request(30, [], 256))
    ((_, (first, second, third)),) = jobs(write(tmp_path / "a.json", trace("s", *entries)))
    assert (first.prompt, third.prompt) == (130, 256)
    assert same(first, second) == 2
    assert same(second, third) == 0


def test_requests_that_overlap_run_at_once_each_after_its_own(tmp_path: Path) -> None:
    entries = (
        request(0, [1, 2, 3]),
        request(4, [1, 2, 3, 4], api_time=20.0),  # the main agent
        request(5, [1, 2, 70], api_time=3.0),  # one that forks off
        request(9, [1, 2, 70, 71], api_time=3.0),  # and goes on
        request(5.5, [1, 2, 80], api_time=3.0),  # another
        request(30, [1, 2, 3, 4, 5]),
    )
    entries = tuple(sorted(entries, key=lambda e: e["t"]))
    ((_, steps),) = jobs(write(tmp_path / "a.json", trace("s", *entries)))
    first, both, last = steps
    assert isinstance(both, Parallel)
    branches: list[Any] = list(both.branches)
    assert first.wait == 2.0
    assert sorted([c.prompt // 64 for c in b] for b in branches) == [[3], [3, 4], [4]]
    assert {b[-1].wait for b in branches} == {6.0}
    (forked,) = [b for b in branches if len(b) == 2]
    assert forked[0].wait == 1.0
    assert same(*forked) == 3
    assert same(next(b[0] for b in branches if b[0].prompt == 256), last) == 4


def test_a_second_that_rounding_makes_is_no_overlap(tmp_path: Path) -> None:
    entries = (request(0, [1, 2, 3]), request(1.5, [1, 2, 3, 4]), request(3, [1, 2, 3, 4, 5]))
    ((_, steps),) = jobs(write(tmp_path / "a.json", trace("s", *entries)))
    assert [step.wait for step in steps] == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("times", ["absolute", "relative", "ended"])
def test_sub_agents_run_at_once_between_their_parents_requests(tmp_path: Path, times: str) -> None:
    """Each way to write the times of two sub-agents that began at 10 and lasted 12 seconds."""
    start = 10 if times == "absolute" else 0
    inner = (request(start, [7, 8]), request(start + 6, [7, 8, 9]))
    t = 22 if times == "ended" else 10
    entries = (PLAIN[0], agent(t, 12, *inner), agent(t, None if start else 12, inner[0]))
    entries = (*entries, agent(t, None))  # which asked nothing
    parent = trace("s", *entries, request(25, [1, 2, 3, 4]))
    ((_, (first, both, last)),) = jobs(write(tmp_path / "a.json", parent))
    assert (first.wait, first.tool) == (8.0, "subagent")
    assert [len(branch) for branch in both.branches] == [2, 1]
    assert both.branches[0][0].wait == 4.0
    assert {branch[-1].wait for branch in both.branches} == {3.0}
    assert {call.stage for branch in both.branches for call in branch} == {"subagent"}
    assert same(both.branches[0][0], both.branches[1][0]) == 2
    assert last.prompt == 256


def test_a_sub_agent_that_outlasts_requests_of_its_parent_runs_beside_them(tmp_path: Path) -> None:
    inner = (request(4, [7, 8]), request(40, [7, 8, 9]))
    entries = (PLAIN[0], agent(4, 60, *inner), request(10, [1, 2, 3, 4]), request(80, [1, 2]))
    ((_, (_, both, last)),) = jobs(write(tmp_path / "a.json", trace("s", *entries)))
    assert sorted(len(branch) for branch in both.branches) == [1, 2]
    assert last.prompt == 128


def test_limits(tmp_path: Path) -> None:
    long = request(60, list(range(100, 200)))
    path = write(tmp_path / "a.json", trace("a", *PLAIN, long), trace("b", long), trace("c", long))
    assert [(j.id, len(s)) for j, s in jobs(path, max_tokens=2000)] == [("a", 3)]
    assert [len(s) for _, s in jobs(path, max_calls=2, limit=2)] == [2, 1]
    ((_, (call, *_)),) = jobs(path, scale=0.5, wait_scale=2, wait_max=5, limit=1)
    assert (call.prompt, call.answer, call.wait) == (100, 45, 5.0)


def changed(**fields: Any) -> Entry:
    entry = PLAIN[1] | fields
    return trace("s", PLAIN[0], {k: v for k, v in entry.items() if v != "gone"})


BAD: list[tuple[Entry, str]] = [
    (changed(t=-1.0), r"field requests\[1\]\.t is -1\.0 but should be greater"),
    (changed(api_time=-1.0), r"field requests\[1\]\.api_time is"),
    (changed(**{"in": "gone"}), r"field requests\[1\]\.in is missing"),
    (changed(out="gone"), r"field requests\[1\]\.out is missing"),
    (changed(out="many"), r"field requests\[1\]\.out is 'many' but should be a valid integer"),
    (changed(type="x"), r"field requests\[1\]\.type is 'x' but should be 'n' or 's'"),
    (changed(hash_ids=[1, 2]), r"field requests\[1\]\.hash_ids has 2 ids where 320 tokens have 5"),
    (changed(hash_ids=[-1]), r"field requests\[1\]\.hash_ids\[0\] is -1"),
    (changed(tokens=3), r"field requests\[1\]\.tokens is none that this format has"),
    (trace("s"), "field requests is empty"),
    (trace("s", PLAIN[1], PLAIN[0]), r"field requests\[1\]\.t is 0, before the request ahead"),
    (
        trace("s", PLAIN[0], agent(3, 1, PLAIN[0] | {"in": 0})),
        r"field requests\[1\]\.requests\[0\]\.in is 0",
    ),
    (trace("s", PLAIN[0], agent(3, -1, PLAIN[0])), r"field requests\[1\]\.duration_ms is -1000"),
    (trace("s", *PLAIN, block_size=0), "field block_size is 0"),
    (trace("s", *PLAIN, hash_id_scope="all"), "field hash_id_scope is 'all'"),
    (trace("ok", *PLAIN), "field id is 'ok', which an earlier trace has"),
]


@pytest.mark.parametrize(("entry", "message"), BAD, ids=[message[6:40] for _, message in BAD])
def test_a_bad_trace_is_named(tmp_path: Path, entry: Entry, message: str) -> None:
    path = write(tmp_path / "a.jsonl", trace("ok", *PLAIN), entry)
    with pytest.raises(ConfigError, match=rf"a\.jsonl:2: {message}.*") as raised:
        jobs(path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("form", ["line", "zipped", "empty folder"])
def test_a_file_that_is_cut_off_is_told_in_a_sentence(
    tmp_path: Path,
    form: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = tmp_path / "t.json"
    text = json.dumps(trace("s", *(PLAIN[0] | {"t": i} for i in range(200))))
    if form == "line":
        path.write_text(text[: len(text) // 2])
        due = "t.json:1: not JSON (EOF while parsing"
    elif form == "zipped":
        path.write_bytes(gzip.compress(text.encode())[:-20])
        due = "is cut off after line"
    else:
        path.mkdir()
        due = "there is no file"
    monkeypatch.setattr(sys, "argv", ["weft", "simulate", str(path), "-p", "weft"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert due in error
    assert error.count("\n") == 1
