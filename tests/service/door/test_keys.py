from __future__ import annotations

import re
from typing import Any

import pytest

from weft.service.config.api_key import HASH, hash_key, new_key
from weft.service.config.file import ServiceConfig
from weft.service.door.keys import Keys
from weft.service.door.tenants import Tenants

RED, BLUE, ADMIN = new_key(), new_key(), new_key()


def keys(**fields: Any) -> tuple[Keys, Tenants]:
    config = ServiceConfig.model_validate({"engines": ["http://h"], **fields})
    tenants = Tenants(config)
    return Keys(config, tenants), tenants


@pytest.fixture
def both() -> tuple[Keys, Tenants]:
    return keys(
        tenants=[
            {"name": "red", "keys": [hash_key(new_key()), hash_key(RED)]},
            {"name": "blue", "keys": [hash_key(BLUE)]},
        ],
        admin={"keys": [hash_key(ADMIN)]},
    )


def test_keys_are_random_and_hashed() -> None:
    made = {new_key() for _ in range(100)}
    assert len(made) == 100
    for key in made:
        assert re.fullmatch(r"weft-[\w-]{43}", key)
        assert HASH.fullmatch(hash_key(key))
        assert key not in hash_key(key)
    # The digest that anybody can compute with sha256sum.
    assert hash_key("abc") == (
        "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": f"Bearer {RED}"},
        {"authorization": f"bearer  {RED} "},
        {"x-api-key": RED},
        {"api-key": RED},
        {"authorization": "Bearer something-else", "x-api-key": RED},
        {"authorization": "Basic Zm9vOmJhcg==", "api-key": RED, "x-api-key": ""},
    ],
)
def test_a_key_names_its_tenant(both: tuple[Keys, Tenants], headers: dict[str, str]) -> None:
    known, tenants = both
    assert known.tenant(headers) is tenants["red"]
    assert not known.admin(headers)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": "Bearer "},
        {"authorization": RED},
        {"authorization": f"Basic {RED}"},
        {"x-api-key": RED[:-1]},
        {"x-api-key": RED + "x"},
        {"x-api-key": hash_key(RED)},
        {"x-api-key": hash_key(RED).removeprefix("sha256:")},
        {"x-api-key": "0" * 64},
        {"x-api-key": "\xff\xfe"},
        {"x-api-key": "\u20ac\ud800"},
        {"x-api-key": ADMIN},
        {"cookie": RED},
    ],
)
def test_no_key_no_tenant(both: tuple[Keys, Tenants], headers: dict[str, str]) -> None:
    known, _ = both
    assert known.tenant(headers) is None
    assert known.admin(headers) == (ADMIN in headers.values())


def test_a_key_beyond_ascii_comes_as_its_bytes() -> None:
    key = "schlüssel-schlüssel"
    known, tenants = keys(tenants=[{"name": "a", "keys": [hash_key(key)]}])
    assert known.tenant({"x-api-key": key.encode().decode("latin-1")}) is tenants["a"]


def test_without_tenants_everybody_is_one() -> None:
    known, tenants = keys()
    assert known.tenant({}) is known.tenant({"x-api-key": RED}) is tenants.anonymous
    assert known.admin({})


def test_admin_without_an_admin_key() -> None:
    red = [{"name": "red", "keys": [hash_key(RED)]}]
    assert not keys(tenants=red)[0].admin({"x-api-key": RED})
    beyond = {"host": "0.0.0.0", "allow_open": True}
    assert not keys(listen=beyond)[0].admin({})
    with_key = keys(listen=beyond, admin={"keys": [hash_key(ADMIN)]})[0]
    assert with_key.admin({"authorization": f"Bearer {ADMIN}"})
    assert not with_key.admin({})
    assert not keys(admin={"keys": [hash_key(ADMIN)]})[0].admin({})
