"""rounds: workers who each write a step, and then read the steps of all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Unpack

from weft.errors import BudgetExceeded, EngineError, UsageError
from weft.programs import Prompt, generate, node
from weft.threads.spawn import Bill, Threaded, spawn
from weft.types import MoreSampling

REDUNDANT = "\nQuick check: is this work that others have done already? If so, do another part.\n"
FINAL = "\n\nFinal answer:"


@node
async def rounds(
    prompt: Prompt,
    workers: Sequence[str] = ("Alice", "Bob"),
    *,
    most: int = 8,
    step_tokens: int = 256,
    answer_tokens: int = 256,
    check: int = 4,
    done: Callable[[str], bool] = lambda step: "final answer" in step.lower(),
    temperature: float = 0.8,
    seed: int | None = None,
    role: str = "solver",
    **more: Unpack[MoreSampling],
) -> Threaded:
    """Have workers solve a task together, a step each and then all steps before all.

    In a round each worker writes one step, up to a blank line, from the task and the steps so
    far. Then the steps are appended in the workers' order, those that stand there already left
    out. So the history only grows at its end, and each round's prompts share all of it. When a
    step is `done`, or the rounds are over, the answer is written behind the history.

    Hogwild! Inference (2025, arXiv 2504.06261), from outside the engine: there workers see each
    other's tokens at once, here whole steps. Expect steps that say the same:
    `details["unique"]` is the share that did not.

    Args:
        prompt: the task.
        workers: their names.
        most: rounds.
        step_tokens: most tokens of a step.
        answer_tokens: most tokens of the answer.
        check: every so many rounds workers are asked whether they repeat others.
        done: says of a step whether it solves the task.
        temperature: of steps; the answer is greedy.
        seed: worker i gets `seed + i`.
        role: which of the pool's models writes.
        **more: settings that few calls need.

    Raises:
        UsageError: there is no worker, two have one name, or `most` or `check` is below 1.
        EngineError: no engine could write the first round.
    """
    if not workers or len(set(workers)) != len(workers):
        raise UsageError(f"workers={list(workers)!r} must be names, each there once")
    for name, number in (("most", most), ("check", check)):
        if number < 1:
            raise UsageError(f"{name}={number} must be at least 1")
    bill, seen, written, history = Bill(), set[str](), 0, prompt
    counts = dict.fromkeys(workers, 0)
    for turn in range(1, most + 1):
        asks = REDUNDANT if turn % check == 0 else ""
        heads = [f"{asks}{name} [{counts[name] + 1}]:" for name in workers]
        threads = await spawn(
            [history.assistant(head, open=True) for head in heads],
            max_tokens=step_tokens,
            temperature=temperature,
            stop="\n\n",
            seed=seed,
            role=role,
            **more,
        )
        bill.parallel(threads)
        steps: list[str] = []
        for name, thread in zip(workers, threads, strict=True):
            step = thread.text.strip()
            written += bool(step)
            if step and _same(step) not in seen:
                seen.add(_same(step))
                counts[name] += 1
                steps.append(f"{name} [{counts[name]}]: {step}\n\n")
        if all(thread.error is not None for thread in threads) and turn == 1:
            raise next(thread.error for thread in threads if thread.error is not None)
        if not steps:
            break
        history = history.assistant("".join(steps), open=True)
        if any(done(step) for step in steps):
            break
    unique = len(seen) / written if written else 0.0
    try:
        asked = history.assistant(FINAL, open=True)
        said = await generate(
            asked,
            max_tokens=answer_tokens,
            temperature=0.0,
            stop="\n\n",
            seed=seed,
            role=role,
            **more,
        )
    except (BudgetExceeded, EngineError) as error:
        text = error.text if isinstance(error, BudgetExceeded) else ""
        answer = history.answer[len(prompt.answer) :] + (FINAL + text if text else "")
        return bill.result(history, answer, False, unique=unique)
    bill.serial(said)
    return bill.result(said.prompt, said.text.strip(), said.whole, unique=unique)


def _same(step: str) -> str:
    return " ".join(step.lower().split())
