"""What programs with a retriever share: a talk that loses nothing, what was found, the result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Unpack

from weft.errors import BudgetExceeded, EngineError, UsageError, WeftError
from weft.parsers.thinking import split_thinking
from weft.programs import Prompt, generate
from weft.programs.calls.count import count
from weft.programs.calls.settings import CallSettings
from weft.programs.scope.hearing import hearing
from weft.retrieval.passage import Passage
from weft.retrieval.searching import Searcher, SearchFailed


@dataclass(frozen=True)
class Researched:
    """An answer that was looked up.

    Attributes:
        text: the answer; empty if there is none that can be read.
        whole: False if a budget, a limit or an error cut it off.
        forced: whether the model was made to answer, rather than ending by itself.
        prompt: the conversation.
        passages: what was shown to the model, in the order in which it was found.
        searches: how many queries were looked up.
        failed: how many of them failed.
        rounds: how many turns the model took.
        input_tokens: of all its prompts together: the effective context.
        details: more, by method.
    """

    text: str
    whole: bool
    forced: bool
    prompt: Prompt
    passages: tuple[Passage, ...]
    searches: int
    failed: int
    rounds: int
    input_tokens: int
    details: dict[str, Any] = field(default_factory=dict[str, Any])


class Talk:
    """A conversation in which nothing that the model said is lost.

    Args:
        prompt: how it begins.
        **settings: of each call.

    Attributes:
        prompt: the conversation so far.
        rounds: turns of the model.
        input: tokens of all prompts.
        over: what ended the talk, if a budget or an engine did.
        cut: whether the last turn was cut off.
    """

    def __init__(self, prompt: Prompt, **settings: Unpack[CallSettings]) -> None:
        self.prompt, self._settings = prompt, settings
        self.rounds = self.input = 0
        self.over: WeftError | None = None
        self.cut = False

    async def hear(self, max_tokens: int, *, stop: str | Sequence[str] = ()) -> str:
        """The model's next turn; what there is of it if a budget or an engine ends it."""
        settings: CallSettings = {**self._settings, "max_tokens": max_tokens, "stop": stop}
        with hearing() as heard:
            try:
                said = await generate(self.prompt, **settings)
            except BudgetExceeded as over:
                self.over, self.cut = over, True
                return split_thinking(over.text).text
            except EngineError as error:
                self.over, self.cut = error, True
                return split_thinking(heard[-1].outcome.text).text if heard else ""
        self.rounds += 1
        self.input += said.usage.prompt
        self.prompt, self.cut = said.prompt, not said.whole
        return said.text

    def tell(self, text: str) -> None:
        """Add a turn of the user."""
        self.prompt = self.prompt.user(text)


class Findings:
    """What a program has looked up.

    Args:
        searcher: finds passages.

    Attributes:
        passages: all that were shown, by id, in the order in which they were found.
        searches: queries that were looked up.
        failed: those that failed.
    """

    def __init__(self, searcher: Searcher) -> None:
        self.searcher = searcher
        self.passages: dict[str, Passage] = {}
        self.searches = self.failed = 0

    async def look(self, query: str, k: int) -> list[Passage] | None:
        """The k best passages of a query that were not found before; None if the search failed."""
        self.searches += 1
        try:
            found = await self.searcher.search(query, k + len(self.passages))
        except (*SearchFailed, BudgetExceeded):  # a budget ends the next turn of the model too
            self.failed += 1
            return None
        return [one for one in found if one.id not in self.passages][:k]

    async def look_new(self, query: str, k: int) -> list[Passage] | None:
        """The same, and they count as shown."""
        if (found := await self.look(query, k)) is not None:
            self.show(found)
        return found

    def show(self, passages: Sequence[Passage]) -> None:
        """Passages are shown to the model."""
        self.passages.update((one.id, one) for one in passages)


def result(
    talk: Talk, findings: Findings, text: str, *, forced: bool = False, **details: Any
) -> Researched:
    """The answer of a program.

    Raises:
        EngineError: an engine failed before the model said anything.
    """
    if isinstance(talk.over, EngineError) and not talk.rounds and not text:
        raise talk.over
    return Researched(
        text,
        talk.over is None and not talk.cut,
        forced,
        talk.prompt,
        tuple(findings.passages.values()),
        findings.searches,
        findings.failed,
        talk.rounds,
        talk.input,
        details,
    )


async def most_that_fit(
    make: Callable[[int], Prompt], most: int, limit: int | None, role: str
) -> int:
    """How many of some things have room in a prompt; -1 if not even the prompt without has.

    Args:
        make: the prompt with so many of them.
        most: how many there are.
        limit: tokens of the prompt; None for no limit.
        role: whose tokens are counted.
    """
    if limit is None or await count(make(most), role=role) <= limit:
        return most
    fits, too_many = -1, most
    while too_many - fits > 1:
        tried = (fits + too_many) // 2
        if await count(make(tried), role=role) <= limit:
            fits = tried
        else:
            too_many = tried
    return fits


def check_least(least: int, **numbers: int) -> None:
    """Check whole numbers.

    Raises:
        UsageError: one is none, or too small.
    """
    for name, number in numbers.items():
        if type(number) is not int or number < least:
            raise UsageError(f"{name}={number!r} must be a whole number of at least {least}")


def check_question(question: object) -> None:
    """Check a question.

    Raises:
        UsageError: it is no text, or an empty one.
    """
    if not isinstance(question, str) or not question.strip():
        raise UsageError(f"question={question!r:.60} must be a text")
