"""Where a live program stands in what was learned of its kind."""

import math

import pytest

from weft.errors import StoreError
from weft.orchestrator.estimates.graphs import Graphs, Remaining
from weft.orchestrator.estimates.profiles import Profiles
from weft.orchestrator.programs.group import CallGroup
from weft.orchestrator.programs.program import Program
from weft.store.store import Store


class Life:
    """A program that is led through its calls by hand: 100 tokens and one second each."""

    def __init__(self, name: str = "fix", **more: object) -> None:
        self.program = Program("p", name, **more)  # pyright: ignore[reportArgumentType]

    def begin(self, stage: str, group: CallGroup | None = None, away: float = 0.0) -> None:
        self.program.trail.call(self.program, stage, group, away)
        self.program.running += 1

    def end(self, *, longest: bool = True) -> None:
        p = self.program
        p.running, p.calls, p.computed = p.running - 1, p.calls + 1, p.computed + 100
        p.critical += longest

    def call(self, stage: str, away: float = 0.0) -> None:
        self.begin(stage, away=away)
        self.end()

    def fan_out(self, stage: str, width: int) -> None:
        group = CallGroup(width, width)
        for _ in range(width):
            self.begin(stage, group)
        for i in range(width):
            self.end(longest=i == 0)


def experienced(runs: int = 5) -> Graphs:
    """Of programs that plan, draw three times at once and judge after 10 s away."""
    graphs = Graphs()
    for _ in range(runs):
        life = Life()
        life.call("plan")
        life.fan_out("draw", 3)
        life.call("judge", away=10.0)
        graphs.learn(life.program)
    return graphs


def numbers(found: Remaining) -> tuple[float | None, float | None, float | None]:
    return found.calls, found.tokens, found.seconds


def test_along_a_run() -> None:
    graphs, life = experienced(), Life()
    assert numbers(graphs.remaining(life.program)) == (5, 500, 13)
    assert graphs.remaining(life.program).source == "5 runs of fix"
    life.begin("plan")
    assert numbers(graphs.remaining(life.program)) == (5, 500, 13)  # it still runs
    life.end()
    assert numbers(graphs.remaining(life.program)) == (4, 400, 12)
    group = CallGroup(3, 3)
    for _ in range(3):
        life.begin("draw", group)
    assert numbers(graphs.remaining(life.program)) == (4, 400, 12)
    life.end()
    assert numbers(graphs.remaining(life.program)) == (3, 300, 11)  # the longest has ended
    life.end(longest=False)
    life.end(longest=False)
    assert numbers(graphs.remaining(life.program)) == (1, 100, 11)
    life.call("judge", away=10.0)
    assert numbers(graphs.remaining(life.program)) == (0, 0, 0)


def test_branches_that_are_announced_count_before_they_call() -> None:
    graphs, life = experienced(), Life()
    life.call("plan")
    life.begin("draw", CallGroup(8, 8))
    assert numbers(graphs.remaining(life.program)) == (8 + 1, 800 + 100, 12)


def test_a_fan_out_with_enough_results_is_over() -> None:
    graphs, life = experienced(), Life()
    life.call("plan")
    group = CallGroup(3, 1)
    life.begin("draw", group)
    life.begin("draw", group)
    life.end()
    group.ended = 1
    assert graphs.remaining(life.program).calls == 1 + 1
    life.end(longest=False)
    assert numbers(graphs.remaining(life.program)) == (1, 100, 11)


def test_steps_to_a_stage() -> None:
    graphs, life = experienced(), Life()
    assert graphs.steps_to(life.program) is None  # it is at none yet
    assert graphs.steps_to(life.program, "judge") == (1, 3)
    life.call("plan")
    assert graphs.steps_to(life.program, "draw") == (1, 1)
    assert graphs.steps_to(life.program) == (0, math.inf)  # it never plans again


def test_nothing_is_known_of_few_runs_or_of_another_way() -> None:
    few, life = experienced(4), Life()
    assert numbers(few.remaining(life.program)) == (None, None, None)
    assert "no experience" in few.remaining(life.program).source
    assert few.steps_to(life.program, "judge") is None
    life.call("improvise")
    assert numbers(experienced().remaining(life.program)) == (None, None, None)
    other = Life("other")
    assert numbers(experienced().remaining(other.program)) == (None, None, None)


def test_what_is_announced_is_believed_first() -> None:
    graphs = Graphs()
    life = Life(expected_calls=12, expected_tokens=5000)
    life.call("a")
    assert graphs.remaining(life.program) == Remaining(
        11, 4900, None, "calls as announced, tokens as announced"
    )
    known = Life(expected_calls=3)
    assert experienced().remaining(known.program).calls == 3
    for _ in range(3):
        known.call("plan")
    assert experienced().remaining(known.program).calls == 4  # it has made more than it said


def test_no_more_than_a_budget_allows() -> None:
    life = Life(most_calls=2)
    life.call("plan")
    found = experienced().remaining(life.program)
    assert (found.calls, found.source) == (1, "5 runs of fix, calls by its budget")


def test_a_program_of_before_a_restart_teaches_nothing() -> None:
    graphs = Graphs()
    life = Life(calls=3)
    life.call("plan")
    graphs.learn(life.program)
    graphs.learn(Life().program)  # nor one without calls
    assert graphs.names == []


def test_stored_and_forgotten(tmp_path) -> None:
    path = tmp_path / "s.sqlite"
    with Store(path) as store:
        profiles = Profiles(store)
        for i in range(501):
            life = Life(f"p{i}")
            life.call("a")
            for _ in range(5):
                profiles.graphs.learn(life.program)
        assert profiles.graphs.changed == 500
        profiles.save()
        assert profiles.graphs.changed == 0
    with Store(path) as store:
        profiles = Profiles(store)
        assert profiles.graphs.get("p0") is None
        assert profiles.remaining(Program("x", "p500")).calls == 1
        assert len(profiles.graphs.names) == 500


def test_what_can_not_be_written_remains_to_be_written(tmp_path) -> None:
    with Store(tmp_path / "s.sqlite") as store:
        graphs = Graphs(store)
        life = Life()
        life.call("a")
        graphs.learn(life.program)
        _, undo = graphs.part(9)
        assert graphs.changed == 0
        undo()
        assert graphs.changed == 1
        write, _ = graphs.part(9)
        write()
        assert Graphs(store).names == ["fix"]


def test_a_damaged_graph_is_named(tmp_path) -> None:
    with Store(tmp_path / "s.sqlite") as store:
        store.keep_graphs({"fix": "[]"})
        with pytest.raises(StoreError, match="the graph of fix in store"):
            Profiles(store)
