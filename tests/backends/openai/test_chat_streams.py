"""Streams of chat completions, in the forms in which endpoints write them."""

import json
import math
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import RootModel

from hosted_endpoint import HELLO, USED, Endpoint, chunk, data, serving
from weft import Pool, Prompt, generate, run
from weft.backends.openai import OpenAIEngine
from weft.backends.openai.reading import finish_of, parts
from weft.backends.openai.sse import DONE, EventLines, NoEvent
from weft.backends.openai.usage import Counts, counts
from weft.errors import EngineError, OutputError, Unsupported
from weft.search import Question, parse_strategy

pytestmark = pytest.mark.anyio


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with serving(Endpoint()) as one:
        yield one


async def asked(endpoint: Endpoint, **how: Any):
    async with Pool(OpenAIEngine("m", endpoint.url, "k")):
        return await generate(Prompt.user("hi"), **how)


TOP = {"content": [{"token": "hi", "logprob": -0.1, "top_logprobs": None}]}
STREAMS: dict[str, bytes] = {
    "plain": HELLO,
    "no [DONE]": data(chunk(content="hi"), chunk("stop"), USED),
    "no end of the last line": data(chunk(content="hi"), chunk("stop"), USED).rstrip(),
    "no space": data(chunk(content="hi"), chunk("stop"), USED).replace(b"data: ", b"data:"),
    "CRLF": data(chunk(content="hi"), chunk("stop"), USED).replace(b"\n", b"\r\n"),
    "CR": data(chunk(content="hi"), chunk("stop"), USED).replace(b"\n", b"\r"),
    "comments": b": ping\n\nevent: x\nid: 1\nretry: 5\n" + HELLO.replace(b"\n\n", b"\n\n:\n\n"),
    "a byte order mark": b"\xef\xbb\xbf" + HELLO,
    "data on several lines": b'data: {"choices": [{"delta":\ndata: {"content": "hi"},\n'
    b'data: "finish_reason": "stop"}]}\n\n' + data(USED),
    "no delta": data({"choices": [{"index": 0}]}, chunk(content="hi"), chunk("stop"), USED),
    "null everywhere": data(
        {"choices": None, "usage": None, "error": None},
        {"choices": [{"delta": None, "finish_reason": None, "logprobs": None}]},
        chunk(role="assistant", content=None, reasoning_content=None, tool_calls=None),
        chunk(content="hi"),
        {"choices": [{"delta": None, "finish_reason": "stop"}]},
        USED,
    ),
    "a list of parts": data(
        chunk(content=[{"type": "text", "text": "h"}]), chunk(content=[{"text": "i"}]),
        chunk("stop", content=[]), USED,
    ),
    "usage with the end": data(chunk(content="hi"), chunk("stop") | {"usage": USED["usage"]}),
    "usage in the choice": data(
        chunk(content="hi"),
        {"choices": [{"delta": {}, "finish_reason": "stop", "usage": USED["usage"]}]},
    ),
    "usage first": data(USED, chunk(content="hi"), chunk("stop"), "[DONE]"),
    "usage that grows": data(
        chunk(content="h") | {"usage": {"prompt_tokens": 3, "completion_tokens": 1}},
        chunk(content="i") | {"usage": {"prompt_tokens": 3, "completion_tokens": 2}},
        chunk("stop"),
    ),
    "a vendor's usage": data(chunk(content="hi"), chunk("stop") | {"x_groq": USED}),
    "other choices": data(
        {"choices": [{"index": 1, "delta": {"content": "no"}, "finish_reason": "length"},
                     {"index": 0, "delta": {"content": "hi"}}]},
        {"choices": [{"index": 1, "delta": {"content": "no"}}]},
        chunk("stop"), USED,
    ),
    "a message at the end": data(
        chunk(content="h"), {"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]},
        USED,
    ),
    "texts": data({"choices": [{"text": "hi", "finish_reason": "stop"}]}, USED),
    "no stream at all": json.dumps({
        "choices": [{"message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
        "usage": USED["usage"]}, indent=1).encode(),
    "an index in letters": data(
        {"choices": [{"index": "0", "delta": {"content": "hi"}}]}, chunk("stop"), USED, "[done]"
    ),
    "an error behind the answer": data(chunk(content="hi"), chunk("stop"), USED, {"error": "x"}),
    "an end in parts": data(
        chunk(content="hi"), {"choices": [{"finish_reason": {"type": "stop"}}]}, USED
    ),
    "their own words": data(chunk(content="hi"), chunk("end_turn"), USED),
}  # fmt: skip


@pytest.mark.parametrize("size", [1, 10**6])
@pytest.mark.parametrize("form", STREAMS)
async def test_forms(endpoint: Endpoint, form: str, size: int):
    endpoint.answer, endpoint.size = STREAMS[form], size
    if form == "no stream at all":
        endpoint.kind = "application/json"
    answer = await asked(endpoint)
    assert (answer.text, answer.finish_reason, answer.ended) == ("hi", "stop", True)
    assert (answer.usage.prompt, answer.usage.completion, answer.missing) == (3, 2, ())


async def test_letters_of_several_bytes(endpoint: Endpoint):
    endpoint.answer = 'data: {"choices": [{"delta": {"content": "⚙é"}}]}\n\n'.encode()
    endpoint.answer += data(chunk("stop"))
    endpoint.size = 1
    assert (await asked(endpoint)).text == "⚙é"


async def test_characters_in_halves_and_bytes_that_are_none(endpoint: Endpoint):
    halves = chunk(content="a\ud83c"), chunk(content="\udf89b\udf89"), chunk(content="\ud83c")
    endpoint.answer = data(*halves, chunk("stop"), USED)
    assert (await asked(endpoint)).text == "a🎉b\ufffd"
    endpoint.answer = data(chunk(content="h?"), chunk("stop"), USED).replace(b"?", b"\xff")
    assert (await asked(endpoint)).text == "h\ufffd"


async def test_no_tokens_for_a_text_is_no_count(endpoint: Endpoint):
    nothing = {"usage": {"prompt_tokens": 0, "completion_tokens": 0}}
    endpoint.answer = data(chunk(content="Hello there"), chunk("stop"), nothing)
    answer = await asked(endpoint)
    assert answer.missing == ("usage",)
    assert answer.usage.prompt > 0 < answer.usage.completion


@pytest.mark.parametrize(
    "deltas",
    [
        [{"reasoning_content": "7 or 8"}, {"content": "5"}],
        [{"reasoning": "7 or", "reasoning_content": "7 or"}, {"reasoning": " 8"}, {"content": "5"}],
        [{"thinking": "7 or 8", "content": ""}, {"content": "5"}],
        [{"thinking_blocks": [{"type": "thinking", "thinking": "7 or 8"}]}, {"content": "5"}],
        [{"thoughts": "7 or 8"}, {"content": "5"}],
        [{"reasoning": {"content": "7 or 8"}}, {"content": "5"}],
        [{"reasoning_details": [{"type": "reasoning.text", "text": "7 or 8"}]}, {"content": "5"}],
        [{"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "7 or 8"}]}]},
         {"content": [{"type": "text", "text": "5"}]}],
        [{"content": "<think>7 or"}, {"content": " 8</th"}, {"content": "ink>\n\n5"}],
        [{"content": "7 or 8\n</think>"}, {"content": "5"}],
    ],
)  # fmt: skip
async def test_thinking_is_apart(endpoint: Endpoint, deltas: list[dict[str, Any]]):
    used = {"prompt_tokens": 3, "completion_tokens": 9, "total_tokens": 12}
    used |= {"completion_tokens_details": {"reasoning_tokens": 6}}
    events = [chunk(**one) for one in deltas]
    endpoint.answer = data(*events, chunk("stop"), {"choices": [], "usage": used}, "[DONE]")
    answer = await asked(endpoint, stop="8")  # which the thinking does not end at
    assert (answer.text, answer.reasoning) == ("5", "7 or 8") or "content" in deltas[0]
    whole = await asked(endpoint)
    assert (whole.text, whole.reasoning, whole.whole) == ("5", "7 or 8", True)
    assert (whole.usage.completion, whole.usage.reasoning) == (9, 6)


@pytest.mark.parametrize("finish", ["length", "stop"])
async def test_nothing_but_thinking(endpoint: Endpoint, finish: str):
    endpoint.answer = data(chunk(reasoning_content="maybe 7"), chunk(finish), USED)
    answer = await asked(endpoint)
    assert (answer.text, answer.reasoning) == ("", "maybe 7")
    assert answer.in_thinking == (finish == "length")
    question = Question(Prompt.user("q"), lambda text: text, lambda text: False)
    async with Pool(OpenAIEngine("m", endpoint.url, "k")) as pool:
        voted = (await run(parse_strategy("majority(n=2)"), question, pool=pool)).value
    assert voted.details["votes"] == {}


@pytest.mark.parametrize(
    "finish",
    ["content_filter", "tool_calls", "function_call", "error", "abort", "SAFETY", "strange"],
)
async def test_other_ends_keep_their_names_and_give_no_vote(endpoint: Endpoint, finish: str):
    endpoint.answer = data(chunk(content="7"), chunk(finish), USED)
    answer = await asked(endpoint)
    assert (answer.finish_reason, answer.ended, answer.whole) == (finish.lower(), False, False)
    assert answer.text == "7"
    question = Question(Prompt.user("q"), lambda text: text, lambda text: False)
    for spec in ("greedy", "majority(n=2)", "first_finish(n=2)"):
        async with Pool(OpenAIEngine("m", endpoint.url, "k")) as pool:
            assert (await run(parse_strategy(spec), question, pool=pool)).value.value is None
    endpoint.answer = data(chunk(content='{"x": 7}'), chunk(finish), USED)
    with pytest.raises(OutputError, match=f"it ended by {finish.lower()}"):
        await asked(endpoint, returns=RootModel[dict[str, int]])


async def test_calls_of_tools_are_no_answer_whatever_the_end_is_called(endpoint: Endpoint):
    endpoint.answer = data(chunk(tool_calls=[{"index": 0, "id": "x"}]), chunk("stop"), USED)
    answer = await asked(endpoint)
    assert (answer.text, answer.finish_reason, answer.whole) == ("", "tool_calls", False)


async def test_a_refusal_of_the_model(endpoint: Endpoint):
    endpoint.answer = data(chunk(refusal="I won't"), chunk("stop"), USED)
    answer = await asked(endpoint)
    assert (answer.text, answer.finish_reason, answer.whole) == ("I won't", "refusal", False)


async def test_gaps_are_named(endpoint: Endpoint):
    endpoint.answer = data(chunk(content="Hello there, "), chunk(content="you all"), "[DONE]")
    answer = await asked(endpoint, logprobs=0)
    assert answer.missing == ("logprobs", "usage", "finish_reason")
    assert (answer.finish_reason, answer.ended) == ("unknown", False)
    assert answer.usage.prompt > 0 < answer.usage.completion  # estimates
    assert answer.logprobs == ()
    assert answer.mean_logprob is None


async def test_logprobs(endpoint: Endpoint):
    endpoint.answer = data(chunk(logprobs=TOP, content="hi"), chunk("stop"), USED)
    answer = await asked(endpoint, logprobs=0)
    assert [one.logprob for one in answer.logprobs] == [-0.1]
    assert answer.missing == ()


async def test_the_character_of_several_tokens_is_the_last_ones(endpoint: Endpoint):
    raw = [b" \xf0\x9f", b"\x8e", b"\x89!", b"x"]
    names = [r" \xf0\x9f", r"\x8e", r"\x89!", "x"]
    tokens = [
        {"token": name, "bytes": list(part), "logprob": -0.1, "top_logprobs": [
            {"token": name, "bytes": list(part), "logprob": -0.1},
            {"token": "other", "bytes": None, "logprob": -3.0},
        ]}
        for name, part in zip(names, raw, strict=True)
    ]  # fmt: skip
    endpoint.answer = data(
        chunk(logprobs={"content": tokens[:1]}, content=" "),
        chunk(logprobs={"content": tokens[1:]}, content="\U0001f389!x"),
        chunk("stop"), USED,
    )  # fmt: skip
    answer = await asked(endpoint, logprobs=2)
    texts = [one.token for one in answer.logprobs]
    assert texts == [" ", "", "\U0001f389!", "x"]
    assert [list(one.top) for one in answer.logprobs] == [[text, "other"] for text in texts]


async def test_a_verifier_that_reads_logprobs_needs_them(endpoint: Endpoint):
    question = Question(Prompt.user("q"), lambda text: text, lambda text: False)
    for spec in ("best_of_n(n=2, verifier=logprob)", "beam(verifier=logprob)"):
        async with Pool(OpenAIEngine("m", endpoint.url, "k")) as pool:
            with pytest.raises(Unsupported, match="no log-probabilities"):
                await run(parse_strategy(spec), question, pool=pool)


async def test_chunks_of_many_tokens_are_counted_as_such(endpoint: Endpoint):
    endpoint.answer = data(chunk(content="word " * 100), chunk("stop"), "[DONE]")
    answer = await asked(endpoint)
    assert 60 <= answer.usage.completion <= 120
    used = {"prompt_tokens": 3, "completion_tokens": 20, "total_tokens": 23}
    endpoint.answer = data(chunk(content="word " * 100), chunk("stop"), {"usage": used})
    assert (await asked(endpoint)).usage.completion == 20  # what the endpoint reports is right


@pytest.mark.parametrize(
    "events",
    [
        [chunk(content="h"), {"error": {"message": "overloaded", "code": 500}}],
        [chunk(content="h"), {"error": "overloaded"}],
        [{"choices": [{"delta": {}, "error": {"message": "overloaded"}}]}],
    ],
)
async def test_an_error_in_the_midst(endpoint: Endpoint, events: list[dict[str, Any]]):
    endpoint.answer = data(*events)
    with pytest.raises(EngineError, match="overloaded"):
        await asked(endpoint)


async def test_an_error_told_by_the_name_of_its_event_alone(endpoint: Endpoint):
    named = b'event: error\ndata: {"message": "overloaded"}\n\n'
    endpoint.answer = data(chunk(content="h")) + named
    with pytest.raises(EngineError, match="overloaded"):
        await asked(endpoint)
    other = b'event: message\ndata: {"message": "hello"}\n\n'
    endpoint.answer = named[:13] + b"\n" + other + HELLO  # a name without data names nothing
    assert (await asked(endpoint)).text == "hi"


@pytest.mark.parametrize(
    "body",
    [
        b"data: {oops\n\n",
        data(chunk(content="h")),
        b"",
        data("[DONE]"),
        data(chunk(role="assistant"), "[DONE]"),
    ],
)
async def test_what_is_no_answer(endpoint: Endpoint, body: bytes):
    endpoint.answer = body
    with pytest.raises(EngineError):
        await asked(endpoint)


def test_events_cut_anywhere():
    body = b'\xef\xbb\xbfdata:{"a": 1}\r\n\r\n: x\n\ndata: {"b":\ndata: 2}\r\rdata: [DONE]\n\n'
    for size in range(1, len(body) + 1):
        lines = EventLines()
        found = [e for i in range(0, len(body), size) for e in lines.feed(body[i : i + size])]
        assert [*found, *lines.end()] == [{"a": 1}, {"b": 2}, DONE]
    with pytest.raises(NoEvent, match="x"):
        list(EventLines().feed(b"data: {x\n\n"))


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"input_tokens": 3, "output_tokens": 2}, Counts(3, 2)),
        (
            {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 0,
             "prompt_cache_hit_tokens": 1},
            Counts(3, 2, 1),
        ),
        ({"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 15}, Counts(3, 12, None, 10)),
        (
            {"prompt_tokens": 3, "completion_tokens": 9, "total_tokens": 12, "reasoning_tokens": 7},
            Counts(3, 9, None, 7),
        ),
        ({"prompt_tokens": 3, "prompt_tokens_details": {"cached_tokens": 9}}, Counts(3, None, 3)),
        ({"prompt_tokens": 0, "completion_tokens": -2, "cached_tokens": -1}, Counts()),
        ({"prompt_tokens": math.inf, "completion_tokens": math.nan}, Counts()),
        (None, Counts()),
        ("?", Counts()),
    ],
)  # fmt: skip
def test_usage_under_other_names(usage: Any, expected: Counts):
    assert counts({"usage": usage}) == expected


def test_parts_and_ends():
    assert parts([{"type": "text", "text": "a"}, {"type": "reasoning", "text": "b"}]) == ("a", "b")
    assert parts(None) == parts([]) == parts([{"type": "image"}]) == ("", "")
    parsed = [42, True, {"a": 1}, [1, {"b": None}]]
    assert [json.loads(parts(one)[0]) for one in parsed] == parsed
    assert [finish_of(one) for one in ("eos_token", "MAX_TOKENS", None)] == [
        "stop", "length", "unknown"
    ]  # fmt: skip
