"""The simulated engine's batch beside vLLM's own scheduler, step by step, without a model."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from weft.backends.simulated.batching import Batch
from weft.backends.simulated.decoding import Stay
from weft.cache.block_hashes import block_hashes

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.timeout(900),
]

BLOCK = 4


@dataclass
class Ask:
    """A request: what it is, and what became of it on vLLM and in the batch."""

    id: str
    at: int
    leaves: int | None
    prompt: int
    tokens: list[int]  # of prompt and answer
    real: dict[str, int] = field(default_factory=dict[str, int])
    simulated: dict[str, int] = field(default_factory=dict[str, int])

    @property
    def answer(self) -> int:
        return len(self.tokens) - self.prompt


def asks(randomly: random.Random) -> list[Ask]:
    """Requests that go on from what earlier ones said, but know no answer before it is there."""
    made: list[Ask] = []
    for i in range(randomly.randint(2, 10)):
        prompt, answer = randomly.randint(1, 40), randomly.randint(1, 25)
        at = (made[-1].at if made else 0) + randomly.choice([0, 0, 1, 5, 12])
        tokens: list[int] = []
        if made:
            other = randomly.choice(made)
            # At least a token of its own: vLLM holds some blocks twice otherwise, weft doesn't.
            known = other.prompt if other.at + 40 > at else len(other.tokens)
            tokens = other.tokens[: min(randomly.randint(0, 60), known, prompt - 1)]
        fresh = range(1000 * (i + 1), 1000 * (i + 1) + prompt + answer - len(tokens))
        leaves = at + randomly.randint(0, 40) if randomly.random() < 0.3 else None
        made.append(Ask(str(i), at, leaves, prompt, [*tokens, *fresh]))
    return made


class Real:
    """vLLM's scheduler, and a model runner that says what it is to say."""

    def __init__(self, model: Path, blocks: int, concurrency: int, budget: int) -> None:
        import torch
        from vllm.config import CacheConfig, ModelConfig, SchedulerConfig, VllmConfig
        from vllm.utils.hashing import sha256
        from vllm.v1.core.kv_cache_utils import get_request_block_hasher, init_none_hash
        from vllm.v1.core.sched.scheduler import Scheduler
        from vllm.v1.kv_cache_interface import FullAttentionSpec, KVCacheConfig, KVCacheGroupSpec
        from vllm.v1.structured_output import StructuredOutputManager

        init_none_hash(sha256)
        self.hasher = get_request_block_hasher(BLOCK, sha256)
        cache = CacheConfig(block_size=BLOCK, enable_prefix_caching=True)
        cache.num_gpu_blocks = blocks + 1  # one is the null block
        config = VllmConfig(
            model_config=ModelConfig(model=str(model), dtype="float32"),
            cache_config=cache,
            scheduler_config=SchedulerConfig(
                max_num_seqs=concurrency,
                max_num_batched_tokens=budget,
                max_model_len=1024,
                enable_chunked_prefill=True,
                is_encoder_decoder=False,
                async_scheduling=False,
            ),
        )
        spec = FullAttentionSpec(block_size=BLOCK, num_kv_heads=1, head_size=1, dtype=torch.float32)
        self.scheduler: Any = Scheduler(
            vllm_config=config,
            kv_cache_config=KVCacheConfig(
                num_blocks=blocks + 1,
                kv_cache_tensors=[],
                kv_cache_groups=[KVCacheGroupSpec(["layer"], spec)],
            ),
            structured_output_manager=StructuredOutputManager(config),
            block_size=BLOCK,
            log_stats=True,
        )
        self.asked: dict[str, tuple[Ask, Any]] = {}

    def add(self, ask: Ask) -> None:
        from vllm.sampling_params import SamplingParams
        from vllm.v1.request import Request

        how = SamplingParams(max_tokens=ask.answer, ignore_eos=True, temperature=0)
        request = Request(ask.id, ask.tokens[: ask.prompt], how, None, block_hasher=self.hasher)
        self.asked[ask.id] = ask, request
        self.scheduler.add_request(request)

    def drop(self, ask: Ask) -> None:
        from vllm.v1.request import RequestStatus

        if "ended" not in ask.real:
            self.scheduler.finish_requests(ask.id, RequestStatus.FINISHED_ABORTED)

    def step(self, now: int) -> None:
        from vllm.v1.outputs import ModelRunnerOutput

        planned = self.scheduler.schedule()
        said: list[list[int]] = []
        for id in planned.num_scheduled_tokens:
            ask, request = self.asked[id]
            if "cached" not in ask.real:
                ask.real["cached"] = request.prefill_stats.num_local_cached_tokens
            said.append([])
            if request.num_computed_tokens >= request.num_tokens:
                said[-1].append(ask.tokens[request.num_tokens])
                ask.real.setdefault("first", now)
                if request.num_tokens + 1 == len(ask.tokens):
                    ask.real["ended"] = now
        ids = list(planned.num_scheduled_tokens)
        output = ModelRunnerOutput(
            req_ids=ids,
            req_id_to_index={id: i for i, id in enumerate(ids)},
            sampled_token_ids=said,
        )
        self.scheduler.update_from_output(planned, output)


def on_vllm(real: Real, given: list[Ask]) -> None:
    now = 0
    while now <= given[-1].at or real.scheduler.has_unfinished_requests():
        for ask in given:
            if ask.at == now:
                real.add(ask)
        for ask in given:
            if ask.leaves == now:
                real.drop(ask)
        now += 1
        if real.scheduler.has_unfinished_requests():
            real.step(now)


def in_batch(batch: Batch, given: list[Ask]) -> None:
    stays = [Stay(ask.id, ask.prompt, ask.answer, block_hashes(ask.tokens, BLOCK)) for ask in given]
    changes = {ask.at for ask in given} | {ask.leaves or 0 for ask in given}
    now = 0
    while True:
        for stay, ask in zip(stays, given, strict=True):
            if ask.at == now:
                batch.add(stay)
        for stay, ask in zip(stays, given, strict=True):
            if ask.leaves == now:
                batch.drop(stay)
        coming = min((change for change in changes if change > now), default=None)
        step = batch.plan()
        if step is None:
            if coming is None:
                break
            now = coming
            continue
        steps = step.repeats if coming is None else min(step.repeats, coming - now)
        now += steps
        begun, ended = batch.advance(steps)
        for stay in begun:
            given[int(stay.id)].simulated["first"] = now
        for stay in ended:
            given[int(stay.id)].simulated["ended"] = now
    for stay, ask in zip(stays, given, strict=True):
        if stay.cached is not None:
            ask.simulated["cached"] = stay.cached


def test_every_token_comes_in_the_same_step(countdown: Path) -> None:
    pytest.importorskip("vllm")
    preemptions = hits = 0
    for seed in range(200):
        randomly = random.Random(seed)
        given = asks(randomly)
        limits = randomly.randint(17, 40), randomly.randint(1, 6), randomly.randint(6, 40)
        on_vllm(Real(countdown, *limits), given)
        batch = Batch(limits[0], BLOCK, *limits[1:])
        in_batch(batch, given)
        for ask in given:
            assert ask.simulated == ask.real, f"seed {seed}, request {ask.id}"
        preemptions += batch.counters.preemptions
        hits += batch.counters.hit
    assert preemptions > 10
    assert hits > 1000
