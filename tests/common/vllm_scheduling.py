"""vLLM's own scheduler and pool of blocks in this process, for a model that writes at random.

Only the model is made up: what it writes depends on the request alone. So two schedulers that are
asked the same differ by what they schedule, and by nothing else.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from weft.leases.directive import Directive

BLOCK = 16
LEASES = {
    "kv_connector": "WeftLeases",
    "kv_connector_module_path": "weft.leases.connector",
    "kv_role": "kv_producer",
}

OFFLOADING = {
    "kv_connector": "OffloadingConnector",
    "kv_role": "kv_both",
    "kv_connector_extra_config": {"cpu_bytes_to_use": 2**20},
}


def several(*connectors: dict[str, Any]) -> dict[str, Any]:
    """Connectors beside each other."""
    return {
        "kv_connector": "MultiConnector",
        "kv_role": "kv_both",
        "kv_connector_extra_config": {"connectors": list(connectors)},
    }


def foreign(number: int, blocks: int = 5) -> list[int]:
    """A prompt that shares nothing with any other."""
    return [10_000 * (number + 1) + token for token in range(blocks * BLOCK + 1)]


class _Model(SimpleNamespace):
    """What vLLM asks of a model; what is not said is not so."""

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)


def _copied(metadata: Any) -> Any:
    """What a worker answers that has done all copies which an offloading connector asks for."""
    from vllm.distributed.kv_transfer.kv_connector.v1 import multi_connector
    from vllm.distributed.kv_transfer.kv_connector.v1.offloading import common
    from vllm.v1.outputs import KVConnectorOutput

    told: list[Any] = []
    loaded: set[str] = set()
    for one in getattr(metadata, "metadata", ()):
        jobs = {**getattr(one, "load_jobs", {}), **getattr(one, "store_jobs", {})}
        loaded |= {job.req_id for job in getattr(one, "load_jobs", {}).values()}
        told.append(common.OffloadingWorkerMetadata(dict.fromkeys(jobs, 1)) if jobs else None)
    if not any(told):
        return None
    done = multi_connector.MultiKVConnectorWorkerMetadata(tuple(told))
    return KVConnectorOutput(finished_recving=loaded, kv_connector_worker_meta=done)


@dataclass
class Step:
    """One step of the scheduler: how many tokens of whom, and who was preempted."""

    tokens: dict[str, int]
    preempted: list[str]


@dataclass
class Scheduling:
    """vLLM's scheduler.

    Attributes:
        connector: vLLM's `--kv-transfer-config`; None is no connector.
        blocks: of the pool; one is vLLM's null block.
        budget: tokens of a step, so that longer prompts come in chunks.
        flight: batches that are under way at once: 2 is asynchronous scheduling.
        policy: `fcfs` or `priority`.
        hybrid: whether a request's blocks may be in several groups.
        reading: whether requests use what is cached.
        answers: of ended requests, what the engine tells in `kv_transfer_params`.
        cached: tokens of each request that were there when it first began.
        loaded: requests for which another connector brought some.
        needless: preemptions, and waits, while there was room.
    """

    connector: dict[str, Any] | None = None
    blocks: int = 24
    budget: int = 48
    flight: int = 2
    policy: str = "fcfs"
    hybrid: bool = True
    reading: bool = True
    answers: dict[str, Any] = field(default_factory=dict[str, Any])
    cached: dict[str, int] = field(default_factory=dict[str, int])
    loaded: set[str] = field(default_factory=set[str])
    needless: list[str] = field(default_factory=list[str])
    stats: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    def __post_init__(self) -> None:
        torch = pytest.importorskip("torch")
        config = pytest.importorskip("vllm.config")
        schedulers = pytest.importorskip("vllm.v1.core.sched.async_scheduler")
        from vllm.utils.hashing import sha256
        from vllm.v1.core.kv_cache_utils import get_request_block_hasher, init_none_hash
        from vllm.v1.kv_cache_interface import FullAttentionSpec, KVCacheConfig, KVCacheGroupSpec

        init_none_hash(sha256)
        self._hasher = get_request_block_hasher(BLOCK, sha256)
        self.config: Any = config.VllmConfig(
            scheduler_config=config.SchedulerConfig(
                max_num_seqs=6,
                max_num_batched_tokens=self.budget,
                max_model_len=BLOCK * (self.blocks - 1),
                is_encoder_decoder=False,
                policy=self.policy,
                disable_hybrid_kv_cache_manager=not self.hybrid,
                async_scheduling=self.flight > 1,
            ),
            cache_config=config.CacheConfig(block_size=BLOCK, enable_prefix_caching=True),
            kv_transfer_config=self.connector and config.KVTransferConfig(**self.connector),
        )
        self.config.cache_config.num_gpu_blocks = self.blocks
        self.config.model_config = _Model(
            max_model_len=BLOCK * (self.blocks - 1),
            runner_type="generate",
            dtype=torch.float32,
            model="made up",
            get_total_num_kv_heads=lambda: 1,
        )
        spec = FullAttentionSpec(block_size=BLOCK, num_kv_heads=1, head_size=1, dtype=torch.float32)
        made = schedulers.AsyncScheduler if self.flight > 1 else schedulers.Scheduler
        self.scheduler: Any = made(
            self.config,
            KVCacheConfig(self.blocks, [], [KVCacheGroupSpec(["layer"], spec)]),
            SimpleNamespace(accept_tokens=lambda *_, **__: True),
            block_size=BLOCK,
            log_stats=True,
        )
        self._flying: deque[Any] = deque()
        self._watch()

    @property
    def pool(self) -> Any:
        return self.scheduler.kv_cache_manager.block_pool

    @property
    def busy(self) -> bool:
        return bool(self._flying) or self.scheduler.has_requests()

    def ask(
        self,
        id: str,
        tokens: list[int],
        write: int = 1,
        keep: Directive | None = None,
        priority: int = 0,
    ) -> None:
        """A request for so many tokens."""
        from vllm import SamplingParams
        from vllm.v1.request import Request

        said = None if keep is None else {"kv_transfer_params": keep.json()}
        sampling = SamplingParams(
            max_tokens=write,
            ignore_eos=True,
            extra_args=said,
            skip_reading_prefix_cache=not self.reading,
        )
        order = float(len(self.scheduler.requests) + 1)
        self.scheduler.add_request(
            Request(
                id,
                tokens,
                sampling,
                None,
                arrival_time=order,
                priority=priority,
                block_hasher=self._hasher,
            )
        )

    def abort(self, id: str) -> None:
        """A client has gone."""
        from vllm.v1.request import RequestStatus

        self.scheduler.finish_requests(id, RequestStatus.FINISHED_ABORTED)

    def step(self) -> Step:
        """Schedule a batch; take in the oldest one under way, once there are enough."""
        from vllm.v1.outputs import ModelRunnerOutput

        said = self.scheduler.schedule()
        for one in said.scheduled_new_reqs:
            self.cached.setdefault(one.req_id, one.num_computed_tokens)
        ids = list(said.num_scheduled_tokens)
        requests = [self.scheduler.requests[id] for id in ids]
        seen = [
            one.num_computed_tokens >= one.num_tokens + one.num_output_placeholders
            if self.flight == 1
            else not one.is_prefill_chunk
            for one in requests
        ]
        written = [
            [random.Random(f"{one.request_id} {one.num_computed_tokens}").randrange(99)] * so
            for one, so in zip(requests, seen, strict=True)
        ]
        copied = _copied(said.kv_connector_metadata)
        if ids or copied is not None or not self._flying:
            places = {id: i for i, id in enumerate(ids)}
            output = ModelRunnerOutput(ids, places, written, kv_connector_output=copied)
            self.loaded |= copied.finished_recving if copied is not None else set()
            self._flying.append((said, output))
        if len(self._flying) >= self.flight or not ids:
            done, output = self._flying.popleft()
            for told in self.scheduler.update_from_output(done, output).values():
                for one in told.outputs:
                    if one.kv_transfer_params is not None:
                        self.answers[one.request_id] = one.kv_transfer_params
                if told.scheduler_stats and told.scheduler_stats.kv_connector_stats:
                    self.stats.append(told.scheduler_stats.kv_connector_stats)
        return Step(dict(said.num_scheduled_tokens), sorted(said.preempted_req_ids or ()))

    def finish(self) -> list[Step]:
        """Step until nothing is left to do."""
        steps: list[Step] = []
        while self.busy:
            steps.append(self.step())
            assert len(steps) < 5_000
        return steps

    def _watch(self) -> None:
        """See whether ever a request is refused blocks that nobody uses."""
        manager = self.scheduler.kv_cache_manager
        allocate = manager.allocate_slots
        count = manager.coordinator.get_num_blocks_to_allocate
        needed: list[int] = []

        def counted(*args: Any, **more: Any) -> Any:
            needed.append(count(*args, **more))
            return needed[-1]

        def watched(request: Any, *args: Any, **more: Any) -> Any:
            needed.clear()
            given = allocate(request, *args, **more)
            unused = sum(block.ref_cnt == 0 and not block.is_null for block in self.pool.blocks)
            if given is None and needed and needed[-1] <= unused:
                self.needless.append(request.request_id)
            return given

        manager.coordinator.get_num_blocks_to_allocate = counted
        manager.allocate_slots = watched
