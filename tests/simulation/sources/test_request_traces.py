"""The readers of TraceLab's sessions and Mooncake's requests."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from weft.errors import ConfigError
from weft.simulation.workload import Job, PlannedCall
from weft.simulation.workloads import open_workload

HEADER = "session_id,arrival_time,round_idx,prefix_len,input_len,output_len,tool_wait_after_ms"
ROUNDS = """\
7,100,0,0,100,20,1500
7,100,1,120,40,30,250
7,100,2,50,60,10,99
9,400,0,0,100,20,0
"""


def common(one: Sequence[int], other: Sequence[int]) -> int:
    count = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        count += 1
    return count


def opened(path: Path, block_size: int = 10, **options: Any) -> list[tuple[Job, list[PlannedCall]]]:
    workload = open_workload(path, block_size=block_size, options=options)
    made: list[tuple[Job, list[PlannedCall]]] = []
    for job in workload:
        turns = [step for step in job.steps if isinstance(step, PlannedCall)]
        assert all(len(t.blocks) == (t.prompt + t.answer) // block_size for t in turns)
        made.append((job, turns))
    return made


def csv(path: Path, rounds: str = ROUNDS, header: str = HEADER) -> Path:
    path.write_text(f"{header}\n{rounds}")
    return path


def test_rounds_extend_a_prefix_of_the_round_before(tmp_path: Path) -> None:
    (one, turns), (other, single) = opened(csv(tmp_path / "a.csv"))
    assert (one.id, one.arrival, other.id, other.arrival) == ("7", 0.1, "9", 0.4)
    assert [(t.prompt, t.answer) for t in turns] == [(100, 20), (160, 30), (110, 10)]
    assert [(t.wait, t.tool) for t in turns] == [(1.5, "tool"), (0.25, "tool"), (0.0, "")]
    first, second, third = turns
    assert common(first.blocks, second.blocks) == 12, "with the answer"
    assert common(second.blocks, third.blocks) == 5
    assert common(first.blocks, third.blocks) == 5
    assert not set(first.blocks) & set(single[0].blocks)


def test_rounds_are_scaled_and_limited(tmp_path: Path) -> None:
    path = csv(tmp_path / "a.csv")
    (_, (first, second, third)), _ = opened(path, scale=0.5, wait_scale=2, wait_max=1.0)
    assert [(t.prompt, t.answer) for t in (first, second, third)] == [(50, 10), (80, 15), (55, 5)]
    assert [t.wait for t in (first, second, third)] == [1.0, 0.5, 0.0]
    assert common(first.blocks, second.blocks) == 6
    assert common(second.blocks, third.blocks) == 2
    assert [job.id for job, _ in opened(path, limit=1)] == ["7"]


def test_sessions_of_rounds_are_read_one_at_a_time(tmp_path: Path) -> None:
    workload = open_workload(csv(tmp_path / "a.csv", ROUNDS + "10,500,0,0,5,oops,0\n"))
    assert [job.id for job in islice(workload, 1)] == ["7"]
    with pytest.raises(ConfigError, match=r"a\.csv:6: field output_len is 'oops', not a number"):
        list(workload)


@pytest.mark.parametrize(
    ("rounds", "message"),
    [
        ("7,100,0,0,100,20\n", r":2: has 6 fields where the header has 7"),
        ("7,100,0,0,100,20,0,1\n", r":2: has 8 fields"),
        ("7,100,0,0,,20,0\n", r":2: field input_len is empty"),
        (",100,0,0,100,20,0\n", r":2: field session_id is empty"),
        ("7,100,0,0,100,20,-5\n", r":2: field tool_wait_after_ms is -5 but must be 0 or more"),
        ("7,-1,0,0,100,20,5\n", r":2: field arrival_time is -1"),
        ("7,nan,0,0,100,20,5\n", r":2: field arrival_time is nan"),
        ("7,0,0,0,10.5,20,5\n", r":2: field input_len is 10.5 but must be a whole number"),
        ("7,0,0,0,0,20,5\n", r":2: field input_len is 0, and so the prompt is empty"),
        ("7,0,0,0,9,2,5\n7,0,2,11,9,2,5\n", r":3: field round_idx is 2 where round 1 of"),
        ("7,0,0,0,9,2,5\n7,0,1,12,9,2,5\n", r":3: field prefix_len is 12, but there are only 11"),
        ("7,0,0,3,9,2,5\n", r":2: field prefix_len is 3, but there are only 0"),
        (
            "7,0,0,0,9,2,5\n8,0,0,0,9,2,5\n7,0,1,11,9,2,5\n",
            r":4: field session_id is 7, whose rounds stand apart; sort",
        ),
    ],
)
def test_bad_rounds_are_named(tmp_path: Path, rounds: str, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"a\.csv{message}"):
        opened(csv(tmp_path / "a.csv", rounds))


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (HEADER.replace("prefix_len,", ""), r"a\.csv:1: the header lacks prefix_len; it must name"),
        (HEADER + ",user", r"the header names 'user', which this format does not have"),
        (HEADER + ",prefix_len", r"the header names 'prefix_len', which"),
    ],
)
def test_a_wrong_header_is_named(tmp_path: Path, header: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        opened(csv(tmp_path / "a.csv", header=header))


REQUESTS = [
    {"timestamp": 0, "input_length": 1200, "output_length": 100, "hash_ids": [0, 1, 2]},
    {"timestamp": 250, "input_length": 1300, "output_length": 100, "hash_ids": [0, 1, 3]},
    {"timestamp": 250, "input_length": 1200, "output_length": 10, "hash_ids": [0, 1, 2]},
    {"timestamp": 900.5, "input_length": 512, "output_length": 0, "hash_ids": [7]},
]


def requests(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_requests_share_the_prefix_on_which_their_ids_agree(tmp_path: Path) -> None:
    made = opened(requests(tmp_path / "a.jsonl", *REQUESTS), 16)
    assert [job.arrival for job, _ in made] == [0.0, 0.25, 0.25, 0.9005]
    assert {(job.name, job.calls) for job, _ in made} == {("request", 1)}
    a, b, c, d = [turns[0] for _, turns in made]
    assert [(t.prompt, t.answer) for t in (a, b, c, d)] == [
        (1200, 100), (1300, 100), (1200, 10), (512, 1)
    ]  # fmt: skip
    assert common(a.blocks, b.blocks) == 1024 // 16
    assert common(a.blocks, c.blocks) == 1200 // 16, "the same prompt, but not the same answer"
    assert not set(d.blocks) & set(a.blocks)


def test_requests_are_scaled_and_limited(tmp_path: Path) -> None:
    path = requests(tmp_path / "a.jsonl", *REQUESTS)
    a, b, _, _ = [turns[0] for _, turns in opened(path, 16, scale=0.5)]
    assert (a.prompt, b.answer) == (600, 50)
    assert common(a.blocks, b.blocks) == 512 // 16
    assert [job.id for job, _ in opened(path, max_tokens=1300)] == ["1", "3", "4"]
    assert [job.id for job, _ in opened(path, limit=2)] == ["1", "2"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (REQUESTS[0] | {"hash_ids": [0, 1]}, "hash_ids has 2 ids where 1200 tokens take 3"),
        (REQUESTS[0] | {"timestamp": -1}, "timestamp is -1 but should be greater"),
        (REQUESTS[0] | {"input_length": 0}, "input_length is 0"),
        (REQUESTS[0] | {"output_length": 1.5}, "output_length is 1.5 but should be a valid int"),
        (REQUESTS[0] | {"output_length": None}, "output_length is None"),
        (REQUESTS[0] | {"hash_ids": [0, -1, 2]}, r"hash_ids\[1\] is -1"),
        (REQUESTS[0] | {"type": "text"}, "type is none that this format has"),
        ({"timestamp": 0, "input_length": 9, "hash_ids": [0]}, "output_length is missing"),
    ],
)
def test_bad_requests_are_named(tmp_path: Path, row: Any, message: str) -> None:
    path = requests(tmp_path / "a.jsonl", REQUESTS[0], row)
    with pytest.raises(ConfigError, match=rf"a\.jsonl:2: field {message}.*; correct it or leave"):
        opened(path)
