"""Strategies that answer as models, on scripted engines in this process."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategy_specs import STEPWISE
from weft.backends.scripted.engine import Scripted, ScriptedEngine
from weft.errors import EngineUnavailable, RequestRejected, UnknownName, UsageError
from weft.orchestrator.pool import Pool
from weft.programs import Limits, run
from weft.search import parse_strategy
from weft.service.strategies.events import Events, Item
from weft.service.strategies.forms import KEEP_ALIVE, ChatForm, NoWholeAnswer, StrategyResult
from weft.service.strategies.model import StrategyModel
from weft.service.strategies.offers import Offer, StrategyModels, split_model
from weft.service.strategies.question import cut, question_of
from weft.service.strategies.request import CHAT, RESPONSES, read
from weft.types import Request, Usage


def chat(text: str = "hello", **fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}], "seed": 5, "max_tokens": 60, **fields}


def by_seed(request: Request) -> str:
    """An answer that depends on chance."""
    seed = request.sampling.seed or 0
    return f"{'well, ' * (seed % 4)}I think.\nAnswer: {seed % 3}"


def found(models: StrategyModels, name: str) -> StrategyModel:
    model = models.find(name)
    assert model is not None
    return model


def decoded(events: list[bytes]) -> list[dict[str, Any]]:
    """The data of chat events, in order."""
    lines = [line for event in events for line in event.split(b"\n")]
    data = [line[6:] for line in lines if line.startswith(b"data: ")]
    assert data[-1] == b"[DONE]"
    return [json.loads(one) for one in data[:-1]]


def told(events: list[dict[str, Any]]) -> str:
    """The text that chat events add up to."""
    choices = [event["choices"][0] for event in events if event["choices"]]
    return "".join(choice["delta"].get("content", "") for choice in choices)


async def streamed(model: StrategyModel, body: dict[str, Any]) -> list[dict[str, Any]]:
    async with model.answer(body, CHAT, "p") as events:
        return decoded([event async for event in events])


# Names


@given(
    st.text(min_size=1),
    st.sampled_from(
        ["majority", "greedy", "beam(n=4)", "best_of_n(verifier=role:greedy)", "majority(n=2"]
    ),
)
def test_the_last_strategy_is_split_off(base: str, spec: str) -> None:
    assert split_model(f"{base}:{spec}") == (base, spec)


@pytest.mark.parametrize(
    "name", ["m", "qwen2.5:7b", ":majority", "m:major", "majority", "m:greedy)"]
)
def test_other_names_are_not_split(name: str) -> None:
    assert split_model(name) is None


async def test_names_and_what_they_find() -> None:
    engines = [ScriptedEngine("x", model="org/m:7b"), ScriptedEngine("x", model="n")]
    offers = [
        Offer("careful", "majority(n=16)", limits=Limits(calls=20)),
        Offer("n:quick", "greedy", "n", Limits(calls=1)),
        Offer("lost", "greedy", "elsewhere"),
        Offer("vote", "majority(n=16)"),
    ]
    async with Pool(*engines) as pool:
        models = StrategyModels(pool, offers=offers, limits=Limits(calls=9))
        assert models.names() == ["careful", "n:quick", "lost", "vote"]
        for plain in ("n", "org/m:7b", "else", "else:where"):
            assert models.find(plain) is None
        careful = found(models, "careful")
        assert careful.limits == Limits(calls=20)
        assert careful.strategy == parse_strategy("majority(n=16)")
        assert careful.roles["solver"] == careful.roles["verifier"] == "org/m:7b"
        assert found(models, "n:quick").limits == Limits(calls=1)
        asked = found(models, "org/m:7b:best_of_n(n=2, verifier=role:draft)")
        assert asked.strategy.spec == "best_of_n(n=2, verifier=role:draft)"
        assert found(models, "n:majority").roles["solver"] == "n"
        for name, says in {
            "n:majorty(n=8)": "did you mean majority",
            "n:majority(m=8)": "unknown parameter of majority",
            "n:majority(n=8": "expected",
            "n:majority(n=0)": "must be at least 1",
            "n:majority(n=10)": "more than the 9 calls",
            "vote": "n=16 of majority is more than the 9 calls",
            f"n:majority(n={'0' * 400}1)": "at most 400 letters",
            f"n:majority({'n=a(' * 95}": "expected",
            "n:": "expected the name of a strategy",
        }.items():
            with pytest.raises(UsageError, match=says):
                models.find(name)
        for name in ("other:majority", "lost"):
            with pytest.raises(UnknownName) as unknown:
                models.find(name)
            assert unknown.value.kind == "model"
        listed = StrategyModels(pool, offers=offers, any=False)
        assert listed.find("n:majority") is None
        assert listed.find("careful") is not None
    with pytest.raises(UnknownName):
        StrategyModels(pool, offers=[Offer("bad", "majorty")])


# The same as the library


async def alike(spec: str) -> None:
    """A strategy gives in the service what it gives in the library."""
    body = chat(temperature=0.7, top_p=0.9)
    engine, twin = ScriptedEngine(by_seed), ScriptedEngine(by_seed)
    async with Pool(engine) as pool:
        question = question_of(read(body, CHAT))
        name, _, rest = spec.partition("(")
        hot = parse_strategy(f"{name}(temperature=0.7, {rest}")
        expected = await run(hot, question, pool=pool)
    async with Pool(twin) as pool:
        answer = await found(StrategyModels(pool), f"scripted:{spec}").whole(body, CHAT, "p")
    choice, about, usage = answer["choices"][0], answer["weft"], expected.usage
    assert choice["message"] == {"role": "assistant", "content": expected.value.text}
    assert about["value"] == expected.value.value is not None
    assert about["score"] == expected.value.score
    assert about["strategy"] == hot.spec
    votes = {one["value"]: one["weight"] for one in about["votes"]}
    assert votes == expected.value.details["votes"]
    assert about["calls"] == usage.calls
    assert about["cancelled_tokens"] == usage.cancelled
    assert answer["usage"] == {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion + usage.cancelled,
        "total_tokens": usage.total,
        "prompt_tokens_details": {"cached_tokens": usage.cached},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }
    asked = [sorted(repr((r.messages, r.sampling)) for r in e.requests) for e in (engine, twin)]
    assert asked[0] == asked[1]


async def test_a_vote_is_the_library_s() -> None:
    await alike("majority(n=8, stop_early=false)")


@pytest.mark.loops("asyncio")
async def test_a_vote_that_stops_early_is_the_library_s(anyio_backend: str) -> None:
    # trio runs tasks in an order of its own, and what is cancelled depends on it.
    await alike("majority(n=8)")


async def test_a_stream_says_the_same() -> None:
    body = chat("a question of some blocks of tokens", stream_options={"include_usage": True})
    async with Pool(ScriptedEngine(by_seed)) as pool:
        model = found(StrategyModels(pool), "scripted:majority(n=4, stop_early=false)")
        whole = await model.whole(body, CHAT, "p")
        events = await streamed(model, body)
    assert told(events) == whole["choices"][0]["message"]["content"]
    assert events[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert events[-2]["choices"][0]["finish_reason"] == "stop"
    assert events[-2]["weft"]["votes"] == whole["weft"]["votes"]
    usage = dict(whole["usage"])
    cached = events[-1]["usage"].pop("prompt_tokens_details")["cached_tokens"]
    assert cached > usage.pop("prompt_tokens_details")["cached_tokens"]  # asked the second time
    assert events[-1]["usage"] == usage
    assert events[-1]["choices"] == []


# What a request says


async def test_settings_reach_the_engine() -> None:
    schema = {"type": "object"}
    engine = ScriptedEngine('{"a": 1}END')
    body = chat(
        top_p=0.5, stop="END", temperature=0.25, response_format={"type": "json_object"}, n=1
    )
    async with Pool(engine) as pool:
        models = StrategyModels(pool)
        answer = await found(models, "scripted:majority(n=2)").whole(
            body, CHAT, "p", cache_salt="salt"
        )
        await found(models, "scripted:majority(n=1, temperature=1)").whole(body, CHAT, "p")
        await found(models, "scripted:greedy").whole(body, CHAT, "p")
    assert answer["choices"][0]["message"]["content"] == '{"a": 1}'
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["weft"]["value"] == '{"a":1}'
    how = [r.sampling for r in engine.requests]
    assert {(s.top_p, s.stop, s.max_tokens) for s in how} == {(0.5, ("END",), 60)}
    assert [s.temperature for s in how] == [0.25, 0.25, 1.0, 0.0]
    assert all(s.schema == schema for s in how)
    assert len({r.id for r in engine.requests}) == 4
    assert [r.cache_salt for r in engine.requests] == ["salt", "salt", "", ""]


async def test_without_a_limit_the_context_is_the_limit() -> None:
    engine = ScriptedEngine("word " * 20, context=40)
    async with Pool(engine) as pool:
        body = {"messages": [{"role": "user", "content": "hi"}]}
        answer = await found(StrategyModels(pool), "scripted:greedy").whole(body, CHAT, "p")
    assert engine.requests[0].sampling.max_tokens is None
    assert answer["choices"][0]["finish_reason"] == "length"
    assert len(answer["choices"][0]["message"]["content"]) == 40 - len(
        engine.requests[0].tokens or ()
    )


async def test_roles() -> None:
    big = ScriptedEngine("an answer", {"yes": 0.6, "no": 0.2}, model="big")
    small = ScriptedEngine("an answer", {"yes": 0.6, "no": 0.2}, model="small")
    judge = ScriptedEngine("fine", {"yes": 0.3, "no": 0.3}, model="judge")
    async with Pool(big, small, judge, roles={"verifier": "judge"}) as pool:
        own = StrategyModels(pool)
        answer = await found(own, "small:best_of_n(n=2)").whole(chat(), CHAT, "p")
        assert not big.requests
        assert not judge.requests
        assert answer["weft"]["score"] == pytest.approx(0.75)
        assert answer["weft"]["calls"] == len(small.requests)
        assert answer["usage"]["prompt_tokens"] == sum(len(r.tokens or ()) for r in small.requests)
        set_apart = StrategyModels(pool, roles={"verifier": "judge"})
        answer = await found(set_apart, "small:best_of_n(n=2)").whole(chat(), CHAT, "p")
        assert answer["weft"]["score"] == pytest.approx(0.5)
        assert judge.requests
        with pytest.raises(UsageError, match="exact check"):
            await found(own, "big:best_of_n(verifier=function)").whole(chat(), CHAT, "p")
        with pytest.raises(UnknownName):
            await found(own, "big:best_of_n(verifier=role:nobody)").whole(chat(), CHAT, "p")


async def test_a_step_search_writes_in_paragraphs() -> None:
    text = "First.\n\nSecond.\n\nAnswer: 3"

    def go_on(request: Request) -> str:
        return text[len(request.messages[-1].content) if request.open else 0 :]

    engine = ScriptedEngine(go_on, {"yes": 0.6, "no": 0.2})
    async with Pool(engine) as pool:
        models = StrategyModels(pool)
        for spec in STEPWISE:
            answer = await found(models, f"scripted:{spec}").whole(chat(), CHAT, "p")
            assert answer["choices"][0]["message"]["content"] == text
            assert answer["choices"][0]["finish_reason"] == "stop"
            assert answer["weft"]["value"] == "3"
        answer = await found(models, "scripted:beam(n=2, width=2)").whole(
            chat(stop="Second"), CHAT, "p"
        )
        assert answer["choices"][0]["message"]["content"] == "First.\n\n"
        with pytest.raises(UsageError, match="can't hold it to a schema"):
            await found(models, "scripted:beam").whole(
                chat(response_format={"type": "json_object"}), CHAT, "p"
            )


async def test_the_scheduler_knows_whose_run_it_is() -> None:
    async with Pool(ScriptedEngine("x")) as pool:
        model = found(StrategyModels(pool), "scripted:majority(n=3, stop_early=false)")
        for calls in (3, 6):
            answer = await model.whole(chat(), CHAT, "acme/session", "acme")
            program = pool.scheduler.dispatcher.programs["acme/session"]
            assert (program.tenant, program.calls) == ("acme", calls)
            assert answer["weft"]["program"] == "acme/session"
        assert list(pool.scheduler.dispatcher.programs) == ["acme/session"]


# Budgets


async def test_a_budget_cuts_the_answer_off() -> None:
    body = chat(max_tokens=500)
    async with Pool(ScriptedEngine("x" * 400)) as pool:
        models = StrategyModels(pool, limits=Limits(tokens=60))
        for spec in ("greedy", "majority(n=1)", "best_of_n(n=1)"):
            model = found(models, f"scripted:{spec}")
            choice = (await model.whole(body, CHAT, "p"))["choices"][0]
            assert choice["finish_reason"] == "length"
            assert 30 < len(choice["message"]["content"]) <= 60
            events = await streamed(model, body)
            assert told(events) == choice["message"]["content"]
            assert events[-1]["choices"][0]["finish_reason"] == "length"
            assert events[-1]["weft"]["budget"] == "tokens"


async def test_the_best_so_far_is_the_answer() -> None:
    async with Pool(ScriptedEngine(by_seed)) as pool:
        models = StrategyModels(pool, limits=Limits(calls=4))
        answer = await found(models, "scripted:majority").whole(chat(), CHAT, "p")
        assert answer["choices"][0]["finish_reason"] == "length"
        assert answer["weft"]["samples"] <= 4 == answer["weft"]["calls"]
        assert answer["choices"][0]["message"]["content"]


async def test_nothing_is_an_answer_too() -> None:
    async with Pool(ScriptedEngine("x")) as pool:
        model = found(StrategyModels(pool, limits=Limits(tokens=1)), "scripted:majority")
        answer = await model.whole({"input": "hello"}, RESPONSES, "p")
    assert answer["status"] == "incomplete"
    assert answer["incomplete_details"] == {"reason": "max_output_tokens"}
    assert answer["output"][0]["content"][0]["text"] == ""
    assert answer["usage"]["total_tokens"] == 0


# Streams


@pytest.mark.parametrize(
    "spec", ["greedy", "majority(n=1)", "short_m_at_k(m=1, k=1)", "best_of_n(n=1)"]
)
async def test_a_certain_text_is_streamed_at_once(spec: str) -> None:
    engine = ScriptedEngine("some words to say", {"yes": 0.5, "no": 0.2}, token_seconds=0.001)
    async with Pool(engine) as pool:
        model = found(StrategyModels(pool), f"scripted:{spec}")
        async with model.answer(chat(), CHAT, "p") as events:
            assert engine.running == 1
            seen = [event async for event in events]
    texts = [e["choices"][0]["delta"].get("content") for e in decoded(seen)]
    assert "".join(filter(None, texts)) == "some words to say"
    assert len(texts) > 10


async def test_a_stop_string_is_not_streamed() -> None:
    async with Pool(ScriptedEngine("words and ENTER THE END of it")) as pool:
        events = await streamed(
            found(StrategyModels(pool), "scripted:greedy"), chat(stop=["never", "END"])
        )
    assert told(events) == "words and ENTER THE "
    assert len(events) > 10


async def test_silence_is_filled_and_leaving_cancels() -> None:
    engine = ScriptedEngine(Scripted(hangs=True))
    async with Pool(engine) as pool:
        models = StrategyModels(pool, keep_alive=0.01)
        async with found(models, "scripted:majority(n=4)").answer(chat(), CHAT, "p") as events:
            await anyio.wait_all_tasks_blocked()
            assert engine.running == 4
            assert (await anext(events)).startswith(b"data: ")
            assert [await anext(events) for _ in range(3)] == [KEEP_ALIVE] * 3
        assert (engine.running, engine.cancelled) == (0, 4)
        assert pool.scheduler.in_flight == 0


async def test_cancelling_cancels() -> None:
    engine = ScriptedEngine(Scripted(hangs=True))
    async with Pool(engine) as pool:
        model = found(StrategyModels(pool), "scripted:best_of_n(n=4)")

        async def stream() -> None:
            async with model.answer(chat(), CHAT, "p"):
                raise AssertionError("nothing was to be told")

        async def whole() -> None:
            await model.whole(chat(), CHAT, "p")

        asks: list[Callable[[], Any]] = [stream, whole]
        for rounds, ask in enumerate(asks, 1):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ask)
                await anyio.wait_all_tasks_blocked()
                assert engine.running == 4
                tasks.cancel_scope.cancel()
            assert (engine.running, engine.cancelled) == (0, 4 * rounds)
            assert pool.scheduler.in_flight == pool.scheduler.waiting == 0


async def test_what_the_block_raises_comes_out_plain() -> None:
    engine = ScriptedEngine(Scripted(hangs=True))
    async with Pool(engine) as pool:
        model = found(StrategyModels(pool, keep_alive=0.01), "scripted:majority")
        with pytest.raises(OSError, match="gone"):
            async with model.answer(chat(), CHAT, "p"):
                raise OSError("gone")
        assert engine.running == 0


async def test_early_errors_come_before_the_stream() -> None:
    async with Pool(ScriptedEngine(Scripted(refuses="too rude"))) as pool:
        models = StrategyModels(pool)
        for field, error in {"n": UsageError, "x": RequestRejected}.items():
            body: Any = {field: 2}
            with pytest.raises(error):
                async with found(models, "scripted:majority").answer(chat(**body), CHAT, "p"):
                    raise AssertionError("nothing was to be told")


async def test_late_errors_come_in_the_stream() -> None:
    engine = ScriptedEngine(Scripted(hangs=True))
    async with Pool(engine, outage=0.1) as pool:
        models = StrategyModels(pool, keep_alive=0.01)
        async with found(models, "scripted:majority(n=2)").answer(chat(), CHAT, "p") as events:
            await anyio.wait_all_tasks_blocked()
            assert len([await anext(events) for _ in range(3)]) == 3
            engine.kill()
            with pytest.raises(EngineUnavailable):
                assert {event async for event in events} <= {KEEP_ALIVE}
            with pytest.raises(StopAsyncIteration):
                await anext(events)


@pytest.mark.parametrize("spec", ["greedy", "majority(n=3)"])
async def test_answers_that_all_broke_off_are_an_error_that_has_the_text(spec: str) -> None:
    reply = Scripted("The sea is blue, and so on.", dies_after=7, seconds=0.05)
    async with Pool(ScriptedEngine(reply, model="m"), outage=0) as pool:
        models = StrategyModels(pool)
        with pytest.raises(NoWholeAnswer, match="broke off every answer") as failure:
            await found(models, f"m:{spec}").whole(chat(), CHAT, "p")
        assert failure.value.status == 502
        assert failure.value.about["text"] == "The sea"
        assert failure.value.about["broken_off"] is True
        # A stream that has begun gives the text first.
        model = found(StrategyModels(pool, keep_alive=0.01), f"m:{spec}")
        said: list[bytes] = []

        async def listen() -> None:
            async with model.answer(chat(), CHAT, "p") as events:
                async for event in events:
                    said.append(event)

        with pytest.raises(NoWholeAnswer):
            await listen()
        assert b"".join(said).count(b"content") > 1
        assert told(decoded([*said, b"data: [DONE]\n\n"])) == "The sea"


async def test_one_whole_answer_is_enough() -> None:
    replies = [Scripted("Answer: 5", dies_after=9), Scripted("Answer: 6")]
    async with Pool(ScriptedEngine(replies, model="m")) as pool:
        answer = await found(StrategyModels(pool), "m:majority(n=2)").whole(chat(), CHAT, "p")
    assert answer["choices"][0]["message"]["content"] == "Answer: 6"


@pytest.mark.parametrize(("then", "same"), [("hello world", True), ("help the world", False)])
async def test_another_engine_must_repeat_what_was_told(then: str, same: bool) -> None:
    replies = iter([Scripted("hello world", dies_after=8), Scripted(then)])
    engines = [ScriptedEngine(lambda _: next(replies), name=name) for name in "ab"]
    async with Pool(*engines) as pool:
        model = found(StrategyModels(pool), "scripted:greedy")
        if same:
            assert told(await streamed(model, chat())) == "hello world"
        else:
            with pytest.raises(EngineUnavailable, match="answers differently"):
                await streamed(model, chat())


@given(st.text("abE ", max_size=40), st.lists(st.integers(1, 9)), st.sampled_from(["", "E", "abE"]))
def test_a_stream_tells_the_text_however_it_comes(text: str, sizes: list[int], stop: str) -> None:
    stops = (stop,) if stop else ()
    if stop and stop in text:
        text = text[: text.index(stop) + len(stop) + 2]  # as an engine does, to a token's end
    result = StrategyResult(cut(text, stops), False, Usage(), {})
    asked = read({"messages": [{"role": "user", "content": "x"}]}, CHAT)

    async def play() -> str:
        put, get = anyio.create_memory_object_stream[Item](100)
        with put, get:
            rest = text
            for size in sizes:
                if rest:
                    put.send_nowait(rest[:size])
                    rest = rest[size:]
            put.send_nowait(result)
            events = Events(ChatForm("m", asked), stops, get, 60.0)
            await events.begin()
            return told(decoded([event async for event in events]))

    assert anyio.run(play) == result.text
