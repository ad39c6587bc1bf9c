"""Declaration: what a program or a node says of itself before it runs."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from weft.errors import UsageError

Stage = str | Callable[..., Any]
"""A stage by its name, or by its function."""
Stages = Sequence[Stage] | Mapping[Stage, Stage | Sequence[Stage | None] | None]
"""Stages in their order; or of each stage what may follow, where None is the end."""


@dataclass(frozen=True, slots=True)
class Declaration:
    """What `@program(...)` or `@node(...)` was told: plain data, all of it optional.

    Attributes:
        calls: that a run of it is expected to make; None if it does not say.
        tokens: that engines are expected to compute for it: prompts not cached, and answers.
        width: branches of the fan-out that it is run in.
        follow: of each stage, in the order in which they were named, which may follow; "" is
            the end. Empty if no stages are declared.
        known: declarations of the stages that were given as functions.
        begins: of a workflow, the stages that need no other: `follow` then says what is given to
            what, and the order in which stages run is open. Empty for all other programs.
    """

    calls: int | None = None
    tokens: int | None = None
    width: int | None = None
    follow: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    known: Mapping[str, Declaration] = field(default_factory=dict[str, "Declaration"])
    begins: tuple[str, ...] = ()


NOTHING_DECLARED = Declaration()


def declare(
    mark: str,
    *,
    calls: int | None = None,
    tokens: int | None = None,
    width: int | None = None,
    stages: Stages | None = None,
) -> Declaration:
    """A declaration, checked; `NOTHING_DECLARED` if it says nothing.

    Args:
        mark: for messages: `@program` or `@node`.
        calls: as the marks take it.
        tokens: the same.
        width: the same.
        stages: the same.

    Raises:
        UsageError: a number is no whole number above 0, or the stages are no names or functions.
    """
    for name, number in (("calls", calls), ("tokens", tokens), ("width", width)):
        if number is not None and (type(number) is not int or number < 1):
            raise UsageError(f"{mark} {name}={number!r} must be a whole number above 0")
    if stages is None:
        told = calls is not None or tokens is not None or width is not None
        return Declaration(calls, tokens, width) if told else NOTHING_DECLARED
    follow, known = _following(mark, stages)
    return Declaration(calls, tokens, width, follow, known)


def _following(mark: str, stages: Any) -> tuple[dict[str, tuple[str, ...]], dict[str, Declaration]]:
    """What may follow each stage, and declarations of those that are functions."""
    follow: dict[str, tuple[str, ...]] = {}
    known: dict[str, Declaration] = {}

    def named(stage: Any) -> str:
        while isinstance(stage, functools.partial):
            stage = cast(Any, stage).func
        name = stage if isinstance(stage, str) else getattr(stage, "__name__", None)
        if not isinstance(name, str) or not name or not (name is stage or callable(stage)):
            raise UsageError(f"{mark} stages must be names or functions, not {stage!r:.60}")
        if name is not stage:
            known[name] = declared(stage)
        return name

    if isinstance(stages, Mapping):
        for stage, after in cast("Mapping[Any, Any]", stages).items():
            several = isinstance(after, list | tuple)
            nexts = cast("Sequence[Any]", after if several else (after,))
            names = ["" if n is None else named(n) for n in nexts]
            follow[named(stage)] = tuple(names or [""])
        for after in list(follow.values()):
            for name in after:
                if name:
                    follow.setdefault(name, ("",))
    elif isinstance(stages, Sequence) and not isinstance(stages, str | bytes):
        names = [named(stage) for stage in cast("Sequence[Any]", stages)]
        for name, after in zip(names, [*names[1:], ""], strict=False):
            follow[name] = (*follow.get(name, ()), after)
    else:
        raise UsageError(f"{mark} stages={stages!r:.60} must be a list of stages, or a dict")
    if not follow:
        raise UsageError(f"{mark} stages are empty; name one, or leave them out")
    return follow, known


def declared(function: object) -> Declaration:
    """What a program or node, by its function, has declared."""
    found = getattr(function, "__weft__", None)
    return found if isinstance(found, Declaration) else NOTHING_DECLARED
