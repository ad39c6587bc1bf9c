"""What an endpoint refuses is learned, done from then on, and said once."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import anyio
import pytest
from pydantic import BaseModel
from starlette.responses import JSONResponse

from hosted_endpoint import USED, Endpoint, chunk, data, error, serving
from weft import Pool, Prompt, generate, score
from weft.backends.http.folded_turns import folded
from weft.backends.openai import OpenAIEngine
from weft.backends.openai.complaints import complaints
from weft.backends.openai.dialect import Dialect
from weft.backends.openai.phrasing import nearest
from weft.backends.openai.schemas import strict
from weft.errors import OutputError, RequestRejected, Unsupported

pytestmark = pytest.mark.anyio
HI = Prompt.user("hi")


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with serving(Endpoint()) as one:
        yield one


async def asked(endpoint: Endpoint, *, told: dict[str, Any] | None = None, **how: Any):
    async with Pool(OpenAIEngine("m", endpoint.url, "k", name="the engine", **told or {})):
        return await generate(HI, **how)


def openai_reasoning(body: dict[str, Any]):
    for name in ("temperature", "top_p"):
        if body.get(name, 1) != 1:
            return error(
                f"Unsupported value: '{name}' does not support {body[name]} with this model. "
                "Only the default (1) value is supported.",
                name,
                "unsupported_value",
            )
    if "max_tokens" in body:
        return error(
            "Unsupported parameter: 'max_tokens' is not supported with this model. "
            "Use 'max_completion_tokens' instead.",
            "max_tokens",
            "unsupported_parameter",
        )
    if "logprobs" in body:
        return error("logprobs are not supported with this model.", "logprobs")
    return None


async def test_a_reasoning_model(endpoint: Endpoint, caplog: pytest.LogCaptureFixture):
    endpoint.refuse = openai_reasoning
    with caplog.at_level(logging.WARNING):
        first = await asked(endpoint, temperature=0, max_tokens=9, logprobs=2)
        again = await asked(endpoint, temperature=0, max_tokens=9)
    assert (first.text, again.text) == ("hi", "hi")
    assert first.missing == ("logprobs", "temperature")
    assert again.missing == ("temperature",)
    assert len(endpoint.bodies) == 5  # three lessons, and none of them twice
    last = endpoint.bodies[-1]
    assert last["max_completion_tokens"] == 9
    assert not {"temperature", "max_tokens", "logprobs", "top_logprobs"} & last.keys()
    said = [r.getMessage() for r in caplog.records if "from now on" in r.getMessage()]
    assert len(said) == 3
    assert all(text.startswith("the engine does not take") for text in said)


async def test_many_at_once_learn_once(endpoint: Endpoint, caplog: pytest.LogCaptureFixture):
    endpoint.refuse = openai_reasoning
    with caplog.at_level(logging.WARNING):
        async with Pool(OpenAIEngine("m", endpoint.url, "k")):
            answers = await generate(HI, n=16, max_tokens=5)
    assert {one.text for one in answers} == {"hi"}
    assert sum("from now on" in r.getMessage() for r in caplog.records) == 1


def pydantic_form(name: str, kind: str, message: str, **bounds: Any):
    item = {"type": kind, "loc": ["body", name], "msg": message, "ctx": bounds}
    return JSONResponse({"detail": [item]}, 422)


def without(name: str, refusal: JSONResponse):
    return lambda body: refusal if name in body else None


def above(name: str, most: float, refusal: JSONResponse):
    return lambda body: refusal if body.get(name, 0) > most else None


@pytest.mark.parametrize(
    ("refuse", "how", "sent", "missing"),
    [
        (
            without("seed", pydantic_form("seed", "extra_forbidden", "Extra inputs are forbidden")),
            {"seed": 1},
            {"seed": None},
            ("seed",),
        ),
        (
            without("seed", JSONResponse([{"error": {
                "code": 400, "message": 'Invalid JSON payload. Unknown name "seed": no field.'}}],
                400)),
            {"seed": 1},
            {"seed": None},
            ("seed",),
        ),
        (
            above("top_logprobs", 5, error(
                "Invalid value for 'top_logprobs': must be less than or equal to 5.",
                "top_logprobs")),
            {"logprobs": 20},
            {"top_logprobs": 5, "logprobs": True},
            ("top_logprobs", "logprobs"),
        ),
        (
            above("top_logprobs", 5, pydantic_form(
                "top_logprobs", "less_than_equal", "Input should be less", le=5)),
            {"logprobs": 20},
            {"top_logprobs": 5},
            ("top_logprobs", "logprobs"),
        ),
        (
            above("top_logprobs", 3, error("topLogprobs out of range")),
            {"logprobs": 20},
            {"top_logprobs": 3},
            ("top_logprobs", "logprobs"),
        ),
        (
            above("max_tokens", 8192, error(
                "max_tokens: 9000 > 8192, which is the maximum allowed number of output tokens")),
            {"max_tokens": 9000},
            {"max_tokens": 8192},
            (),
        ),
        (
            above("temperature", 1, error("temperature: range: 0..1")),
            {"temperature": 1.5},
            {"temperature": 1.0},
            ("temperature",),
        ),
        (
            lambda body: error("Input validation error: `temperature` must be strictly positive",
                               status=422) if body.get("temperature") == 0 else None,
            {"temperature": 0},
            {"temperature": 0.01},
            (),
        ),
        (
            lambda body: error("`top_p` must be > 0.0 and < 1.0")
            if body.get("top_p") == 1 else None,
            {},
            {"top_p": None, "temperature": 1},
            (),
        ),
        (
            lambda body: error("`temperature` and `top_p` cannot both be specified for this model")
            if {"temperature", "top_p"} <= body.keys() else None,
            {"top_p": 0.9},
            {"temperature": None, "top_p": 0.9},
            (),
        ),
        (
            without("stream_options", error("Unknown parameter: 'stream_options'.")),
            {},
            {"stream_options": None},
            (),
        ),
        (
            without("top_k", error("Unrecognized request argument supplied: top_k")),
            {"top_k": 5},
            {"top_k": None},
            ("top_k",),
        ),
        (
            without("chat_template_kwargs", error("unknown field", "chat_template_kwargs")),
            {"thinking": False},
            {"chat_template_kwargs": None},
            ("thinking",),
        ),
        (
            lambda body: error(
                "Unsupported value: 'minimal' is not supported. Supported values are: 'low', "
                "'medium', and 'high'.", "reasoning_effort")
            if body.get("reasoning_effort") == "minimal" else None,
            {"reasoning_effort": "minimal"},
            {"reasoning_effort": "low"},
            ("reasoning_effort",),
        ),
        (
            without("seed", JSONResponse({"error": {"message": "Provider returned error",
                "code": 400, "metadata": {"raw":
                '{"error": {"message": "seed is not supported", "param": "seed"}}'}}}, 400)),
            {"seed": 4},
            {"seed": None},
            ("seed",),
        ),
    ],
)  # fmt: skip
async def test_what_is_learned(
    endpoint: Endpoint, refuse: Any, how: Any, sent: Any, missing: tuple[str, ...]
):
    endpoint.refuse = refuse
    answer = await asked(endpoint, **how)
    assert answer.text == "hi"
    assert {name: endpoint.bodies[-1].get(name) for name in sent} == sent
    assert answer.missing == missing
    once = len(endpoint.bodies)
    await asked(endpoint, **how)
    assert len(endpoint.bodies) == once + 1


SENT = {
    "temperature": 2.0,
    "max_tokens": 9999,
    "seed": 1,
    "presence_penalty": 0.5,
    "logprobs": True,
    "stream": True,
}


@pytest.mark.parametrize(
    ("refusal", "learned"),
    [
        ("temperature参数非法。[0.0,1.0]", {"temperature": 1.0}),
        ("Unsupported: max_tokens. Use max_output_tokens", {"max_output_tokens": 9999}),
        (
            "maxOutputTokens is 9999 but the range is from 1 (inclusive) to 8193 (exclusive)",
            {"max_tokens": 8192},
        ),
        ("max_tokens must be less than 4097", {"max_tokens": 4096}),
        ("temperature must be >= 0 and < 2", {"temperature": 1.99}),
        ("The model m does not support parameter seed.", {"seed": None}),
        ("Argument not supported on this model: presencePenalty", {"presence_penalty": None}),
        ("Penalty is not enabled for this model", {"presence_penalty": None}),
        ("Streaming is not supported", {"stream": None}),
        ({"errors": [{"field": "seed", "message": "is not supported"}]}, {"seed": None}),
        ({"message": "Invalid", "errors": {"seed": ["Unknown field"]}}, {"seed": None}),
        ({"error": {"message": "Invalid", "details": [{"field": "seed"}]}}, {}),
        ("The model m does not exist", {}),
    ],
)
def test_other_words(refusal: Any, learned: dict[str, Any]):
    dialect = Dialect("the engine", f"http://{refusal}", "m")
    body = dialect.body({"model": "m", "messages": [], **SENT}, None)
    taught = [dialect.learn(one, body, ()) for one in complaints(refusal)]
    assert any(taught) == bool(learned)
    said = dialect.body(SENT, None).fields
    assert {name: said.get(name) for name in learned} == learned
    assert set(SENT) - set(said) <= {"max_tokens", *learned}


@pytest.mark.parametrize("status", [200, 403, 500])
async def test_refusals_by_other_statuses(endpoint: Endpoint, status: int):
    refusal = error("You can't use seed: not supported", code="400", status=status)
    endpoint.refuse = without("seed", refusal)
    answer = await asked(endpoint, seed=1)
    assert (answer.text, answer.missing, len(endpoint.bodies)) == ("hi", ("seed",), 2)


async def test_an_endpoint_that_may_not_stream(endpoint: Endpoint):
    endpoint.refuse = without(
        "stream",
        error("Your organization must be verified to stream this model.", "stream", "unsupported"),
    )
    message = {"content": "hi", "reasoning_content": "hm"}
    whole = {**USED, "choices": [{"message": message, "finish_reason": "stop"}]}
    endpoint.answer, endpoint.kind = json.dumps(whole).encode(), "application/json"
    answer = await asked(endpoint, max_tokens=5)
    assert (answer.text, answer.reasoning, answer.missing) == ("hi", "hm", ())
    assert not {"stream", "stream_options"} & endpoint.bodies[-1].keys()
    assert len(endpoint.bodies) == 2


async def test_a_limit_that_cannot_be_sent_is_held_to(endpoint: Endpoint):
    endpoint.refuse = lambda body: next(
        (error(f"{n} is not supported") for n in body if n.startswith("max_")), None
    )
    endpoint.answer = data(*(chunk(content=f"w{i} ") for i in range(50)), chunk("stop"), USED)
    answer = await asked(endpoint, max_tokens=3)
    assert (answer.text, answer.finish_reason, answer.whole) == ("w0 w1 w2 ", "length", False)


async def test_an_endpoint_that_does_not_hold_to_the_limit(endpoint: Endpoint):
    used = {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 9}}
    endpoint.answer = data(*[chunk(content="word ")] * 9, chunk("stop"), used)
    answer = await asked(endpoint, max_tokens=3)
    assert (answer.usage.completion, answer.missing) == (9, ("max_tokens",))
    endpoint.answer = data(*[chunk(content="word ")] * 900, chunk("stop"), used)
    answer = await asked(endpoint, max_tokens=3)
    assert (answer.finish_reason, "max_tokens" in answer.missing) == ("length", True)
    assert len(answer.text) < 500


async def test_a_template_without_system_turns(endpoint: Endpoint):
    endpoint.refuse = lambda body: (
        error("System role not supported") if body["messages"][0]["role"] == "system" else None
    )
    async with Pool(OpenAIEngine("m", endpoint.url, "k")):
        await generate(Prompt.system("be brief").user("hi"))
    assert endpoint.bodies[-1]["messages"] == [{"role": "user", "content": "be brief\n\nhi"}]
    for turns, right in (
        ("system a", "user a"),
        ("system a, system b, user c", "user a b c"),
        ("user a, system b, user c", "user a, user b c"),
        ("user a, system b", "user a b"),
        ("user a, system b, assistant c, user d", "user a b, assistant c, user d"),
        ("assistant a, system b, assistant c", "assistant a, user b, assistant c"),
        ("user a, assistant b, tool c, tool d", "user a, assistant b, user c d"),
        ("tool a, assistant b, tool c, user d", "user a, assistant b, user c d"),
    ):
        assert folded(_turns(turns), "system", "tool") == _turns(right), turns
    assert folded(_turns("system a, tool b"), "system") == _turns("user a, tool b")


def _turns(text: str) -> list[dict[str, Any]]:
    """Messages, of a role and words that paragraphs part."""
    turns = [one.split() for one in text.split(", ")]
    return [{"role": role, "content": "\n\n".join(words)} for role, *words in turns]


async def test_what_a_program_gave_itself_is_not_dropped(endpoint: Endpoint):
    endpoint.refuse = without("magic", error("unknown parameter", "magic"))
    with pytest.raises(RequestRejected, match="unknown parameter"):
        await asked(endpoint, extra={"magic": 1})
    with pytest.raises(RequestRejected):
        await asked(endpoint, told={"extra": {"magic": 1}})
    assert len(endpoint.bodies) == 2


async def test_a_lesson_that_does_not_help_is_forgotten(endpoint: Endpoint):
    endpoint.refuse = lambda body: error("your seed of doubt displeases me")
    with pytest.raises(RequestRejected, match="displeases"):
        await asked(endpoint, seed=1)
    assert len(endpoint.bodies) <= 3
    endpoint.refuse = lambda body: None
    await asked(endpoint, seed=1)
    assert endpoint.bodies[-1]["seed"] == 1


async def test_what_is_told(endpoint: Endpoint):
    told = {"omit": ["temperature"], "rename": {"seed": "random_seed"}, "extra": {"user": "me"}}
    await asked(endpoint, told=told, seed=3, top_k=4, extra={"x": 1})
    sent = endpoint.bodies[-1]
    assert (sent["random_seed"], sent["user"], sent["top_k"], sent["x"]) == (3, "me", 4, 1)
    assert not {"temperature", "seed"} & sent.keys()


class Fruit(BaseModel):
    name: str
    weight: int = 1


FRUIT = data(chunk(content='{"name": "fig"}'), chunk("stop"), USED, "[DONE]")


def strictly(body: dict[str, Any]):
    schema = body["response_format"]["json_schema"]["schema"]
    if schema.get("additionalProperties") is False and len(schema["required"]) == 2:
        return None
    return error(
        "Invalid schema for response_format 'answer': In context=(), 'additionalProperties' is "
        "required to be supplied and to be false.",
        "response_format",
    )


def json_objects_only(body: dict[str, Any]):
    if body.get("response_format", {}).get("type") == "json_schema":
        return error("This response_format type is unavailable now")
    return None


def no_format(body: dict[str, Any]):
    return error("Unknown parameter: response_format") if "response_format" in body else None


@pytest.mark.parametrize("refuse", [lambda body: None, strictly, json_objects_only, no_format])
async def test_schemas(endpoint: Endpoint, refuse: Any):
    endpoint.refuse, endpoint.answer = refuse, FRUIT
    assert (await asked(endpoint, returns=Fruit)).value == Fruit(name="fig")
    answer = await asked(endpoint, schema=Fruit.model_json_schema())
    held = "response_format" in endpoint.bodies[-1] and refuse is not json_objects_only
    assert answer.missing == (() if held else ("schema",))
    if not held:
        assert '"weight"' in endpoint.bodies[-1]["messages"][0]["content"]
    endpoint.answer = data(chunk(content="no fruit"), chunk("stop"), USED)
    with pytest.raises(OutputError):
        await asked(endpoint, returns=Fruit)


async def test_a_schema_that_is_refused_spoils_no_other(endpoint: Endpoint):
    def refuse(body: dict[str, Any]):
        form = body["response_format"]["json_schema"]
        bad = "pattern" in str(form["schema"]) and form.get("strict")
        return error("Invalid schema: 'pattern' is not permitted") if bad else None

    endpoint.refuse, endpoint.answer = refuse, FRUIT
    loose = {"type": "object", "properties": {"name": {"type": "string", "pattern": "f.*"}}}
    assert (await asked(endpoint, schema=loose)).missing == ("schema",)
    assert (await asked(endpoint, schema=Fruit.model_json_schema())).missing == ()
    assert endpoint.bodies[-1]["response_format"]["json_schema"]["strict"]


async def test_scoring_with_fewer_alternatives(endpoint: Endpoint):
    endpoint.refuse = above("top_logprobs", 5, error("top_logprobs must be between 0 and 5"))
    top = [{"token": "yes", "logprob": -0.1}, {"token": "no", "logprob": -2.0}]
    first = {"token": "yes", "logprob": -0.1, "top_logprobs": top}
    choice = {"message": {"content": "yes"}, "logprobs": {"content": [first]}}
    endpoint.answer = bytes(JSONResponse({"choices": [choice | {"finish_reason": "length"}]}).body)
    endpoint.kind = "application/json"
    async with Pool(OpenAIEngine("m", endpoint.url, "k")):
        found = await score(HI, ["yes", "no"], role="solver")
    assert found["yes"] == pytest.approx(0.905, abs=0.01)
    assert endpoint.bodies[-1]["top_logprobs"] == 5


async def test_scoring_without_logprobs(endpoint: Endpoint):
    endpoint.refuse = without("logprobs", error("logprobs is not supported", "logprobs"))
    endpoint.answer = bytes(JSONResponse({"choices": [{"message": {"content": "yes"}}]}).body)
    endpoint.kind = "application/json"
    async with Pool(OpenAIEngine("m", endpoint.url, "k")):
        with pytest.raises(Unsupported, match="no log-probabilities"):
            await score(HI, ["yes", "no"], role="solver")


def test_strict_schemas():
    class Outer(BaseModel):
        fruits: list[Fruit]
        free: dict[str, int] = {}

    made = strict(Outer.model_json_schema())
    assert made["required"] == ["fruits", "free"]
    assert made["$defs"]["Fruit"]["required"] == ["name", "weight"]
    assert made["$defs"]["Fruit"]["additionalProperties"] is False
    assert made["properties"]["free"]["additionalProperties"] == {"type": "integer"}


def test_the_nearest_effort():
    assert nearest("max", ("low", "high")) == "high"
    assert nearest("whatever", ("low", "high")) == "low"


async def test_cancelling_while_learning(endpoint: Endpoint):
    endpoint.refuse = openai_reasoning
    with anyio.move_on_after(0):
        await asked(endpoint, max_tokens=4)
    assert (await asked(endpoint, max_tokens=4)).text == "hi"
