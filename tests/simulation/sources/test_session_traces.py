"""Recorded sessions of coding agents: shared content, waits, sub-agents, limits, bad input."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from weft.errors import ConfigError
from weft.simulation.workload import Job, Parallel, PlannedCall, Step
from weft.simulation.workloads import open_workload

Entry = dict[str, Any]


def call(
    t: float,
    prompt: int,
    out: int | None,
    blocks: list[list[int]],
    think: float | None = 1.0,
    api: float | None = 2.0,
    kind: str = "tool_result",
) -> Entry:
    entry = {"t": t, "in": prompt, "out": out, "blocks": blocks, "think": think, "api": api}
    if out is None:
        del entry["out"]
    return {**entry, "input": [kind], "stop": "tool_use"}


def session(id: str, *calls: Entry, tools: int = 128, system: int = 64) -> Entry:
    return {
        "id": id,
        "block_size": 64,
        "tool_tokens": tools,
        "system_tokens": system,
        "calls": list(calls),
    }


# Prompts of 10, 12, 14 and 9 whole blocks. The second extends the first and its answer, the
# third extends the second without its answer, the fourth keeps 4 blocks of the others.
PLAIN = (
    call(0, 650, 70, [[1, 10]], think=0.0, kind="text"),
    call(5, 800, 300, [[1, 12]], think=3.0),
    call(40, 900, 40, [[1, 12], [50, 2]], think=33.0, kind="text"),
    call(50, 600, 10, [[1, 4], [80, 5]], think=8.0),
)


def write(path: Path, *sessions: Entry) -> Path:
    text = "".join(json.dumps(s) + "\n" for s in sessions)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return path


def jobs(path: Path, block_size: int = 64, **options: Any) -> list[tuple[Job, list[Any]]]:
    workload = open_workload(path, block_size=block_size, options=options)
    return [(job, list(job.steps)) for job in workload]


def turns(path: Path, block_size: int = 64, **options: Any) -> list[PlannedCall]:
    ((_, steps),) = jobs(path, block_size, **options)
    assert all(isinstance(step, PlannedCall) for step in steps)
    return steps


def calls(branch: Sequence[Step]) -> list[PlannedCall]:
    """The steps of a branch, all of which are calls."""
    found = [step for step in branch if isinstance(step, PlannedCall)]
    assert len(found) == len(branch)
    return found


def same(one: PlannedCall, other: PlannedCall) -> int:
    count = 0
    for a, b in zip(one.blocks, other.blocks, strict=False):
        if a != b:
            break
        count += 1
    return count


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_a_session_keeps_its_lengths_and_waits(tmp_path: Path, name: str) -> None:
    ((job, steps),) = jobs(write(tmp_path / name, session("s", *PLAIN)))
    assert (job.id, job.name, job.arrival) == ("s", "coding_agent", None)
    assert [(t.prompt, t.answer) for t in steps] == [(650, 70), (800, 300), (900, 40), (600, 10)]
    assert [(t.wait, t.tool) for t in steps] == [
        (3.0, "tool"),
        (33.0, "person"),
        (8.0, "tool"),
        (0.0, ""),
    ]
    assert all(len(t.blocks) == (t.prompt + t.answer) // 64 for t in steps)


@pytest.mark.parametrize("block_size", [16, 64, 96])
@pytest.mark.parametrize("scale", [0.1, 0.25, 0.3, 1.0, 2.0])
def test_turns_share_just_what_was_recorded_to_scale(
    tmp_path: Path, block_size: int, scale: float
) -> None:
    path = write(tmp_path / "a.jsonl", session("s", *PLAIN))
    first, second, third, fourth = turns(path, block_size, scale=scale)
    for turn, plain in zip((first, second, third, fourth), PLAIN, strict=True):
        assert turn.prompt == max(1, round(plain["in"] * scale))
        assert len(turn.blocks) == (turn.prompt + turn.answer) // block_size

    def whole(recorded: float) -> int:
        return int(recorded * scale / block_size + 1e-9)

    # The answer of the first call is in the second prompt, to its last played block.
    assert same(first, second) == len(first.blocks)
    # The third prompt has the second one, but not its answer.
    assert same(second, third) == min(whole(800), len(second.blocks))
    # The fourth has 4 blocks of 64 in common with all.
    assert same(third, fourth) == same(first, fourth) == whole(4 * 64)


def test_blocks_within_recorded_ones_differ(tmp_path: Path) -> None:
    for turn in turns(write(tmp_path / "a.jsonl", session("s", *PLAIN)), 4):
        assert len(set(turn.blocks)) == len(turn.blocks)


def test_runs_may_be_split_as_one_likes(tmp_path: Path) -> None:
    split = [dict(entry) for entry in PLAIN]
    split[1]["blocks"] = [[1, 3], [4, 9]]
    one = turns(write(tmp_path / "a.jsonl", session("s", *PLAIN)), 16)
    other = turns(write(tmp_path / "b.jsonl", session("s", *split)), 16)
    assert one == other


def test_sessions_share_nothing_unless_told(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.jsonl",
        session("a", *PLAIN),
        session("b", *PLAIN),
        session("c", *PLAIN, tools=64),
    )

    def firsts(**options: Any) -> list[PlannedCall]:
        return [steps[0] for _, steps in jobs(path, 16, **options)]

    a, b, c = firsts()
    assert not set(a.blocks) & set(b.blocks)
    a, b, c = firsts(shared_system=True)
    assert same(a, b) == (128 + 64) // 16, "tools and system prompt"
    assert not set(a.blocks) & set(c.blocks), "c has other tools"
    assert (
        firsts(shared_system=True, scale=0.5)[0].blocks[:6]
        == (firsts(shared_system=True, scale=0.5)[1].blocks[:6])
    )


def test_waits_that_are_missing_come_from_the_clock(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.jsonl",
        session(
            "s",
            call(0, 640, 10, [[1, 10]], think=0.0, api=3.0),
            call(10, 650, 10, [[1, 10]], think=None, api=None),
            call(20, 660, 10, [[1, 10]], think=None),
        ),
    )
    assert [t.wait for t in turns(path)] == [7.0, 0.0, 0.0]


def test_waits_are_scaled_and_then_capped(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", session("s", *PLAIN))
    assert [t.wait for t in turns(path, wait_scale=0.5, wait_max=4)] == [1.5, 4.0, 4.0, 0.0]
    assert [t.wait for t in turns(path, wait_scale=0)] == [0.0] * 4


def test_an_answer_has_a_token_at_least(tmp_path: Path) -> None:
    entries = [call(0, 640, 0, [[1, 10]]), call(9, 640, None, [[1, 10]])]
    assert [t.answer for t in turns(write(tmp_path / "a.jsonl", session("s", *entries)))] == [1, 1]


def test_limits(tmp_path: Path) -> None:
    long = call(60, 6400, 10, [[100, 100]])
    path = write(
        tmp_path / "a.jsonl",
        session("a", *PLAIN, long, dict(PLAIN[3], t=70)),
        session("b", PLAIN[0], long),
        session("c", *PLAIN),
        session("d", PLAIN[0]),
    )

    def lengths(**options: Any) -> dict[str, int]:
        return {job.id: len(steps) for job, steps in jobs(path, **options)}

    assert lengths() == {"a": 6, "b": 2, "c": 4}
    assert lengths(max_tokens=6409) == {"a": 4, "c": 4}, "trimmed; dropped if one call is left"
    assert lengths(max_tokens=6410) == {"a": 6, "b": 2, "c": 4}
    assert lengths(max_tokens=641, scale=0.1) == {"a": 6, "b": 2, "c": 4}
    assert lengths(max_calls=3) == {"a": 3, "b": 2, "c": 3}
    assert lengths(limit=2) == {"a": 6, "b": 2}
    last = jobs(path, max_calls=3)[0][1][-1]
    assert (last.wait, last.tool) == (0.0, "")


def agent(t: float, seconds: float | None, *calls: Entry) -> Entry:
    return {
        "type": "subagent",
        "t": t,
        "calls": list(calls),
        "duration_ms": seconds and seconds * 1000,
        "agent_id": "agent_001",
        "subagent_type": "Explore",
        "tool_use_count": 3,
        "status": "completed",
    }


def test_sub_agents_run_at_once_between_their_parents_calls(tmp_path: Path) -> None:
    inner = (
        call(0, 640, 20, [[200, 10]], think=0.0),
        call(6, 700, 20, [[200, 10]], think=4.0),
    )
    path = write(
        tmp_path / "a.jsonl",
        session(
            "s",
            PLAIN[0],  # ends at 2
            agent(12, 9, *inner),  # from 3 on
            agent(14, 11, inner[0]),  # from 3 on: at the same time
            agent(30, 10, *inner),  # from 20 on: after them
            dict(PLAIN[1], t=40.0, think=38.0),
            PLAIN[2] | {"t": 50.0},
            agent(70, None, *inner),  # from 62 on, by its last call
        ),
    )
    ((_, steps),) = jobs(path)
    kinds = ["call" if isinstance(step, PlannedCall) else len(step.branches) for step in steps]
    assert kinds == ["call", 2, 1, "call", "call", 1]
    first, both, later, _, fifth, last = steps
    assert isinstance(first, PlannedCall)
    assert isinstance(both, Parallel)
    assert isinstance(later, Parallel)
    assert isinstance(fifth, PlannedCall)
    assert isinstance(last, Parallel)
    assert (first.wait, first.tool) == (1.0, "subagent")
    assert both.enough is None
    assert [len(branch) for branch in both.branches] == [2, 1]
    one, other = map(calls, both.branches)
    assert [one[-1].wait, other[-1].wait] == [6.0, 6.0], "until the next begins"
    assert calls(later.branches[0])[-1].wait == 10.0, "until the parent goes on"
    assert {turn.stage for turn in (*one, *other)} == {"subagent"}
    assert one[0].wait == 4.0
    assert same(one[0], other[0]) == 10, "their content is the session's"
    assert fifth.wait == 10.0, "from the end of the answer, at 52"
    assert calls(last.branches[0])[-1].wait == 0.0


def test_a_sub_agent_that_does_not_fit_is_trimmed_alone(tmp_path: Path) -> None:
    inner = (call(0, 640, 20, [[200, 10]]), call(6, 6400, 20, [[300, 100]]))
    entries = (PLAIN[0], agent(3, 1, *inner), agent(3, 1, inner[1]), PLAIN[1])
    ((_, steps),) = jobs(write(tmp_path / "a.jsonl", session("s", *entries)), max_tokens=2000)
    assert [len(branch) for branch in steps[1].branches] == [1]
    assert isinstance(steps[2], PlannedCall)


def test_sessions_are_read_one_at_a_time_and_anew(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", *(session(f"s{i}", *PLAIN) for i in range(3)))
    with path.open("a") as file:
        file.write("what is this?\n")
    workload = open_workload(path)
    assert [job.id for job in islice(workload, 3)] == ["s0", "s1", "s2"]
    assert [job.id for job in islice(workload, 2)] == ["s0", "s1"]
    with pytest.raises(ConfigError, match=r"a\.jsonl:4: not JSON"):
        list(workload)


def changed(**fields: Any) -> Entry:
    entry = PLAIN[1] | fields
    return session("s", PLAIN[0], {k: v for k, v in entry.items() if v != "gone"})


BAD: list[tuple[Entry, str]] = [
    (changed(think=-3.0), r"field calls\[1\]\.think is -3\.0 but should be greater"),
    (changed(t=-1.0), r"field calls\[1\]\.t is -1\.0 but should"),
    (changed(api=-1.0), r"field calls\[1\]\.api is"),
    (changed(blocks="gone"), r"field calls\[1\]\.blocks is missing"),
    (changed(blocks=[[1, 11]]), r"field calls\[1\]\.blocks has 11 blocks where 800 tokens have 12"),
    (changed(blocks=[[1, 0]]), r"field calls\[1\]\.blocks\[0\]\[1\] is 0"),
    (changed(blocks=[[1]]), r"field calls\[1\]\.blocks\[0\]\[1\] is missing"),
    (changed(**{"in": "gone"}), r"field calls\[1\]\.in is missing"),
    (changed(**{"in": 0, "blocks": []}), r"field calls\[1\]\.in is 0"),
    (changed(out="many"), r"field calls\[1\]\.out is 'many' but should be a valid integer"),
    (changed(tokens=3), r"field calls\[1\]\.tokens is none that this format has"),
    (changed(type="workflow"), r"field calls\[1\]"),
    (session("s"), "field calls is empty"),
    (session("s", PLAIN[1], PLAIN[0]), r"field calls\[1\]\.t is 0, before the entry ahead"),
    (session("s", PLAIN[0], agent(3, 1)), r"field calls\[1\]\.calls is empty"),
    (
        session("s", PLAIN[0], agent(3, 1, PLAIN[0] | {"think": -1})),
        r"field calls\[1\]\.calls\[0\]\.think",
    ),
    (session("s", *PLAIN) | {"model": "x"}, "field model is none"),
    (session("s", *PLAIN) | {"id": 3}, "field id is 3 but should be a valid string"),
    (session("ok", *PLAIN), "field id is 'ok', which an earlier line has"),
]


@pytest.mark.parametrize(("entry", "message"), BAD, ids=[message[6:40] for _, message in BAD])
def test_a_bad_line_is_named(tmp_path: Path, entry: Entry, message: str) -> None:
    path = write(tmp_path / "a.jsonl", session("ok", *PLAIN), entry)
    with pytest.raises(ConfigError, match=rf"a\.jsonl:2: {message}.*") as raised:
        jobs(path)
    assert "correct it or leave the line out" in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("line", ["{", "[1, 2]", "nonsense", '{"id": NaN}', '"text"'])
def test_a_line_that_is_no_object_is_named(tmp_path: Path, line: str) -> None:
    path = write(tmp_path / "a.jsonl", session("ok", *PLAIN))
    path.write_text(path.read_text() + "\n" + line + "\n")
    with pytest.raises(ConfigError, match=r"a\.jsonl:3: .*; \w+") as raised:
        jobs(path)
    assert "\n" not in str(raised.value)


def test_a_file_that_is_cut_off_gives_what_it_has_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    whole = write(path, *(session(f"s{i}", *PLAIN) for i in range(2000))).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    read = iter(open_workload(path))
    assert next(read).id == "s0"
    with pytest.raises(ConfigError, match=r"a\.jsonl\.gz is cut off after line \d+; fetch"):
        list(read)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    whole = bytearray(write(path, *(session(f"s{i}", *PLAIN) for i in range(50))).read_bytes())
    whole[-6] ^= 255  # the checksum
    path.write_bytes(whole)
    with pytest.raises(ConfigError, match="is damaged after line 50"):
        jobs(path)
    text = tmp_path / "b.jsonl"
    text.write_bytes(json.dumps(session("s", *PLAIN)).encode() + b"\n\xff\xfe\n")
    with pytest.raises(ConfigError, match="is damaged after line"):
        jobs(text)
