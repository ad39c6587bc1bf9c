"""The protocols that clients speak: one file each.

Called by inference with bodies and events. To add one, fulfil `Protocol` and name the class
below. Trades away: only fields that the gateway itself uses are read and checked.
"""

from __future__ import annotations

from collections.abc import Mapping

from weft.service.protocols.chat import Chat
from weft.service.protocols.completions import Completions
from weft.service.protocols.messages import CountTokens, Messages
from weft.service.protocols.protocol import Body, Meter, Protocol, Used
from weft.service.protocols.responses import Compact, Responses
from weft.service.protocols.unscheduled.embeddings import Embeddings
from weft.service.protocols.unscheduled.tokenize import Detokenize, Tokenize

__all__ = ["PROTOCOLS", "Body", "Meter", "Protocol", "Used"]

PROTOCOLS: Mapping[str, Protocol] = {
    protocol.path: protocol
    for protocol in (
        Chat(),
        Completions(),
        Responses(),
        Compact(),
        Messages(),
        CountTokens(),
        Embeddings(),
        Tokenize(),
        Detokenize(),
    )
}
"""By path."""
