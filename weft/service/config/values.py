"""Values: what fields of the configuration may be, beyond their types."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
)

from weft.backends.kinds.specs import parse
from weft.orchestrator.policy_file import load_policy
from weft.parts.spec import as_text
from weft.search.readers import parse_reader
from weft.search.strategy import parse_strategy
from weft.service.config.api_key import HASH

LONGEST_SALT = 128
"""Letters of a `cache_salt` that vLLM takes."""

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
"""Seconds, or another amount above 0."""

Count = Annotated[int, Field(ge=1)]
"""At least 1."""


def _engine(spec: str) -> str:
    parse(spec)
    return spec


def _policy(spec: str) -> str:
    load_policy(spec)
    return spec


def _strategy(spec: str) -> str:
    parse_strategy(spec)
    return spec.strip()  # as written: a default that is written down holds against requests


def _reader(spec: str) -> str:
    parse_reader(spec)
    return spec.strip()


def _hashed(key: str) -> str:
    if not HASH.fullmatch(key):
        raise ValueError(
            "must be the hash of a key, sha256:HEX as `weft key new` prints it, or ${NAME} "
            "where the environment holds the key itself"
        )
    return key


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


_FRAMING = frozenset(
    (
        *("host", "connection", "keep-alive", "proxy-connection", "upgrade", "expect"),
        *("te", "trailer", "transfer-encoding", "content-length", "content-type"),
        *("content-encoding", "accept-encoding", "x-request-id"),
    )
)
_SECRET = frozenset(("authorization", "x-api-key", "api-key", "cookie", "proxy-authorization"))


def _forwarded(name: str) -> str:
    small = name.strip().lower()
    if not re.fullmatch(r"[a-z0-9!#$%&'+.^_`|~-]+", small):
        raise ValueError("must be the name of a header, such as x-team")
    if small in _FRAMING:
        raise ValueError("belongs to each connection alone, and can't be passed on; take it out")
    if small in _SECRET:
        raise ValueError("would show clients' keys to engines; take it out")
    return small


def _path(path: str) -> str:
    if not re.fullmatch(r"/[^\s*?#]+\*?", path):
        raise ValueError("must be a path such as /v1/rerank, or its beginning such as /v1/files*")
    return path


def _origin(text: str) -> str:
    small = text.strip().rstrip("/").lower()
    if small != "*" and not re.fullmatch(r"https?://[^/\s*]+", small):
        raise ValueError("must be an origin such as https://app.example.com, or * for all pages")
    return small


EngineText = Annotated[str, AfterValidator(_engine)]
"""The spec of an engine, read already once."""

# A spec may also be written as YAML: {cap: {k: 8}}.

PolicyText = Annotated[str, BeforeValidator(as_text), AfterValidator(_policy)]
"""A policy's spec, or the file of one."""

StrategyText = Annotated[str, BeforeValidator(as_text), AfterValidator(_strategy)]
"""A strategy's spec, as it was written."""

ReaderText = Annotated[str, BeforeValidator(as_text), AfterValidator(_reader)]
"""A reader's spec, as it was written."""

KeyHash = Annotated[str, AfterValidator(_hashed)]
"""The hash of an API key."""

HeaderName = Annotated[str, AfterValidator(_forwarded)]
"""A header, in small letters, that may be passed on to engines."""

OriginText = Annotated[str, AfterValidator(_origin)]
"""The origin of web pages, in small letters and without a path; `*` for all."""

PathPattern = Annotated[str, AfterValidator(_path)]
"""A path, or with * at its end the beginning of paths."""

Names = Annotated[list[str], BeforeValidator(_listed)]
"""Names; one may be written without a list."""
