r"""A conversation as a Question: how its answers are compared, verified and cut into steps.

A vote needs answers that can be equal. What counts as a text's answer, after any thinking, is
the first of these that it has:

    its JSON, where the client asked for JSON: equal values are equal answers
    what its last `\boxed{...}` holds
    what follows `Answer:` on the last line that begins so, in any markup
    the whole text

All but JSON is compared without regard to case, spacing, a final full stop, and marks of
emphasis. A text whose thinking has not ended, or that is no JSON where JSON was asked for, has
no answer and no vote.

A verifier sees the conversation with the answer as its last turn, and is asked whether the
answer is correct and helpful: yes or no. So it finds the conversation in the engine's cache.
A step is a paragraph. Only the model says when its answer is complete.
"""

from __future__ import annotations

import json
import re
import secrets
from typing import Any

from weft.programs import Prompt
from weft.programs.json_text import json_texts
from weft.search import Question
from weft.service.strategies.request import StrategyRequest
from weft.thinking import visible

STEP = "\n\n"
MAX_STEPS = 32
VERIFY = "Is the answer above correct and helpful, as far as it goes? Reply with yes or no."

_BOX = "\\boxed{"
_LINE = re.compile(
    r"^[*_#> \t]*(?:the )?(?:final )?answer[*_ \t]*:[*_ \t]*(\S.*)", re.IGNORECASE | re.MULTILINE
)


def question_of(request: StrategyRequest) -> Question:
    """The question that a request asks; without a seed, every time another one's."""
    prompt, stops = request.prompt, request.stop
    read = read_json if request.schema is not None else read_answer

    def verify(text: str) -> Prompt:
        return prompt.assistant(_judged(cut(text, stops))).user(VERIFY)

    return Question(
        prompt=prompt,
        answer=lambda text: read(cut(text, stops)),
        complete=lambda text: False,
        steps=STEP,
        max_tokens=request.max_tokens,
        max_steps=MAX_STEPS,
        verify=verify,
        seed=secrets.randbits(31) if request.seed is None else request.seed,
        top_p=request.top_p,
        stop=stops,
        schema=request.schema,
    )


def cut(text: str, stops: tuple[str, ...]) -> str:
    """The text before the stop string that ended it; the token that did may say more."""
    return text[: min((at for stop in stops if (at := text.find(stop)) >= 0), default=None)]


def read_answer(text: str) -> str | None:
    """A text's answer in the form in which answers are compared; None without one."""
    body = visible(text)
    if body is None:
        return None
    found = boxed(body)
    if found is None:
        lines = _LINE.findall(body)
        found = lines[-1] if lines else body
    plain = " ".join(found.split()).casefold().strip("*_$ ").removesuffix(".")
    return plain.strip("*_$ ") or None


def boxed(text: str) -> str | None:
    r"""What the last `\boxed{...}` holds; None if there is none, or its brace is not closed."""
    start = text.rfind(_BOX)
    if start < 0:
        return None
    depth, begin = 1, start + len(_BOX)
    for at in range(begin, len(text)):
        depth += (text[at] == "{") - (text[at] == "}")
        if not depth:
            return text[begin:at]
    return None


def read_json(text: str) -> str | None:
    """The value that a text writes, in one way of writing it; None if there is no JSON."""
    body = visible(text)
    if body is None:
        return None
    for found in json_texts(body):
        try:
            value = json.loads(found, parse_float=_number)
        except (ValueError, RecursionError):
            continue
        break
    else:
        return None
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _number(written: str) -> Any:
    value = float(written)
    return int(value) if value.is_integer() else value


def _judged(text: str) -> str:
    """What a verifier is shown of an answer: not its thinking, once that has ended."""
    body = visible(text)
    return text if body is None else body.strip()
