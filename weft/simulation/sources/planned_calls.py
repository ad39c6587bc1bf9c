"""Planned calls, made out of what their prompts and answers hold."""

from __future__ import annotations

from collections.abc import Sequence

from weft.simulation.sources.contexts import Fresh, HashChain, Run, Scale, length
from weft.simulation.workload import PlannedCall


class PlannedCalls:
    """Makes the calls of one line of a program, whose contexts extend one another.

    Args:
        scale: between recorded and played tokens.
        fresh: gives tokens where a played call is longer than the recorded one, by rounding.
    """

    def __init__(self, scale: Scale, fresh: Fresh) -> None:
        self._scale, self._fresh, self._chain = scale, fresh, HashChain(scale)

    def make(
        self,
        context: Sequence[Run],
        prompt: int,
        answer: int,
        *,
        wait: float = 0.0,
        tool: str = "",
        stage: str = "turn",
    ) -> PlannedCall:
        """A call.

        Args:
            context: recorded tokens, those of the prompt and then those of the answer.
            prompt: how many recorded tokens the prompt has.
            answer: how many recorded tokens the answer has; one is played at least.
            wait: seconds, as for `PlannedCall`.
            tool: as for `PlannedCall`.
            stage: as for `PlannedCall`.
        """
        scale = self._scale
        played, answered = scale.tokens(prompt), scale.tokens(answer)
        blocks = (played + answered) // scale.block_size
        if (missing := scale.reach(blocks) - length(context)) > 0:
            context = [*context, self._fresh(missing)]
        return PlannedCall(played, answered, self._chain.blocks(context, blocks), wait, tool, stage)
