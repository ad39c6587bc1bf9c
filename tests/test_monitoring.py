"""The dashboard and the alerts ask for what the service tells at /metrics, and for nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from weft.backends.engine import EngineLoad
from weft.backends.scripted.engine import ScriptedEngine
from weft.orchestrator.causes.cause import Miss
from weft.orchestrator.policy_file import load_policy
from weft.orchestrator.scheduler import Scheduler
from weft.service.programs.records import CallRecord, ProgramRecord
from weft.service.watch.metrics import Metrics

DEPLOY = Path(__file__).parent.parent / "deploy"
BOARD = json.loads((DEPLOY / "grafana" / "weft.json").read_text())
RULES = yaml.safe_load((DEPLOY / "prometheus" / "weft.rules.yaml").read_text())
FUNCTIONS = {"sum", "rate", "increase", "histogram_quantile", "absent", "by", "or"}
SCRAPED = {"job", "instance"}  # what Prometheus adds
ROWS = ["Traffic", "Waits", "Cached share", "KV: claims and leases", "Engines", "Tenants", "Errors"]


@dataclass
class Registry:
    programs: dict[str, ProgramRecord] = field(default_factory=dict[str, ProgramRecord])


async def _render() -> str:
    engines = [ScriptedEngine("x", model="m", name="gpu0", kv_tokens=4096)]
    scheduler = Scheduler(engines, load_policy("weft"))
    scheduler.dispatcher.counters.unanswered["place"] = 1
    metrics = Metrics(Registry(), scheduler, {"gpu0": EngineLoad(1, 0, 0.5)}, lambda: {"m"})
    program = ProgramRecord("a/p", "a", "n", "s", "", 1.0, 2.0)
    fields: dict[str, Any] = {"came": 1.0, "sent": 1.2, "first": 1.5, "ended": 2.0}
    fields |= {"engine": "gpu0", "status": 200, "outcome": "done", "attempts": 1}
    fields |= {"wait_cause": "busy", "missed": (Miss("new", 5, 0),)}
    metrics.call_ended(CallRecord("c", program, "/v1/messages", "m", **fields))
    metrics.program_ended(program, "released")
    return metrics.render().decode()


@pytest.fixture(scope="module")
def told() -> dict[str, set[str]]:
    """The labels of each series that the service tells."""
    found: dict[str, set[str]] = {"up": set()}
    for family in text_string_to_metric_families(anyio.run(_render)):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def panels() -> list[dict[str, Any]]:
    return [panel for panel in BOARD["panels"] if panel["type"] != "row"]


def alerts() -> list[dict[str, Any]]:
    return [rule for group in RULES["groups"] for rule in group["rules"]]


def expressions() -> Iterator[str]:
    for panel in panels():
        yield from (target["expr"] for target in panel["targets"])
    yield from (rule["expr"] for rule in alerts())


def parts(expression: str) -> tuple[set[str], set[str]]:
    """The names of series in an expression, and all labels that it asks for."""
    bare = re.sub(r'"[^"]*"', '""', expression)
    bare = re.sub(r"\[[^]]*\]", "", bare)
    labels = set(re.findall(r"(\w+)\s*(?:=~|!=|!~|=(?!=))\s*\"", bare))
    for listed in re.findall(r"\bby \(([^)]*)\)", bare):
        labels |= {name.strip() for name in listed.split(",")}
    bare = re.sub(r"\bby \([^)]*\)|\{[^}]*\}", " ", bare)
    return {n for n in re.findall(r"[a-zA-Z_]\w*", bare) if n not in FUNCTIONS}, labels


def test_names_and_labels_are_those_that_the_service_tells(told: dict[str, set[str]]) -> None:
    asked = set[str]()
    for expression in expressions():
        names, labels = parts(expression)
        assert names, expression
        assert names <= set(told), expression
        assert labels - SCRAPED <= set.union(*(told[name] for name in names)), expression
        assert expression.count("(") == expression.count(")"), expression
        asked |= names
    [job] = [v for v in BOARD["templating"]["list"] if v["name"] == "job"]
    assert parts(job["definition"].removeprefix("label_values"))[0] - {"job"} <= set(told)
    own = {re.sub(r"_(count|sum|bucket|created)$", "", n) for n in told if n.startswith("weft_")}
    shown = {re.sub(r"_bucket$", "", name) for name in asked}
    assert own - shown == {"weft_scheduler_longest_wait_seconds"}, "a peak since the start"


def test_an_invented_name_would_be_found() -> None:
    assert parts('sum by (le) (rate(weft_invented_total{a="b"}[5m])) > 0.5') == (
        {"weft_invented_total"},
        {"le", "a"},
    )


def test_expressions_can_be_read() -> None:
    parser = pytest.importorskip("promql_parser")
    for expression in expressions():
        parser.parse(expression.replace("$__rate_interval", "5m"))


def test_the_dashboard_is_whole() -> None:
    rows = [panel["title"] for panel in BOARD["panels"] if panel["type"] == "row"]
    for wanted in ROWS:
        assert any(title.startswith(wanted) for title in rows), wanted
    ids = [panel["id"] for panel in BOARD["panels"]]
    assert len(ids) == len(set(ids))
    for panel in panels():
        assert panel["datasource"]["uid"] == "${datasource}", panel["title"]
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
        # What a series is called in the legend is one of its labels.
        for target in panel["targets"]:
            named = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            names, labels = parts(target["expr"])
            bare = not re.search(r"\bsum\b|histogram_quantile", target["expr"])
            assert named <= labels or bare, (panel["title"], names)


def test_alerts_say_what_to_do(told: dict[str, set[str]]) -> None:
    names = [rule["alert"] for rule in alerts()]
    assert len(names) == len(set(names))
    for rule in alerts():
        assert rule["labels"]["severity"] in ("critical", "warning")
        summary, description = rule["annotations"]["summary"], rule["annotations"]["description"]
        assert summary.endswith(".")
        assert description.endswith(".")
        _, labels = parts(rule["expr"])
        series = set.union(*(told[name] for name in parts(rule["expr"])[0]))
        assert set(re.findall(r"\$labels\.(\w+)", summary + description)) <= labels | series
