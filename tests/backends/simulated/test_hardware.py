from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.backends.simulated.hardware import (
    CPU34M,
    GPUS,
    LINES,
    MODELS,
    Gpu,
    Hardware,
    Linear,
    ModelShape,
    Roofline,
    find_hardware,
)
from weft.errors import UnknownName, UsageError

GPU = Gpu("made up", flops=100.0, bandwidth=10.0, memory=1000.0)
MODEL = ModelShape("tiny", 20.0, 20.0, layers=1, heads=1, kv_heads=1, head_dim=1)


def exact(gpu: Gpu = GPU, model: ModelShape = MODEL, parallel: int = 1) -> Roofline:
    return Roofline(
        gpu, model, parallel, compute_efficiency=1, bandwidth_efficiency=1, overhead=0.5
    )


def test_a_roofline_by_hand() -> None:
    hardware = exact()
    assert MODEL.kv_token == 4
    assert hardware.kv_tokens == (900 - 40) // 4
    # Memory-bound: 40 bytes of weights and 4 for each token of context, at 10 a second.
    assert hardware.step_seconds(0, 5, 1, 5) == pytest.approx((40 + 20) / 10 + 0.5)
    # Compute-bound: 2 * 20 operations a token and 4 a pair, at 100 a second.
    attended = 50 * 10 + 50 * 51 // 2  # 50 tokens behind 10 others
    expected = (40 * 50 + 4 * attended) / 100 + 0.5
    assert hardware.step_seconds(50, attended, 0, 60) == pytest.approx(expected)
    # Two GPUs halve all but the overhead.
    doubled = exact(parallel=2)
    assert doubled.step_seconds(0, 5, 1, 5) == pytest.approx((40 + 20) / 20 + 0.5)
    assert doubled.kv_tokens == (1800 - 40) // 4


def test_experts_are_read_as_far_as_tokens_reach_them() -> None:
    # 100 weights of experts, of which a token uses a tenth, and 20 others.
    sparse = replace(MODEL, params=120.0, active=30.0, experts=10, chosen=1)
    assert sparse.weights_read(1) == pytest.approx(2 * 30)
    assert sparse.weights_read(2) == pytest.approx(2 * (20 + 100 * (1 - 0.9**2)))
    assert sparse.weights_read(1000) == pytest.approx(2 * 120)
    assert MODEL.weights_read(1) == 2 * 20


HARDWARE = [
    exact(),
    exact(replace(GPU, flops=8.0)),  # compute-bound at once
    exact(model=replace(MODEL, heads=11)),  # from memory to arithmetic as it grows
    exact(model=replace(MODEL, heads=9)),  # the other way round, from 11 sequences on
    CPU34M,
    Linear(fixed=0.1, decode=0.01, context_token=0.002),
    find_hardware("h100", "qwen3-coder-30b-a3b"),
    find_hardware("l40s", "qwen3-8b"),
]


@given(st.sampled_from(HARDWARE), st.integers(1, 64), st.integers(1, 4000), st.integers(0, 300))
def test_the_closed_form_is_the_sum(
    hardware: Hardware, decodes: int, context: int, steps: int
) -> None:
    lengths = [context + i * decodes for i in range(steps)]
    summed = math.fsum(hardware.step_seconds(0, c, decodes, c) for c in lengths)
    closed = hardware.decode_seconds(decodes, context, steps)
    assert closed == pytest.approx(summed, rel=1e-9, abs=1e-12)


def test_the_roof_bends_within_a_stretch() -> None:
    grows, falls = HARDWARE[2], HARDWARE[3]

    def step(hardware: Hardware, decodes: int, context: int) -> float:
        return hardware.step_seconds(0, context, decodes, context) - 0.5

    assert step(grows, 1, 80) == pytest.approx(4 + 0.4 * 80)
    assert step(grows, 1, 100) == pytest.approx(0.4 + 0.44 * 100)
    assert step(falls, 20, 90) == pytest.approx(8 + 0.36 * 90)
    assert step(falls, 20, 110) == pytest.approx(4 + 0.4 * 110)
    bent = grows.decode_seconds(1, 1, 200) - 200 * 0.5
    expected = math.fsum(max(4 + 0.4 * c, 0.4 + 0.44 * c) for c in range(1, 201))
    assert bent == pytest.approx(expected)


def test_presets_are_plausible() -> None:
    """Orders of magnitude that are known of these pairs."""
    h100 = find_hardware("h100", "llama-3.1-8b")
    assert h100.kv_tokens == pytest.approx((72e9 - 16.06e9) / 131072, rel=1e-6)
    alone = h100.decode_seconds(1, 1000, 100) / 100
    assert 0.005 < alone < 0.012
    prompt = 8192
    rate = prompt / h100.step_seconds(prompt, prompt * prompt // 2, 0, prompt)
    assert 15_000 < rate < 40_000
    bigger = find_hardware("h100", "llama-3.1-70b", parallel=4)
    assert 0.01 < bigger.decode_seconds(1, 1000, 100) / 100 < 0.025
    for gpu in GPUS:
        for model in MODELS:
            hardware = find_hardware(gpu, model, parallel=64)
            assert hardware.kv_tokens > 0
            assert hardware.step_seconds(100, 5050, 0, 100) > 0


def test_the_cpu_preset_gives_back_what_it_was_fitted_to() -> None:
    for sequences, rate in ((1, 181), (8, 913), (32, 1477), (64, 1280)):
        fitted = sequences / CPU34M.decode_seconds(sequences, 0, 1)
        assert fitted == pytest.approx(rate, rel=0.18)
    cold = CPU34M.step_seconds(1500, 0, 0, 1500)
    cached = CPU34M.step_seconds(1500 - 46 * 32, 0, 0, 1500)
    assert cold == pytest.approx(0.516, rel=0.01)
    assert cached == pytest.approx(0.029, rel=0.01)
    assert LINES["cpu34m"] is CPU34M


def test_what_is_not_there_and_does_not_fit() -> None:
    with pytest.raises(UnknownName, match="h100"):
        find_hardware("h1000")
    with pytest.raises(UnknownName, match="qwen3-32b"):
        find_hardware("h100", "qwen-32b")
    with pytest.raises(UsageError, match=r"141 GB.*degree above 1"):
        find_hardware("h100", "llama-3.1-70b")
    with pytest.raises(UsageError, match="parallel=0"):
        find_hardware("h100", "qwen3-8b", parallel=0)
    assert find_hardware("h100", "llama-3.1-70b", parallel=2).kv_tokens > 0
    assert find_hardware("cpu34m") is CPU34M
