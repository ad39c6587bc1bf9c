"""Calls in channels: those of gpt-oss, whose turns have a recipient (OpenAI's harmony format).

A call is a message of the channel `commentary` to `functions.NAME`. The recipient stands behind
the channel's name, or behind the role. Servers that leave special tokens out leave the words.
"""

from __future__ import annotations

import re

from weft.parsers.tool_calls import Offered, Read
from weft.types import ToolCall

_HEAD = (
    r"(?:<\|start\|>)?(?:assistant)?(?:<\|channel\|>)?(?:commentary|analysis)? ?"
    r"to=functions\.(?P<name>[\w.-]+?)"
)
_CALL = re.compile(
    _HEAD + r"\s*(?:<\|channel\|>(?:commentary|analysis))?"
    r"\s*(?:<\|constrain\|>)?\s*(?:json|code)?\s*(?:<\|message\|>|(?=\{))"
    r"(?P<arguments>.*?)(?:<\|(?:call|end|return)\|>|(?=<\|start\|>)|\Z)",
    re.DOTALL,
)
_BEGUN = re.compile(_HEAD + r"(?![\w.-])")
_SPECIAL = re.compile(
    r"<\|start\|>assistant|<\|channel\|>(?:final|commentary|analysis)<\|message\|>"
    r"|<\|(?:call|end|return|start|channel|message|constrain)\|>"
)


def channel_calls(text: str, known: Offered) -> Read | None:
    """The answer and the calls of a text that has recipients.

    Args:
        text: of an answer, without thinking.
        known: the tools that were offered.
    """
    found = list(_CALL.finditer(text))
    if not found:
        # Cut off before its arguments; or a text that only speaks of recipients.
        begun = _BEGUN.search(text)
        if begun is None or ("<|" not in text and begun["name"] not in known):
            return None
        written = text[begun.start() :].strip()
        return _plain(text[: begun.start()]), (ToolCall(begun["name"], written),)
    if not all("<|" in one[0] or one["name"] in known for one in found):
        return None
    calls = tuple([ToolCall(one["name"], one["arguments"].strip()) for one in found])
    return _plain(_CALL.sub("", text)), calls


def _plain(text: str) -> str:
    return _SPECIAL.sub("", text).strip()
