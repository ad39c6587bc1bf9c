"""WeftLeases: the KV connector that brings leases into vLLM; it moves nothing.

The interface of connectors is experimental: all that touches it is here and in `free_list`.
Made for vLLM 0.32.
"""

# pyright: basic
# vLLM's interface is hardly typed.

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from vllm.distributed.kv_transfer.kv_connector.factory import KVConnectorFactory
from vllm.distributed.kv_transfer.kv_connector.v1.base import (
    KVConnectorBase_V1,
    KVConnectorMetadata,
    KVConnectorRole,
    SupportsHMA,
)
from vllm.v1.request import RequestStatus

from weft.leases.book import LeaseBook
from weft.leases.directive import FIELD, Directive, read_directive
from weft.leases.free_list import HeldLast
from weft.leases.metrics import LeaseMetrics, LeaseStats

if TYPE_CHECKING:
    from vllm.config import VllmConfig
    from vllm.v1.core.block_pool import BlockPool
    from vllm.v1.core.kv_cache_manager import KVCacheBlocks, KVCacheManager
    from vllm.v1.core.sched.output import SchedulerOutput
    from vllm.v1.kv_cache_interface import KVCacheConfig
    from vllm.v1.request import Request

_WHOLE = (
    RequestStatus.FINISHED_STOPPED,
    RequestStatus.FINISHED_LENGTH_CAPPED,
    RequestStatus.FINISHED_REPETITION,
)
"""How requests end that were not broken off, by a client or by an error."""
_SWEEP = 1.0
"""Seconds between looks for leases whose time is over."""


class WeftLeases(KVConnectorBase_V1, SupportsHMA):
    """Keeps leases in the scheduler's process; in workers it does nothing.

    `kv_connector_extra_config` may have `tenant_share`, the share of the cache, from 0 to 1, that
    leases of one tenant may hold before those of others are given up.
    """

    def __init__(
        self, vllm_config: VllmConfig, role: KVConnectorRole, kv_cache_config: KVCacheConfig
    ) -> None:
        super().__init__(vllm_config, role, kv_cache_config)
        self._book: LeaseBook | None = None
        self._free: HeldLast | None = None
        self._pool: BlockPool | None = None
        self._cached: Any = None
        self._swept = 0.0
        self._told_of: dict[str, int] = {}
        self._changed = True

    @property
    def requires_kv_delivery(self) -> bool:
        """Nothing is handed over, so preempted requests go on as without a connector."""
        return False

    # In the scheduler.

    def bind_gpu_block_pool(self, gpu_block_pool: BlockPool) -> None:
        """Take over the pool's list of free blocks."""
        share = self._kv_transfer_config.get_from_extra_config("tenant_share", None)
        most = None if share is None else int(float(share) * gpu_block_pool.num_gpu_blocks)
        self._book = LeaseBook(time.monotonic, most)
        self._free = HeldLast(gpu_block_pool.free_block_queue, gpu_block_pool.blocks, self._book)
        gpu_block_pool.free_block_queue = self._free
        self._pool, self._cached = gpu_block_pool, gpu_block_pool.cached_block_hash_to_block

    def bind_kv_cache_manager(self, kv_cache_manager: KVCacheManager) -> None:
        """Bind the pool, and hear of preemptions, of which no connector is told.

        A request is preempted when fewer blocks are free than are needed. Leases give up what they
        hold of these, so that the blocks of the preempted request, which goes on soon, are not
        forgotten before.
        """
        super().bind_kv_cache_manager(kv_cache_manager)
        free = kv_cache_manager.free

        def freed(request: Request) -> None:
            if request.status == RequestStatus.RUNNING and self._free is not None:
                self._free.give_up()
            free(request)

        kv_cache_manager.free = freed

    def on_new_request(self, request: Request) -> None:
        """Do at once what a request says of leases that end."""
        directive = read_directive(request.kv_transfer_params)
        if directive is None or self._book is None or self._free is None:
            return
        self._watch_reset()
        for id in directive.release:
            self._free.release(self._book.end(id, "released"))
        for id in directive.forget:
            self._free.forget(self._book.end(id, "forgotten"))

    def get_num_new_matched_tokens(
        self, request: Request, num_computed_tokens: int
    ) -> tuple[int, bool]:
        """Nothing comes from elsewhere."""
        return 0, False

    def update_state_after_alloc(
        self, request: Request, blocks: KVCacheBlocks, num_external_tokens: int
    ) -> None:
        """What a conversation held, and goes on without, is worthless from now on."""
        directive = read_directive(request.kv_transfer_params)
        if directive is None or not directive.lease or self._book is None or self._free is None:
            return
        used = {block for group in blocks.get_block_ids() for block in group}
        self._free.forget(self._book.supersede(directive, used))

    def build_connector_meta(self, scheduler_output: SchedulerOutput) -> KVConnectorMetadata:
        """Nothing is to be moved; once a second, leases end whose time is over."""
        now = time.monotonic()
        if self._book is not None and self._free is not None and now - self._swept >= _SWEEP:
            self._swept, self._changed = now, True
            self._watch_reset()
            self._free.release(self._book.sweep())
        return KVConnectorMetadata()

    def request_finished(
        self, request: Request, block_ids: list[int]
    ) -> tuple[bool, dict[str, Any] | None]:
        """As with several groups of blocks."""
        return self.request_finished_all_groups(request, (block_ids,))

    def request_finished_all_groups(
        self, request: Request, block_ids: tuple[list[int], ...]
    ) -> tuple[bool, dict[str, Any] | None]:
        """Hold what a request leaves behind, if it asks for it; the blocks become free at once."""
        directive = read_directive(request.kv_transfer_params)
        if directive is None or self._book is None or self._free is None:
            return False, None
        self._watch_reset()
        self._changed = True
        blocks = self._cached_blocks(block_ids)
        broken = request.status not in _WHOLE
        if broken and directive.lost:
            self._free.forget(blocks)
        elif directive.lease:
            if broken:  # what it supersedes, it has superseded when it began
                directive = replace(directive, supersedes=False)
            self._free.forget(self._book.grant(directive, blocks))
        return False, {FIELD: self._told(directive)}

    def get_kv_connector_stats(self) -> LeaseStats | None:
        """What is new since the last step, if anything is."""
        if self._book is None or not self._changed:
            return None
        self._changed = False
        return LeaseStats.of(self._book, self._told_of)

    @classmethod
    def build_kv_connector_stats(cls, data: dict[str, Any] | None = None) -> LeaseStats:
        """What was told, as it comes to the process that serves `/metrics`."""
        return LeaseStats(data or {})

    @classmethod
    def build_prom_metrics(
        cls,
        vllm_config: VllmConfig,
        metric_types: Any,
        labelnames: list[str],
        per_engine_labelvalues: dict[int, list[object]],
    ) -> LeaseMetrics:
        """The metrics of leases."""
        return LeaseMetrics(vllm_config, metric_types, labelnames, per_engine_labelvalues)

    def reset_cache(self) -> bool:
        """The cache is emptied, and leases with it."""
        self._clear()
        return True

    # In workers: there is nothing to load or save.

    def start_load_kv(self, forward_context: Any, **kwargs: Any) -> None:
        """Nothing is loaded."""

    def wait_for_layer_load(self, layer_name: str) -> None:
        """Nothing is loaded."""

    def save_kv_layer(
        self, layer_name: str, kv_layer: Any, attn_metadata: Any, **kwargs: Any
    ) -> None:
        """Nothing is saved."""

    def wait_for_save(self) -> None:
        """Nothing is saved."""

    def _told(self, directive: Directive) -> dict[str, Any]:
        """What an answer says of the leases: of its own, and of all."""
        assert self._book is not None
        assert self._pool is not None
        lease = self._book.leases.get(directive.lease)
        return {
            "held": 0 if lease is None else len(lease.blocks),
            "all_held": self._book.held,
            "leases": len(self._book.leases),
            "blocks": self._pool.num_gpu_blocks,
            "free": self._pool.get_num_free_blocks(),
            "given_up": dict(self._book.given_up),
        }

    def _cached_blocks(self, block_ids: tuple[list[int], ...]) -> list[int]:
        """Those that can be found again: not the last one if it is not full, nor a placeholder."""
        assert self._pool is not None
        every = self._pool.blocks
        return [b for group in block_ids for b in group if every[b].block_hash is not None]

    def _watch_reset(self) -> None:
        """See whether the cache was emptied: vLLM makes a new table then, and tells nobody."""
        assert self._pool is not None
        if self._pool.cached_block_hash_to_block is not self._cached:
            self._clear()

    def _clear(self) -> None:
        if self._book is None or self._free is None or self._pool is None:
            return
        self._cached = self._pool.cached_block_hash_to_block
        self._free.release(self._book.clear())


# Beside others, in a `MultiConnector`, vLLM reads what connectors tell by their registered names.
if WeftLeases.__name__ not in KVConnectorFactory._registry:
    KVConnectorFactory.register_connector(WeftLeases.__name__, __name__, WeftLeases.__name__)
