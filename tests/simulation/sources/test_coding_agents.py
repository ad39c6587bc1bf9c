"""Generated sessions of coding agents beside recorded ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import islice, pairwise
from statistics import fmean, quantiles

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weft.errors import UsageError
from weft.simulation.workload import PlannedCall
from weft.simulation.workloads import open_workload

# Of the 561 sessions and 37,232 calls in claude_code_sessions.jsonl.gz, converted from the
# public data set callanjfox/kv-cache-tester, as printed by
#     python benchmarks/fit_coding_agents.py claude_code_sessions.jsonl.gz
RECORDED = {  # 5, 10, 25, 50, 75, 90, 95 and 99%
    "answer": (90, 105, 139, 219, 429, 883, 1509, 3764),
    "calls": (5, 7, 18, 44, 92, 150, 215, 335),
    "first prompt": (12968, 15459, 18441, 22222, 104190, 253125, 386090, 717876),
    "growth (person)": (148, 158, 277, 534, 1192, 2759, 4840, 13100),
    "growth (tool)": (157, 196, 335, 683, 1669, 3811, 6363, 15946),
    "peak prompt": (48158, 67345, 110436, 147468, 168779, 339011, 491697, 802782),
    "wait (person)": (4, 11, 34, 125, 471.8, 1756.7, 3148.3, 7857.6),
    "wait (tool)": (3, 4, 5, 9, 19, 69, 139, 607),
}
LEVELS = (5, 10, 25, 50, 75, 90, 95, 99)
PERSON_SHARE = 0.1553
HIT_SHARE = 0.9624
SESSIONS = 500


def sessions(spec: str, block_size: int = 64, seed: int = 0) -> list[list[PlannedCall]]:
    return [
        [step for step in job.steps if isinstance(step, PlannedCall)]
        for job in open_workload(spec, block_size=block_size, seed=seed)
    ]


def observed(turns: Sequence[PlannedCall], into: dict[str, list[float]]) -> None:
    into["calls"].append(len(turns))
    into["first prompt"].append(turns[0].prompt)
    into["peak prompt"].append(max(t.prompt for t in turns))
    into["answer"] += [t.answer for t in turns]
    for one, following in pairwise(turns):
        into[f"wait ({one.tool})"].append(one.wait)
        into["person"].append(one.tool == "person")
        before = one.prompt // 1024  # of whole blocks; rewritten prompts keep a few at most
        if one.blocks[:before][-2:] == following.blocks[:before][-2:]:
            into[f"growth ({one.tool})"].append(following.prompt - one.prompt)


@pytest.fixture(scope="module")
def generated() -> dict[str, list[float]]:
    into: dict[str, list[float]] = defaultdict(list)
    for turns in sessions(f"coding_agents(n={SESSIONS})", 1024, seed=5):
        observed(turns, into)
    return into


@pytest.mark.parametrize("name", sorted(RECORDED))
def test_quantiles_are_those_of_the_recorded_sessions(
    generated: dict[str, list[float]], name: str
) -> None:
    cuts = quantiles(generated[name], n=100, method="inclusive")
    for level, expected in zip(LEVELS, RECORDED[name], strict=True):
        within = 0.25 if 25 <= level <= 90 else 0.4
        assert cuts[level - 1] == pytest.approx(expected, rel=within), f"at {level}%"


def test_as_many_waits_are_for_people(generated: dict[str, list[float]]) -> None:
    assert fmean(generated["person"]) == pytest.approx(PERSON_SHARE, abs=0.03)


def common(one: Sequence[int], other: Sequence[int]) -> int:
    for i, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return i
    return min(len(one), len(other))


def test_prompts_share_as_much_with_the_one_before() -> None:
    hit = whole = 0
    for turns in sessions("coding_agents(n=40)", seed=3):
        whole += sum(t.prompt for t in turns)
        for one, following in pairwise(turns):
            before = one.blocks[: one.prompt // 64]
            hit += 64 * common(before, following.blocks[: following.prompt // 64])
    assert hit / whole == pytest.approx(HIT_SHARE, abs=0.01)


def test_answers_are_hit_by_the_next_call_or_left_out_whole() -> None:
    carried = extended = 0
    for turns in sessions("coding_agents(n=20, max_calls=40)", 16):
        for one, following in pairwise(turns):
            asked, same = one.prompt // 16, common(one.blocks, following.blocks)
            if same >= asked and len(one.blocks) > asked + 1:
                extended += 1
                carried += same == len(one.blocks)
                assert same in (asked, len(one.blocks)), "the whole answer, or nothing of it"
    assert 0.75 < carried / extended < 0.98


def test_a_session_is_the_same_however_many_there_are() -> None:
    few = sessions("coding_agents(n=2, max_calls=30)")
    assert few == sessions("coding_agents(n=5, max_calls=30)")[:2]
    assert few == sessions("coding_agents(n=2, max_calls=30)")
    assert few != sessions("coding_agents(n=2, max_calls=30)", seed=1)
    endless = iter(open_workload("coding_agents(n=1000000000)"))
    assert [job.id for job in islice(endless, 2)] == ["session-0", "session-1"]


def test_sessions_share_their_system_prompts_only_if_told() -> None:
    def shared(spec: str) -> list[int]:
        firsts = [turns[0].blocks for turns in sessions(spec)]
        return [common(one, other) for one, other in pairwise(firsts)]

    assert set(shared("coding_agents(n=30, max_calls=1)")) == {0}
    found = shared("coding_agents(n=30, max_calls=1, shared_system=true)")
    assert any(found)
    assert max(found) <= 15500 // 64


@settings(max_examples=30)
@given(
    st.integers(0, 100),
    st.sampled_from([0.05, 0.25, 1.0, 2.0]),
    st.sampled_from([2000, 8192, 32768, 200_000]),
    st.sampled_from([16, 64]),
)
def test_limits_hold(seed: int, scale: float, most: int, block_size: int) -> None:
    spec = (
        f"coding_agents(n=3, scale={scale}, max_tokens={most}, max_calls=60, wait_max=20, "
        "wait_scale=0.5)"
    )
    for turns in sessions(spec, block_size, seed):
        assert 1 <= len(turns) <= 60
        assert (turns[-1].wait, turns[-1].tool) == (0.0, "")
        for turn in turns:
            assert turn.prompt >= 1 <= turn.answer
            assert turn.prompt + turn.answer <= most
            assert len(turn.blocks) == (turn.prompt + turn.answer) // block_size
            assert 0 <= turn.wait <= 20


def test_lengths_scale() -> None:
    for one, half in zip(
        sessions("coding_agents(n=4)"), sessions("coding_agents(n=4, scale=0.5)"), strict=True
    ):
        assert [(t.wait, t.tool) for t in one] == [(t.wait, t.tool) for t in half]
        for big, small in zip(one, half, strict=True):
            assert small.prompt == round(big.prompt / 2)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("coding_agents(n=0)", "n=0 of coding_agents must be at least 1"),
        ("coding_agents(scale=0)", "scale=0 of coding_agents must be above 0"),
        ("coding_agents(wait_max=-1)", "wait_max=-1 of coding_agents must be at least 0"),
        ("coding_agents(max_tokens=999)", "max_tokens=999 .* must be 0 or at least 1000"),
        ("coding_agents(max_tokens=99, scale=0.1)", "max_tokens=99 .* at least 100"),
        ("coding_agents(sessions=3)", "unknown parameter of coding_agents 'sessions'"),
    ],
)
def test_bad_parameters_are_named(spec: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_workload(spec)
