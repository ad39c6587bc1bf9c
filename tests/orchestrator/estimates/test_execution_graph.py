import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.errors import UsageError
from weft.orchestrator.estimates.execution_graph import Ahead, ExecutionGraph
from weft.orchestrator.estimates.graph_state import OUTSIDE
from weft.orchestrator.programs.trail import TrailStep


def run_of(*stages: str, tokens: int = 100, seconds: float = 1.0, away: float = 0.0):
    """A run that came to these stages: its steps, and what they came to in all."""
    visits: dict[str, int] = {}
    steps: list[TrailStep] = []
    for i, stage in enumerate(stages):
        visits[stage] = visit = visits.get(stage, 0) + 1
        gap, tool = (away, "pytest") if i else (0.0, "")
        steps.append(TrailStep(stage, visit, 1, 1, i, i * tokens, i * seconds, gap, tool))
    return steps, len(stages) * tokens, len(stages) * seconds


def learned(*runs: tuple[list[TrailStep], int, float]) -> ExecutionGraph:
    graph = ExecutionGraph()
    for run in runs:
        graph.learn(*run)
    return graph


def test_what_is_ahead_by_hand() -> None:
    # plan, then work once or twice, then judge.
    graph = learned(run_of("plan", "work", "judge"), run_of("plan", "work", "work", "judge"))
    assert graph.ahead(OUTSIDE) == Ahead(3.5, 350, 3.5, 3.5)
    assert graph.ahead(("plan", 1)) == Ahead(2.5, 250, 2.5, 2.5)
    assert graph.ahead(("work", 1)) == Ahead(1.5, 150, 1.5, 1.5)
    assert graph.ahead(("work", 2)) == Ahead(1, 100, 1, 1)
    assert graph.ahead(("judge", 1)) == Ahead(0, 0, 0, 0)


def test_a_loop_of_fixed_length_ends_when_it_always_does() -> None:
    graph = learned(*[run_of("work", "work", "work", "judge")] * 4)
    assert [graph.ahead(("work", i)).calls for i in (1, 2, 3)] == [3, 2, 1]


def test_time_between_calls_is_on_the_critical_path() -> None:
    graph = learned(run_of("work", "judge", away=20), run_of("work", "judge", away=40))
    assert graph.ahead(("work", 1)).seconds == 30 + 1
    assert graph.ahead(("judge", 1)).seconds == 0
    work = graph.stages()["work"]
    assert work.tools == {"pytest": (1.0, 30.0)}
    assert work.next == {"judge": 1.0}


def test_how_far_a_stage_is() -> None:
    # From plan half of the runs go on to work and come to judge, the others end.
    graph = learned(run_of("plan", "work", "judge"), run_of("plan"))
    assert graph.reaches(OUTSIDE, "judge") == (0.5, 3)
    assert graph.reaches(("plan", 1), "judge") == (0.5, 2)
    assert graph.reaches(("work", 1), "judge") == (1, 1)
    assert graph.reaches(("judge", 1), "judge") == (0, math.inf)
    assert graph.reaches(("plan", 1), "nothing") == (0, math.inf)


def test_steps_are_of_those_that_come_to_the_stage() -> None:
    # One of three comes to b in one step, one in three, one never.
    graph = learned(run_of("a", "b"), run_of("a", "c", "d", "b"), run_of("a", "e"))
    assert graph.reaches(("a", 1), "b") == pytest.approx((2 / 3, 2))


def test_a_fan_out_is_one_step_with_all_its_calls() -> None:
    graph = ExecutionGraph()
    fan = TrailStep("propose", 1, 24, 24, 0, 0, 0.0, 0.0, "")
    judge = TrailStep("judge", 1, 1, 1, 24, 2400, 3.0, 0.0, "")
    graph.learn([fan, judge], 2450, 4.0)
    assert graph.ahead(OUTSIDE) == Ahead(25, 2450, 4, 2)
    propose = graph.stages()["propose"]
    assert (propose.calls, propose.width, propose.tokens, propose.seconds) == (24, 24, 2400, 3)


def test_new_runs_count_at_the_latest_when_a_16th_are_new() -> None:
    graph = learned(*[run_of("a")] * 32)
    assert graph.ahead(("a", 1)).calls == 0
    graph.learn(*run_of("a", "a"))
    graph.learn(*run_of("a", "a"))
    assert graph.ahead(("a", 2)).calls == 0  # what was not there before is worked out at once
    graph.learn(*run_of("a", "a"))
    assert graph.ahead(("a", 1)).calls == pytest.approx(3 / 35)


def test_older_runs_fade() -> None:
    graph = learned(*[run_of("old")] * 1024, *[run_of("new")] * 12_000)
    assert graph.runs < 1025
    assert graph.ahead(OUTSIDE).calls == pytest.approx(1)
    assert graph.stages()[""].next["new"] > 0.99
    graph = learned(run_of("once", "a"), *[run_of("a", "a")] * 16_000)
    assert ("once", 1) not in graph.states
    assert graph.ahead(OUTSIDE).calls == pytest.approx(2)


def test_stages_beyond_measure_are_one() -> None:
    graph = learned(*[run_of(f"node-{i}", "end") for i in range(500)])
    assert len(graph.states) < 80
    assert graph.ahead(OUTSIDE).calls == pytest.approx(2)


def test_a_long_loop_is_cut() -> None:
    graph = learned(run_of(*["agent"] * 132))
    assert len(graph.states) == 33
    # 31 told apart, and then one that comes 101 times.
    assert graph.ahead(("agent", 32)).calls == pytest.approx(100)
    assert graph.nearest("agent", 90) == ("agent", 32)
    assert graph.nearest("agent", 0) is None
    assert graph.nearest("other", 1) is None


RUNS = st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=8), min_size=1, max_size=12)


@given(RUNS)
def test_the_whole_is_the_mean_of_the_runs(runs: list[list[str]]) -> None:
    graph = learned(*[run_of(*stages) for stages in runs])
    mean = sum(map(len, runs)) / len(runs)
    whole = graph.ahead(OUTSIDE)
    assert (whole.calls, whole.steps, whole.seconds) == pytest.approx((mean, mean, mean))
    assert whole.tokens == pytest.approx(100 * mean)


@given(RUNS)
def test_it_is_kept_as_it_is(runs: list[list[str]]) -> None:
    graph = learned(*[run_of(*stages, away=2.0) for stages in runs])
    again = ExecutionGraph.load(json.loads(json.dumps(graph.dump())))
    assert (again.count, again.states) == (graph.count, graph.states)


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {"count": 1},
        {"count": 1, "states": [["a", 1]]},
        # Nobody comes in; nobody gets out; one leads nowhere; weight below 0.
        {"count": 1, "states": [["a", 1, [1, 1, 1, 1, 1, 0], [["", 0, 1]], {}]]},
        {"count": 1, "states": [["", 0, [0] * 6, [["a", 1, 1]], {}],
                                ["a", 1, [1, 1, 1, 1, 1, 0], [["a", 1, 1]], {}]]},
        {"count": 1, "states": [["", 0, [0] * 6, [["a", 1, 1]], {}]]},
        {"count": 1, "states": [["", 0, [0] * 6, [["", 0, -1]], {}]]},
    ],
)  # fmt: skip
def test_what_is_none_is_refused(data: object) -> None:
    with pytest.raises(UsageError, match="no execution graph"):
        ExecutionGraph.load(data)


def test_nothing_is_learned_from_nothing() -> None:
    graph = ExecutionGraph()
    graph.learn([], 0, 0.0)
    assert (graph.count, graph.runs, graph.stages()) == (0, 0, {})
    with pytest.raises(UsageError, match="no run was at 'a'"):
        graph.ahead(("a", 1))
