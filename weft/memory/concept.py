"""Concept: something that helped to solve a problem, put so that it helps with others."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Literal, cast

from pydantic import BaseModel, Field, field_validator

_LINES, _LINE = 20, 400  # lines of a list, and characters of a line or text
_PROBLEMS = 50  # problems of which it is known that a concept was used there


class Concept(BaseModel):
    """A concept, as ArcMemo has it (Ho et al. 2025, arXiv 2509.04439).

    Attributes:
        name: tells it from others; case, spaces and marks don't count.
        kind: `structure`, what there is in a problem; or `routine`, what is done.
        subtype: a finer kind, in any words.
        output: what a routine gives.
        parameters: what may differ from use to use.
        description: what it is, in a sentence or two.
        cues: what in a problem says that it may help.
        notes: how it is done.
        used: problems in whose solutions it was used.
    """

    name: str = Field(min_length=1, max_length=200)
    kind: Literal["structure", "routine"] = "routine"
    subtype: str = ""
    output: str = ""
    parameters: list[str] = []
    description: str = ""
    cues: list[str] = []
    notes: list[str] = []
    used: list[str] = []

    @field_validator("kind", mode="before")
    @classmethod
    def _known(cls, value: object) -> object:
        return "structure" if str(value).strip().casefold().startswith("struct") else "routine"

    @field_validator("name", "subtype", "output", "description", mode="before")
    @classmethod
    def _text(cls, value: object) -> object:
        return "" if value is None else " ".join(str(value).split())[:_LINE].strip()

    @field_validator("parameters", "cues", "notes", "used", mode="before")
    @classmethod
    def _lines(cls, value: object) -> object:
        if value is None:
            return []
        lines = value.splitlines() if isinstance(value, str) else value
        if not isinstance(lines, Iterable):
            return value
        texts = (
            " ".join(_said(line).split())[:_LINE].strip() for line in cast(Iterable[Any], lines)
        )
        return [text for text in texts if text]

    @property
    def key(self) -> str:
        """Its name, as names are compared."""
        return key_of(self.name)


def _said(line: object) -> str:
    if isinstance(line, dict):  # such as {"name": "color", "type": "int"}
        return ": ".join(map(str, cast(dict[Any, Any], line).values()))
    return str(line)


def key_of(name: str) -> str:
    """A name as names are compared."""
    return " ".join(re.findall(r"[^\W_]+", name.casefold())) or name.strip()


def merged(one: Concept, other: Concept) -> Concept:
    """One concept of two of the same name.

    The same in whichever order concepts are merged, and however often: lists have each line once,
    in an order of their own; of two texts the longer one stays.
    """
    return Concept(
        name=min(one.name, other.name),
        kind=max(one.kind, other.kind),
        subtype=_longer(one.subtype, other.subtype),
        output=_longer(one.output, other.output),
        parameters=_union(one.parameters, other.parameters),
        description=_longer(one.description, other.description),
        cues=_union(one.cues, other.cues),
        notes=_union(one.notes, other.notes),
        used=_union(one.used, other.used, _PROBLEMS),
    )


def _longer(one: str, other: str) -> str:
    return max(one, other, key=lambda text: (len(text), text))


def _union(one: Sequence[str], other: Sequence[str], most: int = _LINES) -> list[str]:
    """Each line once, but for case and marks. Which lines stay does not depend on the order."""
    lines: dict[str, str] = {}
    for line in (*one, *other):
        key = key_of(line)
        lines[key] = min(lines.get(key, line), line)
    return [lines[key] for key in sorted(lines)[:most]]


def rendered(concepts: Iterable[Concept], most: int = 12_000) -> str:
    """Concepts as a model reads them in a prompt.

    Args:
        concepts: in their order.
        most: characters; concepts that have no room any more are left out.
    """
    texts: list[str] = []
    for concept in concepts:
        about = ", ".join(filter(None, (concept.kind, concept.subtype)))
        lines = [f"## {concept.name} ({about})", concept.description]
        lines += [f"Gives: {concept.output}"] if concept.output else []
        lines += [f"Parameters: {'; '.join(concept.parameters)}"] if concept.parameters else []
        for title, listed in (("When to think of it", concept.cues), ("How", concept.notes)):
            lines += [f"{title}:", *(f"- {line}" for line in listed)] if listed else []
        text = "\n".join(filter(None, lines))
        if sum(map(len, texts)) + len(text) > most:
            break
        texts.append(text)
    return "\n\n".join(texts)


def index_line(concept: Concept) -> str:
    """A concept in the compact index by which a model picks."""
    cues = "; ".join(concept.cues)
    about = " | ".join(filter(None, (concept.description[:160], cues[:160])))
    return f"- {concept.name} ({concept.kind}): {about}" if about else f"- {concept.name}"
