"""Compaction over chat completions: the model writes a summary, which becomes one item."""

from __future__ import annotations

from typing import Any, cast

from weft.service.protocols.compaction import ASKED, TRIGGER, item_of
from weft.service.protocols.events import member
from weft.service.protocols.protocol import Body
from weft.service.protocols.translation.from_responses import ResponsesTranslation
from weft.service.protocols.translation.response_teller import ResponseTeller
from weft.service.protocols.translation.translation import (
    AnswerTeller,
    Event,
    new_id,
    text_of,
)


class CompactionTranslation(ResponsesTranslation):
    """A turn that is to give one compaction item, and `/v1/responses/compact`.

    Args:
        path: of the endpoint.
    """

    def __init__(self, path: str) -> None:
        self.path = path

    def asked(self, body: Body) -> Body:
        """See Translation."""
        kept = {key: value for key, value in body.items() if key not in ("text", "tool_choice")}
        given: Any = body["input"]
        if isinstance(given, list):
            items = cast(list[Any], given)
            kept["input"] = [item for item in items if member(item, "type") != TRIGGER]
        chat = super().asked(kept)
        chat["messages"] = [*chat["messages"], {"role": "user", "content": ASKED}]
        if chat.get("tools"):
            chat["tool_choice"] = "none"  # they stay, for the prefix to be the same
        return chat

    def answer(self, body: Body) -> AnswerTeller:
        """See Translation."""
        return _CompactionAnswer(body, alone=self.path.endswith("/compact"))


class _CompactionAnswer(ResponseTeller):
    """Gathers the summary; what the model thought, or called, is no part of it."""

    def __init__(self, body: Body, *, alone: bool) -> None:
        super().__init__(body)
        self._alone = alone
        self._summary = ""

    def whole(self, chat: Body) -> Body:
        response = super().whole(chat)
        texts = [
            part["text"]
            for item in response["output"]
            if item["type"] == "message"
            for part in item["content"]
        ]
        output = [item_of("\n".join(texts), new_id("cmp"))]
        if not self._alone:
            return {**response, "output": output}
        told = {key: response[key] for key in ("id", "created_at", "model", "usage")}
        return {**told, "object": "response.compaction", "output": output}

    def piece(self, delta: Body) -> list[Event]:
        self._summary += text_of(delta)
        return []

    def closing(self, finish: str, usage: Body) -> list[Event]:
        item = item_of(self._summary, new_id("cmp"))
        events = [
            self._event(f"response.output_item.{what}", output_index=0, item=item)
            for what in ("added", "done")
        ]
        response = self._finished([item], finish, usage)
        return [*events, self._event(f"response.{response['status']}", response=response)]
