"""The texts of recorded prompts as runs of tokens: prompts share what their texts share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from weft.simulation.sources.contexts import Run, length, part, space

_PIECE = 16
"""Letters of a text that are told apart together."""

Turns = list[tuple[str, str]]


class Texts:
    """What the prompts of a run hold.

    A prompt is either a conversation from its beginning, or goes on from the answer of an earlier
    call. Tokens are not recorded, but their numbers: a letter counts as so many tokens as the
    run's prompts have for a letter on average.

    Args:
        prompts: as `weft run --out` writes them.
        tokens: of each prompt; 0 where this is not known.
    """

    def __init__(self, prompts: Sequence[Mapping[str, Any]], tokens: Sequence[int]) -> None:
        letters = counted = 0
        for prompt, count in zip(prompts, tokens, strict=True):
            if count and "follows" not in prompt:
                letters += sum(len(text) for _, text in _turns(prompt))
                counted += count
        self._dense = counted / letters if letters else 0.25
        self._contexts: dict[str, list[Run]] = {}

    def note(self, call: str, context: list[Run]) -> None:
        """Remember what prompt and answer of a call hold."""
        self._contexts[call] = context

    def answer(self, call: str, tokens: int, salt: str) -> Run:
        """The tokens of an answer, which no other answer has."""
        return (space(f"{salt}\0answer\0{call}"), tokens)

    def context(self, prompt: Mapping[str, Any], tokens: int, salt: str) -> tuple[list[Run], int]:
        """What a prompt holds.

        Args:
            prompt: as it is written.
            tokens: how many it has; 0 if this is not known.
            salt: keeps all but the system's turn apart from other programs.

        Returns:
            the runs, and how many tokens they hold.
        """
        before = self._contexts.get(prompt.get("follows", ""), [])
        # What an engine that takes text was sent may have less than what went before.
        runs = part(before, 0, tokens) if tokens else list(before)
        chain = f"{salt}\0{prompt.get('follows', '')}"
        turns = _turns(prompt)
        if not before and turns and turns[0][0] == "system":
            chain = _add(runs, "", turns[:1], self._dense)
            chain, turns = chain + salt, turns[1:]
        chain = _add(runs, chain, turns, self._dense)
        held = length(runs)
        if not tokens:
            return runs, max(held, 1)
        if held < tokens:  # what the text does not show, such as tools and marks of turns
            runs.append((space(f"{chain}\0rest"), tokens - held))
        return part(runs, 0, tokens), tokens


def _turns(prompt: Mapping[str, Any]) -> Turns:
    """The turns of a prompt, back to the answer that the prompt goes on from."""
    return [(one["role"], one["text"]) for one in [*prompt.get("before", []), prompt]]


def _add(runs: list[Run], chain: str, turns: Turns, dense: float) -> str:
    """Add the tokens of turns to a prompt; gives what stands for the text up to their end."""
    text = "".join(f"\1{role}\2{text}" for role, text in turns)
    at = 0.0
    for begin in range(0, len(text), _PIECE):
        piece = text[begin : begin + _PIECE]
        chain = f"{space(chain + piece):x}"
        count = int((begin + len(piece)) * dense) - int(at)
        at = (begin + len(piece)) * dense
        if count > 0:
            runs.append((space(chain), count))
    return chain
