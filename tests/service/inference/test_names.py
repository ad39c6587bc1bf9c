"""Names: all that engines list, aliases and patterns, and what takes over from what."""

# ruff: noqa: SIM117 - engines around services read better so

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import random
from collections.abc import AsyncGenerator
from typing import Any

import anthropic
import openai
import pytest

from live_service import BODIES, CHAT, GENERATING, RawEngine, answered, raw_engine, serving
from waiting import until
from weft.backends.mock import server as mock
from weft.backends.scripted.engine import ScriptedEngine
from weft.backends.scripted.script import Scripted
from weft.orchestrator.estimates.text_lengths import TextSize
from weft.service.config.file import ServiceConfig

pytestmark = pytest.mark.loops("asyncio")

SERVED = [path for path in BODIES if "tokenize" not in path]


def card(name: str, length: int = 1000, parent: str | None = None, **more: Any) -> dict[str, Any]:
    found = {"id": name, "object": "model", "created": 1_700_000_000, "owned_by": "vllm"}
    return found | {"root": "/models/x", "parent": parent, "max_model_len": length} | more


class Named:
    """An engine that says which model it was asked for, and holds requests that say so."""

    def __init__(self) -> None:
        self.models: list[str] = []
        self.bodies: list[dict[str, Any]] = []
        self.held = asyncio.Event()
        self.status = 200
        self.said: dict[str, Any] = {}

    async def __call__(self, sent: bytes, writer: asyncio.StreamWriter) -> None:
        body = json.loads(sent.partition(b"\r\n\r\n")[2])
        self.models.append(body["model"])
        self.bodies.append(body)
        if "hold" in json.dumps(body):
            await self.held.wait()
        usage = {"prompt_tokens": max(9, len(sent) // 4), "completion_tokens": 1}
        answer = {"id": "a", "model": body["model"], "choices": [], "usage": usage}
        writer.write(answered(self.status, json.dumps(self.said or answer).encode()))


@contextlib.asynccontextmanager
async def engine_of(*cards: dict[str, Any]) -> AsyncGenerator[tuple[RawEngine, Named]]:
    named = Named()
    async with raw_engine(named, models=list(cards)) as engine:
        yield engine, named


async def test_all_names_that_an_engine_lists_are_served_and_their_cards_passed_on() -> None:
    cards = [card("a", 4000), card("b", 4000), card("lora", 3000, "a", extra={"x": 1})]
    async with engine_of(*cards) as (engine, named), serving(engine.url) as service:
        listed = (await service.http.get("/v1/models")).json()
        assert listed == {"object": "list", "data": cards}
        # Codex looks for a list of its own, and knows no models by it.
        codex = (await service.http.get("/v1/models?client_version=0.169.0")).json()
        assert codex == {**listed, "models": []}
        assert (await service.http.get("/v1/models/lora")).json() == cards[2]
        for path in SERVED:
            for name in ("a", "b", "lora"):
                assert (await service.post(path, model=name)).status_code == 200
                assert named.models[-1] == name
        assert (await service.post(model="c")).status_code == 404
        base = f"http://127.0.0.1:{service.port}"
        async with openai.AsyncOpenAI(base_url=f"{base}/v1", api_key="k") as client:
            assert [m.id for m in (await client.models.list()).data] == ["a", "b", "lora"]
        async with anthropic.AsyncAnthropic(base_url=base, api_key="k") as claude:
            found = [m async for m in await claude.models.list()]
            assert [(m.id, m.type, m.display_name) for m in found][-1] == ("lora", "model", "lora")
            assert found[0].created_at.year == 2023
            assert (await claude.models.retrieve("b")).display_name == "b"


async def test_prefixes_of_a_second_name_are_shared_and_those_of_an_adapter_are_not() -> None:
    cards = [card("a", 100_000), card("b", 100_000), card("lora", 100_000, "a")]
    long = [{"role": "user", "content": "words of a long prompt " * 400}]
    async with engine_of(*cards) as (engine, _), serving(engine.url) as service:
        index = service.inside.scheduler.replicas[0].index

        async def grown(name: str) -> int:
            before = index.cached
            answer = await service.post(model=name, messages=long)
            assert answer.status_code == 200
            return index.cached - before

        first = await grown("a")
        assert first > 50
        assert await grown("b") == 0
        assert await grown("lora") == first
        assert await grown("lora") == 0
        # One KV: what the adapter's prompts take is taken from the one engine.
        assert len(service.inside.scheduler.replicas) == 1


async def test_prose_and_code_by_turns_do_not_have_prefixes_cut_anew_each_time() -> None:
    async with engine_of(card("a")) as (engine, _), serving(engine.url) as service:
        lengths, sizes = service.inside.conversations.lengths, [service.inside.chunk("a")]
        draw = random.Random(3)
        for _ in range(500):
            size = draw.randint(500, 50_000)
            lengths.learn("a", TextSize(1, size), round(size / draw.choice((2.9, 3.6, 4.3))))
            sizes.append(service.inside.chunk("a"))
        changes = [size for one, size in itertools.pairwise(sizes) if one != size]
        assert len(changes) <= 2
        assert all(2.9 < size / service.inside.block_size("a") < 4.3 for size in sizes[1:])


async def test_an_adapter_goes_only_where_it_is_loaded() -> None:
    one, two = engine_of(card("a")), engine_of(card("a"), card("lora", parent="a"))
    async with one as (first, plain), two as (second, adapted):
        async with serving(first.url, second.url) as service:
            answers = [service.post(model="lora", x=str(i)) for i in range(20)]
            for answer in await asyncio.gather(*answers):
                assert answer.status_code == 200
            assert plain.models == []
            assert adapted.models == ["lora"] * 20
            for i in range(20):
                assert (await service.post(model="a", x=str(i))).status_code == 200
            assert plain.models
            # Loaded while the engine runs: found when it is asked for.
            first.models.append(card("late", parent="a"))
            service.inside.named._last_look = -1e9
            assert (await service.post(model="late")).status_code == 200
            assert plain.models[-1] == "late"
            assert "late" not in adapted.models


async def test_aliases_and_patterns() -> None:
    aliases = {"claude-*": "a", "gpt-5": "b", "*-mini": "a:greedy", "lost": "nothing"}
    async with engine_of(card("a"), card("b"), card("claude-own")) as (engine, named):
        async with serving(engine.url, aliases=aliases) as service:
            for path in GENERATING:
                for asked, got in (
                    ("claude-opus-4[1m]", "a"),
                    ("claude-", "a"),
                    ("gpt-5", "b"),
                    ("claude-own", "claude-own"),  # listed names come first
                ):
                    answer = await service.post(path, model=asked)
                    assert answer.status_code == 200, answer.text
                    assert named.models[-1] == got
            lost = await service.post(model="lost")
            assert lost.status_code == 404
            assert "'lost' stands for 'nothing'" in lost.json()["error"]["message"]
            unknown = await service.post(model="xclaude-")
            assert unknown.status_code == 404
            assert "did you mean" in unknown.json()["error"]["message"]
            for other in (
                await service.post(model="gpt-4"),
                await service.http.get("/v1/models/gpt-4"),
            ):
                assert "did you mean gpt-5?" in other.json()["error"]["message"]
            listed = {m["id"]: m for m in (await service.http.get("/v1/models")).json()["data"]}
            assert list(listed) == ["a", "b", "claude-own", "gpt-5"]
            assert listed["gpt-5"]["root"] == "b"
            assert listed["gpt-5"]["max_model_len"] == 1000
            card_ = (await service.http.get("/v1/models/claude-3")).json()
            assert (card_["id"], card_["root"]) == ("claude-3", "a")
            metrics = (await service.http.get("/metrics")).text
            assert 'model="claude-' not in metrics.replace('model="claude-own"', "")


async def test_another_model_takes_over_when_the_first_is_down_full_or_too_short() -> None:
    fallbacks = {"a": ["b"], "never": ["b"]}
    one, two = engine_of(card("a", 500)), engine_of(card("b", 100_000))
    async with one as (first, named_a), two as (second, named_b):
        engines = [{"spec": first.url, "concurrency": 1}, second.url]
        async with serving(*engines, fallbacks=fallbacks) as service:
            assert (await service.post(model="a")).status_code == 200
            assert named_a.models == ["a"]
            # Too short, by the estimate, or by what the engine says.
            long = [{"role": "user", "content": "word " * 2000}]
            answer = await service.post(model="a", messages=long)
            assert answer.status_code == 200
            assert named_b.models == ["b"]
            said = "This model's maximum context length is 500 tokens, and yours has 600."
            named_a.status = 400
            named_a.said = {"error": {"message": said, "code": "context_length_exceeded"}}
            for path in GENERATING:
                assert (await service.post(path, model="a")).json()["model"] == "b", path
            named_a.said = {"error": {"message": "another mistake"}}
            assert (await service.post(model="a")).status_code == 400
            named_a.status, named_a.said = 200, {}
            # Full.
            holding = asyncio.create_task(
                service.post(model="a", messages=[{"role": "user", "content": "hold"}])
            )
            await until(lambda: named_a.bodies[-1]["messages"][0]["content"] == "hold")
            assert (await service.post(model="a")).json()["model"] == "b"
            named_a.held.set()
            assert (await holding).json()["model"] == "a"
            # Failing at everything, though well.
            named_a.status, named_a.said = 500, {"error": {"message": "broken"}}
            assert (await service.post(model="a")).json()["model"] == "b"
            # Never there.
            assert (await service.post(model="never")).json()["model"] == "b"
            assert (await service.post(model="b")).json()["model"] == "b"
        assert service.idle()


async def test_aliases_stand_for_groups_and_aliases_and_have_fallbacks() -> None:
    aliases = {"gpt": "a", "newest": "gpt", "far": "cloud", "x-*": "far", "b-too": "b"}
    fallbacks = {"gpt": "b-too", "a": ["cloud"]}
    one, two, three = engine_of(card("a")), engine_of(card("b")), engine_of(card("c", 777))
    async with one as (first, named_a), two as (second, named_b), three as (third, named_c):
        engines = [first.url, second.url, {"spec": third.url, "group": "cloud"}]
        async with serving(*engines, aliases=aliases, fallbacks=fallbacks) as service:
            for name in ("gpt", "newest"):
                assert (await service.post(model=name)).json()["model"] == "a"
            for name in ("far", "x-1", "cloud"):
                assert (await service.post(model=name)).json()["model"] == "c"
                found = (await service.http.get(f"/v1/models/{name}")).json()
                assert (found["id"], found["max_model_len"]) == (name, 777)
            listed = {m["id"]: m for m in (await service.http.get("/v1/models")).json()["data"]}
            assert list(listed) == ["a", "b", "gpt", "newest", "far", "b-too"]
            assert listed["far"]["max_model_len"] == 777
            named_a.status, named_a.said = 500, {"error": {"message": "broken"}}
            assert (await service.post(model="gpt")).json()["model"] == "b"
            assert (await service.post(model="a")).json()["model"] == "c"
            assert (len(named_b.models), len(named_c.models)) == (1, 4)


async def test_a_prompt_that_there_is_no_kv_for_now_falls_back_in_one_call() -> None:
    script = [Scripted("x"), Scripted("x", hangs=True)]
    small, large = ScriptedEngine(script, model="a", kv_tokens=2048), ScriptedEngine("y", model="b")
    with mock.running(small) as one, mock.running(large) as two:
        async with serving(one, two, fallbacks={"a": ["b"]}) as service:

            def ask(number: int) -> asyncio.Task[Any]:
                said = [{"role": "user", "content": f"{number}" + "word" * 300}]
                named = {"x-weft-program": str(number)}
                return asyncio.create_task(service.post(CHAT, named, model="a", messages=said))

            assert (await ask(1)).json()["model"] == "a"  # now lengths are known
            holding = ask(2)
            await until(lambda: small.running == 1)
            assert (await ask(3)).json()["model"] == "b"
            (call,) = service.inside.registry.programs["3"].calls
            assert (call.model, call.outcome, call.attempts) == ("b", "done", 1)
            holding.cancel()


async def test_a_model_that_is_down_is_taken_over_from() -> None:
    one, two = engine_of(card("a")), engine_of(card("b"))
    async with one as (first, named_a), two as (second, named_b):
        async with serving(first.url, second.url, fallbacks={"a": "b"}) as service:
            replica = next(r for r in service.inside.scheduler.replicas if r.engine.model == "a")

            async def close(sent: bytes, writer: asyncio.StreamWriter) -> None:
                writer.close()

            first.reply, first.well = close, False
            for path in SERVED:
                streamed = path in GENERATING
                answer = await service.post(path, model="a", stream=False if streamed else None)
                assert answer.status_code == 200, answer.text
                assert named_b.models[-1] == "b"
            assert not replica.alive
            first.reply, first.well = named_a, True
            await until(lambda: replica.alive)
            assert (await service.post(model="a")).json()["model"] == "a"


async def test_a_group_of_engines_takes_only_what_falls_back_to_it() -> None:
    one, two = engine_of(card("a")), engine_of(card("a"))
    async with one as (first, own), two as (second, cloud):
        engines = [{"spec": first.url, "concurrency": 1}, {"spec": second.url, "group": "cloud"}]
        async with serving(*engines, fallbacks={"a": ["cloud"]}) as service:
            for i in range(8):
                assert (await service.post(model="a", x=str(i))).status_code == 200
            assert (len(own.models), cloud.models) == (8, [])
            assert (await service.post(model="cloud")).status_code == 200
            assert cloud.models == ["a"]
            holding = asyncio.create_task(
                service.post(model="a", messages=[{"role": "user", "content": "hold"}])
            )
            await until(lambda: len(own.models) == 9)
            assert (await service.post(model="a")).status_code == 200
            assert len(cloud.models) == 2
            own.held.set()
            assert (await holding).status_code == 200
            listed = (await service.http.get("/v1/models")).json()["data"]
            assert [m["id"] for m in listed] == ["a"]


async def test_names_are_reread_by_a_reload() -> None:
    async with engine_of(card("a")) as (engine, named):
        again = ServiceConfig.model_validate({"engines": [engine.url], "aliases": {"x": "a"}})
        async with serving(engine.url, reread=lambda: again) as service:
            assert (await service.post(model="x")).status_code == 404
            assert (await service.http.post("/admin/reload")).status_code == 200
            assert (await service.post(model="x")).status_code == 200
            assert named.models == ["a"]


async def test_strategies_tell_the_context_of_their_model() -> None:
    strategies = {"models": [{"strategy": "majority(n=2)", "model": "a"}]}
    async with engine_of(card("a", 777)) as (engine, _):
        async with serving(engine.url, strategies=strategies) as service:
            listed = {m["id"]: m for m in (await service.http.get("/v1/models")).json()["data"]}
            assert listed["a:majority(n=2)"]["max_model_len"] == 777
            assert CHAT


async def test_names_that_are_made_to_be_hard_to_compare_cost_nothing() -> None:
    aliases = {"a*b*b*b*b*b*b*c": "m", "x*y*z": "m"}
    async with engine_of(card("m")) as (engine, named):
        async with serving(engine.url, aliases=aliases) as service:
            for name in ("xyz", "x-y-z", "x-zy-yz", "abbbbbbc", "a-bbb-bbbb-c-c"):
                assert (await service.post(model=name)).status_code == 200
                assert named.models[-1] == "m"
            for name in ("xzy", "xy", "abbbbbc", "a" + "b" * 900):
                assert (await service.post(model=name)).status_code == 404
            for path in (*SERVED, "/rerank"):
                long = await service.http.post(
                    path, json={**BODIES.get(path, {}), "model": "a" * 1001}
                )
                assert long.status_code == 400
                assert "longer than 1000 characters" in long.text
                assert len(long.text) < 1000


async def test_names_that_stand_for_strategies_are_models_too() -> None:
    aliases = {"fast": "a:greedy", "*-mini": "a:majority(n=3)", "bad": "a:nothing"}
    async with (
        engine_of(card("a", 4000)) as (engine, _),
        serving(engine.url, aliases=aliases) as service,
    ):
        own = {"object": "model", "created": 0, "owned_by": "weft", "max_model_len": 4000}
        listed = (await service.http.get("/v1/models")).json()["data"]
        assert listed == [card("a", 4000), {"id": "fast", **own}]
        for name in ("fast", "x-mini", "a:majority(n=5)", "fast"):
            found = await service.http.get(f"/v1/models/{name}")
            assert (found.status_code, found.json()) == (200, {"id": name, **own})
        for name in ("bad", "a:majorty", "b:greedy"):
            assert (await service.http.get(f"/v1/models/{name}")).status_code == 404
