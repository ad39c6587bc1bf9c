"""Prompt: an immutable, parent-linked conversation.

Extending a Prompt makes a child. Two children share their parent's turns, and so the parent's
tokens, and the parent's blocks in an engine's prefix cache. All Prompts of a run form a trie.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import replace
from hashlib import blake2b
from typing import Protocol, cast, overload

from weft.errors import UsageError
from weft.types import Media, Message, Role

_REMEMBERED = 64
"""Turns of a conversation that are remembered: of longer ones they would take much memory."""


class _Closed(Protocol):
    def __call__(self, text: str, *media: Media) -> Prompt: ...


class _MaybeOpen(Protocol):
    def __call__(self, text: str, *, open: bool = False) -> Prompt: ...


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

        def extend(text: str, *, open: bool = False) -> Prompt:
            return Prompt(parent, "assistant", text, open=open)

        return extend


class Prompt:
    """An immutable sequence of turns, the last of which may be an open answer.

    `Prompt.system(...)`, `.user(...)`, `.assistant(...)` and `.tool(...)` begin or extend a
    conversation. `.assistant(text, open=True)` leaves the answer open: `generate` continues
    the answer, and so does another `.assistant(...)`. `Completion.prompt` ends with such an
    open answer, and carries the exact tokens that the engine produced. Images and files stand
    behind a turn's text: `.user("What is this?", image("bee.png"))`.

    Attributes:
        parent: the Prompt that this one extends; None for the empty one.
        role: the role of the last turn; None for the empty Prompt.
        text: what this Prompt adds to its parent.
        open: whether the last turn is an open answer, to be continued.
        tokens: the ids of `text` as an engine produced them, or None.
        model: the model that produced the tokens, or None.
        call: id of the call that produced the tokens, or None.
        in_thinking: whether what a model produced ends within its thinking.
        media: images and files that stand beside the text.
        has_media: whether any turn has some.
        key: a digest of the whole sequence; equal Prompts have equal keys.
    """

    __slots__ = (
        "__weakref__",
        "_messages",
        "call",
        "has_media",
        "ids",
        "in_thinking",
        "key",
        "media",
        "model",
        "open",
        "parent",
        "role",
        "text",
        "tokens",
    )

    system = _Turn("system", "Add a system turn.")
    user = _Turn("user", "Add a user's turn.")
    tool = _Turn("tool", "Add what a tool returned.")
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
        self.key: bytes = digest.digest()

    def produced(
        self,
        text: str,
        *,
        tokens: tuple[int, ...] | None,
        model: str,
        call: str,
        in_thinking: bool = False,
    ) -> Prompt:
        """The open answer that begins, or goes on, with what a model produced."""
        made = Prompt(self, "assistant", text, open=True, tokens=tokens, model=model, call=call)
        made.in_thinking = in_thinking
        return made

    def lineage(self) -> Iterator[Prompt]:
        """This Prompt and its ancestors, newest first, without the empty one."""
        at: Prompt | None = self
        while at is not None and at.role is not None:
            yield at
            at = at.parent

    @property
    def messages(self) -> tuple[Message, ...]:
        """The turns in order; pieces of one answer are one message."""
        # Asked at every call, of paths of thousands of pieces: a loop, and no generators.
        if self._messages is not None:
            return self._messages
        pieces: list[tuple[Role, str, bool]] = []
        at: Prompt | None = self
        while at is not None and (role := at.role) is not None:
            pieces.append((role, at.text, at.open))
            at = at.parent
        turns: list[Message] = []
        while pieces:
            role, text, open = pieces.pop()
            if open and pieces and pieces[-1][0] == "assistant":
                texts = [text]
                while open and pieces and pieces[-1][0] == "assistant":
                    _, text, open = pieces.pop()
                    texts.append(text)
                text = "".join(texts)
            turns.append(Message(role, text))
        found = self._with_media(turns) if self.has_media else tuple(turns)
        if not self.open and len(found) <= _REMEMBERED:  # whose texts are shared
            self._messages = found
        return found

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
