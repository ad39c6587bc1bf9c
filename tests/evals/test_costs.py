"""Costs: Kinetics, cost-of-pass, energy; against their formulas and what these say."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from weft.backends.simulated.roofline import ModelShape
from weft.errors import UsageError
from weft.evals.costs.cost_of_pass import contribution, cost_of_pass, frontier, problem_costs
from weft.evals.costs.energy import joules, read_energy
from weft.evals.costs.kinetics import INTENSITY, kinetics_cost, usage_cost
from weft.evals.costs.shapes import find_shape, shape_from
from weft.evals.records import Row, Session
from weft.evals.reports.costs import costs
from weft.evals.results import Result
from weft.types import Usage


def qwen3(layers: int, hidden: int, heads: int, inner: int, tied: bool) -> dict[str, object]:
    return {
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "num_attention_heads": heads,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "intermediate_size": inner,
        "vocab_size": 151936,
        "tie_word_embeddings": tied,
    }


SMALL = qwen3(28, 1024, 16, 3072, True)  # 0.6B
LARGE = qwen3(28, 2048, 16, 6144, True)  # 1.7B


def test_shapes_of_known_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small, large = shape_from(SMALL), shape_from(LARGE)
    assert small is not None
    assert large is not None
    assert small.params == small.active == pytest.approx(0.596e9, rel=0.001)
    assert (small.layers, small.heads, small.kv_heads, small.head_dim) == (28, 16, 8, 128)
    assert large.params == pytest.approx(1.72e9, rel=0.001)
    assert shape_from({"text_config": SMALL}) == small
    assert shape_from({"hidden_size": 8}) is None
    mixture = shape_from(
        SMALL | {"num_experts_per_tok": 8, "num_experts": 32, "moe_intermediate_size": 384}
    )
    assert mixture is not None
    assert mixture.active == small.active  # as many weights are used for a token
    assert mixture.params == small.params + 28 * 24 * 3 * 1024 * 384

    monkeypatch.setenv("HF_HOME", str(tmp_path))
    cached = tmp_path / "hub/models--Qwen--Qwen3-0.6B/snapshots/abc/config.json"
    cached.parent.mkdir(parents=True)
    cached.write_text(json.dumps(SMALL))
    found = find_shape(["nobody/knows", "Qwen/Qwen3-0.6B"])
    assert found == replace(small, name="Qwen/Qwen3-0.6B")
    assert found is not None
    assert find_shape([str(cached.parent)]) == replace(small, name=str(cached.parent))
    assert find_shape(["nobody/knows"]) is None
    assert find_shape(["countdown"]) is not None  # it comes with weft


def test_kinetics_is_its_formula() -> None:
    shape = ModelShape("m", params=9, active=7, layers=5, heads=4, kv_heads=2, head_dim=3)
    cost = kinetics_cost(shape, prompt=11, generated=13, trials=2)
    # Token by token: each reads the prompt and what was written, keys and values, two bytes each.
    compute = 2 * sum(2 * 7 + 4 * 60 * (11 + t + 0.5) for t in range(13))
    memory = 2 * 2 * 30 * (13 * 11 + 2 * sum(t + 0.5 for t in range(13)))
    assert (cost.compute, cost.memory) == (pytest.approx(compute), pytest.approx(memory))
    assert cost.eflops == pytest.approx(compute + 562.5 * memory)
    assert INTENSITY == 562.5


def test_what_kinetics_says() -> None:
    small, large = shape_from(SMALL), shape_from(LARGE)
    assert small is not None
    assert large is not None
    for generated in (100, 1000, 10_000):
        once = kinetics_cost(small, 500, generated).eflops
        assert kinetics_cost(small, 500, 2 * generated).eflops > 2 * once
        assert once < kinetics_cost(small, 500, generated, 8).eflops < 8 * once
    # Both have the same KV cache, so the larger one's parameters matter less and less.
    ratios = [
        kinetics_cost(large, 500, n).eflops / kinetics_cost(small, 500, n).eflops
        for n in (10, 1000, 30_000)
    ]
    assert ratios[0] > ratios[1] > ratios[2] > 1
    assert ratios[2] < 1.01 < large.params / small.params

    def dearer(tokens: float) -> bool:
        """Whether the small model costs more for so many tokens than the large for 1,000."""
        return kinetics_cost(small, 500, tokens).eflops > kinetics_cost(large, 500, 1000).eflops

    # The root of the quadratic that both formulas make of it.
    a = (small.pair_flops + INTENSITY * small.kv_token) / 2
    b = 2 * small.params + 2 * 500 * a
    target = kinetics_cost(large, 500, 1000).eflops
    switch = (math.sqrt(b * b + 4 * a * target) - b) / (2 * a)
    assert 1000 < switch < 1100  # and not 2,900, as the parameters alone would have it
    assert (dearer(switch - 1), dearer(switch + 1)) == (False, True)


def test_usage_is_taken_for_alike_calls() -> None:
    shape = ModelShape("m", 9, 7, layers=5, heads=4, kv_heads=2, head_dim=3)
    usage = Usage(calls=4, prompt=40, completion=60, cancelled=20)
    assert usage_cost(shape, usage) == kinetics_cost(shape, 10, 20, 4)
    assert usage_cost(shape, Usage()).eflops == 0


def test_cost_of_pass() -> None:
    assert cost_of_pass([1.0], [0.9]) == pytest.approx(1 / 0.9)
    # Of three with p = 0.9 a vote is right in 0.972.
    vote = cost_of_pass([3.0], [0.9**3 + 3 * 0.9**2 * 0.1])
    assert vote / cost_of_pass([1.0], [0.9]) == pytest.approx(2.7778, abs=1e-4)
    # n samples and a perfect check cost what they are worth, if one stops at the first.
    for n in (1, 2, 5, 30):
        expected = sum((1 - 0.3) ** i for i in range(n))
        assert cost_of_pass([expected], [1 - 0.7**n]) == pytest.approx(1 / 0.3)
    assert cost_of_pass([1.0, 2.0], [0, 0]) == math.inf
    with pytest.raises(UsageError, match="its cost and its score"):
        cost_of_pass([1.0], [])


def test_the_frontier_and_what_is_infinite() -> None:
    methods = {
        "light": {"a": 1.0, "b": math.inf, "c": math.inf},
        "heavy": {"a": 5.0, "b": 8.0, "c": math.inf},
    }
    assert frontier(methods) == {"a": 1.0, "b": 8.0, "c": math.inf}
    assert frontier(methods, price=20) == {"a": 1.0, "b": 8.0, "c": 20.0}
    assert contribution(methods, ["light"], price=20) == pytest.approx((5 + 8 + 20) / 29)
    assert contribution(methods, ["heavy"], price=20) == pytest.approx((1 + 20 + 20) / 29)
    assert contribution(methods, ["heavy", "light"], price=20) == pytest.approx(60 / 29)
    rows = [
        Row("s", id, right, usage=Usage(prompt=10), repeat=i)
        for id, answers in (("a", (True, False)), ("b", (False, False)))
        for i, right in enumerate(answers)
    ]
    assert problem_costs(Result("s", tuple(rows))) == {"a": 20.0, "b": math.inf}


def test_energy_is_read_where_it_can_be(tmp_path: Path) -> None:
    def write(**used: int) -> None:
        for name, value in used.items():
            domain = tmp_path / name.replace("_", ":")
            domain.mkdir(exist_ok=True)
            (domain / "energy_uj").write_text(f"{value}\n")
            (domain / "max_energy_range_uj").write_text("9000000\n")

    nothing = read_energy(tmp_path)
    write(**{"intel-rapl_0": 1_000_000, "intel-rapl_0_0": 5, "intel-rapl_1": 8_000_000})
    before = read_energy(tmp_path)
    write(**{"intel-rapl_0": 3_500_000, "intel-rapl_1": 500_000})  # one began again
    after = read_energy(tmp_path)
    assert joules(before, after) == pytest.approx(2.5 + 1.5)
    assert joules(nothing, {}) is None
    # A GPU's counter that begins again tells nothing.
    assert joules({"gpu 0": (9.0, 0.0)}, {"gpu 0": (1.0, 0.0)}) is None


def test_the_table_of_costs() -> None:
    rows = [Row("s", id, right, usage=Usage(1, 100, 40, 40)) for id, right in
            (("a", True), ("b", False), ("c", False), ("d", True))]  # fmt: skip
    solves = Result("s", tuple(rows))
    never = Result("never", tuple(replace(row, strategy="never", correct=False) for row in rows))
    table = costs([solves, never], Session())
    assert table.rows == [
        ["s", "200", "unavailable", "unavailable"],
        ["never", "infinite", "unavailable", "unavailable"],
    ]
    assert (
        "the cheapest strategy for each problem 100, over the 2 of 4 that any solved" in table.notes
    )
    shape = shape_from(SMALL)
    assert shape is not None
    table = costs([solves], Session(joules={"s": 8.0}, shape=asdict(shape)))
    work = kinetics_cost(shape, 100, 40).eflops / 1e12
    assert table.rows == [["s", "200", f"{work:.3g}", "2"]]
    # 8 J in 2 s are 4 W, for a half of all right.
    table = costs([solves, never], Session(joules={"s": 8.0}, seconds={"s": 2.0}))
    assert table.columns[-1] == "% a watt"
    assert [row[-1] for row in table.rows] == ["12.5", ""]
