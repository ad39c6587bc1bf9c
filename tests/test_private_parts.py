"""The private parts of other packages that weft uses are there; a failure says what broke."""

from __future__ import annotations

import asyncio
import inspect
import platform
import re
from importlib.metadata import version

import pytest
import trio
from uvicorn.protocols.http import flow_control, httptools_impl

PARTS = {
    "uvicorn": {
        httptools_impl: ["STATUS_LINE", "HttpToolsProtocol", "RequestResponseCycle"],
        httptools_impl.HttpToolsProtocol: [
            *("connection_made", "connection_lost", "data_received", "pause_writing"),
            *("resume_writing", "on_message_begin", "on_headers_complete", "on_body"),
            "on_message_complete",
        ],
        flow_control.FlowControl: ["drain", "resume_reading"],
    },
    "trio": {trio._core._run: ["_ALLOW_DETERMINISTIC_SCHEDULING", "_r"]},  # type: ignore
}
"""What must be there, by package."""

SET = {
    "asyncio": {asyncio.BaseEventLoop: ["_ready"]},
    "uvicorn": {
        httptools_impl.HttpToolsProtocol: [
            *("cycle", "scope", "parser", "url", "headers", "transport", "loop", "flow"),
        ],
        httptools_impl.RequestResponseCycle: [
            *("scope", "body", "more_body", "disconnected", "keep_alive", "message_event"),
            *("response_started", "response_complete", "on_response"),
        ],
        flow_control.FlowControl: ["write_paused"],
    },
}
"""Attributes that are set when an object is made or used, by package."""


def advice(package: str, owner: object, name: str) -> str:
    where = getattr(owner, "__qualname__", None) or getattr(owner, "__name__", owner)
    installed = platform.python_version() if package == "asyncio" else version(package)
    return (
        f"{package} {installed} has no {where}.{name}, which weft uses: adapt weft, or "
        f"lower the bound of {package} in pyproject.toml"
    )


@pytest.mark.parametrize("package", PARTS)
def test_private_parts_are_there(package: str) -> None:
    for owner, names in PARTS[package].items():
        for name in names:
            assert hasattr(owner, name), advice(package, owner, name)


@pytest.mark.parametrize("package", SET)
def test_private_attributes_are_set(package: str) -> None:
    for owner, names in SET[package].items():
        source = inspect.getsource(owner)
        for name in names:
            there = re.search(rf"self\.{name}\b|def {name}\b", source)
            assert there, advice(package, owner, name)
