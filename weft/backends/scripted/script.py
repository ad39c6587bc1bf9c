"""What a scripted engine is to answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from weft.errors import EngineUnavailable, RequestRejected
from weft.parsers.tool_calls import CALL, GIVEN
from weft.types import Request, ToolCall


@dataclass(frozen=True, slots=True)
class Scripted:
    """One answer, and how it comes about.

    Attributes:
        text: what is answered.
        dies_after: the engine is lost after so many tokens of it.
        hangs: it never comes.
        refuses: the request is refused, with these words.
        status: the request is answered with this HTTP status in place of an answer, such as 500.
        retry_after: with `status`: seconds after which to come again.
        seconds: time for each of its tokens, if not the engine's own.
        tools: the tools that it calls after the text.
        garbage: these bytes come over HTTP in place of what follows the first `dies_after`
            tokens (of all, by default), and the answer ends as if nothing were wrong.
        endless: the text comes again and again, each time in one piece, past every limit.
    """

    text: str = ""
    dies_after: int | None = None
    hangs: bool = False
    refuses: str | None = None
    seconds: float | None = None
    tools: Sequence[ToolCall] = ()
    garbage: bytes | None = None
    endless: bool = False
    status: int | None = None
    retry_after: float | None = None


class Garbled(EngineUnavailable):
    """The engine sends what is no answer; `sent` is what it sends."""

    def __init__(self, sent: bytes) -> None:
        super().__init__("the engine sends what is no answer, as scripted")
        self.sent = sent


Answer = str | Scripted
Reply = Answer | Sequence[Answer]
Replies = Callable[[Request], Reply] | Mapping[str, Reply] | Sequence[Answer] | Scripted
Scores = Callable[[Request], Mapping[str, float]] | Mapping[str, float]


class Script:
    """Looks answers up: by a function, by the last message, or one after the other.

    Several answers to one request are given in turn, as often as the same request comes.
    """

    def __init__(self, replies: Replies) -> None:
        self.replies = replies
        self._given: dict[object, int] = {}

    def answer(self, request: Request) -> Scripted:
        """The answer to a request; what is already there of an open answer is left out."""
        found, key = self._find(request)
        if not isinstance(found, (str, Scripted)):
            at = self._given.get(key, 0)
            self._given[key] = at + 1
            found = found[at % len(found)]
        return Scripted(found) if isinstance(found, str) else found

    def _find(self, request: Request) -> tuple[Reply, object]:
        if callable(self.replies):
            return self.replies(request), (request.messages, request.open)
        if not isinstance(self.replies, Mapping):
            return self.replies, None
        replies = self.replies
        last = request.messages[-1].content
        if last in replies:
            return replies[last], (request.messages, request.open)
        if request.open and len(request.messages) > 1:
            whole = replies.get(request.messages[-2].content)
            if isinstance(whole, str) and whole.startswith(last):
                return whole[len(last) :], None
        raise RequestRejected(f"the script has no answer to {last!r}; add it")


def written(text: str, tools: Sequence[ToolCall] = ()) -> str:
    """An answer as the engine generates it, calls of tools included; `Parts` reads it."""
    return text + "".join(f"{CALL}{tool.name}{GIVEN}{tool.text}" for tool in tools)


def said(content: str) -> tuple[str, list[ToolCall]]:
    """The text of an answer, and the tools that it calls."""
    text, calls = "", list[tuple[str, str]]()
    for kind, piece in Parts().feed(content):
        if kind == "text":
            text += piece
        elif kind == "call":
            calls.append((piece, ""))
        else:
            calls[-1] = (calls[-1][0], calls[-1][1] + piece)
    return text, [ToolCall(name, arguments) for name, arguments in calls]


class Parts:
    """Tells an answer's text from its calls of tools, as it comes."""

    def __init__(self) -> None:
        self._kind: Literal["text", "call", "arguments"] = "text"
        self._name = ""

    def feed(self, piece: str) -> list[tuple[Literal["text", "call", "arguments"], str]]:
        """What a piece says: text, the whole name of a tool called, or more of its arguments."""
        found: list[tuple[Literal["text", "call", "arguments"], str]] = []
        for character in piece:
            if character == CALL:
                self._kind, self._name = "call", ""
            elif character == GIVEN:
                found.append(("call", self._name))
                self._kind = "arguments"
            elif self._kind == "call":
                self._name += character
            elif found and found[-1][0] == self._kind:
                found[-1] = (self._kind, found[-1][1] + character)
            else:
                found.append((self._kind, character))
        return found


def next_probability(scores: Mapping[str, float], written: str, token: str) -> float:
    """How likely `token` comes next, where `scores` has the probabilities of whole texts.

    What is written may already hold the beginning of such a text. The product over a text's
    tokens is the text's probability.
    """
    begun = ""
    for text in scores:
        for length in range(len(text) - 1, len(begun), -1):
            if written.endswith(text[:length]):
                begun = text[:length]
                break
    share = sum(p for text, p in scores.items() if text.startswith(begun + token))
    whole = sum(p for text, p in scores.items() if text.startswith(begun)) if begun else 1.0
    return share / whole if whole else 0.0
