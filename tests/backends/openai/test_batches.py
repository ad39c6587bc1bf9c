"""Calls that go by an endpoint's batches, against the mock server, which speaks the protocol."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from weft import Pool, Prompt, gather, generate, run
from weft.backends.mock.server import running
from weft.backends.openai import batches
from weft.backends.openai.batch_engine import BatchEngine
from weft.backends.scripted.engine import Scripted, ScriptedEngine
from weft.errors import EngineError, RequestRejected
from weft.types import Request


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "QUIET", 0.05)
    monkeypatch.setattr(batches, "FIRST_LOOK", 0.01)


def echo(request: Request) -> str | Scripted:
    said = request.messages[-1].content
    return Scripted(refuses="I'd rather not.") if said == "bad" else f"<{said}>"


def made(url: str) -> list[dict[str, Any]]:
    """The batches that the server was sent."""
    return httpx.get(f"{url}/v1/batches").json()["data"]


async def asked(url: str, file: Path, *texts: str) -> list[str]:
    engine = BatchEngine("m", f"{url}/v1", batch=file)

    async def one(text: str) -> str:
        try:
            return (await generate(Prompt.user(text), max_tokens=50)).text
        except EngineError as e:
            return type(e).__name__

    async def program() -> list[str]:
        return await gather(one, texts)

    async with Pool(engine, outage=0.1) as pool:
        return (await run(program, pool=pool)).value


async def test_calls_that_wait_together_are_one_batch(tmp_path: Path) -> None:
    engine = ScriptedEngine(echo, model="m")
    with running(engine) as url:
        found = await asked(url, tmp_path / "sent", "a", "b", "c")
        assert found == ["<a>", "<b>", "<c>"]
        assert len(made(url)) == 1
        assert len(engine.requests) == 3


async def test_a_line_that_is_refused_concerns_its_call_alone(tmp_path: Path) -> None:
    with running(ScriptedEngine(echo, model="m")) as url:
        found = await asked(url, tmp_path / "sent", "a", "bad")
        assert found == ["<a>", RequestRejected.__name__]
        again = await asked(url, tmp_path / "sent", "bad")
        assert again == [RequestRejected.__name__]
        assert len(made(url)) == 2, "what failed is sent anew by the next process"


async def test_another_process_takes_what_was_sent_and_pays_nothing_twice(tmp_path: Path) -> None:
    engine = ScriptedEngine(echo, model="m")
    with running(engine) as url:
        with anyio.CancelScope() as scope:
            mortal = BatchEngine("m", f"{url}/v1", batch=tmp_path / "sent")
            async with Pool(mortal) as pool:
                look = mortal._batches._until_over

                async def until_over(batch: batches.SentBatch) -> dict[str, Any]:
                    await look(batch)
                    scope.cancel()  # it is answered, and the process dies
                    await anyio.sleep(60)
                    raise AssertionError

                mortal._batches._until_over = until_over
                await run(lambda: generate(Prompt.user("a"), max_tokens=50), pool=pool)
        assert scope.cancelled_caught
        assert len(engine.requests) == 1
        assert await asked(url, tmp_path / "sent", "a", "b") == ["<a>", "<b>"]
        assert len(engine.requests) == 2
        assert len(made(url)) == 2


async def test_a_batch_whose_name_was_not_written_down_is_found(tmp_path: Path) -> None:
    engine, file = ScriptedEngine(echo, model="m"), tmp_path / "sent"
    with running(engine) as url:
        assert await asked(url, file, "a") == ["<a>"]
        first = file.read_text().splitlines()[0]
        assert set(json.loads(first)) == {"tag", "keys"}
        file.write_text(f'{first}\n{{"tag": "cut')  # killed before the answer came
        assert await asked(url, file, "a") == ["<a>"]
        assert len(engine.requests) == 1
        file.write_text(first.replace(json.loads(first)["tag"], "0123") + "\n")
        assert await asked(url, file, "a") == ["<a>"], "a batch that was never made is made now"
        assert len(engine.requests) == 2


async def test_a_call_that_is_cancelled_before_it_is_sent_is_not_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "QUIET", 0.2)
    engine = ScriptedEngine(echo, model="m")
    with running(engine) as url:
        one = BatchEngine("m", f"{url}/v1", batch=tmp_path / "sent")

        async def ask(text: str) -> None:
            await generate(Prompt.user(text), max_tokens=50)

        async with Pool(one) as pool:
            with anyio.move_on_after(0.05):
                await run(ask, "a", pool=pool)
            await run(ask, "b", pool=pool)
        assert [r.messages[-1].content for r in engine.requests] == ["b"]
