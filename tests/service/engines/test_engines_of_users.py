"""Engines of users under the service: what takes requests over HTTP serves them."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from live_service import serving
from weft.backends.mock import server as mock
from weft.backends.scripted.engine import ScriptedEngine
from weft.errors import UsageError

pytestmark = pytest.mark.loops("asyncio")


async def test_an_engine_of_a_file_serves(tmp_path: Path) -> None:
    file = tmp_path / "behind_the_service.py"
    file.write_text(
        dedent(
            """
            from weft.backends.vllm import VLLMEngine

            class Near(VLLMEngine):
                def __init__(self, port: int, api_key: str | None = None) -> None:
                    super().__init__(f"http://127.0.0.1:{port}", api_key=api_key)

            class Silent(VLLMEngine):
                def __init__(self) -> None:
                    super().__init__("http://127.0.0.1:1")
                    self.url = ""
            """
        )
    )
    engine = ScriptedEngine("Hello", model="m")
    with mock.running(engine) as url:
        port = url.rpartition(":")[2]
        spec = {"spec": f"{file}:Near(port={port})", "api_key": "k-1", "name": "near"}
        async with serving(spec) as service:
            answer = await service.post()
            assert answer.status_code == 200, answer.text
            assert answer.json()["choices"][0]["message"]["content"] == "Hello"
            assert service.inside.pool.engines[0].name == "near"
        assert engine.received[-1].headers["authorization"] == "Bearer k-1"
    with pytest.raises(UsageError, match="takes no requests over HTTP, which weft serve needs"):
        async with serving(f"{file}:Silent"):
            pass


async def test_what_an_engine_never_gets_gets_otherwise_and_gets_in_any_case() -> None:
    engine = ScriptedEngine("Hello", model="m")
    with mock.running(engine) as url:
        told = {"omit": "temperature", "rename": {"seed": "random_seed"}, "extra": {"top_k": 5}}
        async with serving({"spec": f"openai:m@{url}/v1", **told}) as service:
            for model in ("m", "m:majority(n=1)"):
                answer = await service.post(model=model, temperature=0.5, seed=3, top_p=0.9)
                assert answer.status_code == 200, answer.text
                body = engine.received[-1].body
                assert {"temperature", "seed"}.isdisjoint(body)
                assert (body["top_k"], body["top_p"]) == (5, 0.9)
                assert "random_seed" in body
