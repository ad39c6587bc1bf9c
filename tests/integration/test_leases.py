"""Leases in a real vLLM: what is held outlives what is not, and nothing waits or fails for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import httpx
import pytest

from waiting import PATIENCE
from weft import Pool, Prompt, generate, run
from weft.backends.vllm import VLLMEngine
from weft.backends.vllm.metrics import gauge
from weft.leases.directive import Directive
from weft.types import Message, Request, Sampling

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

BLOCK, BLOCKS = 32, 64
SIZE = 400  # tokens of a prompt, 12 blocks and a half


@pytest.fixture(scope="session")
def numbers() -> Callable[[], int]:
    """Numbers that no other test has had, so that no prompt was there before."""
    given = iter(range(10_000))
    return lambda: next(given)


class Server:
    """A replica, asked over HTTP."""

    def __init__(self, url: str, http: httpx.AsyncClient, numbers: Callable[[], int]) -> None:
        self.url, self._http, self._numbers = url, http, numbers

    def prompt(self, size: int = SIZE) -> list[int]:
        """Token ids that nobody has sent before."""
        seed = self._numbers()
        return [5 + (seed // 40 ** (i % 4) + i * (i % 4)) % 40 for i in range(size)]

    async def ask(
        self, tokens: list[int], keep: Directive | None = None, **more: Any
    ) -> dict[str, Any]:
        """The answer to a prompt; its blocks are held if `keep` says so."""
        body = {"model": "countdown", "prompt": tokens, "max_tokens": 1, "temperature": 0, **more}
        if keep is not None:
            body["kv_transfer_params"] = keep.json()
        answer = await self._http.post(f"{self.url}/v1/completions", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def cached(self, tokens: list[int], keep: Directive | None = None) -> int:
        """Tokens of a prompt that were in the cache."""
        usage = (await self.ask(tokens, keep))["usage"]
        return (usage["prompt_tokens_details"] or {}).get("cached_tokens") or 0

    async def fill(self, prompts: int = 8) -> None:
        """Foreign prompts that together are larger than the cache."""
        for _ in range(prompts):
            await self.ask(self.prompt())

    async def metric(self, name: str) -> float:
        """A metric now."""
        return gauge((await self._http.get(f"{self.url}/metrics")).text, name)


@pytest.fixture
async def server(small_replica: str, numbers: Callable[[], int]) -> AsyncIterator[Server]:
    async with httpx.AsyncClient(timeout=600) as http:
        yield Server(small_replica, http, numbers)
        await Server(small_replica, http, numbers).ask([7] * 4, Directive(forget=("*",)))


async def test_what_is_held_outlives_more_than_the_cache_takes(server: Server) -> None:
    held, plain = server.prompt(), server.prompt()
    answer = await server.ask(held, Directive("a"))
    assert answer["kv_transfer_params"]["weft"]["held"] == SIZE // BLOCK
    await server.ask(plain)
    await server.fill()
    assert await server.cached(plain) == 0
    assert await server.cached(held) == SIZE // BLOCK * BLOCK


async def test_held_blocks_give_way_to_what_needs_the_room(server: Server) -> None:
    soon, late = server.prompt(), server.prompt()
    await server.ask(soon, Directive("a", next_use=1.0))
    await server.ask(late, Directive("b", next_use=500.0))
    before = await server.metric("vllm:num_preemptions_total")
    large = server.prompt(BLOCK * (BLOCKS - 16))
    assert len((await server.ask(large))["choices"]) == 1
    assert await server.metric("vllm:num_preemptions_total") == before
    assert await server.cached(soon) == SIZE // BLOCK * BLOCK
    assert await server.cached(late) < SIZE // BLOCK * BLOCK


async def test_what_is_over_is_forgotten_before_what_is_older(server: Server) -> None:
    older, over = server.prompt(), server.prompt()
    await server.ask(older)
    await server.ask(over, Directive("a"))
    await server.ask(server.prompt(BLOCK), Directive(forget=("a",)))
    await server.ask(server.prompt())
    await server.ask(server.prompt())
    await server.ask(server.prompt())
    assert await server.cached(older) == SIZE // BLOCK * BLOCK
    assert await server.cached(over) == 0


async def test_a_conversation_that_begins_anew_supersedes_what_it_left(server: Server) -> None:
    head, first = server.prompt(BLOCK * 4), server.prompt(BLOCK * 10)
    await server.ask([*head, *first], Directive("a", supersedes=True, turn="1"))
    answer = await server.ask(
        [*head, *server.prompt(BLOCK * 2)], Directive("a", supersedes=True, turn="2")
    )
    told = answer["kv_transfer_params"]["weft"]
    assert told["held"] == 6
    assert told["given_up"]["superseded"] >= 10
    await server.fill()
    assert await server.cached([*head, *first]) == BLOCK * 4


async def test_choices_of_one_call_are_held_together(server: Server) -> None:
    tokens = server.prompt()
    keep = Directive("a", supersedes=True, turn="1")
    await server.ask(tokens, keep, n=3, max_tokens=2 * BLOCK, temperature=1.0, ignore_eos=True)
    await server.fill()
    assert await server.cached(tokens) == SIZE // BLOCK * BLOCK


async def test_what_is_aborted_and_lost_is_forgotten(server: Server) -> None:
    lost, older = server.prompt(), server.prompt()
    await server.ask(older)
    sampling = Sampling(max_tokens=1500, ignore_eos=True)
    keep = Directive("b", lost=True).json()
    request = Request(
        "lost", "countdown", (Message("user", "?"),), tokens=lost, sampling=sampling, keep=keep
    )
    await (engine := VLLMEngine(server.url)).connect()
    with anyio.CancelScope() as scope:
        await engine.complete(request, lambda _: scope.cancel())
    await engine.aclose()
    with anyio.fail_after(PATIENCE):
        while await server.metric("vllm:num_requests_running"):
            await server.metric("vllm:num_requests_waiting")
    for _ in range(3):
        await server.ask(server.prompt())
    assert await server.cached(older) == SIZE // BLOCK * BLOCK
    assert await server.cached(lost) == 0


async def test_the_engine_tells_what_it_holds(server: Server) -> None:
    await server.ask(server.prompt(), Directive("a", seconds=600))
    await server.ask(server.prompt(BLOCK))  # metrics follow with the next step
    assert await server.metric("weft:leases") >= 1
    assert await server.metric("weft:leased_blocks") >= SIZE // BLOCK
    await server.ask(server.prompt(BLOCK), Directive(release=("a",)))
    await server.ask(server.prompt(BLOCK))
    assert await server.metric("weft:leased_blocks") == 0


async def test_a_program_finds_what_it_left_though_others_came_between(
    server: Server, small_replica: str
) -> None:
    text = " ".join(str(one) for one in server.prompt(100))

    async def program() -> tuple[int, int]:
        first = await generate(Prompt.user(text), max_tokens=4)
        await server.fill()
        again = await generate(first.prompt.user("and?"), max_tokens=1)
        return again.usage.cached, first.usage.prompt

    async with Pool(engine := VLLMEngine(small_replica)) as pool:
        assert engine.leases
        cached, prompt = (await run(program, pool=pool)).value
    assert cached == prompt // BLOCK * BLOCK > 2 * BLOCK
