"""`/tokenize` and `/detokenize` of vLLM."""

from __future__ import annotations

from weft.service.protocols.protocol import Body
from weft.service.protocols.reading import messages_problem, model_problem, tools_problem
from weft.service.protocols.unscheduled.unscheduled import Unscheduled


class Tokenize(Unscheduled):
    """The token ids of a prompt or a chat.

    As with vLLM, the model need not be named where there is only one.
    """

    path = "/tokenize"

    def check(self, body: Body) -> str:
        """See Protocol."""
        if "model" in body and (problem := model_problem(body)):
            return problem
        if "messages" in body:
            return messages_problem(body) or tools_problem(body)
        if isinstance(body.get("prompt"), str):
            return ""
        return "prompt must be text, or messages a list of messages"


class Detokenize(Unscheduled):
    """The text of token ids; the model need not be named where there is only one."""

    path = "/detokenize"

    def check(self, body: Body) -> str:
        """See Protocol."""
        if "model" in body and (problem := model_problem(body)):
            return problem
        return "" if isinstance(body.get("tokens"), list) else "tokens must be a list of token ids"
