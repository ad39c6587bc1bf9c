"""The published description of the service's HTTP interface, in OpenAPI 3.1."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from weft.service.protocols.reading import LONGEST_NAME

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_OBJECT: Schema = {"type": "object"}
_FLAG: Schema = {"type": ["boolean", "null"]}
_MODEL: Schema = {
    "type": "string",
    "minLength": 1,
    "maxLength": LONGEST_NAME,
    "description": "One that GET /v1/models lists, or MODEL:STRATEGY for a strategy.",
}
_MESSAGES: Schema = {
    "type": "array",
    "minItems": 1,
    "items": {
        "type": "object",
        "properties": {
            "role": _TEXT,
            "content": {"type": ["string", "array", "null"], "items": {}},
        },
        "required": ["role"],
        "additionalProperties": True,
    },
}
_TOOLS: Schema = {"type": ["array", "null"], "items": _OBJECT}
_PROMPT: Schema = {"type": ["string", "array"], "minItems": 1, "items": {}}
_KEYS: list[Any] = [{"bearer": []}, {"x-api-key": []}, {}]
_PROGRAM: Schema = {
    "name": "x-weft-program",
    "in": "header",
    "schema": {"type": "string", "maxLength": 128},
    "description": "The program that the request belongs to; found by itself if left out.",
}
_CALL_HEADERS: dict[str, Schema] = {
    name: {"schema": _TEXT, "description": what}
    for name, what in {
        "x-weft-program": "The program that the request belongs to.",
        "x-weft-call": "The request's id, which the engine got too.",
        "x-weft-engine": "Where it was sent.",
        "x-weft-waited": "Seconds that it waited for an engine.",
        "x-weft-where": "Why it went there.",
        "x-weft-wait": "Why it waited.",
    }.items()
}
_WHEN = {"retry-after": {"schema": {"type": "integer"}, "description": "Seconds to wait."}}
_FINAL = {
    "x-should-retry": {"schema": {"const": "false"}, "description": "It is of no use to repeat it."}
}
_ERRORS = {
    400: "The request is wrong; the message says what to change.",
    401: "No valid key came.",
    403: "An admin key is needed, or the host's name is not this service's.",
    404: "There is no such model, program or path.",
    408: "The body did not come in time.",
    409: "The program was released, while the request was under way or shortly before.",
    413: "The body is too large.",
    415: "The body's content-encoding is not known.",
    429: "A limit of the tenant's is reached.",
    500: "The engine failed at this request, or weft did.",
    502: "The engine's answer is too long.",
    503: "Nothing can serve the request now; come again after Retry-After.",
}


def document() -> Schema:
    """The whole document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "weft",
            "version": version("weft"),
            "description": "A gateway that schedules programs of language-model calls. Fields "
            "that are not listed here are passed to the engine as they are.",
        },
        "paths": {**_inference(), **_other()},
        "components": {
            "schemas": {"Error": _openai_error(), "AnthropicError": _anthropic_error()},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
        },
    }


def _inference() -> dict[str, Schema]:
    stream: Schema = {"stream": _FLAG, "stream_options": {"type": ["object", "null"]}}
    tools = {"tools": _TOOLS}
    return {
        "/v1/chat/completions": _post(
            "Answer a conversation, as OpenAI's chat completions do.",
            {
                "messages": _MESSAGES,
                "max_tokens": _count(),
                "max_completion_tokens": _count(),
                **stream,
                **tools,
            },
            ["messages"],
        ),
        "/v1/completions": _post(
            "Continue a text, as OpenAI's completions do.",
            {"prompt": _PROMPT, "max_tokens": _count(0), **stream},
            ["prompt"],
        ),
        "/v1/responses": _post(
            "Answer a conversation, as OpenAI's responses do.",
            {
                "input": {"type": ["string", "array"], "minItems": 1, "items": _OBJECT},
                "instructions": {"type": ["string", "null"]},
                "previous_response_id": {"type": ["string", "null"]},
                "max_output_tokens": _count(),
                **stream,
                **tools,
            },
            ["input"],
        ),
        "/v1/responses/compact": _post(
            "Make a conversation short: the model writes a summary, which becomes one item.",
            {
                "input": {"type": ["string", "array"], "minItems": 1, "items": _OBJECT},
                "instructions": {"type": ["string", "null"]},
                **tools,
            },
            ["input"],
            streams=False,
        ),
        "/v1/messages": _post(
            "Answer a conversation, as Anthropic's messages do.",
            {
                "messages": _MESSAGES,
                "system": {"type": ["string", "array", "null"], "items": {}},
                "max_tokens": {"type": "integer", "minimum": 1},
                **stream,
                **tools,
            },
            ["messages", "max_tokens"],
            error="AnthropicError",
        ),
        "/v1/messages/count_tokens": _post(
            "Count the tokens of what would be sent to /v1/messages.",
            {
                "messages": _MESSAGES,
                "system": {"type": ["string", "array", "null"], "items": {}},
                **tools,
            },
            ["messages"],
            error="AnthropicError",
            streams=False,
        ),
        "/v1/embeddings": _post("Embed texts.", {"input": _PROMPT}, ["input"], streams=False),
        "/tokenize": _post(
            "The token ids of a prompt, or of messages, as vLLM gives them.",
            {"prompt": _TEXT, "messages": _MESSAGES, **tools},
            [],
            streams=False,
            names_model=False,
        ),
        "/detokenize": _post(
            "The text of token ids.",
            {"tokens": {"type": "array", "items": {}}},
            ["tokens"],
            streams=False,
            names_model=False,
        ),
    }


def _other() -> dict[str, Schema]:
    id = {"name": "id", "in": "path", "required": True, "schema": _TEXT}
    ended = {"name": "ended", "in": "query", "schema": {"enum": ["true", "false"]}}
    engine = {"name": "name", "in": "path", "required": True, "schema": _TEXT}
    text = {"200": {"description": "Done.", "content": {"text/plain": {"schema": _TEXT}}}}
    return {
        "/v1/models": {"get": _call("The models and strategies.", 401)},
        "/v1/models/{id}": {"get": _call("One of them.", 400, 401, 404, parameters=[id])},
        "/v1/programs": {"get": _call("Live programs.", 401, parameters=[ended])},
        "/v1/programs/{id}": {
            "get": _call("One program with its calls.", 401, 404, parameters=[id]),
            "delete": _call("End a program, and what it still runs.", 401, 404, parameters=[id]),
        },
        "/v1/calls/{id}": {"get": _call("One call, and its causes.", 401, 404, parameters=[id])},
        "/health": {"get": _call("Whether the service runs.", security=[])},
        "/ready": {
            "get": {
                **_call("Whether it can serve requests.", security=[]),
                "responses": {
                    "200": _json("It can.", _OBJECT),
                    "503": _json("It can't.", _OBJECT),
                },
            }
        },
        "/metrics": {"get": {**_call("Figures for Prometheus.", security=[]), "responses": text}},
        "/admin/reload": {"post": _call("Read the configuration anew.", 400, 403)},
        "/admin/engines": {"get": _call("The engines, and how they are.", 403)},
        "/admin/engines/{name}/drain": {
            "post": _call("Give an engine no new programs.", 400, 403, 404, parameters=[engine]),
            "delete": _call("Give it some again.", 400, 403, 404, parameters=[engine]),
        },
        "/openapi.json": {"get": _call("This document.", security=[])},
    }


def _post(
    summary: str,
    fields: Schema,
    required: list[str],
    error: str = "Error",
    streams: bool = True,
    names_model: bool = True,
) -> Schema:
    """An endpoint of inference."""
    body: Schema = {
        "type": "object",
        "properties": {"model": _MODEL, **fields},
        "required": ["model", *required] if names_model else required,
        "additionalProperties": True,
    }
    answer = _json("The engine's answer.", _OBJECT)
    answer["headers"] = _CALL_HEADERS
    if streams:
        answer["content"]["text/event-stream"] = {"schema": {}}
    codes = [400, 401, 403, 404, 408, 409, 413, 429, 500, 502, 503]
    return {
        "post": {
            "summary": summary,
            "security": _KEYS,
            "parameters": [_PROGRAM],
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": body}},
            },
            "responses": {"200": answer, **_errors(codes, error)},
        }
    }


def _call(
    summary: str,
    *errors: int,
    parameters: list[Schema] | None = None,
    security: list[Any] = _KEYS,
) -> Schema:
    """Any other endpoint."""
    return {
        "summary": summary,
        "security": security,
        "parameters": parameters or [],
        "responses": {"200": _json("Done.", _OBJECT), **_errors(list(errors), "Error")},
    }


def _errors(codes: list[int], name: str) -> Schema:
    found: Schema = {}
    for code in codes:
        found[str(code)] = _json(_ERRORS[code], {"$ref": f"#/components/schemas/{name}"})
        if code in (429, 503):
            found[str(code)]["headers"] = _WHEN
        if code == 409:
            found[str(code)]["headers"] = _FINAL
    return found


def _json(description: str, schema: Schema) -> Schema:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _count(least: int = 1) -> Schema:
    return {"type": ["integer", "null"], "minimum": least}


def _openai_error() -> Schema:
    error: Schema = {
        "type": "object",
        "properties": {
            "message": _TEXT,
            "type": _TEXT,
            "param": {"type": ["string", "null"]},
            "code": {"type": ["string", "integer", "null"]},
        },
        "required": ["message", "type"],
    }
    return {"type": "object", "properties": {"error": error}, "required": ["error"]}


def _anthropic_error() -> Schema:
    error: Schema = {
        "type": "object",
        "properties": {"type": _TEXT, "message": _TEXT},
        "required": ["type", "message"],
    }
    return {
        "type": "object",
        "properties": {"type": {"const": "error"}, "error": error},
        "required": ["type", "error"],
    }
