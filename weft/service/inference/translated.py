"""An engine's answer in chat completions, read as one in the client's protocol."""

from __future__ import annotations

import re
from collections.abc import Callable

import orjson

from weft.backends.http.refusals import server_message
from weft.errors import RequestFailed
from weft.service.engines.reply import Reply
from weft.service.inference.aside import aside_if_large, written
from weft.service.protocols.events import member, object_in
from weft.service.protocols.protocol import Body
from weft.service.protocols.translation import AnswerTeller

_NOT_SUPPORTED = re.compile(
    r"does not support (the )?(messages|responses|anthropic)", re.IGNORECASE
)
_OTHERS = ("model_not_found", "previous_response_not_found")
_WORDS = re.compile(r"[^\s'\"`]+")


def lacks_endpoint(status: int, body: bytes, request: Body) -> bool:
    """Whether an error says that the engine does not have the endpoint, not that it has no model.

    Args:
        status: of the answer.
        body: of the answer.
        request: the request's body.
    """
    if status in (405, 501):
        return True
    if status not in (400, 404):
        return False
    said = server_message(body)
    if _NOT_SUPPORTED.search(said):
        return True
    if status == 400:
        return False
    try:
        error = member(orjson.loads(body), "error")
    except orjson.JSONDecodeError:
        error = None
    if not isinstance(error, dict):
        return True  # a web server's own words
    if request.get("previous_response_id") is not None or member(error, "code") in _OTHERS:
        return False
    return str(request.get("model")) not in _WORDS.findall(said)


class TranslatedReply(Reply):
    """A reply whose body is translated as it is read; one that tells of an error is not.

    Args:
        reply: of the engine.
        answer: translates.
        streamed: whether the client wants events.
    """

    __slots__ = ("_answer", "_ended", "_reply", "_streamed")

    def __init__(self, reply: Reply, answer: AnswerTeller, streamed: bool) -> None:
        # Not the base's: all that this does is done by the engine's reply.
        self._reply, self._answer = reply, answer
        self._streamed = streamed and reply.status == 200
        self._ended = False
        self.status = reply.status
        self.headers = [(name, value) for name, value in reply.headers if name != b"content-length"]

    async def read(self) -> bytes:
        """See Reply."""
        while not self._ended:
            part = await self._reply.read()
            self._ended = not part
            found = self._answer.feed(part) if part else self._answer.end()
            if found:
                return found
        return b""

    async def pour(self, sink: Callable[[bytes], None]) -> None:
        """See Reply."""

        def take(chunk: bytes) -> None:
            if found := self._answer.feed(chunk):
                sink(found)

        await self._reply.pour(take)
        if found := self._answer.end():
            sink(found)

    async def whole(self) -> bytes:
        """See Reply."""
        raw = await self._reply.whole()
        if self._streamed or self.status != 200:
            return raw
        return await aside_if_large(len(raw), self._told, raw)

    def _told(self, raw: bytes) -> bytes:
        """A whole answer in the client's protocol."""
        chat = object_in(raw)
        if not chat or (chat.get("error") and not chat.get("choices")):
            return raw
        try:
            return written(self._answer.whole(chat), raw)
        except (TypeError, AttributeError, LookupError) as error:
            raise RequestFailed(f"the engine's answer can't be understood ({error})") from None

    def again(self, body: bytes) -> None:
        """See Reply."""
        self._reply.again(body)

    def close(self) -> None:
        """See Reply."""
        self._reply.close()

    def pause(self) -> None:
        """See Reply."""
        self._reply.pause()

    def resume(self) -> None:
        """See Reply."""
        self._reply.resume()
