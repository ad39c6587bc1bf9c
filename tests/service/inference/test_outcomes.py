"""How calls end: in the record, the metrics and the log, whatever the head's status was."""

from __future__ import annotations

import asyncio
import json
import logging
from collections import Counter
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from prometheus_client.parser import text_string_to_metric_families

from live_service import BODIES, CHAT, GENERATING, LiveService, answered, raw_engine, serving
from waiting import until
from weft.backends.mock import server as mock
from weft.backends.scripted.engine import ScriptedEngine
from weft.service.config.api_key import hash_key

pytestmark = pytest.mark.loops("asyncio")

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
DONE = b"data: [DONE]\n\n"
WHOLE = answered(200, b'{"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 1}}')
FAILED = b'data: {"error":{"message":"out of memory"}}\n\ndata: [DONE]\n\n'
NAMED = {"x-weft-program": "p"}


def calls(service: LiveService) -> list[tuple[int, str]]:
    records = service.inside.registry.programs["p"].calls
    return [(call.status, call.outcome) for call in records]


async def counted(service: LiveService) -> Counter[tuple[str, str]]:
    """`weft_calls_total` by status and outcome."""
    text = (await service.http.get("/metrics")).text
    found = Counter[tuple[str, str]]()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == "weft_calls_total":
                found[sample.labels["status"], sample.labels["outcome"]] += round(sample.value)
    return found


async def test_streams_that_break_are_no_successes(caplog: pytest.LogCaptureFixture) -> None:
    ends = [EVENT + DONE, EVENT, EVENT + FAILED]
    caplog.set_level(logging.INFO, "weft.service.events")
    async with raw_engine(b"") as engine, serving(engine.url) as service:
        for sent in ends:
            engine.reply = _closing(HEAD + sent)
            async with service.streaming(_headers=NAMED) as response:
                assert response.status_code == 200
                await response.aread()
            await until(service.idle)
            service.inside.scheduler.dispatcher.roster.back(service.inside.scheduler.replicas[0])
        assert calls(service) == [(200, "done"), (200, "broken"), (200, "broken")]
        assert service.inside.registry.programs["p"].errors == 2
        assert await counted(service) == {("2xx", "done"): 1, ("2xx", "broken"): 2}
        listed = (await service.http.get("/v1/programs/p")).json()
        assert [node["outcome"] for node in listed["graph"]["nodes"]] == [
            *("done", "broken", "broken"),
        ]
        assert listed["errors"] == 2
    logged = [record.__dict__["fields"]["outcome"] for record in caplog.records if _call(record)]
    assert logged == ["done", "broken", "broken"]


def _call(record: logging.LogRecord) -> bool:
    return record.msg == "call"


def _closing(sent: bytes) -> Any:
    async def reply(_: bytes, writer: Any) -> None:
        writer.write(sent)
        writer.close()

    return reply


@pytest.mark.parametrize("path", GENERATING)
async def test_every_protocol_tells_a_broken_stream(path: str) -> None:
    async with raw_engine(_closing(HEAD + EVENT)) as engine, serving(engine.url) as service:
        async with service.streaming(path, NAMED) as response:
            await response.aread()
        await until(service.idle)
        assert calls(service) == [(200, "broken")]


async def test_an_engine_that_falls_silent_within_an_answer() -> None:
    async def silent(_: bytes, writer: Any) -> None:
        writer.write(HEAD + EVENT)
        await writer.drain()
        await asyncio.Event().wait()  # for ever

    limits = {"idle_seconds": 1}
    async with raw_engine(silent) as engine, serving(engine.url, limits=limits) as service:
        async with service.streaming(_headers=NAMED) as response:
            got = await response.aread()
        assert b"fell silent" in got
        await until(service.idle)
        assert calls(service) == [(200, "timed_out")]


async def test_a_client_that_leaves_and_one_that_waits_in_vain() -> None:
    gate = asyncio.Event()

    async def held(_: bytes, writer: Any) -> None:
        writer.write(HEAD + EVENT)
        await writer.drain()
        await gate.wait()
        writer.write(DONE)
        writer.close()

    limits = {"queue_seconds": 0.3}
    async with raw_engine(held) as engine:
        spec = {"spec": engine.url, "concurrency": 1}
        async with serving(spec, limits=limits) as service:
            async with service.streaming(_headers={"x-weft-program": "first"}):
                refused = await service.post(_headers=NAMED)
                assert refused.status_code == 503
                assert refused.headers["retry-after"]
            first = service.inside.registry.programs["first"]
            await until(lambda: bool(first.calls[0].ended))
            assert (first.calls[0].status, first.calls[0].outcome) == (499, "cancelled")
            assert first.errors == 0
            assert calls(service) == [(503, "timed_out")]
            gate.set()


async def test_what_is_refused_at_the_door_is_counted() -> None:
    key = "key-of-ann-0000000"
    tenant = {"name": "ann", "keys": [hash_key(key)], "requests_per_minute": 1}
    headers = {"authorization": f"Bearer {key}"}
    async with (
        raw_engine(_closing(WHOLE)) as engine,
        serving(engine.url, tenants=[tenant]) as service,
    ):
        statuses = [(await service.post(_headers=headers)).status_code for _ in range(2)]
        statuses.append((await service.post(_headers=headers, model="none")).status_code)
        statuses.append((await service.post(_headers=headers, messages=[])).status_code)
        statuses.append((await service.post()).status_code)  # nobody that is known
        assert statuses == [200, 429, 404, 400, 401]
        await until(service.idle)
        assert await counted(service) == {("2xx", "done"): 1, ("4xx", "refused"): 3}


async def test_an_engine_that_refuses_and_one_that_fails() -> None:
    async with raw_engine(b"") as engine, serving(engine.url) as service:
        for status in (400, 500):
            said = json.dumps({"error": {"message": "no"}}).encode()
            engine.reply = _closing(answered(status, said))
            assert (await service.post(_headers=NAMED)).status_code == status
        assert calls(service) == [(400, "refused"), (500, "broken")]


@pytest.mark.parametrize("status", [429, 503, 529])
async def test_a_busy_engine_is_left_for_another_one(status: int) -> None:
    busy = answered(status, b'{"error": {"message": "too many"}}')
    async with (
        raw_engine(_closing(busy)) as first,
        raw_engine(_closing(WHOLE)) as second,
        serving(first.url, second.url) as service,
    ):
        for number in range(4):
            answer = await service.post(_headers={"x-weft-program": str(number)})
            assert answer.status_code == 200
        assert first.asked
        await until(service.idle)


@pytest.mark.parametrize("path", GENERATING)
async def test_where_all_are_busy_the_client_is_to_come_again(path: str) -> None:
    said = b'{"error": {"message": "too many"}}'
    busy = answered(529, said).replace(b"\r\n\r\n", b"\r\nretry-after: 7\r\n\r\n", 1)
    limits = {"queue_seconds": 0.5}
    async with raw_engine(_closing(busy)) as engine, serving(engine.url, limits=limits) as service:
        answer = await service.post(path)
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) >= 1
        assert "x-should-retry" not in answer.headers


async def test_what_an_engine_says_of_sending_again_is_passed_on() -> None:
    body = b'{"error": {"message": "paid up", "code": "insufficient_quota"}}'
    sent = answered(429, body).replace(b"\r\n\r\n", b"\r\nx-should-retry: false\r\n\r\n", 1)
    async with raw_engine(_closing(sent)) as engine, serving(engine.url) as service:
        answer = await service.post()
        assert (answer.status_code, answer.content) == (429, body)
        assert answer.headers["x-should-retry"] == "false"


async def test_a_released_program_does_not_come_back() -> None:
    gate = asyncio.Event()

    async def held(_: bytes, writer: Any) -> None:
        await gate.wait()
        writer.write(WHOLE)

    async with raw_engine(held) as engine, serving(engine.url) as service:
        url = f"http://127.0.0.1:{service.port}"
        async with (
            openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="k") as ours,
            anthropic.AsyncAnthropic(base_url=url, api_key="k") as theirs,
        ):
            said: Any = BODIES[CHAT]["messages"]
            asked = [
                asyncio.create_task(
                    ours.chat.completions.create(model="m", messages=said, extra_headers=NAMED)
                ),
                asyncio.create_task(
                    theirs.messages.create(
                        model="m", max_tokens=9, messages=said, extra_headers=NAMED
                    )
                ),
            ]
            await until(lambda: engine.asked == 2)
            record = service.inside.registry.programs["p"]
            assert (await service.http.delete("/v1/programs/p")).json()["deleted"]
            with pytest.raises(openai.ConflictError):
                await asked[0]
            with pytest.raises(anthropic.ConflictError):
                await asked[1]
        assert engine.asked == 2
        assert "p" not in service.inside.registry.programs
        assert [call.outcome for call in record.calls] == ["cancelled"] * 2
        assert record.errors == 0

        again = await service.post(_headers=NAMED)  # from who sends it again by hand
        assert again.status_code == 409
        assert again.headers["x-should-retry"] == "false"
        assert "released" in again.json()["error"]["message"]
        assert (await service.http.get("/v1/programs/p")).json()["state"] == "ended"
        gate.set()
        assert (await service.post(_headers={"x-weft-program": "q"})).status_code == 200


async def test_a_released_conversation_does_not_come_back() -> None:
    async with raw_engine(_closing(WHOLE)) as engine, serving(engine.url) as service:
        said = [{"role": "user", "content": "hi"}]
        first = await service.post(messages=said)
        id = first.headers["x-weft-program"]
        await service.http.delete(f"/v1/programs/{id}")
        more = [*said, {"role": "assistant", "content": "a"}, {"role": "user", "content": "b"}]
        assert (await service.post(messages=more)).status_code == 409
        other = await service.post(messages=[{"role": "user", "content": "another"}])
        assert other.status_code == 200


async def test_a_program_stays_released_over_a_restart_with_its_strategies(tmp_path: Path) -> None:
    gate = asyncio.Event()

    async def held(_: bytes, writer: Any) -> None:
        await gate.wait()
        writer.write(WHOLE)

    more: dict[str, Any] = {"store": str(tmp_path / "store.db")}
    async with raw_engine(held) as engine:
        async with serving(engine.url, **more) as service:
            asked = [
                asyncio.create_task(service.post(_headers=NAMED, model=model))
                for model in ("m", "m:majority(n=2)")
            ]
            other = asyncio.create_task(
                service.post(_headers={"x-weft-program": "q"}, model="m:majority(n=2)")
            )
            programs = service.inside.registry.programs
            await until(lambda: len(programs) == 3 and engine.asked >= 3)
            await service.http.delete("/v1/programs/p")
            assert [(await one).status_code for one in asked] == [409, 409]
            assert not other.done()
            other.cancel()
            await until(service.idle)
        gate.set()
        async with serving(engine.url, **more) as service:
            for model in ("m", "m:majority(n=2)"):
                assert (await service.post(_headers=NAMED, model=model)).status_code == 409
            assert (await service.post(_headers={"x-weft-program": "q"})).status_code == 200


async def test_a_program_that_only_asked_strategies_can_be_released() -> None:
    async with raw_engine(_closing(WHOLE)) as engine, serving(engine.url) as service:
        model = "m:majority(n=2)"
        assert (await service.http.delete("/v1/programs/p")).status_code == 404
        await service.post(_headers=NAMED, model=model)
        assert "p" not in service.inside.registry.programs
        for _ in range(2):
            gone = await service.http.delete("/v1/programs/p")
            assert gone.json() == {"id": "p", "object": "program", "deleted": True}
        for asked in (model, "m"):
            assert (await service.post(_headers=NAMED, model=asked)).status_code == 409
        assert (await service.http.delete("/v1/programs/run")).status_code == 404


async def test_a_stream_of_a_released_program_ends_with_an_error() -> None:
    async def held(_: bytes, writer: Any) -> None:
        writer.write(HEAD + EVENT)
        await writer.drain()
        await asyncio.Event().wait()  # for ever

    async with raw_engine(held) as engine, serving(engine.url) as service:
        async with service.streaming(_headers=NAMED) as response:
            parts = response.aiter_raw()
            await anext(parts)
            record = service.inside.registry.programs["p"]
            await service.http.delete("/v1/programs/p")
            got = b"".join([part async for part in parts])
        error = json.loads(got.partition(b"data: ")[2].split(b"\n")[0])["error"]
        assert (error["type"], "released" in error["message"]) == ("conflict_error", True)
        (call,) = record.calls
        assert (call.status, call.outcome) == (200, "cancelled")


async def test_overflows_over_http() -> None:
    text = (
        "This model's maximum context length is 32768 tokens. However, you requested 20000 output "
        "tokens and your prompt contains 25000 input tokens, for a total of 45000 tokens."
    )
    error = {"message": text, "type": "BadRequestError", "param": "input_tokens", "code": 400}
    sent = answered(400, json.dumps({"error": error}).encode())
    async with raw_engine(_closing(sent)) as engine, serving(engine.url) as service:
        for path in (*GENERATING, "/v1/embeddings", "/v1/messages/count_tokens"):
            answer = await service.post(path)
            assert answer.status_code == 400
            said = answer.json()["error"]
            if "messages" in path:
                assert said["message"].startswith("input length and `max_tokens` exceed context")
                assert said["type"] == "invalid_request_error"
            else:
                assert said == error | {
                    "type": "invalid_request_error",
                    "code": "context_length_exceeded",
                }


async def test_what_does_not_fit_the_engines_is_told_likewise() -> None:
    with mock.running(ScriptedEngine("Hello", model="m", kv_tokens=1024)) as url:
        async with serving(url) as service:
            long = [{"role": "user", "content": "word " * 2000}]
            answer = await service.post(messages=long)
            said = answer.json()["error"]
            assert (answer.status_code, said["code"]) == (400, "context_length_exceeded")
            assert "maximum context length is 1024 tokens" in said["message"]
            answer = await service.post("/v1/messages", messages=long)
            assert answer.status_code == 400
            message = answer.json()["error"]["message"]
            assert message == "prompt is too long: 2502 tokens > 1024 maximum"
