"""Responses and messages over engines that speak only chat completions, there and back.

Called by inference for an engine that lacks an endpoint. To translate another endpoint, fulfil
`Translation` and name the class below. Trades away: what chat completions can't say is refused in
one sentence, and what they say less of (citations) is lost.
"""

from __future__ import annotations

from weft.service.protocols.compaction import is_asked
from weft.service.protocols.protocol import Body
from weft.service.protocols.translation.compact import CompactionTranslation
from weft.service.protocols.translation.count import CountTranslation, no_count
from weft.service.protocols.translation.from_messages import MessagesTranslation
from weft.service.protocols.translation.from_responses import ResponsesTranslation
from weft.service.protocols.translation.translation import CHAT, AnswerTeller, Translation

__all__ = ["CHAT", "AnswerTeller", "Translation", "always", "no_count", "where_lacking"]

_ALL = {
    one.path: one for one in (MessagesTranslation(), CountTranslation(), ResponsesTranslation())
}
_COMPACT = CompactionTranslation("/v1/responses/compact")
_TURN = CompactionTranslation("/v1/responses")


def where_lacking(path: str) -> Translation | None:
    """The translation for engines that lack an endpoint; None if there is none."""
    return _ALL.get(path)


def always(path: str, body: Body) -> Translation | None:
    """The translation of what no engine does by itself: compactions; None for all else."""
    if path == _COMPACT.path:
        return _COMPACT
    return _TURN if path == _TURN.path and is_asked(body) else None
