"""Verifiers: who scores an answer, or a part of one, and how.

Called by strategies that choose by a score. `verifier` is the contract, with the verifiers that
need no more than one question; others have files of their own, and judges stand in
`weft.search.judges`. To add a verifier, mark a class `@verifier`, and name its file in `VERIFIERS`
if it is weft's own. Trades away: a score is one number, whatever it rests on.
"""

from weft.search.verifiers.verifier import (
    NO_TOKENS,
    VERIFIERS,
    Confidence,
    Verifier,
    read_verifier,
    verifier,
    verifier_param,
    verify,
)

__all__ = [
    "NO_TOKENS",
    "VERIFIERS",
    "Confidence",
    "Verifier",
    "read_verifier",
    "verifier",
    "verifier_param",
    "verify",
]
