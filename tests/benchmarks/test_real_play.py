"""Replaying workloads on engines that take real token ids."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import count

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from real_play import IDS, Tokens, random_llama, replay
from weft.backends.http.wire import completion_body
from weft.backends.scripted.engine import Scripted, ScriptedEngine
from weft.backends.scripted.vocabulary import CHARACTERS
from weft.backends.simulated.hardware import Linear
from weft.errors import UsageError
from weft.orchestrator.policy import parse_policy
from weft.simulation.arrivals import parse_arrivals
from weft.simulation.simulate import SimulatedFleet, simulate
from weft.simulation.workload import Job, PlannedCall, Workload
from weft.simulation.workloads import open_workload
from weft.types import Request

BLOCK = 16
HARDWARE = Linear(fixed=0.001, prefill_token=0.0001, kv_tokens=10**6)
ALONE = parse_arrivals("closed(n=1)")
POLICY = parse_policy("prefix")


def job(*turns: PlannedCall) -> Job:
    return Job("job", turns)


def answering(**kwargs) -> ScriptedEngine:
    """An engine whose answers are all different and as long as asked for."""
    rng = random.Random(0)

    def reply(request: Request) -> str:
        length = request.sampling.max_tokens
        assert length is not None
        return CHARACTERS.decode([rng.randrange(1000, 50_000) for _ in range(length)])

    return ScriptedEngine(reply, block_size=BLOCK, **kwargs)


def prompt(tokens: Tokens, turn: PlannedCall) -> tuple[int, ...]:
    made = tokens.call("x", job(turn), turn).request.tokens
    assert made is not None
    return tuple(made)


def common(a: Sequence[int], b: Sequence[int]) -> int:
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), len(a))


@given(shared=st.integers(0, 6), own=st.integers(0, 3), rest=st.integers(0, BLOCK - 1))
def test_prompts_share_the_blocks_that_their_turns_share(shared: int, own: int, rest: int) -> None:
    length = (shared + own) * BLOCK + rest
    if not length:
        return
    tokens = Tokens("m", BLOCK)
    head = list(range(shared))
    a = prompt(tokens, PlannedCall(length, BLOCK, [*head, *range(100, 101 + own)]))
    b = prompt(tokens, PlannedCall(length, BLOCK, [*head, *range(200, 201 + own)]))
    assert len(a) == len(b) == length
    assert set(a) | set(b) <= set(IDS)
    assert common(a, b) // BLOCK == min(shared, length // BLOCK)


def test_the_tail_of_a_prompt_begins_the_block_that_the_answer_completes() -> None:
    tokens = Tokens("m", BLOCK)
    first = PlannedCall(20, 20, [1, 2])
    assert prompt(tokens, first) == prompt(tokens, PlannedCall(40, 1, [1, 2]))[:20]


def test_turns_with_fewer_blocks_than_tokens_are_filled_with_their_own() -> None:
    tokens = Tokens("m", BLOCK)
    turn = PlannedCall(50, 1, [1])
    a = tokens.call("a", job(turn), turn).request.tokens
    b = tokens.call("b", job(turn), turn).request.tokens
    assert a is not None
    assert b is not None
    assert len(a) == len(b) == 50
    assert BLOCK <= common(a, b) < 2 * BLOCK


def test_content_depends_on_the_salt_alone() -> None:
    turn = PlannedCall(64, 1, [1, 2, 3, 4])
    once = prompt(Tokens("m", BLOCK, salt="a"), turn)
    assert once == prompt(Tokens("other", BLOCK, salt="a"), turn)
    assert common(once, prompt(Tokens("m", BLOCK, salt="b"), turn)) < BLOCK


def test_the_next_prompt_holds_the_answer_that_was_given() -> None:
    tokens = Tokens("m", BLOCK)
    first = PlannedCall(20, 50, [1, 2, 3, 4])
    call = tokens.call("a", job(first), first)
    answer = tuple(range(5000, 5050))
    tokens.answered(call, first, answer)
    assert call.request.tokens is not None
    context = tuple(call.request.tokens) + answer
    following = prompt(tokens, PlannedCall(100, 1, [1, 2, 3, 4, 5, 6]))
    assert following[: 4 * BLOCK] == context[: 4 * BLOCK]
    # One that does not extend it has nothing of it.
    assert not set(prompt(tokens, PlannedCall(100, 1, [1, 12, 13, 14, 15, 16]))) & set(answer)


def test_the_engine_is_told_the_length_and_the_scheduler_is_not() -> None:
    turn = PlannedCall(20, 7, [1])
    call = Tokens("m", BLOCK).call("a", job(turn), turn)
    body = completion_body(call.request, tuple(call.request.tokens or ()), 4096)
    assert (body["max_tokens"], body["ignore_eos"]) == (7, True)
    assert call.limit is None
    plain = replace(call.request, sampling=replace(call.request.sampling, ignore_eos=False))
    assert "ignore_eos" not in completion_body(plain, tuple(plain.tokens or ()), 4096)


def test_an_engine_finds_cached_what_a_simulated_one_does(anyio_backend: str) -> None:
    work = open_workload(
        "coding_agents(n=6, scale=0.02, max_calls=8, wait_scale=0, shared_system=true)",
        block_size=BLOCK,
    )
    engine = answering()
    done = anyio.run(replay, work, POLICY, [engine], ALONE, backend=anyio_backend)
    fleet = SimulatedFleet(1, HARDWARE, HARDWARE.kv_tokens, BLOCK)
    expected = simulate(work, POLICY, fleet, ALONE).played.calls
    played = done.played.calls
    assert [(c.id, c.prompt, c.answer) for c in played] == [
        (c.id, c.prompt, c.answer) for c in expected
    ]
    assert [c.cached for c in played] == [c.cached for c in expected]
    assert sum(c.cached for c in played) > 0.5 * sum(c.prompt for c in played)
    # The scheduler knows it beforehand: it follows the ids of the answers.
    assert [c.foreseen for c in played] == [c.cached for c in played]
    assert done.counters.started == len(played)


async def test_an_answer_that_was_lost_is_not_in_the_next_prompt() -> None:
    numbers = count()

    def reply(request: Request) -> Scripted:
        lost = next(numbers) == 0
        return Scripted(("x" if lost else "y") * 32, dies_after=5 if lost else None)

    engines = [ScriptedEngine(reply, name=name, block_size=BLOCK) for name in "ab"]
    turns = (PlannedCall(16, 32, [1, 2, 3]), PlannedCall(64, 32, [1, 2, 3, 4, 5, 6]))
    done = await replay(Workload("w", [job(*turns)], BLOCK), POLICY, engines, ALONE)
    assert [c.tries for c in done.played.calls] == [2, 1]
    assert [c.answer for c in done.played.calls] == [32, 32]
    last = next(r for e in engines for r in e.requests if r.id.endswith("/2"))
    assert CHARACTERS.decode(last.tokens or ())[16:48] == "y" * 32


async def test_a_session_fails_whose_answer_has_another_length() -> None:
    engine = ScriptedEngine("short", block_size=BLOCK)
    work = Workload(
        "w", [job(PlannedCall(16, 32, [1, 2, 3]), PlannedCall(64, 1, [1, 2, 3, 4]))], BLOCK
    )
    done = await replay(work, POLICY, [engine], ALONE)
    [record] = done.played.jobs
    assert record.error.startswith("call job/1 got the ids of 5 tokens where 32 were")
    assert record.calls == 1


@pytest.mark.parametrize(
    ("engine", "message"),
    [
        (ScriptedEngine(takes_tokens=False), "takes no token ids"),
        (ScriptedEngine(block_size=64), "open it with block_size=64"),
    ],
)
async def test_engines_that_can_not_play_it_are_refused(
    engine: ScriptedEngine, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        await replay(Workload("w", [], BLOCK), POLICY, [engine], ALONE)


def test_a_single_token_id_can_not_tell_blocks_apart() -> None:
    with pytest.raises(UsageError, match="at least two token ids"):
        Tokens("m", BLOCK, ids=range(5, 6))


def test_arguments_of_a_random_llama() -> None:
    args = random_llama(259 * 32)
    assert args[args.index("--num-gpu-blocks-override") + 1] == "260"
    assert args[args.index("--max-model-len") + 1] == "4096"
