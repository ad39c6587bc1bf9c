"""Question: what a strategy is asked to answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from operator import eq
from typing import Any

from weft.programs import Completion, Prompt
from weft.search.choices import Choices
from weft.types import FinishReason, MoreSampling


@dataclass(frozen=True)
class Question:
    """What a strategy is asked to answer; a task makes it.

    Attributes:
        prompt: asks for the answer; ends with a user's turn.
        think: asks for visible thinking before the answer, if the task has such a prompt.
        steps: the string that ends a step of the answer.
        max_tokens: most tokens of an answer; None leaves it to the context's end.
        max_think_tokens: most tokens of thinking, in addition to the answer's.
        max_steps: most steps of an answer.
        answer: reads the answer, in a form that can be compared, out of a text; None if it
            can't be read.
        complete: whether a partial answer is finished.
        verify: the prompt that asks a verifier about a partial or whole answer, to be
            scored over `yes` and `no`.
        check: an exact check of a partial or whole answer, from 0 to 1.
        seed: all chance in the search derives from it.
        top_p: nucleus sampling; 1 is off.
        stop: strings that end the answer; a matched one is the end of its text.
        schema: a JSON schema that the answer must follow; only for strategies that draw whole
            answers.
        sampling: further settings of `generate`, such as `top_k`.
        answer_cut: reads the answer out of a text that `max_tokens` cut off; as `answer` if
            None. Texts that ended within their thinking, or failed, have none.
        same: whether two answers that were read are the same; votes cluster by it.
        slow: whether `same` may take long; answers are then compared in a thread as they come, and
            what compares them must remember.
        task: what it is one question of, by which calibrations are kept; empty if it is of none.
        choices: its options, if it has some to choose from.
        demands: how much it demands, by dimension, if its task knows: the larger, the harder.
    """

    prompt: Prompt
    answer: Callable[[str], str | None]
    complete: Callable[[str], bool]
    think: Prompt | None = None
    steps: str = "\n"
    max_tokens: int | None = 64
    max_think_tokens: int = 512
    max_steps: int = 8
    verify: Callable[[str], Prompt] | None = None
    check: Callable[[str], float] | None = None
    seed: int = 0
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    schema: dict[str, Any] | None = None
    sampling: MoreSampling = field(default_factory=MoreSampling)
    answer_cut: Callable[[str], str | None] | None = None
    same: Callable[[str, str], bool] = eq
    slow: bool = False
    task: str = ""
    choices: Choices | None = None
    demands: Mapping[str, float] = field(default_factory=dict[str, float])

    def read(self, completion: Completion, text: str | None = None) -> str | None:
        """The answer in a text that has come to its end; None without one.

        Args:
            completion: what ended the text.
            text: all of it; the completion's own if None.
        """
        text = completion.text if text is None else text
        return None if completion.in_thinking else self.read_ended(text, completion.finish_reason)

    def read_ended(self, text: str, reason: FinishReason) -> str | None:
        """The answer in a text without its thinking; None without one.

        Args:
            text: all of it.
            reason: why it ended.
        """
        if not text.strip():
            return None
        match reason:
            case "stop" | "unknown":
                return self.answer(text)
            case "length":
                return (self.answer_cut or self.answer)(text)
            case _:
                return None
