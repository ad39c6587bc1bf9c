"""code_plan: a plan in the form of code, and then the answer that follows it."""

from __future__ import annotations

from typing import Unpack

from weft.context import added
from weft.errors import BudgetExceeded, EngineError, UsageError
from weft.programs import Prompt, generate, node
from weft.programs.calls.settings import CallSettings
from weft.threads.spawn import Bill, Threaded
from weft.types import MoreSampling

PLAN = (
    "First write a plan of how to answer, as pseudo-Python: functions with telling names, "
    "branches and loops where the work has them, a comment where a step needs one. The plan "
    "alone, not the answer."
)
ANSWER = "Now answer the request. Follow the plan."


@node
async def code_plan(
    prompt: Prompt,
    *,
    plan: bool = True,
    plan_tokens: int = 512,
    answer_tokens: int = 1536,
    temperature: float = 0.0,
    seed: int | None = None,
    role: str = "solver",
    **more: Unpack[MoreSampling],
) -> Threaded:
    """Answer in two stages: a plan as pseudo-code, then the answer.

    CodePlan (2024). There a model is trained on plans in code, and what the paper claims rests on
    the training; this is the prompt alone. Compare with `plan=False`, which answers at once with
    as many tokens in all.

    Args:
        prompt: the conversation.
        plan: whether to plan.
        plan_tokens: most tokens of the plan; a plan that is cut off is followed as far as it goes.
        answer_tokens: most tokens of the answer; without a plan, those of the plan come to them.
        temperature: 0 is greedy.
        seed: makes the answer repeatable where the engine allows it.
        role: which of the pool's models writes.
        **more: settings that few calls need.

    Returns:
        The answer; `details["plan"]` is the plan, empty if there is none.

    Raises:
        UsageError: a number of tokens is below 1.
        EngineError: no engine could answer.
        BudgetExceeded: the budget ended before there was an answer.
    """
    for name, number in (("plan_tokens", plan_tokens), ("answer_tokens", answer_tokens)):
        if type(number) is not int or number < 1:
            raise UsageError(f"code_plan {name}={number!r} must be a whole number of at least 1")
    settings: CallSettings = {**more, "temperature": temperature, "seed": seed, "role": role}
    bill, asked, text, room = Bill(), prompt, "", answer_tokens
    if plan:
        try:
            planned: CallSettings = {**settings, "max_tokens": plan_tokens}
            said = await generate(added(prompt, PLAN), **planned)
        except EngineError:
            pass  # an answer without a plan is better than none
        else:
            bill.serial(said)
            text = said.text.strip()
            if text:
                asked = said.prompt.user(ANSWER)
    else:
        room += plan_tokens
    try:
        settings["max_tokens"] = room
        whole = await generate(asked, **settings)
    except BudgetExceeded as over:
        if not over.text:
            raise
        return bill.result(asked.assistant(over.text, open=True), over.text, False, plan=text)
    bill.serial(whole)
    return bill.result(whole.prompt, whole.text, whole.whole, plan=text)
