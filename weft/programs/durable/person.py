"""ask_person: a question that a person answers, from another process or another day."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

import anyio

from weft.errors import UsageError
from weft.programs.durable.deeds import Kind, plain_json, result_of
from weft.programs.scope import current
from weft.programs.scope.waiting import noted

if TYPE_CHECKING:
    from weft.store.kept_runs import Deed

T = TypeVar("T")
_INTERVAL, _LONGEST = 0.1, 1.0  # seconds between two looks for an answer

stand_ins: list[Callable[[str, tuple[Any, ...]], str]] = []
"""Who answers in place of people, in tests: the last one, at once."""


@overload
async def ask_person(question: str, *details: Any) -> str: ...
@overload
async def ask_person(question: str, *details: Any, returns: type[T]) -> T: ...
async def ask_person(question: str, *details: Any, returns: Any = str) -> Any:
    """Ask a person, and wait for the answer.

        said = await ask_person("Publish this?", plan, returns=bool)

    The question stands in the run's Store: `weft runs` lists it, and `weft answer RUN yes`
    answers it, as does `weft.answer`. The process may end meanwhile. A run that is resumed
    waits for the same answer, and never asks again what was answered. To the scheduler the
    program waits for a tool named `person`.

    Args:
        question: what the person reads.
        *details: values that the person is shown with it.
        returns: the type of the answer. What a person wrote is read as pydantic reads texts,
            `yes` as True for instance, or else as JSON. A text that is no such answer leaves
            the question open.

    Raises:
        UsageError: the run has no id, so that no answer could find it; or details can't be kept.
        RunChanged: the run did something else there before.
    """
    scope = current()
    if not isinstance(cast(object, question), str) or not question.strip():
        raise UsageError(f"ask_person needs a question as a text, not {question!r}")
    if (deeds := scope.deeds) is None:
        raise UsageError(
            "ask_person needs a run that an answer can find: run(..., store=store, id=NAME), or "
            "weft run --store FILE --id NAME"
        )
    kind = Kind(returns, f"the answer to {question!r}")
    shown = plain_json({"details": details, "wants": kind.schema()}, "a detail of ask_person")
    key = deeds.key(scope.branch, "person", question, plain_json(details, "a detail of ask_person"))
    kept, run = deeds.kept, deeds.id

    def begin() -> Deed:
        before = kept.deed(run, key)
        state = "answered" if before is not None and before.state == "answered" else "waiting"
        return kept.begin_deed(run, key, scope.branch, "person", question, shown, state)

    async def act(deed: Deed) -> str:
        interval = _INTERVAL
        with scope.waiting("person"):
            if stand_ins:
                said = stand_ins[-1](question, details)
                try:
                    return kind.answer(said)
                except ValueError as error:
                    raise UsageError(
                        f"{said!r} is no answer to {question!r}: {error}; mend people(...)"
                    ) from None
            while True:
                now = kept.deed(run, key)
                if now is not None and now.state == "answered":
                    try:
                        return kind.answer(now.said)
                    except ValueError as error:
                        said = f"{now.said!r} is no answer: {error}"
                        kept.change_deed(now, state="waiting", said=said)
                await anyio.sleep(interval)
                interval = min(_LONGEST, 1.5 * interval)

    with noted(scope, "person") as inside:
        return kind.read(await result_of(inside, deeds, key, begin, act))
