"""The published document: whole, true, and the service stands what is made up by it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema_rs
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.routing import Route

from live_service import BODIES, serving
from service_process import serving as serving_process
from waiting import PATIENCE
from weft.backends.mock import server as mock
from weft.backends.scripted.engine import ScriptedEngine
from weft.service.openapi import document
from weft.service.protocols import PROTOCOLS

EVERY_CHECK: list[Any] = list(HealthCheck)

pytestmark = pytest.mark.loops("asyncio")

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
PAGES = {"/", "/dashboard/data"}
"""For people."""


async def test_every_path_and_method_is_described_and_none_that_is_not_there() -> None:
    with mock.running(ScriptedEngine("Hello", model="m")) as url:
        async with serving(url) as service:
            assert (await service.http.get("/openapi.json")).json() == document()
            app: Any = service.server.config.app
            routes = [route for route in app._rest.routes if isinstance(route, Route)]
    found = {(path, "post") for path in PROTOCOLS}
    for route in routes:
        path = route.path.replace(":path", "")
        methods = (route.methods or set()) - {"HEAD"}
        found |= {(path, method.lower()) for method in methods if path not in PAGES}
    described = {(path, method) for path, item in document()["paths"].items() for method in item}
    assert described == found


def bodies(path: str) -> jsonschema_rs.Validator:
    operation = document()["paths"][path]["post"]
    return jsonschema_rs.validator_for(
        operation["requestBody"]["content"]["application/json"]["schema"]
    )


@pytest.mark.parametrize("path", BODIES)
def test_schemas_say_what_the_gateway_checks(path: str) -> None:
    valid, check = bodies(path).is_valid, PROTOCOLS[path].check
    body = BODIES[path]
    assert valid(body | {"anything": {"else": 1}})
    assert valid(body | {"model": "m" * 1000})
    assert not check(body | {"model": "m" * 1000})
    assert valid(body | {"stream": None})
    prompt = next(key for key in body if key not in ("model", "max_tokens"))
    wrong: list[dict[str, Any]] = [
        {"model": ""},
        {"model": None},
        {"model": ["m"]},
        {"model": "m" * 1001},
        {prompt: 7},
        {prompt: [7.5] if prompt in ("messages",) else {}},
        {"tools": "all"} if path.startswith("/v1/messages") else {"model": 1},
    ]
    for change in wrong:
        assert not valid(body | change), change
        assert check(body | change), change
    for key in body:
        less = {k: v for k, v in body.items() if k != key}
        either = path == "/tokenize" and key == prompt  # or messages, which no schema says
        assert bool(check(less)) == (not valid(less) or either)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    log = tmp_path_factory.mktemp("service") / "log.txt"
    engine = ScriptedEngine("Hello", model="m")
    with (
        mock.running(engine) as address,
        serving_process(log, "--engine", address, "--log-level", "error") as ours,
    ):
        yield ours
        assert httpx.get(f"{ours}/health", timeout=PATIENCE).status_code == 200
        engines = httpx.get(f"{ours}/admin/engines", timeout=PATIENCE).json()["data"]
        assert [(one["alive"], one["in_flight"]) for one in engines] == [(True, 0)]
    assert "Traceback" not in log.read_text()


SCHEMA = schemathesis.openapi.from_dict(document())
OPERATIONS = [(path, method) for path, item in document()["paths"].items() for method in item]


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_made_up_requests_get_what_the_document_says(url: str, path: str, method: str) -> None:
    operation = SCHEMA[path][method.upper()]
    inference = path in PROTOCOLS

    def calling(mode: GenerationMode) -> Any:
        @settings(
            max_examples=8 if inference else 4,
            phases=[Phase.generate],
            suppress_health_check=EVERY_CHECK,
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def call(case: schemathesis.Case) -> None:
            if inference and isinstance(case.body, dict) and len(str(case.body.get("model"))) % 2:
                case.body["model"] = "m"  # or all would end at a model that there is not
            response = case.call(base_url=url, timeout=PATIENCE)
            case.validate_response(response, checks=CHECKS)

        return call

    calling(GenerationMode.POSITIVE)()
    if inference:
        calling(GenerationMode.NEGATIVE)()
