"""trimr: a second model sees when thinking only repeats its answer, and ends it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import replace

from weft.errors import EngineError
from weft.parts.parameters import param, temperature
from weft.programs import Completion, Prompt, node
from weft.search.early_exit.pieces import Pieces, closed
from weft.search.sampling.drawing import Candidate
from weft.search.sampling.samples import answered, collect
from weft.search.strategy import Answer, Question, Strategy, strategy
from weft.search.verifiers.verdicts import ask_verdict

_CUE = re.compile(r"\n\n(?=Wait|But|Alternatively)")
"""Where thinking turns back on itself."""

_READ = 1200
"""Characters at the end of a segment that the verifier reads: 200 to 400 tokens."""


@strategy("trimr")
class TrimR(Strategy):
    """Thinking that is ended by a second model's verdicts (TrimR, Lin et al. 2025).

    Thinking is parted where a paragraph begins with "Wait", "But" or "Alternatively". Of each
    part that is whole, the model in the role `role` is asked whether it comes to an answer, and
    if so, whether to the same as the part before that did. After `agree` such repetitions in a
    row, thinking is ended (overthinking). So it is after `segments` parts, or the share `share`
    of its tokens, without that (underthinking). The verdicts are single tokens, yes or no, of a
    model that follows instructions; it may be a small one. Where it fails, thinking goes on.

    That a model repeats itself word by word is left to the engine to see: vLLM's
    `repetition_detection`.
    """

    title = "TrimR"
    family = "early exit"
    source = "Lin et al. 2025"
    needs = ("continuation", "thinking")

    agree: int = param(2, "repetitions in a row that end thinking", least=1, main=True)
    role: str = param("verifier", "who judges", main=True)
    every: int = param(50, "tokens after which the thinking is looked at", least=1)
    segments: int | None = param(None, "parts after which thinking ends anyway", least=1, kind=int)
    share: float = param(1.0, "of the tokens of thinking, after which it does", above=0, most=1)
    final: str = param("", "what begins the answer behind thinking that was ended")
    temperature: float = temperature()

    async def solve(self, question: Question) -> Answer:
        """Answer the question."""

        @node
        async def trim(index: int) -> Candidate:
            pieces, repeats = Pieces(question, self.temperature, index, self.name), _Repeats()
            failed: list[EngineError] = []
            asked = f"Question:\n{question.prompt.messages[-1].content}\n\n"

            async def says_yes(words: str) -> bool:
                prompt = Prompt.user(f"{asked}{words} Say yes or no.")
                try:
                    return (await ask_verdict(prompt, self.role)).score > 0.5
                except EngineError as error:
                    failed.append(error)
                    return False

            async def look(piece: Completion) -> Completion | None:
                for part in repeats.whole(piece.prompt.text):
                    await repeats.judge(part, says_yes)
                    if repeats.row == self.agree or repeats.parts == self.segments:
                        return await pieces.write(
                            closed(piece.prompt, self.final), question.max_tokens
                        )
                return None

            last = await pieces.think(self.every, look, self.final, self.share)
            return replace(pieces.candidate(last), error=failed[0] if failed else None)

        return answered(await collect(trim, 1), None, None)


class _Repeats:
    """Parts of thinking, and how many in a row came to the answer of the one before.

    Attributes:
        parts: how many were judged.
        row: how many of the last repeat the answer before them.
    """

    def __init__(self) -> None:
        self.parts = self.row = 0
        self._rest = ""  # the part that goes on
        self._answered: str | None = None  # the last part with an answer

    def whole(self, more: str) -> list[str]:
        """The parts that are whole now that the thinking has gone on."""
        *whole, self._rest = _CUE.split(self._rest + more)
        return whole

    async def judge(self, part: str, says_yes: Callable[[str], Awaitable[bool]]) -> None:
        """Have the verifier see whether a part repeats the answer before it."""
        self.parts += 1
        part = part[-_READ:]
        if not await says_yes(f"Thoughts:\n{part}\n\nDo these thoughts come to an answer?"):
            return
        before, self._answered = self._answered, part
        repeats = before is not None and await says_yes(
            f"First thoughts:\n{before}\n\nSecond thoughts:\n{part}\n\n"
            "Do both come to the same answer?"
        )
        self.row = self.row + 1 if repeats else 0
