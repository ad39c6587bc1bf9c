"""Planned calls, made out of what their prompts and answers hold."""

from __future__ import annotations

from collections.abc import Sequence

from weft.simulation.sources.contexts import (
    Fresh,
    HashChain,
    Run,
    Scale,
    common,
    joined,
    length,
    part,
)
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


def carried(
    calls: Sequence[tuple[list[Run], int, int]], scale: Scale, fresh: Fresh
) -> list[list[Run]]:
    """What prompt and answer of each call of one line hold, in recorded tokens.

    What the next prompt has of an answer is that answer's content, provided that the next prompt
    extends this one and is long enough to hold the answer. Other answers are nobody else's.

    Args:
        calls: for each call the tokens of its prompt that are known, and how many tokens its
            prompt and its answer have.
        scale: between recorded and played tokens.
        fresh: gives tokens for what nobody else holds.
    """
    contexts: list[list[Run]] = []
    later: list[Run] = []
    following = 0  # tokens of the next call's prompt; 0 behind the last call
    for own, prompt, answer in reversed(calls):
        blocks = scale.tokens(prompt) + scale.tokens(answer)
        need = max(prompt + answer, scale.reach(blocks // scale.block_size))
        known = length(own)
        held = list(own)
        if following and common(joined(own), joined(later)) == known:
            whole = following >= prompt + answer
            held += part(later, known, need if whole else min(prompt, following))
        held.append(fresh(max(0, need - length(held))))
        contexts.append(held)
        later, following = held, prompt
    contexts.reverse()
    return contexts
