"""Generated fan-outs: best of n, tree search, text-to-SQL."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from statistics import median

import pytest

from weft.errors import UsageError
from weft.simulation.workload import Job, Parallel, PlannedCall, Step
from weft.simulation.workloads import open_workload


def played(spec: str, block_size: int = 16, seed: int = 0) -> list[tuple[Job, list[Step]]]:
    return [(job, list(job.steps)) for job in open_workload(spec, block_size=block_size, seed=seed)]


def turns(steps: Iterable[Step]) -> Iterator[PlannedCall]:
    for step in steps:
        if isinstance(step, PlannedCall):
            yield step
        else:
            for branch in step.branches:
                yield from turns(branch)


def common(one: Sequence[int], other: Sequence[int]) -> int:
    for i, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return i
    return min(len(one), len(other))


@pytest.mark.parametrize(
    "spec",
    [
        "best_of_n(n=20, width=4)",
        "best_of_n(n=5, width=4, scale=0.3, spread=0)",
        "tree_search(n=8, width=6, depth=4)",
        "tree_search(n=8, width=6, depth=4, enough=5, scale=0.25)",
        "text_to_sql(n=30)",
        "text_to_sql(n=8, candidates=1, rounds=0, databases=1, scale=0.5)",
    ],
)
@pytest.mark.parametrize("block_size", [16, 64])
def test_turns_are_whole_and_a_seed_fixes_them(spec: str, block_size: int) -> None:
    made = played(spec, block_size)
    for job, steps in made:
        for turn in turns(steps):
            assert turn.prompt >= 1 <= turn.answer
            assert len(turn.blocks) == (turn.prompt + turn.answer) // block_size
            assert turn.wait >= 0
        if job.calls is not None:
            assert job.calls == len(list(turns(steps)))
    assert len({job.id for job, _ in made}) == len(made)
    assert [s for _, s in played(spec, block_size)] == [s for _, s in made]
    assert [s for _, s in played(spec, block_size, seed=1)] != [s for _, s in made]


@pytest.mark.parametrize("name", ["best_of_n", "tree_search", "text_to_sql"])
def test_jobs_are_made_one_at_a_time(name: str) -> None:
    few = played(f"{name}(n=2)")
    many = islice(open_workload(f"{name}(n=1000000000)", block_size=16), 2)
    assert [list(job.steps) for job in many] == [steps for _, steps in few]


def test_answers_share_the_question_and_questions_the_instructions() -> None:
    (_, (one,)), (_, (other,)) = played("best_of_n(n=2, width=8)")
    assert isinstance(one, Parallel)
    assert isinstance(other, Parallel)
    assert one.enough is None
    branches = [list(turns(branch)) for branch in one.branches]
    assert [[t.stage for t in branch] for branch in branches] == [["answer", "verify"]] * 8
    first = [branch[0] for branch in branches]
    assert len({t.prompt for t in first}) == 1
    for turn in first[1:]:
        assert common(first[0].blocks, turn.blocks) == turn.prompt // 16, "but not the answers"
    for answer, verdict in branches:
        assert verdict.answer == 1
        assert common(answer.blocks, verdict.blocks) == len(answer.blocks)
    (elsewhere, *_) = turns(other.branches[0])
    assert common(first[0].blocks, elsewhere.blocks) == 400 // 16


def test_answers_have_the_median_and_the_spread_that_were_asked_for() -> None:
    made = played("best_of_n(n=600, width=8, answer=500, spread=0.5, verify=false)", 256)
    answers = sorted(t.answer for _, steps in made for t in turns(steps))
    assert median(answers) == pytest.approx(500, rel=0.05)
    # One standard deviation of the logarithm above the median: 84% of a normal.
    assert answers[int(0.8413 * len(answers))] == pytest.approx(500 * 2.71828**0.5, rel=0.07)
    constant = played("best_of_n(n=3, answer=77, spread=0, verify=false)")
    assert {t.answer for _, steps in constant for t in turns(steps)} == {77}


def test_early_exits() -> None:
    for job, (step,) in played("best_of_n(n=3, width=8, enough=2, verify=false)"):
        assert isinstance(step, Parallel)
        assert (step.enough, len(step.branches), job.calls) == (2, 8, None)
    searches = played("tree_search(n=200, width=2, keep=1, depth=30, solved=0.25)", 64)
    depths = [len(steps) for _, steps in searches]
    assert sum(depths) / len(depths) == pytest.approx(1 / 0.25, rel=0.2)
    assert {len(s) for _, s in played("tree_search(n=3, depth=5, solved=0)", 64)} == {5}
    assert {len(s) for _, s in played("tree_search(n=3, depth=5, solved=1)", 64)} == {1}


@pytest.mark.parametrize("enough", [0, 4])
def test_a_level_extends_the_paths_that_were_kept(enough: int) -> None:
    spec = f"tree_search(n=6, width=6, keep=3, depth=5, solved=0, enough={enough})"
    for _, levels in played(spec, 1):
        before: list[PlannedCall] = []
        for level in levels:
            assert isinstance(level, Parallel)
            assert level.enough == (enough or None)
            branches = [list(turns(branch)) for branch in level.branches]
            assert [[t.stage for t in branch] for branch in branches] == [["step", "verify"]] * 6
            made = [branch[0] for branch in branches]
            parents = {tuple(turn.blocks[: turn.prompt]) for turn in made}
            if before:
                assert len(parents) == 3
                ended = sorted(before, key=lambda t: t.answer)[: enough or None]
                longest = ended[-1].answer
                kept = [t for t in before if tuple(t.blocks) in parents]
                assert len(kept) == 3, "each parent is a whole path of the level before"
                assert all(t.answer <= longest for t in kept), "one that has ended by then"
            else:
                assert len(parents) == 1
            before = made


def test_a_query_links_writes_corrects_and_selects() -> None:
    corrections = 0
    for job, steps in played("text_to_sql(n=400, candidates=5, rounds=2)", 64):
        link, fan, select = steps
        assert isinstance(link, PlannedCall)
        assert isinstance(fan, Parallel)
        assert isinstance(select, PlannedCall)
        assert (link.stage, select.stage, len(fan.branches)) == ("link", "select", 5)
        assert job.slo is not None
        assert job.slo > 0
        for branch in fan.branches:
            first, *rest = branch
            assert isinstance(first, PlannedCall)
            assert first.stage == "generate"
            assert common(link.blocks, first.blocks) == len(link.blocks), "with the linked schema"
            assert len(rest) <= 2
            corrections += len(rest)
            for before, after in zip(branch, rest, strict=False):
                assert isinstance(before, PlannedCall)
                assert isinstance(after, PlannedCall)
                assert (after.stage, before.tool) == ("correct", "database")
                assert before.wait > 0
                assert common(before.blocks, after.blocks) == len(before.blocks)
    # Of the 2000 first attempts 35% fail, and of the corrected ones again.
    assert corrections / 2000 == pytest.approx(0.35 + 0.35**2, abs=0.05)


def test_queries_on_a_database_share_its_schema() -> None:
    links = [next(turns(steps)) for _, steps in played("text_to_sql(n=200, databases=4)", 16)]
    shared = [common(links[0].blocks, other.blocks) for other in links[1:]]
    instructions = 600 // 16
    assert min(shared) == instructions
    same = [s for s in shared if s > instructions + 2]
    assert len(same) > 20
    assert len(set(same)) == 1, "the schema, and not the question"
    # Popularity falls as 1, 1/2, 1/3, 1/4.
    schemas: dict[int, int] = {}
    for link in links:
        key = link.blocks[instructions + 2]
        schemas[key] = schemas.get(key, 0) + 1
    assert len(schemas) == 4
    assert max(schemas.values()) / 200 == pytest.approx(12 / 25, abs=0.1)


def test_deadlines_follow_the_longest_chain_of_answers() -> None:
    made = played("text_to_sql(n=300, slo=10)", 256)
    slos = [job.slo for job, _ in made]
    assert None not in slos
    assert median([s for s in slos if s is not None]) == pytest.approx(10, rel=0.15)
    for job, (link, fan, select) in made:
        assert isinstance(fan, Parallel)
        assert isinstance(link, PlannedCall)
        assert isinstance(select, PlannedCall)
        longest = max(sum(t.answer for t in turns(branch)) for branch in fan.branches)
        assert job.slo == pytest.approx(10 * (link.answer + longest + select.answer) / 1700)
    assert all(job.slo is None for job, _ in played("text_to_sql(n=3, slo=0)"))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("best_of_n(width=4, enough=5)", "enough=5 of best_of_n must be at most width=4; lower"),
        ("tree_search(width=4, keep=5)", "keep=5 of tree_search must be at most width=4"),
        (
            "tree_search(width=4, keep=3, enough=2)",
            "keep=3 of tree_search must be at most enough=2",
        ),
        ("tree_search(solved=1.5)", "solved=1.5 of tree_search must be at most 1"),
        ("text_to_sql(candidates=0)", "candidates=0 of text_to_sql must be at least 1"),
        ("text_to_sql(failing=2)", "failing=2 of text_to_sql must be at most 1"),
    ],
)
def test_bad_parameters_of_fan_outs_are_named(spec: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_workload(spec)
