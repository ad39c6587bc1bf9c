from __future__ import annotations

import json
from pathlib import Path

import pytest

from hosted_endpoint import Endpoint, serving
from weft import Pool, Prompt, generate
from weft.backends.kinds.own import VLLM, LocalReplicas, OpenAI, ScriptedAnswers
from weft.backends.kinds.specs import open_engines, parse
from weft.backends.local import standing
from weft.backends.local.shipped import shipped_model
from weft.backends.openai import OpenAIEngine
from weft.backends.scripted.engine import ScriptedEngine
from weft.backends.vllm import VLLMEngine
from weft.errors import UsageError
from weft.types import Delta, Message, Request


@pytest.fixture(autouse=True)
def weft_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WEFT_HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("text", "kind", "values"),
    [
        ("http://localhost:8000", VLLM, {"url": "http://localhost:8000"}),
        (" https://host/v1", VLLM, {"url": "https://host/v1"}),
        ("vllm:http://h", VLLM, {"url": "http://h"}),
        ("vllm(url=http://h:1, model=m)", VLLM, {"url": "http://h:1", "model": "m"}),
        ("openai:gpt@http://h/v1", OpenAI, {"model": "gpt", "base_url": "http://h/v1"}),
        ("openai(model=gpt)?omit=top_k", OpenAI, {"model": "gpt", "omit": "top_k"}),
        ("local:countdown", LocalReplicas, {"model": "countdown"}),
        ("local:007", LocalReplicas, {"model": "007"}),
        (
            "local(model=countdown, replicas=3)",
            LocalReplicas,
            {"model": "countdown", "replicas": 3},
        ),
        ("scripted:", ScriptedAnswers, {"answer": ""}),
        ("scripted:why? (a=b)", ScriptedAnswers, {"answer": "why? (a=b)"}),
        ("scripted:7", ScriptedAnswers, {"answer": "7"}),
    ],
)
def test_good_specs(text: str, kind: type, values: dict[str, object]) -> None:
    spec = parse(text)
    assert (spec.kind, spec.values, spec.options) == (kind, values, {})


@pytest.mark.parametrize(
    "text",
    [
        "http://h:1?rate=20&concurrency=8&key=K",
        "openai:m@http://h/v1?rate=20&concurrency=8&key=K",
        "openai(model=m, rate=20, concurrency=8, key=K)",
        "openai(model=m)?rate=20&concurrency=8&key=K",
    ],
)
def test_options_of_all_engines(text: str) -> None:
    assert parse(text).options == {"rate": 20.0, "concurrency": 8, "key": "K"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("openai:m?omt=1", "unknown parameter of engine openai 'omt'; did you mean omit"),
        ("openai:m?rate=soon", "engine 'openai:m': rate=soon must be a number"),
        ("openai:m?concurrency=1.5", "concurrency=1.5 must be a whole number"),
        ("openai:m?rate=0", "engine 'openai:m': rate=0"),
        ("openai:m?model=n", "model is there twice"),
        ("openai:m?", None),
        ("openai:m?x", "unknown parameter"),
        ("vllm()", "engine vllm needs url; write vllm(url=...)"),
        ("local(model=m, replicas=some)", "replicas=some of local must be a whole number"),
        ("openai(model=m", "expected a comma or a closing parenthesis"),
        ("openia:gpt", "unknown engine 'openia:gpt'; did you mean openai? Or write one of"),
    ],
)
def test_what_is_wrong_with_a_spec(text: str, says: str | None) -> None:
    if says is None:
        assert parse(text) == parse("openai:m")
        return
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert says in str(caught.value)


async def test_what_an_endpoint_is_sent_otherwise() -> None:
    extra = '{"a": {"b": 1}}'
    with serving(Endpoint()) as endpoint:
        for spec in (
            f"openai:m@{endpoint.url}?omit=temperature,seed&rename=top_p:nucleus&extra={extra}",
            f"openai(model=m, base_url={endpoint.url}, omit='temperature, seed', "
            f"rename=top_p:nucleus, extra='{extra}')",
        ):
            async with Pool(spec):
                await generate(Prompt.user("hi"), temperature=0.5, seed=3, top_p=0.5)
            body = endpoint.bodies[-1]
            assert not {"temperature", "seed", "top_p"} & body.keys()
            assert (body["nucleus"], body["a"]) == (0.5, {"b": 1})
    with pytest.raises(UsageError, match="engine openai needs model"):
        async with open_engines(["openai()"]):
            pass
    for wrong in ("rename=seed", "extra=[1]", "extra={"):
        with pytest.raises(UsageError, match=r"must be (NAME:OTHER|a JSON object)"):
            async with open_engines([f"openai:m?{wrong}"]):
                pass


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

    source = str(shipped_model("countdown"))
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
    folder = shipped_model("countdown")
    assert folder is not None
    assert (folder / "model.safetensors").is_file()
    assert shipped_model("nothing") is None
