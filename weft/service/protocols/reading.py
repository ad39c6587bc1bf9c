"""What the protocols share in reading bodies: problems of fields, and the bytes of messages."""

from __future__ import annotations

from array import array
from typing import Any, cast

import orjson

from weft.service.protocols.media import digest, holds_media, is_media, media_bytes

Object = dict[str, Any]

# Of a block of content or an item. Clients move cache markers from message to message as a
# conversation grows, and some fill in ids and states of what was answered later, or never:
# none of it is rendered, and what is rendered stays.
_NOT_RENDERED = frozenset(("cache_control", "id", "status", "annotations", "logprobs", "signature"))
# Where parts of content stand within a part or an item, those of tools' results among them.
_NESTED = frozenset(("content", "output", "outputs"))
# What only whoever wrote it can read. It is no text, and what it stands for is not known.
_SEALED = frozenset(("encrypted_content", "encrypted_index"))
_LONG = 2048  # bytes of a part of which it matters whether they are text
_MARKER = b'"cache_control"'
_CONTENT = (str, list, type(None))

LONGEST_NAME = 1000
"""Characters of a model's name: names are compared with all that are known, and shown."""


def model_problem(body: Object) -> str:
    """What is wrong with `model`."""
    model = body.get("model")
    if isinstance(model, str) and 0 < len(model) <= LONGEST_NAME:
        return ""
    if isinstance(model, str) and model:
        return f"model is longer than {LONGEST_NAME} characters; name one that GET /v1/models lists"
    return "model must be a non-empty string; name one that GET /v1/models lists"


def stream_problem(body: Object) -> str:
    """What is wrong with `stream` and `stream_options`."""
    stream = body.get("stream")
    if stream is not None and not isinstance(stream, bool):
        return "stream must be true or false"
    options = body.get("stream_options")
    if options is not None and not isinstance(options, dict):
        return 'stream_options must be an object, such as {"include_usage": true}'
    return ""


def count_problem(body: Object, field: str, least: int = 1) -> str:
    """What is wrong with a number of tokens; it may be missing."""
    value = body.get(field)
    if value is None or (whole(value) is not None and value >= least):
        return ""
    return f"{field} must be a whole number of at least {least}; leave it out for no limit"


def tools_problem(body: Object) -> str:
    """What is wrong with `tools`; of which kinds they are is for the engine to judge."""
    tools = body.get("tools")
    if tools is None or (isinstance(tools, list) and _all_objects(cast(list[Any], tools))):
        return ""
    return "tools must be a list of objects; leave it out if there are none"


def messages_problem(body: Object, field: str = "messages") -> str:
    """What is wrong with a list of messages; roles and parts are for the engine to judge."""
    messages = body.get(field)
    if not isinstance(messages, list) or not messages:
        return f"{field} must be a non-empty list of messages, each with a role and content"
    for index, message in enumerate(cast(list[Object], messages)):
        if type(message) is not dict:
            return f"{field}[{index}] must be an object with a role and content"
        if type(message.get("role")) is not str:
            return f"{field}[{index}].role must be a string, such as user"
        if type(message.get("content")) not in _CONTENT:
            return f"{field}[{index}].content must be text or a list of parts"
    return ""


def whole(value: Any) -> int | None:
    """A number without a fraction as an int; None for anything else."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return None


def tools_piece(body: Object) -> list[bytes]:
    """The tools as one piece, if there are any."""
    tools = body.get("tools")
    return [_encoded(tools)] if tools else []


def role_bytes(message: Object) -> bytes:
    """The role and content of a message."""
    content = message.get("content")
    if type(content) is str:
        return f"{message['role']}\n{content}".encode()
    return message["role"].encode() + b"\n" + content_bytes(content)


def content_bytes(content: Any) -> bytes:
    """Content given as text, as parts or as blocks.

    The same text gives the same bytes as text and as a single part: clients turn one into the
    other, to hang a marker on the part. Text stays text, for encoding JSON costs ten times more.
    """
    if type(content) is str:
        return content.encode()
    if type(content) is not list:
        return b"" if content is None else _encoded(content)
    parts: list[bytes] = []
    for part in cast(list[Object], content):
        if type(part) is not dict:
            parts.append(_encoded(part))
            continue
        text, kind = part.get("text"), part.get("type")
        if type(text) is str:
            parts.append(text.encode())
        elif kind == "tool_use":
            parts.append(_named(part.get("name")) + _encoded(part.get("input")))
        elif kind == "tool_result":
            parts.append(_named(part.get("tool_use_id")) + _nested_bytes(part.get("content")))
        elif is_media(part):
            parts.append(_media_bytes(part))
        else:
            found = object_bytes(part)
            long = len(found) > _LONG and holds_media(part)
            parts.append(media_bytes(part) if long else found)
    return parts[0] if len(parts) == 1 else b"\x1e".join(parts)


def object_bytes(value: Object) -> bytes:
    """A part or an item less what is not rendered of it."""
    if is_media(value):
        return _media_bytes(value)
    sealed = value.get("type") == "redacted_thinking"
    parts: list[bytes] = []
    for key, member in value.items():
        if key in _NOT_RENDERED or not member:
            continue
        if key in _NESTED and type(member) is not str:
            parts.append(b"\x1e" + key.encode() + _nested_bytes(member))
        elif key in _SEALED or (sealed and key == "data"):
            parts.append(b"\x1e" + key.encode() + digest(member))
        else:
            parts.append(member_bytes(key, member))
    return b"".join(parts)


def _nested_bytes(value: Any) -> bytes:
    """Content that is one part, or all that `content_bytes` takes."""
    return object_bytes(cast(Object, value)) if type(value) is dict else content_bytes(value)


def _media_bytes(part: Object) -> bytes:
    """What stands for a part that is no text; of a document that holds text, that text."""
    source = part.get("source")
    if part.get("type") == "document" and type(source) is dict:
        about = "".join([f"{part[key]}\n" for key in ("title", "context") if part.get(key)])
        document = cast(Object, source)
        if document.get("type") == "text" and type(document.get("data")) is str:
            return f"{about}{document['data']}".encode()
        if document.get("type") == "content":
            return about.encode() + content_bytes(document.get("content"))
    return media_bytes(part)


def member_bytes(key: str, value: Any) -> bytes:
    """A member of an object."""
    if type(value) is str:
        return f"\x1e{key}\n{value}".encode()
    return b"\x1e" + key.encode() + _encoded(value)


def token_bytes(ids: list[Any]) -> bytes:
    """Token ids, four bytes each: what a token of text has on average."""
    try:
        return array("I", ids).tobytes()
    except (TypeError, ValueError, OverflowError):
        return _encoded(ids)


def _named(name: Any) -> bytes:
    return name.encode() + b"\n" if type(name) is str else _encoded(name)


def _all_objects(values: list[Any]) -> bool:
    return all(isinstance(value, dict) for value in values)


def _encoded(value: Any) -> bytes:
    try:
        text = orjson.dumps(value)
        return orjson.dumps(_clean(value)) if _MARKER in text else text
    except (TypeError, RecursionError):
        return b"nested too deep"  # no prompt of an agent; engines refuse it


def _clean(value: Any) -> Any:
    """A copy without cache markers, at any depth."""
    if isinstance(value, dict):
        members = cast(Object, value)
        return {key: _clean(members[key]) for key in members if key != "cache_control"}
    if isinstance(value, list):
        return [_clean(one) for one in cast(list[Any], value)]
    return value
