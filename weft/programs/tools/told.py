"""Tools for models whose engine can't be told of them: in words, with calls as JSON.

The model is told of the tools in the system turn, and a JSON schema holds its answer to an object
with an answer and calls. The schema of a typed answer stands in the answer's place. Calls and
results of earlier turns are written likewise.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, cast

from weft.programs.prompt import Prompt
from weft.types import ToolCall

_WORDS = """You can call tools. {how} Answer with a JSON object alone: \
{{"calls": [{{"name": ..., "arguments": {{...}}}}], "answer": ...}}. \
Calls of one answer run side by side, and their results come in the next turn. \
While you call tools, leave the answer empty; leave the calls empty to give your answer.

The tools, with the JSON schemas of their arguments:
{tools}"""

_HOW = {
    "auto": "Call one or several where they help.",
    "required": "Call at least one now.",
}


ANSWER_ALONE: dict[str, Any] = {
    "type": "object",
    "properties": {"answer": {"type": "string"}},
    "required": ["answer"],
    "additionalProperties": False,
}
"""The JSON schema of an answer that calls nothing."""


def told_prompt(prompt: Prompt, tools: Sequence[dict[str, Any]], choice: str | None) -> Prompt:
    """The conversation with its tools told in words; what a model produced keeps its tokens.

    Args:
        prompt: the conversation.
        tools: in OpenAI's form.
        choice: `auto`, `required`, or a tool's name.
    """
    functions = [one["function"] for one in tools]
    how = _HOW.get(choice or "auto") or f"Call {choice} now."
    told = "\n".join(json.dumps(one, ensure_ascii=False) for one in functions)
    words = _WORDS.format(how=how, tools=told)
    pieces = list(prompt.lineage())[::-1]
    made = Prompt()
    if pieces[0].role == "system":
        made = Prompt(made, "system", f"{pieces[0].text}\n\n{words}")
        del pieces[0]
    else:
        made = Prompt(made, "system", words)
    for piece in pieces:
        made = _retold(made, piece)
    return made


def _retold(made: Prompt, piece: Prompt) -> Prompt:
    if piece.role == "tool":
        call, name = piece.answers
        of = " ".join(filter(None, ("Result of", name or "the tool", f"({call})" if call else "")))
        return Prompt(made, "user", f"{of}:\n{piece.text}")
    text = piece.text
    if piece.calls and piece.spoken is None:
        text = written(piece.text, piece.calls)
    same = Prompt(
        made,
        piece.role,
        text,
        open=piece.open,
        tokens=piece.tokens,
        model=piece.model,
        call=piece.call,
        media=piece.media,
    )
    same.in_thinking = piece.in_thinking
    return same


def written(answer: str, calls: Sequence[ToolCall]) -> str:
    """An answer with calls as the model is told to write it."""
    told = [{"name": one.name, "arguments": _json(one.text)} for one in calls]
    return json.dumps({"calls": told, "answer": answer}, ensure_ascii=False)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return {}


def told_schema(
    tools: Sequence[dict[str, Any]], choice: str | None, form: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The JSON schema of an answer: the union of the calls, and the text.

    Args:
        tools: in OpenAI's form.
        choice: `auto`, `required`, or a tool's name.
        form: the schema of the answer, if the answer has one; then it is null beside calls.
    """
    defs: dict[str, Any] = {}
    answer: dict[str, Any] = {"type": "string"}
    if form is not None:
        answer = cast("dict[str, Any]", _renamed(form, _ANSWERS))
        defs |= {f"{_ANSWERS}{one}": schema for one, schema in answer.pop("$defs", {}).items()}
        answer = {"anyOf": [answer, {"type": "null"}]}
    kinds = [
        call_schema(one["function"], defs)
        for one in tools
        if choice in (None, "auto", "required", one["function"]["name"])
    ]
    calls: dict[str, Any] = {"type": "array", "items": {"anyOf": kinds}}
    must = choice not in (None, "auto")
    if must:
        calls["minItems"] = 1
    return {
        "type": "object",
        "properties": {"calls": calls, **({} if must else {"answer": answer})},
        "required": ["calls"] if must else ["calls", "answer"],
        "additionalProperties": False,
        **({"$defs": defs} if defs else {}),
    }


_ANSWERS = "answer:"
"""Before the names of what an answer's schema defines; no tool's name has a colon."""


def call_schema(function: dict[str, Any], defs: dict[str, Any]) -> dict[str, Any]:
    """The schema of one tool's calls; what its arguments define goes under names of its own."""
    name = function["name"]
    arguments = cast("dict[str, Any]", _renamed(function["parameters"], f"{name}."))
    defs |= {f"{name}.{one}": schema for one, schema in arguments.pop("$defs", {}).items()}
    return {
        "type": "object",
        "properties": {"name": {"type": "string", "enum": [name]}, "arguments": arguments},
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }


def _renamed(schema: Any, before: str) -> Any:
    if isinstance(schema, list):
        return [_renamed(one, before) for one in cast("list[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    return {
        key: value.replace("#/$defs/", f"#/$defs/{before}")
        if key == "$ref" and isinstance(value, str)
        else _renamed(value, before)
        for key, value in cast("dict[str, Any]", schema).items()
    }


def read_told(text: str) -> tuple[str, tuple[ToolCall, ...]] | None:
    """The answer and the calls in a text that follows the schema; None if it does not."""
    begin = text.find("{")
    if begin < 0:
        return None
    try:
        value, _ = json.JSONDecoder(strict=False).raw_decode(text, begin)
    except (ValueError, RecursionError):
        return None
    given = cast("dict[str, Any]", value)
    if not isinstance(given.get("calls"), list) and "answer" not in given:
        return None
    calls: list[ToolCall] = []
    for one in cast("list[Any]", given.get("calls") or []):
        if isinstance(one, dict):
            call = cast("dict[str, Any]", one)
            calls.append(ToolCall(str(call.get("name")), json.dumps(call.get("arguments") or {})))
    answer = given.get("answer")
    if answer is not None and not isinstance(answer, str):
        answer = json.dumps(answer, ensure_ascii=False)
    return answer or "", tuple(calls)
