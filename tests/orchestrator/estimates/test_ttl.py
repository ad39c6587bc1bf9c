import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.errors import UsageError
from weft.orchestrator.estimates.distribution import Distribution
from weft.orchestrator.estimates.ttl import holding, memoryfulness, tool_ttl, worthwhile

GRID = 2 ** (1 / 8)


def of(*values: float) -> Distribution:
    known = Distribution(math.inf, "uses of grep")
    for value in values:
        known.add(value)
    return known


def exponential(rate: float) -> Distribution:
    values = [-math.log(1 - (i + 0.5) / 4000) / rate for i in range(4000)]
    random.Random(3).shuffle(values)
    return of(*values)


@pytest.mark.parametrize("rate", [0.1, 1.0, 5.0])
@pytest.mark.parametrize("worth", [1.5, 3.0, 10.0, 50.0])
@pytest.mark.parametrize("cost", [0.25, 1.0, 4.0])
def test_exponential_times(rate: float, worth: float, cost: float) -> None:
    best, _ = worthwhile(exponential(rate), worth * cost / rate, cost)
    wanted = math.log(worth) / rate
    assert wanted / GRID <= best <= wanted * GRID


def test_exponential_times_that_are_not_worth_it() -> None:
    best, reason = worthwhile(exponential(2.0), 0.5 / 2.0)
    assert best == 0
    assert reason == "no time to live is worth its cost (4000 uses of grep)"
    # Close to break-even the shortest of the samples may still seem to be.
    assert worthwhile(exponential(2.0), 0.9 / 2.0)[0] < 0.001


def test_a_known_time_is_waited_for_if_it_is_worth_it() -> None:
    away = of(*[7.0] * 30)
    assert worthwhile(away, 7.01) == (7.0, "back within 7 s in 100% of cases (30 uses of grep)")
    assert worthwhile(away, 6.99)[0] == 0
    assert worthwhile(away, 6.99, cost=0.5)[0] == 7
    assert worthwhile(away, 7.01, cost=2.0)[0] == 0
    assert worthwhile(away, -3.0)[0] == 0


@given(st.lists(st.integers(0, 40), min_size=1, max_size=50), st.floats(0, 1e3), st.floats(0, 10))
def test_nothing_is_worth_more(steps: list[int], benefit: float, cost: float) -> None:
    values = [2.0 ** (step / 4) for step in steps]
    best, _ = worthwhile(of(*values), benefit, cost)

    def gain(t: float) -> float:
        return sum(v <= t for v in values) / len(values) * benefit - cost * t

    assert best in {0.0, *values}
    assert gain(best) >= max(map(gain, [0.0, *values])) - 1e-6


def test_a_negative_cost_is_refused() -> None:
    with pytest.raises(UsageError, match="cost=-1"):
        worthwhile(of(1.0), 1.0, -1)


def test_memoryfulness_of_equal_programs_is_1() -> None:
    assert memoryfulness(of(*[6] * 10)) == pytest.approx(1)


def test_memoryfulness_of_geometric_programs_is_0() -> None:
    # Exact counts below 12, where each has its own bucket; 3/4 of programs end at each call.
    calls = of(*(n for n in range(1, 10) for _ in range(round(3 * 4 ** (9 - n) / 16))))
    assert memoryfulness(calls) == pytest.approx(0, abs=0.002)


def test_memoryfulness_of_heavy_tails_is_negative() -> None:
    geometric = [math.ceil(math.log(1 - (i + 0.5) / 100) / math.log(0.95)) for i in range(100)]
    assert memoryfulness(of(*[1] * 2000, *geometric)) < -0.2


def test_memoryfulness_of_single_calls_is_not_known() -> None:
    assert memoryfulness(of(*[1] * 10)) == 0


@given(st.lists(st.integers(1, 10), min_size=1, max_size=20))
def test_memoryfulness_by_its_definition(counts: list[int]) -> None:
    pairs = [(k, n - k) for n in counts for k in range(1, n + 1)]
    ks, ms = [k for k, _ in pairs], [m for _, m in pairs]
    k, m = sum(ks) / len(pairs), sum(ms) / len(pairs)
    spread = sum((a - k) ** 2 for a in ks) * sum((b - m) ** 2 for b in ms)
    wanted = -sum((a - k) * (b - m) for a, b in pairs) / math.sqrt(spread) if spread else 0
    assert memoryfulness(of(*counts)) == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize(
    ("tool", "p95"),
    [("code", 2.4), ("run_code", 2.4), ("File", 0.32), ("web_search", 4.5), ("db", 0.89)],
)
def test_without_experience_a_tool_has_the_prior_of_its_kind(tool: str, p95: float) -> None:
    seconds, reason = tool_ttl(tool, Distribution(), memory=0.5)
    assert seconds == pytest.approx(p95)
    assert "prior of" in reason
    assert tool_ttl("whatever", Distribution(), 0.5)[0] == pytest.approx(2.4)


def test_memory_pressure_halves_it() -> None:
    found = [tool_ttl("code", Distribution(), memory)[0] for memory in (0.7, 0.8, 0.9, 1.0)]
    assert found == pytest.approx([2.4, 1.8, 1.2, 1.2])


def test_experience_takes_over_from_the_prior() -> None:
    away = of(1.0)
    mean = 0.9 * math.log(0.18)
    sigma = math.log(2.4 / 0.18) / 1.6448536
    square = 0.9 * (sigma**2 + math.log(0.18) ** 2)
    wanted = math.exp(mean + 1.6448536 * math.sqrt(square - mean**2))
    assert tool_ttl("code", away, 0.0)[0] == pytest.approx(wanted)
    for _ in range(300):
        away.add(20.0)
    seconds, reason = tool_ttl("code", away, 0.0)
    assert seconds == pytest.approx(20, rel=0.01)
    assert "301 uses of grep" in reason
    assert tool_ttl("code", away, 0.0, most=5.0)[0] == 5


@pytest.mark.parametrize("rate", [0.1, 1.0])
@pytest.mark.parametrize("worth", [0.5, 0.8, 1.25, 3.0])
def test_without_memory_room_is_held_forever_or_not_at_all(rate: float, worth: float) -> None:
    """Each second held gains rate x benefit and costs 1, whatever has passed."""
    known = exponential(rate)
    seconds, _ = holding(known, worth / rate, 1.0)
    if worth > 1:
        assert seconds >= known.quantile(0.99)
    else:
        assert seconds <= known.quantile(0.02)


@pytest.mark.parametrize(("benefit", "held"), [(4.6, False), (5.05, True)])
def test_a_known_time_is_held_for_if_that_costs_less_than_it_saves(
    benefit: float, held: bool
) -> None:
    seconds, why = holding(of(*[5.0] * 20), benefit, 1.0)
    assert (5.0 / GRID <= seconds <= 5.0 * GRID) if held else seconds == 0
    assert why


@given(
    st.lists(st.floats(0, 1e5), min_size=1, max_size=80),
    st.floats(0, 1e3),
    st.floats(0, 10),
)
def test_no_other_time_to_hold_gains_more(times: list[float], benefit: float, cost: float) -> None:
    away = of(*times)
    mean, samples = max(away.mean, 1e-9), away.samples
    whole = (samples * away.survival(0) + 1) * away.mean_beyond(0)

    def gain(seconds: float) -> float:
        """With the imagined sample, whose tail `mean_beyond` counts too."""
        beyond = samples * away.survival(seconds) + (mean / (mean + seconds)) ** 2
        kept = whole - beyond * away.mean_beyond(seconds)
        return ((samples + 1 - beyond) * benefit - cost * kept) / (samples + 1)

    best, _ = holding(away, benefit, cost)
    last = away.points()[-1][0]
    times = [0.0, *(t for t, _ in away.points()), *(last * 2 ** (i / 4) for i in range(1, 40))]
    gains = [gain(t) if t else 0.0 for t in times]
    found = gain(best) if best else 0.0
    assert found == pytest.approx(max(gains), rel=1e-6, abs=1e-6 * max(benefit, 1))


def test_a_time_beyond_all_experience_is_held_for_as_long_as_it_may_pay() -> None:
    """Of five that took 1 s none says that a sixth can't take longer."""
    assert holding(of(*[1.0] * 5), 20.0, 1.0)[0] > 20
    assert holding(of(*[1.0] * 5), 1.01, 1.0)[0] <= GRID


def test_a_long_tail_is_not_held_for() -> None:
    """Nine in ten come back after 2 s, the others after 500 s: held for the former only."""
    seconds, _ = holding(of(*([2.0] * 9 + [500.0]) * 20), 10.0, 0.5)
    assert 2.0 / GRID <= seconds <= 2.0 * GRID
