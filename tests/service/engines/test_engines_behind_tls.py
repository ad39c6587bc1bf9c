"""Engines at https:// addresses, by the library and through the service."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest
import uvicorn

from live_service import serving
from waiting import block_until
from weft import Pool, Prompt, generate
from weft.backends.engine import Engine
from weft.backends.http.client import certificates
from weft.backends.mock.server import app, running
from weft.backends.openai.engine import OpenAIEngine
from weft.backends.scripted.engine import ScriptedEngine
from weft.backends.vllm.engine import VLLMEngine
from weft.errors import EngineUnavailable

CERTIFICATES = Path(__file__).parents[2] / "common"


@contextmanager
def behind_tls(certificate: str) -> Iterator[str]:
    """A scripted engine that shows a certificate; gives its address."""
    engine = ScriptedEngine("The sea is blue.", model="m")
    config = uvicorn.Config(
        app(engine),
        port=0,
        ssl_certfile=CERTIFICATES / certificate,
        log_level="critical",
        lifespan="off",
    )
    server = uvicorn.Server(config)

    async def run() -> None:
        await engine.connect()
        await server.serve()

    thread = threading.Thread(target=lambda: anyio.run(run), daemon=True)
    thread.start()
    block_until(lambda: server.started)
    try:
        yield f"https://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = server.force_exit = True
        thread.join()


def engines(url: str) -> list[Engine]:
    return [VLLMEngine(url), OpenAIEngine("m", f"{url}/v1", "k")]


@pytest.mark.parametrize("which", [0, 1])
async def test_an_authority_of_ones_own_is_trusted(which: int) -> None:
    with behind_tls("server.pem") as url:
        async with Pool(engines(url)[which]):
            assert (await generate(Prompt.user("hi"))).text == "The sea is blue."


@pytest.mark.parametrize("which", [0, 1])
async def test_what_is_wrong_with_a_certificate_is_said(which: int) -> None:
    with behind_tls("stranger.pem") as url:
        engine = engines(url)[which]
        with pytest.raises(EngineUnavailable, match=r"can't be trusted: .* SSL_CERT_FILE"):
            await engine.connect()
        await engine.aclose()


@pytest.mark.parametrize("which", [0, 1])
async def test_an_engine_without_tls_is_told_from_one_that_is_away(which: int) -> None:
    with running(ScriptedEngine("x", model="m")) as url:
        engine = engines(url.replace("http:", "https:"))[which]
        with pytest.raises(EngineUnavailable, match="write http:// if"):
            await engine.connect()
        await engine.aclose()


@pytest.mark.loops("asyncio")
async def test_through_the_service() -> None:
    with behind_tls("server.pem") as url:
        async with serving(url) as service:
            for stream in (False, True):
                answer = await service.post(stream=stream)
                assert answer.status_code == 200
                assert "[DONE]" in answer.text if stream else "sea" in answer.text


def test_whom_to_trust_is_read_once() -> None:
    assert certificates() is certificates()
    assert certificates().verify_mode == ssl.CERT_REQUIRED
    assert certificates().check_hostname
