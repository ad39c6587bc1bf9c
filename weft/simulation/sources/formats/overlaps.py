"""Requests with their times, as steps: what overlapped runs at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from weft.simulation.sources.contexts import Fresh, Run, Scale, common
from weft.simulation.sources.planned_calls import PlannedCalls, carried
from weft.simulation.workload import Parallel, PlannedCall, Step


@dataclass(frozen=True, slots=True)
class TracedRequest:
    """A recorded request.

    Attributes:
        known: tokens of the prompt whose content is known.
        prompt: tokens of the prompt.
        answer: tokens of the answer.
        think: seconds from the answer ahead of the request to it, if they were recorded.
        person: whether the request has what a person wrote, not a tool's result.
    """

    known: list[Run]
    prompt: int
    answer: int
    think: float | None
    person: bool


@dataclass(frozen=True, slots=True)
class Timed:
    """A request or a sub-agent, with its times in seconds of the session."""

    began: float
    ended: float
    what: TracedRequest | list[Timed]


def steps(
    spans: Sequence[Timed],
    scale: Scale,
    fresh: Fresh,
    capped: Callable[[float], float],
    stage: str = "turn",
) -> Iterator[Step]:
    """What a session does, whose spans are given in the order in which they began.

    Args:
        spans: of the session; those of its sub-agents lie within theirs.
        scale: between recorded and played tokens.
        fresh: gives tokens for what nobody else holds.
        capped: makes a played wait of a recorded one.
        stage: of the calls.
    """
    lines = _lines(spans)
    contexts: dict[int, list[Run]] = {}
    for line in lines:
        held = [(r.known, r.prompt, r.answer) for i in line for r in (_request(spans[i]),)]
        contexts |= zip(line, carried(held, scale, fresh), strict=True)
    planned = [PlannedCalls(scale, fresh) for _ in lines]
    of_line = {i: number for number, line in enumerate(lines) for i in line}

    def call(i: int, wait: float, tool: str) -> PlannedCall:
        request = _request(spans[i])
        return planned[of_line[i]].make(
            contexts[i], request.prompt, request.answer, wait=wait, tool=tool, stage=stage
        )

    groups = _groups(spans)
    for group, following in [*pairwise(groups), (groups[-1], [])]:
        wait, tool = _wait(spans, group, following)
        if len(group) == 1 and isinstance(spans[group[0]].what, TracedRequest):
            yield call(group[0], capped(wait), tool)
            continue
        branches: dict[int, list[int]] = {}
        for i in group:
            branches.setdefault(of_line.get(i, -1 - i), []).append(i)
        made: list[tuple[Step, ...]] = []
        for branch in branches.values():
            inner = spans[branch[0]].what
            if isinstance(inner, list):
                taken = list(steps(inner, scale, fresh, capped, "subagent"))
            else:
                waits = [_wait(spans, [a], [b]) for a, b in pairwise(branch)] + [(0.0, "")]
                taken = [call(i, capped(w), t) for i, (w, t) in zip(branch, waits, strict=True)]
            if isinstance(last := taken[-1], PlannedCall):
                taken[-1] = replace(last, wait=capped(wait), tool=tool)
            made.append(tuple(taken))
        yield Parallel(tuple(made))


def _request(span: Timed) -> TracedRequest:
    assert isinstance(span.what, TracedRequest)
    return span.what


def _at_once(span: Timed, ended: float) -> bool:
    """Whether a span overlaps what ended then; a second may come from rounding alone."""
    overlap = min(ended, span.ended) - span.began
    return overlap > min(1.0, (span.ended - span.began) / 2)


def _groups(spans: Sequence[Timed]) -> list[list[int]]:
    """The spans by their numbers; those of a group overlapped."""
    groups: list[list[int]] = []
    ended = 0.0
    for i, span in enumerate(spans):
        if groups and _at_once(span, ended):
            groups[-1].append(i)
        else:
            groups.append([i])
        ended = max(ended, span.ended)
    return groups


def _lines(spans: Sequence[Timed]) -> list[list[int]]:
    """The requests by their numbers: each line is one agent's, whose requests don't overlap."""
    lines: list[list[int]] = []
    for i, span in enumerate(spans):
        if not isinstance(span.what, TracedRequest):
            continue
        known = span.what.known
        free = [line for line in lines if not _at_once(span, spans[line[-1]].ended)]
        shared = [common(known, _request(spans[line[-1]]).known) for line in free]
        if free:
            free[shared.index(max(shared))].append(i)
        else:
            lines.append([i])
    return lines


def _wait(spans: Sequence[Timed], group: list[int], following: list[int]) -> tuple[float, str]:
    """Seconds from the end of what ran at once to what follows, and what is waited for."""
    if not following:
        return 0.0, ""
    first = spans[following[0]]
    wait = max(0.0, first.began - max(spans[i].ended for i in group))
    if not isinstance(first.what, TracedRequest):
        return wait, "subagent"
    alone = len(group) == 1 and isinstance(spans[group[0]].what, TracedRequest)
    if alone and first.what.think is not None and following[0] == group[0] + 1:
        wait = first.what.think
    return wait, "person" if first.what.person else "tool"
