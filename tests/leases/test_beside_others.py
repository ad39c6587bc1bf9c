"""Leases beside connectors that do move something, in vLLM's own scheduler."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from vllm_scheduling import BLOCK, LEASES, OFFLOADING, Scheduling, foreign, several
from weft.leases.directive import Directive

EXAMPLE = {
    "kv_connector": "ExampleConnector",
    "kv_role": "kv_both",
    "kv_connector_extra_config": {"shared_storage_path": "/nowhere"},
}
PROMPT = list(range(6 * BLOCK + 1))


def scheduling(other: dict[str, Any], **more: Any) -> Scheduling:
    return Scheduling(several(other, LEASES), hybrid=other is OFFLOADING, **more)


@pytest.mark.parametrize("other", [OFFLOADING, EXAMPLE])
def test_leases_hold_and_answer_beside_another_connector(other: dict[str, Any]) -> None:
    vllm = scheduling(other)
    vllm.ask("first", PROMPT, keep=Directive("a", seconds=600))
    vllm.finish()
    assert vllm.answers["first"]["weft"]["held"] == 6
    for number in range(12):
        vllm.ask(f"foreign {number}", foreign(number), keep=Directive())
        vllm.finish()
    assert vllm.answers["foreign 11"]["weft"]["all_held"] == 6
    vllm.ask("again", PROMPT, keep=Directive("a", supersedes=True))
    vllm.finish()
    assert vllm.cached["again"] == 6 * BLOCK
    assert not vllm.loaded
    vllm.ask("end", foreign(99), keep=Directive(forget=("a",)))
    vllm.finish()
    assert vllm.answers["end"]["weft"]["all_held"] == 0


def test_what_is_no_longer_held_comes_from_the_other_connector() -> None:
    vllm = scheduling(OFFLOADING)
    vllm.ask("first", PROMPT, keep=Directive("a"))
    vllm.finish()
    vllm.ask("large", foreign(0, 22), keep=Directive())
    vllm.finish()
    assert vllm.answers["large"]["weft"]["given_up"]["need"] == 6
    vllm.ask("again", PROMPT, keep=Directive("a", supersedes=True))
    vllm.finish()
    assert vllm.cached["again"] == 6 * BLOCK
    assert vllm.loaded == {"again"}
    assert vllm.answers["again"]["weft"]["held"] == 6


def test_the_process_that_serves_metrics_reads_leases_beside_another_connector() -> None:
    client = pytest.importorskip("prometheus_client")
    metrics = pytest.importorskip("vllm.distributed.kv_transfer.kv_connector.v1.metrics")
    vllm = scheduling(OFFLOADING, policy="priority")
    vllm.ask("first", PROMPT, keep=Directive("a", seconds=600))
    vllm.finish()
    registry, log = (
        client.CollectorRegistry(),
        metrics.KVConnectorLogging(vllm.config.kv_transfer_config),
    )
    kinds = {
        kind: partial(kind, registry=registry)
        for kind in (client.Gauge, client.Counter, client.Histogram)
    }
    served = log.connector_cls.build_prom_metrics(vllm.config, kinds, ["engine"], {0: ["0"]})
    for stats in vllm.stats:
        log.observe(stats)
        served.observe(stats)
    logged: list[str] = []
    log.log(lambda form, told: logged.append(form % told))
    text = client.generate_latest(registry).decode()
    assert 'weft:leased_blocks{engine="0"} 6.0' in text
    assert 'weft:schedules_by_priority{engine="0"} 1.0' in text
    assert "'blocks held': 6" in logged[0]
