"""A conversation as a Question: how its answers are read, verified and cut into steps.

A vote needs answers that can be equal. They are read by a reader: that of JSON where the client
asked for JSON, else the one that the service's configuration names, `FINAL` by default. A text
without an answer has no vote, nor has one that was cut off, unless the reader takes all of a text.

A verifier sees the conversation with the answer as its last turn, and is asked whether the
answer is correct and helpful: yes or no. So it finds the conversation in the engine's cache.
A step is a paragraph. Only the model says when its answer is complete.
"""

from __future__ import annotations

import secrets

from weft.parsers.thinking import visible
from weft.programs import Prompt
from weft.search import Question
from weft.search.readers import Reader, parse_reader
from weft.service.strategies.request import StrategyRequest

FINAL = "final"
"""The reader of answers, unless a configuration names another."""

STEP = "\n\n"
MAX_STEPS = 32
VERIFY = "Is the answer above correct and helpful, as far as it goes? Reply with yes or no."


def question_of(request: StrategyRequest, reader: Reader | None = None) -> Question:
    """The question that a request asks; without a seed, every time another one's.

    Args:
        request: what the client wants.
        reader: of answers that need not be JSON; `FINAL` if None.
    """
    prompt, stops = request.prompt, request.stop
    if request.schema is not None:
        reader = parse_reader("json")
    elif reader is None:
        reader = parse_reader(FINAL)

    def verify(text: str) -> Prompt:
        return prompt.assistant(_judged(cut(text, stops))).user(VERIFY)

    return Question(
        prompt=prompt,
        answer=lambda text: reader(cut(text, stops)),
        answer_cut=lambda text: reader.cut(cut(text, stops)),
        same=reader.equality,
        slow=reader.slow,
        complete=lambda text: False,
        steps=STEP,
        max_tokens=request.max_tokens,
        max_steps=MAX_STEPS,
        verify=verify,
        seed=secrets.randbits(31) if request.seed is None else request.seed,
        top_p=request.top_p,
        stop=stops,
        schema=request.schema,
        sampling=request.sampling,
    )


def cut(text: str, stops: tuple[str, ...]) -> str:
    """The text before the stop string that ended it; the token that did may say more."""
    return text[: min((at for stop in stops if (at := text.find(stop)) >= 0), default=None)]


def _judged(text: str) -> str:
    """What a verifier is shown of an answer: not its thinking, once that has ended."""
    body = visible(text)
    return text if body is None else body.strip()
