"""The page of a run: one HTML file with everything in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from weft.errors import ConfigError
from weft.programs.figures.folding import Fold, Folding, folded_graph
from weft.programs.figures.spans import Span
from weft.programs.figures.svg import svg
from weft.types import NOTHING, Message

PAGE = "run.html"
_LONG = 20_000  # letters of a text that are shown


class _Texts:
    """Each text once, cut where it is very long."""

    def __init__(self) -> None:
        self.all: list[str] = []
        self._known: dict[str, int] = {}

    def add(self, text: str) -> int:
        if text not in self._known:
            self._known[text] = len(self.all)
            more = len(text) - _LONG
            self.all.append(f"{text[:_LONG]}\n[{more:,} letters more]" if more > 0 else text)
        return self._known[text]


def page(spans: Mapping[str, Span]) -> str:
    """A page with time line, graph, prompts, answers, tools and reasons; it loads nothing.

    Args:
        spans: of the run.
    """
    folding, texts = Folding(spans), _Texts()
    top = folding.within(None)
    usage = sum((fold.usage for fold in top), NOTHING)
    ends = [span.ended if span.ended is not None else span.began for span in spans.values()]
    data = {
        "title": top[0].name if top else "a run",
        "seconds": round(max(ends, default=0.0), 6),
        "usage": [
            ["calls", usage.calls],
            ["prompt tokens", usage.prompt],
            ["of them cached", usage.cached],
            ["generated", usage.completion],
            ["cancelled", usage.cancelled],
        ],
        "spans": {id: _span(span, texts) for id, span in spans.items()},
        "top": [_row(fold) for fold in top],
        "inside": {
            id: rows for id, p in spans.items() if (rows := [_row(f) for f in folding.within(p)])
        },
        "texts": texts.all,
    }  # fmt: skip
    template = files("weft.programs.figures").joinpath(PAGE).read_text("utf-8")
    # What would end the script, or is no line in JavaScript of old, can't stand in it.
    told = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    picture = svg(folded_graph(spans)) if spans else ""
    head, rest = template.split("__GRAPH__")  # the picture may hold any text
    middle, tail = rest.split("__RUN__")
    return "".join((head, picture, middle, told, tail))


def write_page(path: Path, spans: Mapping[str, Span]) -> None:
    """Write the page of a run.

    Raises:
        ConfigError: the file can't be written.
    """
    try:
        path.write_text(page(spans), encoding="utf-8")
    except OSError as e:
        raise ConfigError(f"can't write {path}: {e.strerror}; use another") from None


def _row(fold: Fold) -> dict[str, Any]:
    return {
        "title": fold.title,
        "costs": fold.costs,
        "kind": fold.kind,
        "status": fold.status,
        "members": [span.id for span in fold.branches or fold.members],
    }


def _span(span: Span, texts: _Texts) -> dict[str, Any]:
    made: dict[str, Any] = {
        "name": span.name,
        "kind": "tool" if span.tool else span.kind,
        "status": span.status,
        "began": round(span.began, 6),
        "ended": None if span.ended is None else round(span.ended, 6),
        "parent": span.parent,
        "uses": span.uses,
    }
    if span.kind == "call":
        made |= {
            "model": span.model,
            "turns": [[role, texts.add(text)] for role, text in span.turns],
            "follows": span.follows,
            "engine": span.engine,
            "reason": span.reason,
            "stored": span.stored,
        }
    if span.error:
        made["error"] = texts.add(span.error)
    if (outcome := span.outcome) is not None:
        told, used, timing = outcome.thinking, outcome.usage, outcome.timing
        reasoning = "\n".join(filter(None, (outcome.reasoning, told.reasoning)))
        made |= {
            "answer": texts.add(Message("assistant", told.text, calls=outcome.calls).whole),
            "reasoning": texts.add(reasoning) if reasoning else None,
            "tokens": [used.prompt, used.cached, used.completion, used.cancelled],
            "finish": outcome.ended_by or outcome.finish_reason,
            "timing": [round(t, 6) for t in (timing.queued, timing.first_token, timing.total)],
        }
    return made
