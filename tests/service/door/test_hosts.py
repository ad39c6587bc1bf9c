"""Names under which the service may be asked."""

from __future__ import annotations

from typing import Any

import pytest

from live_service import BODIES, serving
from weft.backends.mock import server as mock
from weft.backends.scripted.engine import ScriptedEngine
from weft.service.config.api_key import hash_key
from weft.service.config.file import ServiceConfig
from weft.service.door.hosts import Hosts

pytestmark = pytest.mark.loops("asyncio")

KEY = "key-of-ann-0000000"
TENANTS = [{"name": "ann", "keys": [hash_key(KEY)]}]


def hosts(**fields: Any) -> Hosts:
    return Hosts(ServiceConfig.model_validate({"engines": ["http://h"], **fields}))


OURS = [
    *("", "localhost", "LocalHost:8080", "localhost:9", "127.0.0.1", "127.0.0.1:8080"),
    *("[::1]", "[::1]:8080", "192.168.0.7:8080", "weft.localhost:8080"),
]
FOREIGN = [
    *("evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example"),
    *("xlocalhost", "[::1].evil", "127.0.0.1:x", "a" * 10_000, ":", "\xff"),
]


@pytest.mark.parametrize("host", OURS)
def test_the_services_own_names_may_be_used(host: str) -> None:
    assert hosts().refusal(host) is None
    assert hosts(admin={"keys": [hash_key(KEY)]}).refusal(host) is None


@pytest.mark.parametrize("host", FOREIGN)
def test_other_names_may_be_used_where_keys_protect_or_all_may_come(host: str) -> None:
    refusal = hosts().refusal(host)
    assert refusal is not None
    assert "use http://127.0.0.1:8080, or give it tenants with keys" in refusal
    assert len(refusal) < 1000
    # Keys of the admin protect no inference.
    assert hosts(admin={"keys": [hash_key(KEY)]}).refusal(host)
    assert hosts(tenants=TENANTS).refusal(host) is None
    assert hosts(listen={"host": "0.0.0.0", "allow_open": True}).refusal(host) is None


def test_the_address_it_listens_at_is_a_name_of_its_own() -> None:
    known = hosts(listen={"host": "127.9.9.9", "port": 99})
    assert known.refusal("127.9.9.9:99") is None
    assert "use http://127.9.9.9:99," in str(known.refusal("evil.example"))


async def test_no_route_is_served_under_a_foreign_name() -> None:
    engine = ScriptedEngine("Hello", model="m")
    foreign = {"host": "evil.example:8080"}
    with mock.running(engine) as url:
        async with serving(url) as service:
            for path in BODIES:
                answer = await service.post(path, foreign)
                assert answer.status_code == 403, path
                assert "evil.example" in answer.json()["error"]["message"]
            for path in ("/", "/metrics", "/health", "/v1/models", "/v1/programs", "/nothing"):
                answer = await service.http.get(path, headers=foreign)
                assert answer.status_code == 403, path
            for path in ("/admin/engines", "/dashboard/data"):
                assert (await service.http.get(path)).status_code == 200
                assert (await service.http.get(path, headers=foreign)).status_code == 403
            assert (await service.http.post("/admin/reload", headers=foreign)).status_code == 403
            for host in ("localhost", f"localhost:{service.port}", f"[::1]:{service.port}"):
                assert (await service.post(_headers={"host": host})).status_code == 200
            without = b"GET /v1/models HTTP/1.0\r\n\r\n"
            assert b" 200 " in (await service.raw(without)).partition(b"\r\n")[0]
        asked = len(engine.requests)
        async with serving(url, tenants=TENANTS) as service:
            named = {"authorization": f"Bearer {KEY}", **foreign}
            assert (await service.post(_headers=named)).status_code == 200
    assert len(engine.requests) == asked + 1
