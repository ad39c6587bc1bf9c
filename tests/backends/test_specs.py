from __future__ import annotations

import json
from pathlib import Path

import pytest

from weft.backends import specs
from weft.backends.local import standing
from weft.backends.openai import OpenAIEngine
from weft.backends.scripted.engine import ScriptedEngine
from weft.backends.specs import EngineSpec, open_engines, parse
from weft.backends.vllm import VLLMEngine
from weft.errors import UsageError
from weft.types import Delta, Message, Request


@pytest.fixture(autouse=True)
def weft_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WEFT_HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("http://localhost:8000", EngineSpec("http", "http://localhost:8000")),
        (" https://host/v1", EngineSpec("http", "https://host/v1")),
        ("openai:gpt@http://h/v1", EngineSpec("openai", "gpt@http://h/v1")),
        ("local:countdown", EngineSpec("local", "countdown")),
        ("scripted:", EngineSpec("scripted", "")),
    ],
)
def test_good_specs(text: str, spec: EngineSpec) -> None:
    assert parse(text) == spec


@pytest.mark.parametrize("text", ["", "host:8000", "vllm:x", "http://", "local:", "openai:"])
def test_bad_specs_name_the_forms(text: str) -> None:
    with pytest.raises(UsageError, match="http://host:port"):
        parse(text)


async def test_engines_of_all_kinds(tmp_path: Path) -> None:
    answers = tmp_path / "answers.json"
    answers.write_text(json.dumps({"hello": ["a", "b"]}))
    texts = ["http://h:1", "openai:m@http://h:2/v1", "scripted:hi", f"scripted:{answers}"]
    async with open_engines(texts, model="m") as engines:
        vllm, openai, hi, table = engines
        assert isinstance(vllm, VLLMEngine)
        assert isinstance(openai, OpenAIEngine)
        assert (vllm.url, openai.url) == ("http://h:1", "http://h:2/v1")
        assert isinstance(hi, ScriptedEngine)
        deltas: list[Delta] = []
        for _ in range(2):
            request = Request("r", "scripted", (Message("user", "hello"),))
            await table.complete(request, deltas.append)
        assert "".join(delta.text for delta in deltas) == "ab"


async def test_bad_files_and_no_engines(tmp_path: Path) -> None:
    for content in ("{", '"text"'):
        (tmp_path / "bad.json").write_text(content)
        with pytest.raises(UsageError, match=r"bad\.json"):
            async with open_engines([f"scripted:{tmp_path}/bad.json"]):
                pass
    with pytest.raises(UsageError, match="no engine given"):
        async with open_engines([]):
            pass


async def test_a_folder_that_is_not_there() -> None:
    with pytest.raises(UsageError, match="no model folder"):
        async with open_engines(["local:/no/such/folder"]):
            pass


async def test_without_vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("weft.backends.local.flags.find_spec", lambda _: None)
    with pytest.raises(UsageError, match=r"pip install 'weft\[local\]'.*'weft\[vllm\]'"):
        async with open_engines(["local:countdown"]):
            pass


async def test_replicas_that_are_up_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    source = str(specs.shipped_model("countdown"))
    me = os.getpid()
    since = standing.birth(me)
    assert since is not None
    up = [
        standing.Standing(f"http://h:{n}", "countdown", source, me, "log", me, since)
        for n in (1, 2)
    ]
    standing.write(up)
    async with open_engines(["local:countdown"]) as engines:
        assert [engine.name for engine in engines] == ["http://h:1", "http://h:2"]


def test_shipped_models() -> None:
    folder = specs.shipped_model("countdown")
    assert folder is not None
    assert (folder / "model.safetensors").is_file()
    assert specs.shipped_model("nothing") is None
