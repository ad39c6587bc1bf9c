"""Prompt: an immutable, parent-linked conversation.

Extending a Prompt makes a child. Two children share their parent's turns, and so the parent's
tokens, and the parent's blocks in an engine's prefix cache. All Prompts of a run form a trie.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import Any, Protocol, cast, overload

from pydantic_core import PydanticSerializationError, to_json

from weft.errors import UsageError
from weft.types import Media, Message, Role, ToolCall, ToolResult

_REMEMBERED = 64
"""Turns of a conversation that are remembered: of longer ones they would take much memory."""


class _Closed(Protocol):
    def __call__(self, text: str, *media: Media) -> Prompt: ...


class _MaybeOpen(Protocol):
    def __call__(
        self, text: str, *, open: bool = False, calls: Sequence[ToolCall] = ()
    ) -> Prompt: ...


class _OfTool(Protocol):
    def __call__(self, value: Any, *, call: str = "", name: str = "") -> Prompt: ...


class _Turn:
    """Lets `Prompt.user("...")` begin a conversation and `prompt.user("...")` extend one."""

    def __init__(self, role: Role, doc: str) -> None:
        self._role: Role = role
        self.__doc__ = doc

    @overload
    def __get__(self, instance: None, owner: type[Prompt]) -> _Closed: ...
    @overload
    def __get__(self, instance: Prompt, owner: type[Prompt]) -> _Closed: ...
    def __get__(self, instance: Prompt | None, owner: type[Prompt]) -> _Closed:
        parent = instance if instance is not None else _EMPTY

        def extend(text: str, *media: Media) -> Prompt:
            return Prompt(parent, self._role, text, media=media)

        return extend


class _AssistantTurn:
    """Like `_Turn`, for answers, which may be left open."""

    def __get__(self, instance: Prompt | None, owner: type[Prompt]) -> _MaybeOpen:
        parent = instance if instance is not None else _EMPTY

        def extend(text: str, *, open: bool = False, calls: Sequence[ToolCall] = ()) -> Prompt:
            return Prompt(parent, "assistant", text, open=open, calls=_as_written(calls))

        return extend


class _ToolTurn:
    """Like `_Turn`, for what tools returned, which may be any value that JSON has."""

    def __get__(self, instance: Prompt | None, owner: type[Prompt]) -> _OfTool:
        parent = instance if instance is not None else _EMPTY

        def extend(value: Any, *, call: str = "", name: str = "") -> Prompt:
            if isinstance(value, Media):
                raise UsageError(
                    "a tool turn takes no image or file; show it in a user's turn behind the "
                    "tool's: prompt.tool(...).user('', image(...))"
                )
            return Prompt(parent, "tool", value_text(value), answers=(call, name))

        return extend


class Prompt:
    """An immutable sequence of turns, the last of which may be an open answer.

    `Prompt.system(...)`, `.user(...)`, `.assistant(...)` and `.tool(...)` begin or extend a
    conversation. `.assistant(text, open=True)` leaves the answer open: `generate` continues
    the answer, and so does another `.assistant(...)`. `Completion.prompt` ends with such an
    open answer, and carries the exact tokens that the engine produced. Images and files stand
    behind a turn's text: `.user("What is this?", image("bee.png"))`.

    `.assistant(text, calls=[ToolCall(...)])` is an answer that calls tools, and
    `.tool(value, call=id)` the result of one of the calls: a text as it is, any other value as
    JSON. `.tools(results)` adds the results of all calls, in their order.

    Attributes:
        parent: the Prompt that this one extends; None for the empty one.
        role: the role of the last turn; None for the empty Prompt.
        text: what this Prompt adds to its parent.
        open: whether the last turn is an open answer, to be continued.
        tokens: the ids of `text` as an engine produced them, or None.
        model: the model that produced the tokens, or None.
        call: id of the call that produced the tokens, or None.
        in_thinking: whether what a model produced ends within its thinking.
        calls: the tools that an assistant's turn calls, with the arguments as written.
        spoken: `text` without the calls, where the model wrote them into the text; else None.
        answers: of a tool's turn: id of the call whose result it is, and the tool's name.
        media: images and files that stand beside the text.
        has_media: whether any turn has some.
        key: a digest of the whole sequence; equal Prompts have equal keys.
    """

    __slots__ = (
        "__weakref__",
        "_called",
        "_messages",
        "answers",
        "call",
        "calls",
        "has_media",
        "ids",
        "in_thinking",
        "key",
        "media",
        "model",
        "open",
        "parent",
        "role",
        "spoken",
        "text",
        "tokens",
    )

    system = _Turn("system", "Add a system turn.")
    user = _Turn("user", "Add a user's turn.")
    tool = _ToolTurn()
    assistant = _AssistantTurn()

    def __init__(
        self,
        parent: Prompt | None = None,
        role: Role | None = None,
        text: str = "",
        *,
        open: bool = False,
        tokens: tuple[int, ...] | None = None,
        model: str | None = None,
        call: str | None = None,
        media: tuple[Media, ...] = (),
        calls: tuple[ToolCall, ...] = (),
        spoken: str | None = None,
        answers: tuple[str, str] = ("", ""),
    ) -> None:
        if not isinstance(cast(object, text), str):
            raise UsageError(_no_text(role, text))
        if not isinstance(cast(object, parent), Prompt | None):
            raise UsageError("a Prompt begins with a turn: write Prompt.user(...)")
        if media and role != "user":
            raise UsageError(f"a {role} turn takes a text alone; show images in a user's turn")
        for one in media:
            if not isinstance(cast(object, one), Media):
                raise UsageError(
                    f"a {role} turn takes a text, and then image(...) or file(...), not {one!r:.60}"
                )
        if tokens is None and not text.isascii():
            text = whole_characters(text)
        self.parent = parent
        self.media = media
        self.has_media: bool = bool(media) or (parent is not None and parent.has_media)
        self.role: Role | None = role
        self.text = text
        self.open = open
        self.tokens = tokens
        self.model = model
        self.call = call
        self.in_thinking = False
        self.calls, self.spoken, self.answers = calls, spoken, answers
        called = parent is not None and parent._called
        self._called = called or bool(calls) or spoken is not None
        self._messages: tuple[Message, ...] | None = None
        self.ids: dict[str, tuple[int, ...]] = {}
        """Ids of the whole sequence by model, where it ends with text: a memo of `token_ids`."""
        # `if parent` would ask for its length, and so walk the whole conversation.
        above = parent.key if parent is not None and parent.role is not None else b""
        digest = blake2b(above, digest_size=16)
        digest.update(f"\0{role}\0{open}\0{model}\0{tokens}\0".encode())
        digest.update(text.encode("utf-8", "surrogatepass"))
        for one in media:
            digest.update(f"\0{one.digest}".encode())
        if calls or answers[0] or answers[1]:  # turns without keep the keys that they had
            told = [(one.id, one.name, one.text) for one in calls]
            digest.update(f"\0{told!r}\0{answers!r}".encode())
        self.key: bytes = digest.digest()

    def produced(
        self,
        text: str,
        *,
        tokens: tuple[int, ...] | None,
        model: str,
        call: str,
        in_thinking: bool = False,
        calls: tuple[ToolCall, ...] = (),
        spoken: str | None = None,
    ) -> Prompt:
        """The open answer that begins, or goes on, with what a model produced."""
        made = Prompt(
            self,
            "assistant",
            text,
            open=True,
            tokens=tokens,
            model=model,
            call=call,
            calls=_as_written(calls),
            spoken=spoken,
        )
        made.in_thinking = in_thinking
        return made

    def tools(self, results: Iterable[ToolResult]) -> Prompt:
        """Add what tools returned, a turn for each result, in order.

        Images and files that they returned stand in a user's turn behind the results.

        Raises:
            UsageError: there is none, or one is no ToolResult.
        """
        at, media = self, list[Media]()
        for one in results:
            if not isinstance(cast(object, one), ToolResult):
                raise UsageError(
                    f"tools takes the results of `await said.act()`, not {type(one).__name__}; "
                    "add a value by prompt.tool(value, call=id)"
                )
            at = Prompt(at, "tool", one.text, answers=(one.id, one.name))
            media += one.media
        if at is self:
            raise UsageError("there are no results to add; ask `if said.calls` before")
        return Prompt(at, "user", "", media=tuple(media)) if media else at

    def lineage(self) -> Iterator[Prompt]:
        """This Prompt and its ancestors, newest first, without the empty one."""
        at: Prompt | None = self
        while at is not None and at.role is not None:
            yield at
            at = at.parent

    @property
    def messages(self) -> tuple[Message, ...]:
        """The turns in order; pieces of one answer are one message."""
        if self._messages is not None:
            return self._messages
        found = self._turns(None)
        if not self.open and len(found) <= _REMEMBERED:  # whose texts are shared
            self._messages = found
        return found

    def written(self, model: str) -> tuple[Message, ...]:
        """The same, where what `model` produced as tokens holds its calls as it wrote them."""
        return self._turns(model) if self._called else self.messages

    def _turns(self, model: str | None) -> tuple[Message, ...]:
        # Asked at every call, of paths of thousands of pieces: a loop, and no generators.
        pieces: list[Prompt] = []
        at: Prompt | None = self
        while at is not None and at.role is not None:
            pieces.append(at)
            at = at.parent
        turns: list[Message] = []
        while pieces:
            at = pieces.pop()
            plain = at.spoken is None and not at.calls
            text, calls = (at.text, ()) if plain else _said(at, model)
            if at.open and pieces and pieces[-1].role == "assistant":
                texts = [text]
                while at.open and pieces and pieces[-1].role == "assistant":
                    at = pieces.pop()
                    text, more = _said(at, model)
                    texts.append(text)
                    calls += more
                text = "".join(texts)
            assert at.role is not None
            turns.append(Message(at.role, text, (), calls, *at.answers))
        return self._with_media(turns) if self.has_media else tuple(turns)

    def _with_media(self, turns: list[Message]) -> tuple[Message, ...]:
        """The turns, with what stands beside their texts: answers alone are made of pieces."""
        beside = [piece.media for piece in self.lineage() if piece.role != "assistant"]
        return tuple(
            [m if m.role == "assistant" else replace(m, media=beside.pop()) for m in turns]
        )

    @property
    def answer(self) -> str:
        """The text of the last turn if it is an assistant's, else the empty string."""
        messages = self.messages
        return messages[-1].content if messages and messages[-1].role == "assistant" else ""

    def __len__(self) -> int:
        return len(self.messages)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Prompt) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __repr__(self) -> str:
        turns = [f"{m.role}={m.content[:40]!r}" for m in self.messages]
        return f"Prompt({', '.join(turns)}{', open' if self.open else ''})"


def _no_text(role: Role | None, given: object) -> str:
    said = f"a {role} turn takes a text, not {type(given).__name__}"
    if inspect.iscoroutine(given):
        given.close()
        return f"{said}: await the call that gives the text"
    if isinstance(given, Prompt):
        return f"{said}; extend a Prompt by its own turns: prompt.user(...)"
    return f"{said}; its text is .text" if hasattr(given, "text") else said


def _said(piece: Prompt, model: str | None) -> tuple[str, tuple[ToolCall, ...]]:
    """A piece's text and calls; as the model wrote them, if it did and wrote tokens."""
    if piece.spoken is None:
        return piece.text, piece.calls
    if piece.tokens is not None and piece.model == model:
        return piece.text, ()
    return piece.spoken, piece.calls


def _as_written(calls: Sequence[ToolCall]) -> tuple[ToolCall, ...]:
    """Calls as a Prompt holds them: the arguments as text, and no errors."""
    return tuple([replace(one, arguments=one.text, error="") for one in calls]) if calls else ()


def value_text(value: Any) -> str:
    """What a model reads of a value: a text as it is, all else as JSON."""
    if isinstance(value, str):
        return whole_characters(value)
    try:
        return to_json(value, fallback=str, inf_nan_mode="constants", bytes_mode="base64").decode()
    except PydanticSerializationError:  # half a surrogate pair, which UTF-8 does not have
        return json.dumps(value, default=str)


def whole_characters(text: str) -> str:
    """A text that UTF-8 has: half a surrogate pair, as in names of files, becomes U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


_EMPTY = Prompt()
"""What every conversation extends."""


def check_prompt(prompt: object) -> None:
    """See that there is something to answer.

    Raises:
        UsageError: it is no Prompt, or the empty one.
    """
    if not isinstance(prompt, Prompt):
        shown = repr(prompt)
        shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
        raise UsageError(f"the prompt is {shown}, but must be a Prompt; write Prompt.user(...)")
    if prompt.role is None:
        raise UsageError("prompt is empty; begin with Prompt.user(...)")
