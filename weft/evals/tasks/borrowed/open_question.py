"""Questions whose answers only other code can judge, from whole texts."""

from __future__ import annotations

from typing import Any

from weft.parsers.thinking import visible
from weft.programs import Prompt
from weft.search.readers import Reader
from weft.search.strategy import Question

_VERIFY = (
    "\n\nAn answer, perhaps unfinished:\n{}\n\nIs it right as far as it goes? Answer yes or no."
)


def open_question(prompt: Prompt, reader: Reader, seed: int, **settings: Any) -> Question:
    """A question whose answer is what a reader finds, or else the whole text.

    Votes go by what the reader finds. What is right is judged by the text, not by the answer.

    Args:
        prompt: ends with a user's turn.
        reader: reads answers, and says which are the same.
        seed: what all chance in answering derives from.
        **settings: further fields of `Question`.
    """
    asked = "\n\n".join(m.content for m in prompt.messages if m.role == "user")

    def read(text: str) -> str | None:
        body = (visible(text) or "").strip()
        return (reader(text) or body) if body else None

    def verify(text: str) -> Prompt:
        return Prompt.user(asked + _VERIFY.format((visible(text) or "").strip()))

    def complete(text: str) -> bool:
        return False  # only the model can say

    given: dict[str, Any] = {
        "prompt": prompt,
        "answer": read,
        "steps": "\n",
        "max_steps": 32,
        "max_tokens": 1024,
        "max_think_tokens": 4096,
        "complete": complete,
        "answer_cut": reader.cut,
        "same": reader.equality,
        "verify": verify,
        "seed": seed,
    }
    return Question(**given | settings)


def text_of_answer(text: str | None) -> str:
    """The text of an answer as code judges it: without thinking."""
    return visible(text or "") or ""
