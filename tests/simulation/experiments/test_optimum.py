from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, strategies

from weft.backends.simulated.hardware import Linear
from weft.cache.belady import Access, best_hits
from weft.orchestrator.policy import parse_policy
from weft.simulation.arrivals import parse_arrivals
from weft.simulation.experiments.optimum import Trace
from weft.simulation.metrics import measure
from weft.simulation.records import PlayedCall
from weft.simulation.simulate import SimulatedFleet, simulate
from weft.simulation.workload import PlannedCall
from weft.simulation.workloads import open_workload

SIZE = 10  # tokens in a block


def blocks(*names: object) -> list[int]:
    """Chained hashes: equal names behind equal beginnings are equal blocks."""
    return [hash(names[: i + 1]) for i in range(len(names))]


class Calls:
    """Sends calls to a trace, one after the other."""

    def __init__(self) -> None:
        self.trace = Trace(SIZE)
        self.count = 0

    def send(
        self, job: str, content: Sequence[int], prompt: int, engine: str = "e", done: bool = True
    ) -> PlayedCall:
        self.count += 1
        answer = len(content) * SIZE - prompt + 1  # the last token is not kept
        record = PlayedCall(f"{job}/{self.count}", job, "turn", prompt, 0.0, engine=engine)
        self.trace.on_sent(record, PlannedCall(prompt, answer, content))
        record.answer, record.done = answer, done
        return record


def test_three_programs_in_turn() -> None:
    # Each call holds 2 blocks and can hit the first. LRU would never hit with less than 6.
    calls = Calls()
    for _ in range(4):
        for job in "abc":
            calls.send(job, blocks(job, 1), 15)
    prompts = 12 * 15
    assert calls.trace.best_hit_rate(60) == pytest.approx(9 * 10 / prompts)
    # Beside the call that runs there is room for one block: that of every second call is kept.
    assert calls.trace.best_hit_rate(30) == pytest.approx(5 * 10 / prompts)
    assert calls.trace.best_hit_rate(20) == 0


def test_engines_share_nothing_and_the_last_prompt_token_is_computed() -> None:
    calls = Calls()
    for engine in ("e", "f", "e"):
        calls.send("a", blocks("x", "y"), 20, engine)
    # Of 20 tokens only one block can hit, and only for the second call on `e`.
    assert calls.trace.best_hit_rate(1000) == pytest.approx(10 / 60)


def test_calls_that_did_not_finish_leave_what_they_made() -> None:
    calls = Calls()
    first = calls.send("a", blocks("x", "y", "z"), 15, done=False)
    first.answer = 6  # 20 tokens are there, the third block is not
    calls.send("b", blocks("x", "y", "z", "w"), 35)
    assert calls.trace.best_hit_rate(1000) == pytest.approx(20 / 35)
    first.answer = 0
    assert calls.trace.best_hit_rate(1000) == pytest.approx(10 / 35)


def test_a_call_sent_again_counts_where_it_ran() -> None:
    calls = Calls()
    record = calls.send("a", blocks("x"), 9, "dead")
    calls.send("b", blocks("x", "y"), 15, "e")
    record.engine = "e"
    calls.trace.on_sent(record, PlannedCall(9, 2, blocks("x")))
    record.done = True
    # Nine tokens fill no block; sent after b, it makes no difference to it.
    assert calls.trace.best_hit_rate(1000) == 0


def test_nothing_was_sent() -> None:
    assert Trace(SIZE).best_hit_rate(100) == 0


contents = strategies.lists(
    strategies.tuples(
        strategies.sampled_from("abc"), strategies.lists(strategies.integers(0, 1), max_size=5)
    ),
    max_size=20,
)


@given(contents, strategies.integers(6, 12))
def test_sharing_lists_changes_nothing(sent: list[tuple[str, list[int]]], capacity: int) -> None:
    calls = Calls()
    accesses: list[Access] = []
    for job, names in sent:
        content = blocks("all", *names)
        prompt = max(1, len(content) * SIZE - 4)
        calls.send(job, content, prompt)
        accesses.append(Access(content, (prompt - 1) // SIZE))
    hits = sum(best_hits(accesses, capacity)) * SIZE
    prompts = sum(len(a.blocks) * SIZE - 4 for a in accesses)
    assert calls.trace.best_hit_rate(capacity * SIZE) == pytest.approx(
        hits / prompts if prompts else 0
    )


def test_a_growing_program_keeps_one_list() -> None:
    calls = Calls()
    for length in range(1, 50):
        calls.send("a", blocks(*range(length)), length * SIZE - 3)
        calls.send("b", blocks("b", *range(length)), length * SIZE - 3)
    lists = {id(line.blocks) for _, line, _ in calls.trace._sent.values()}
    assert len(lists) == 2


@pytest.mark.parametrize("policy", ["fcfs", "sticky", "saga", "cap(k=1)"])
@pytest.mark.parametrize("kv_tokens", [8_000, 1_000_000])
def test_a_simulated_engine_is_never_better_than_the_optimum(policy: str, kv_tokens: int) -> None:
    work = open_workload(
        "coding_agents(n=8, scale=0.05, wait_max=20, max_tokens=7000, max_calls=6, "
        "shared_system=true)",
        block_size=16,
    )
    trace = Trace(16)
    hardware = Linear(fixed=0.01, prefill_token=0.0005, decode=0.001)
    fleet = SimulatedFleet(1, hardware, kv_tokens, 16, 1)  # one call at a time, as the optimum
    done = simulate(
        work, parse_policy(policy), fleet, parse_arrivals("closed(n=4)"), on_sent=trace.on_sent
    )
    found, best = measure(done.played).hit_rate, trace.best_hit_rate(kv_tokens)
    assert 0 < found <= best + 1e-12
    if kv_tokens > 100_000:
        assert found == pytest.approx(best)  # where all fits, there is nothing to evict
