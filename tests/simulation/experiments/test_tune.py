from __future__ import annotations

import math
from typing import Any

import optuna
import pytest

from weft.errors import UnknownName, UsageError
from weft.orchestrator.policy import Policy, parse_policy, policies
from weft.simulation.experiments.tune import Trial, objective, tune


def k(policy: Policy) -> int:
    return getattr(policy, "k")  # noqa: B009 - of a class that the type checker does not know


def far_from_20(policy: Policy) -> float:
    return abs(math.log(k(policy) / 20))


def best(trials: list[Trial]) -> Trial:
    return [trial for trial in trials if trial.best][-1]


def test_a_bad_value_is_left_behind() -> None:
    trials = tune(parse_policy("cap(k=1)"), far_from_20, trials=30)
    assert (trials[0].policy.spec, trials[0].value) == ("cap(k=1)", math.log(20))
    assert 15 <= k(best(trials).policy) <= 26
    assert best(trials).value == min(trial.value for trial in trials)
    assert [trial.number for trial in trials] == list(range(30))


def test_the_largest_may_be_sought() -> None:
    trials = tune(parse_policy("cap"), lambda p: float(k(p)), trials=30, largest=True)
    assert best(trials).value == max(trial.value for trial in trials) > 32


@pytest.mark.parametrize("largest", [False, True])
def test_what_is_given_stays_if_nothing_is_better(largest: bool) -> None:
    given = parse_policy("cap(k=3)")
    for value in (1.0, math.nan):
        trials = tune(given, lambda _, value=value: value, trials=4, largest=largest)
        assert best(trials).policy is given
        assert [trial.best for trial in trials] == [True, False, False, False]


def test_the_same_seed_tries_the_same() -> None:
    def tried(seed: int) -> list[str]:
        trials = tune(parse_policy("saga"), lambda p: hash(p.spec) % 97, trials=15, seed=seed)
        return [trial.policy.spec for trial in trials]

    assert tried(1) == tried(1)
    assert tried(1)[1:] != tried(2)[1:]


def test_nothing_is_measured_twice() -> None:
    seen: list[str] = []

    def measure(policy: Policy) -> float:
        seen.append(policy.spec)
        return far_from_20(policy)

    trials = tune(parse_policy("cap(k=19)"), measure, trials=60)
    assert len(seen) == len(set(seen)) < len(trials) == 60


@pytest.mark.parametrize("name", sorted(policies()))
def test_all_that_is_tried_is_allowed(name: str) -> None:
    policy = parse_policy(name)
    if not policy.parameters():
        with pytest.raises(UsageError, match=f"policy {name} has no parameters to tune"):
            tune(policy, lambda _: 0.0, trials=1)
        return
    told: list[Trial] = []
    trials = tune(policy, lambda p: float(len(p.spec)), trials=25, on_trial=told.append)
    assert told == trials
    assert trials[0].policy == policy
    values: dict[str, set[Any]] = {}
    for trial in trials:
        for p in policy.parameters():
            value = getattr(trial.policy, p.name)
            values.setdefault(p.name, set()).add(value)
            p.accept(name, value)
            if isinstance(value, float) and p.most is None and value and p.default:
                assert p.default / 8.01 <= value <= p.default * 8.01
    # Each parameter is searched, but those that can't be.
    still = {p.name for p in policy.parameters() if len(values[p.name]) == 1}
    assert all(getattr(policy, p) == math.inf or isinstance(getattr(policy, p), str) for p in still)


def test_bad_requests_and_logs(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match="trials=0 must be at least 1"):
        tune(parse_policy("cap"), far_from_20, trials=0)
    with pytest.raises(UnknownName, match="unknown objective 'men'; did you mean mean"):
        objective("men")
    assert objective("p99") == "p99"
    verbosity = optuna.logging.get_verbosity()
    tune(parse_policy("cap"), far_from_20, trials=2)
    assert optuna.logging.get_verbosity() == verbosity
    assert capfd.readouterr() == ("", "")
