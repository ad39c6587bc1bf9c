"""What an engine's `/metrics` says of leases; that they are there says that it has leases."""

# pyright: basic
# vLLM's interface is hardly typed.

from __future__ import annotations

from typing import Any

from vllm.distributed.kv_transfer.kv_connector.v1.metrics import (
    KVConnectorPromMetrics,
    KVConnectorStats,
)

from weft.leases.book import LeaseBook

LEASES, HELD, GIVEN_UP = "weft:leases", "weft:leased_blocks", "weft:leased_blocks_given_up"
PRIORITY = "weft:schedules_by_priority"
CAUSES = ("need", "time", "released", "superseded", "forgotten", "lost")


class LeaseStats(KVConnectorStats):
    """Leases and held blocks as they are, and blocks given up since the last look."""

    @classmethod
    def of(cls, book: LeaseBook, seen: dict[str, int]) -> LeaseStats:
        """What has changed since `seen`, which is brought up to date."""
        more = {c: n - seen.get(c, 0) for c, n in book.given_up.items() if n > seen.get(c, 0)}
        seen.update(book.given_up)
        return cls({"leases": len(book.leases), "held": book.held, "given_up": more})

    def reset(self) -> None:
        """Forget all."""
        self.data = {}

    def aggregate(self, other: KVConnectorStats) -> KVConnectorStats:
        """Together with what came later."""
        if other.is_empty():
            return self
        before, later = self.data.get("given_up", {}), other.data["given_up"]
        given = {c: before.get(c, 0) + later.get(c, 0) for c in {**before, **later}}
        self.data = {**other.data, "given_up": given}
        return self

    def reduce(self) -> dict[str, int | float]:
        """For vLLM's log."""
        given = sum(self.data.get("given_up", {}).values())
        return {
            "weft leases": self.data.get("leases", 0),
            "blocks held": self.data.get("held", 0),
            "blocks given up": given,
        }

    def is_empty(self) -> bool:
        """Whether there is nothing to say."""
        return not self.data


class LeaseMetrics(KVConnectorPromMetrics):
    """The metrics in Prometheus' form."""

    def __init__(
        self,
        vllm_config: Any,
        metric_types: Any,
        labelnames: list[str],
        per_engine_labelvalues: dict[int, list[object]],
    ) -> None:
        super().__init__(vllm_config, metric_types, labelnames, per_engine_labelvalues)
        leases: Any = self._gauge_cls(LEASES, "Leases on blocks of the KV cache.", labelnames)
        held: Any = self._gauge_cls(HELD, "Blocks of the KV cache that leases hold.", labelnames)
        given_up: Any = self._counter_cls(
            GIVEN_UP, "Blocks that leases held, and no longer do, by cause.", [*labelnames, "cause"]
        )
        ordered: Any = self._gauge_cls(
            PRIORITY, "Whether requests with a lower priority go first.", labelnames
        )
        for values in per_engine_labelvalues.values():
            ordered.labels(*values).set(vllm_config.scheduler_config.policy == "priority")
        self._leases = {i: leases.labels(*v) for i, v in per_engine_labelvalues.items()}
        self._held = {i: held.labels(*v) for i, v in per_engine_labelvalues.items()}
        self._given_up = {
            (i, cause): given_up.labels(*values, cause)
            for i, values in per_engine_labelvalues.items()
            for cause in CAUSES
        }

    def observe(self, transfer_stats_data: dict[str, Any], engine_idx: int = 0) -> None:
        """Take in what the scheduler told."""
        if not transfer_stats_data:
            return
        self._leases[engine_idx].set(transfer_stats_data["leases"])
        self._held[engine_idx].set(transfer_stats_data["held"])
        for cause, blocks in transfer_stats_data["given_up"].items():
            self._given_up[engine_idx, cause].inc(blocks)
