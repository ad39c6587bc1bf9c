"""Lines of hardware that are fitted to an engine are those that it follows."""

from __future__ import annotations

import random
from dataclasses import fields, replace

import anyio
import pytest

from fitting import Observation, fit, observe
from weft.backends.scripted.engine import ScriptedEngine
from weft.backends.simulated.engine import SimulatedEngine
from weft.backends.simulated.hardware import Linear
from weft.backends.timeline import Timeline
from weft.errors import EngineError, UsageError
from weft.simulation.clock import VirtualClock
from weft.types import Delta

LINE = Linear("line", 8288, 0.0046, 0.0003, 0.012, 0.0006, 2e-7, 1.3e-7)
RATES = [f.name for f in fields(Linear) if f.name not in ("name", "kv_tokens")]


def observations(line: Linear, n: int, noise: float = 0.0) -> list[Observation]:
    rng = random.Random(1)
    made: list[Observation] = []
    for i in range(n):
        new, cached = rng.randrange(1, 1000), rng.randrange(3000)
        length = rng.randrange(1, 2000)
        batch = rng.randrange(1, 20)
        pairs = new * cached + new * (new + 1) / 2
        step = (
            Observation(1, new, 1, 0, cached + new, pairs)
            if i % 2
            else Observation(1, decodes=batch, context=batch * length, attended=batch * length)
        )
        made.append(replace(step, seconds=step.predicted(line) * rng.uniform(1, 1 + noise)))
    return made


def test_a_line_is_found_again() -> None:
    found = fit(observations(LINE, 40), "again", 100)
    assert (found.name, found.kv_tokens) == ("again", 100)
    for name in RATES:
        assert getattr(found, name) == pytest.approx(getattr(LINE, name), rel=1e-4)


@pytest.mark.parametrize("absent", RATES)
def test_what_costs_nothing_is_found_to(absent: str) -> None:
    line = replace(LINE, **{absent: 0.0})
    found = fit(observations(line, 40), "line", 8288)
    for name in RATES:
        assert getattr(found, name) == pytest.approx(getattr(line, name), rel=1e-4, abs=1e-12)


def test_no_parameter_is_negative_whatever_the_noise() -> None:
    seen = observations(LINE, 12, noise=1.0)
    found = fit(seen, "line", 8288)
    assert min(getattr(found, name) for name in RATES) >= 0
    assert all(0.4 < found_.predicted(found) / found_.seconds < 2.5 for found_ in seen)


@pytest.mark.parametrize("seen", [[], [Observation(0.0, 10, 1)]])
def test_nothing_to_fit_to_is_refused(seen: list[Observation]) -> None:
    with pytest.raises(UsageError, match="more than 0 s"):
        fit(seen, "line", 1)


def test_predictions_are_the_steps_of_the_line() -> None:
    prompt = Observation(1, 100, 1, 0, 300, 100 * 200 + 5050)
    assert prompt.predicted(LINE) == pytest.approx(LINE.step_seconds(100, 25050, 0, 300, 1))
    decode = Observation(1, decodes=3, context=600, attended=600)
    assert decode.predicted(LINE) == pytest.approx(LINE.step_seconds(0, 600, 3, 600, 0))
    steps = [decode.predicted(LINE) + i * 3 * (LINE.context_token + LINE.pair) for i in range(9)]
    assert LINE.decode_seconds(3, 600, 9) == pytest.approx(sum(steps))


def test_a_simulated_engine_is_measured_exactly() -> None:
    async def main() -> list[Observation]:
        async with timeline:
            engine = SimulatedEngine(timeline, LINE, block_size=32, concurrency=64)
            return await observe(engine, rounds=1)

    timeline = Timeline()
    clock = VirtualClock(timeline)
    seen = anyio.run(main, backend="trio", backend_options={"clock": clock})
    found = fit(seen, "line", LINE.kv_tokens)
    for name in RATES:
        assert getattr(found, name) == pytest.approx(getattr(LINE, name), rel=0.03), name
    for one in seen:
        assert one.predicted(LINE) == pytest.approx(one.seconds, rel=0.01)


async def test_an_engine_that_is_too_small_is_refused() -> None:
    engine = ScriptedEngine(context=1000)
    with pytest.raises(UsageError, match="holds 1000 tokens"):
        await observe(engine)


async def test_an_engine_that_reports_no_cached_tokens_is_refused() -> None:
    class Silent(ScriptedEngine):
        async def complete(self, request, on_delta) -> None:
            def silent(delta: Delta) -> None:
                on_delta(replace(delta, cached_tokens=None))

            await super().complete(request, silent)

    with pytest.raises(EngineError, match="--enable-prompt-tokens-details"):
        await observe(Silent("x" * 100))
