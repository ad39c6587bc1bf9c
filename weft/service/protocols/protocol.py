"""The contract of an inference protocol: what the gateway must know of its bodies."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any

from weft.service.protocols.errors.error_words import TOO_LONG, ErrorWords
from weft.service.protocols.errors.overflow import Overflow

Body = dict[str, Any]


@dataclass(slots=True)
class Used:
    """What an answer says of itself.

    Attributes:
        prompt: tokens of the prompt.
        cached: those of them that were cached; None if the engine does not say.
        generated: tokens of the answer.
        tool: the first tool that it asks for; empty if none.
        id: its own id, where a later request can go on from it by that id; else empty.
        told: whether it says how many tokens it has; else `generated` is a guess.
    """

    prompt: int = 0
    cached: int | None = None
    generated: int = 0
    tool: str = ""
    id: str = ""
    told: bool = False


class Meter(ABC):
    """Reads along in a streamed answer. It sees every byte: a chunk must cost microseconds.

    Attributes:
        used: what is known so far; `generated` counts events until the engine says.
        finished: whether the answer's proper end has been seen.
        failure: what an error event in the stream says; empty if there was none.
    """

    used: Used
    finished: bool
    failure: str

    @abstractmethod
    def feed(self, chunk: bytes) -> bytes:
        """Take the next bytes as they come, cut anywhere; returns what the client is to get.

        That is whole events, and less what the gateway asked for and the client did not.
        """

    @abstractmethod
    def rest(self) -> bytes:
        """What was held back: the last event, which has no end."""

    @abstractmethod
    def close(self) -> bytes:
        """Take notice that the stream has ended as streams do; returns what is left for the client.

        `finished` tells then whether the answer is whole. If the engine left out what ends an
        answer in this protocol, that is returned too.
        """


class Protocol(ABC):
    """One endpoint's form. Stateless; one object serves all requests.

    Attributes:
        path: the endpoint, such as `/v1/chat/completions`.
        schedules: whether its requests generate, and so are scheduled as calls of a program.
    """

    path: str
    schedules: bool = True

    @abstractmethod
    def check(self, body: Body) -> str:
        """What is wrong with the fields that the gateway itself reads; empty if nothing is.

        One sentence that names the field and the remedy.
        """

    @abstractmethod
    def mend(self, body: Body) -> bool:
        """Change, in place, what spoils shared prefixes or what engines don't take.

        Returns:
            whether something was changed, and the body must be encoded anew.
        """

    @abstractmethod
    def pieces(self, body: Body) -> list[bytes]:
        """The prompt in the order in which a chat template writes it, one piece a message.

        Tools and system text come first. Bodies whose conversation extends another's give a
        list that begins with the other's. Fields that are not part of the prompt are not in it.
        """

    def previous(self, body: Body) -> str:
        """Id of the earlier answer that the body goes on from; empty if it brings it all along."""
        return ""

    @abstractmethod
    def limit(self, body: Body) -> int | None:
        """Most tokens that the answer may have, if the body says so."""

    def streamed(self, body: Body) -> bool:
        """Whether the answer is to be streamed."""
        return body.get("stream") is True

    @abstractmethod
    def extra(self, body: Body) -> bytes:
        """Members that must be added so that a streamed answer tells its usage.

        As JSON text without braces, such as `"stream_options":{"include_usage":true}`; empty
        if nothing is needed. If the body has such a member already, it is changed in place
        by `mend`, not here.
        """

    @abstractmethod
    def used(self, answer: Body) -> Used:
        """What a whole answer says of itself."""

    @abstractmethod
    def meter(self, body: Body) -> Meter:
        """A meter for the streamed answer to a body as the client sent it, before `mend`."""

    def overflow(self, words: ErrorWords, over: Overflow, estimate: int) -> ErrorWords:
        """The words for a prompt that does not fit, as clients of the protocol understand them.

        Args:
            words: what was said at first.
            over: what that means.
            estimate: tokens that the prompt probably has.
        """
        if over.answer_alone:
            return words
        return replace(words, status=400, kind="invalid_request_error", code=TOO_LONG)

    def is_error(self, said: Body) -> bool:
        """Whether an engine's error is in a form that the protocol's clients read.

        Those of OpenAI's libraries show whatever comes.
        """
        return True

    @abstractmethod
    def error(self, words: ErrorWords) -> bytes:
        """The JSON body of an error, as the protocol's own servers write it."""

    @abstractmethod
    def error_event(self, words: ErrorWords, answer: str = "") -> bytes:
        """A server-sent event that ends a stream which can't go on.

        Args:
            words: what went wrong.
            answer: id of the answer that has begun, as `Used.id`.
        """
