"""Counting the tokens of Anthropic's messages, by the tokenizer of an engine that speaks chat."""

from __future__ import annotations

from typing import Any, cast

from weft.errors import Refused
from weft.service.protocols.protocol import Body
from weft.service.protocols.translation.from_messages import MessagesTranslation
from weft.service.protocols.translation.message_teller import MessageTeller
from weft.service.protocols.translation.translation import AnswerTeller

_TAKEN = ("model", "messages", "tools", "chat_template_kwargs")
"""What a chat template makes a prompt of."""


class CountTranslation(MessagesTranslation):
    """`/v1/messages/count_tokens`, told to vLLM's `/tokenize`."""

    path = "/v1/messages/count_tokens"
    target = "/tokenize"

    def asked(self, body: Body) -> Body:
        """See Translation."""
        chat = super().asked(body)
        return {key: chat[key] for key in _TAKEN if key in chat} | {"add_generation_prompt": True}

    def answer(self, body: Body) -> AnswerTeller:
        """See Translation."""
        return _Count(str(body.get("model")))


class _Count(MessageTeller):
    def whole(self, chat: Body) -> Body:
        """What `/tokenize` answers, as a count."""
        count, tokens = chat.get("count"), chat.get("tokens")
        if type(count) is not int and isinstance(tokens, list):
            count = len(cast(list[Any], tokens))
        if type(count) is not int or count < 1:
            raise no_count()
        return {"input_tokens": count}


def no_count() -> Refused:
    """The error where an engine has neither endpoint."""
    return Refused(
        404,
        "the engine counts no tokens: it has neither /v1/messages/count_tokens nor vLLM's "
        "/tokenize; have the client estimate, or serve the model by vLLM",
    )
