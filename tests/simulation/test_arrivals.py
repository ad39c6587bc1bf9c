"""Arrival processes: moments against their parameters, order, specs, bad input."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, pairwise
from statistics import fmean, pstdev

import pytest

from weft.errors import UnknownName, UsageError
from weft.simulation.arrivals import Arrivals, Closed, Gamma, Poisson, parse_arrivals
from weft.simulation.workload import Job

JOBS = 40_000


def jobs(times: list[float | None]) -> Iterator[Job]:
    return (Job(str(i), (), arrival=at) for i, at in enumerate(times))


def gaps(arrivals: Arrivals, count: int = JOBS, seed: int = 1) -> list[float]:
    times = [0.0, *(at for at, _ in arrivals.times(jobs([None] * count), seed))]
    return [b - a for a, b in pairwise(times)]


@pytest.mark.parametrize(
    ("spec", "rate", "cv"),
    [
        ("poisson(rate=2)", 2, 1),
        ("poisson(rate=0.05)", 0.05, 1),
        ("gamma(rate=4, cv=1)", 4, 1),
        ("gamma(rate=0.5, cv=0.5)", 0.5, 0.5),
        ("gamma(rate=2, cv=3)", 2, 3),
    ],
)
def test_moments_match_the_parameters(spec: str, rate: float, cv: float) -> None:
    drawn = gaps(parse_arrivals(spec))
    assert all(gap >= 0 for gap in drawn)
    # Five standard errors of the mean; the fourth moment of a gamma makes those of the cv.
    assert fmean(drawn) == pytest.approx(1 / rate, rel=5 * cv / JOBS**0.5)
    error = ((2 + 6 * cv**2) / (4 * JOBS)) ** 0.5
    assert pstdev(drawn) / fmean(drawn) == pytest.approx(cv, rel=5 * error)


def test_poisson_counts_have_the_variance_of_their_mean() -> None:
    counts = [0] * 4000
    for at, _ in Poisson(rate=5.0).times(jobs([None] * 25_000), 3):
        if at < 4000:
            counts[int(at)] += 1
    assert fmean(counts) == pytest.approx(5, rel=0.04)
    assert pstdev(counts) ** 2 == pytest.approx(5, rel=0.12)


@pytest.mark.parametrize("arrivals", [Poisson(rate=2.0), Gamma(rate=2.0, cv=3.0)])
def test_a_seed_fixes_the_times_and_jobs_are_read_one_at_a_time(arrivals: Arrivals) -> None:
    assert gaps(arrivals, 50) == gaps(arrivals, 5000)[:50]
    assert gaps(arrivals, 50) != gaps(arrivals, 50, seed=2)
    read: list[str] = []

    def counted() -> Iterator[Job]:
        for job in jobs([None] * 100):
            read.append(job.id)
            yield job

    taken = list(islice(arrivals.times(counted(), 0), 3))
    assert [job.id for _, job in taken] == read == ["0", "1", "2"]


def test_a_closed_loop_is_a_bound_and_all_jobs_are_ready() -> None:
    closed = parse_arrivals("closed(n=64)")
    assert closed.concurrency == 64
    assert set(gaps(closed, 100)) == {0.0}
    burst = parse_arrivals("burst")
    assert burst.concurrency == 0
    assert set(gaps(burst, 100)) == {0.0}


def test_recorded_times_are_played_at_a_speed() -> None:
    recorded = parse_arrivals("recorded(speed=4)")
    assert [at for at, _ in recorded.times(jobs([1.0, 1.0, 6.0]), 0)] == [0.25, 0.25, 1.5]
    assert recorded.concurrency == 0


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ([1.0, None], "does not say when job 1 begins; choose other arrivals"),
        ([2.0, 1.0], "job 1 begins at 1 s, before the job ahead of it; sort"),
        ([-1.0], "job 0 begins at -1 s"),
        ([float("nan")], "job 0 begins at nan s"),
    ],
)
def test_recorded_times_must_be_there_and_in_order(times: list[float | None], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        list(parse_arrivals("recorded").times(jobs(times), 0))


def test_specs() -> None:
    assert parse_arrivals("gamma(cv=3, rate=2)").spec == "gamma(rate=2, cv=3)"
    assert parse_arrivals({"closed": {"n": 8}}) == Closed(n=8)
    assert parse_arrivals(Closed(n=8)) == Closed(n=8)
    with pytest.raises(UnknownName, match="unknown arrival process 'poison'; did you mean poisson"):
        parse_arrivals("poison(rate=2)")
    with pytest.raises(UnknownName, match="parameter of poisson 'cv'"):
        parse_arrivals("poisson(cv=2)")
    for spec in ("poisson(rate=0)", "gamma(cv=-1)", "closed(n=0)", "recorded(speed=0)"):
        with pytest.raises(UsageError, match="must be"):
            parse_arrivals(spec)
