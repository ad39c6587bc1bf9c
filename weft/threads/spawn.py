"""spawn: threads side by side, their texts in the declared order; and what a program cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Unpack

from weft.concurrency import now
from weft.errors import BudgetExceeded, EngineError
from weft.parsers.thinking import split_thinking
from weft.programs import Completion, Prompt, fan_out, generate, node
from weft.programs.scope.hearing import Heard, hearing
from weft.types import MoreSampling


@dataclass(frozen=True)
class Thread:
    """What a thread wrote.

    Attributes:
        text: what it generated, thinking included; what there is of it if its call failed.
        answer: the same without the thinking.
        tokens: that it generated.
        whole: whether it came to its own end, or to a stop string.
        error: why its call failed; None if it did not.
    """

    text: str
    answer: str
    tokens: int
    whole: bool
    error: EngineError | None = None


@dataclass(frozen=True)
class Threaded:
    """An answer that several threads wrote.

    Attributes:
        prompt: the conversation with the answer, open.
        text: the answer.
        whole: False if a budget, a limit or an error cut it off.
        threads: how many threads wrote for it.
        failed: how many of them failed.
        tokens: generated tokens of all calls.
        critical_tokens: of the longest way through the threads: the token latency. How long
            the answer took by the clock is another figure.
        seconds: by the clock.
        details: more, by protocol.
    """

    prompt: Prompt
    text: str
    whole: bool
    threads: int
    failed: int
    tokens: int
    critical_tokens: int
    seconds: float
    details: dict[str, Any] = field(default_factory=dict[str, Any])


class Bill:
    """Counts what an answer costs while it is written."""

    def __init__(self) -> None:
        self.threads = self.failed = self.tokens = self.critical = 0
        self._began = now()

    def serial(self, said: Completion) -> None:
        """The main line wrote something."""
        self.tokens += said.usage.completion
        self.critical += said.usage.completion

    def parallel(self, threads: Sequence[Thread]) -> None:
        """Threads wrote side by side."""
        lengths = [thread.tokens for thread in threads]
        self.threads += len(threads)
        self.failed += sum(thread.error is not None for thread in threads)
        self.tokens += sum(lengths)
        self.critical += max(lengths, default=0)

    def result(self, prompt: Prompt, text: str, whole: bool, **details: Any) -> Threaded:
        """The answer, with what it cost."""
        return Threaded(
            prompt,
            text,
            whole,
            self.threads,
            self.failed,
            self.tokens,
            self.critical,
            now() - self._began,
            details,
        )


async def spawn(
    prompts: Sequence[Prompt],
    *,
    max_tokens: int | None = None,
    temperature: float = 1.0,
    stop: str | Sequence[str] = (),
    seed: int | None = None,
    role: str = "solver",
    limit: int | None = None,
    first: Callable[[Thread], bool] | None = None,
    **more: Unpack[MoreSampling],
) -> list[Thread]:
    """Have each Prompt answered, or gone on with, by a thread of its own, all at once.

    A thread whose engine fails, or whose budget ends, gives what it had written, and harms no
    other thread.

    Args:
        prompts: one for each thread.
        max_tokens: most tokens of each thread.
        temperature: 0 is greedy.
        stop: strings that end a thread.
        seed: thread i of them gets `seed + i`.
        role: which of the pool's models writes.
        limit: how many run at once; None runs all.
        first: says of a thread that has ended whether all others are to be cut off; they give
            what they had written.
        **more: settings that few calls need.

    Returns:
        what they wrote, in the order of `prompts`, whatever the order in which they ended.

    Raises:
        UsageError: an argument is out of range.
    """
    done: dict[int, Thread] = {}
    cut: dict[int, Thread] = {}

    @node
    async def thread(number: int) -> int:
        with hearing() as heard:
            try:
                said = await generate(
                    prompts[number],
                    max_tokens=max_tokens,
                    temperature=temperature,
                    stop=stop,
                    seed=None if seed is None else seed + number,
                    role=role,
                    **more,
                )
                tokens = said.usage.completion
                whole = said.finish_reason == "stop"
                done[number] = Thread(said.prompt.text, said.text, tokens, whole)
            except BudgetExceeded as over:
                count = sum(one.outcome.usage.cancelled for one in heard)
                done[number] = _broken_off(over.text, count)
            except EngineError as error:
                done[number] = replace(_last(heard), error=error)
            finally:
                if number not in done:
                    cut[number] = _last(heard)
        return number

    async with fan_out(thread, range(len(prompts)), limit=limit) as ended:
        async for number in ended:
            if first is not None and first(done[number]):
                break
    empty = _last([])
    return [done.get(number) or cut.get(number, empty) for number in range(len(prompts))]


def _last(heard: Sequence[Heard]) -> Thread:
    """What there is of a thread that was broken off."""
    if not heard:
        return _broken_off("", 0)
    return _broken_off(heard[-1].outcome.text, heard[-1].outcome.usage.cancelled)


def _broken_off(text: str, tokens: int) -> Thread:
    return Thread(text, split_thinking(text).text, tokens, False)
