"""A run's events in a file, one JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from textwrap import shorten
from typing import Any

from weft.errors import ConfigError, UnknownName
from weft.programs.history.journal import Event
from weft.programs.history.outcome import Outcome
from weft.programs.prompt import Prompt

EVENTS = "events.jsonl"


def write_events(path: Path, events: Iterable[Event]) -> None:
    """Write events; of an outcome all but token ids is kept, of a prompt what is new in it.

    Raises:
        ConfigError: the file can't be written.
    """
    try:
        with path.open("w", encoding="utf-8") as file:
            for event in events:
                row = {
                    "at": event.at,  # as it is, so that figures of the file are those of the run
                    "kind": event.kind,
                    "id": event.id,
                    "parent": event.parent,
                    "data": event.data,
                }
                file.write(json.dumps(row, default=_plain) + "\n")
    except OSError as e:
        raise ConfigError(f"can't write {path}: {e.strerror}; use another") from None


def _plain(value: Any) -> Any:
    if isinstance(value, Prompt):
        return plain_prompt(value)
    if isinstance(value, Outcome):
        left_out = ("tokens", "logprobs", "ask_logprobs", "read")
        return {k: v for k, v in asdict(value).items() if k not in left_out}
    return str(value)


def plain_prompt(prompt: Prompt) -> dict[str, Any]:
    """A prompt's last turn, those before it back to an answer, and the call that gave that one."""
    made: dict[str, Any] = {"role": prompt.role, "text": _text(prompt)}
    before: list[dict[str, Any]] = []
    for piece in prompt.lineage():
        if piece.call is not None:
            made["follows"] = piece.call
            break
        if piece is not prompt:
            before.append({"role": piece.role, "text": _text(piece)})
    if before:
        made["before"] = before[::-1]
    return made


def _text(piece: Prompt) -> str:
    """What a turn says, the tools that it calls, and what stands beside it."""
    if piece.calls and piece.spoken is None:  # else the text holds the calls
        return "\n".join([piece.text, *(f"{one.name}{one.text}" for one in piece.calls)]).strip()
    return "\n".join([piece.text, *[f"[{one.kind}]" for one in piece.media]])


def read_events(path: Path) -> Iterator[Event]:
    """Events as `write_events` kept them.

    Raises:
        ConfigError: the file can't be read, or is damaged.
    """
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                try:
                    yield Event(**json.loads(line))
                except (ValueError, TypeError):
                    raise ConfigError(
                        f"{path}:{number}: not an event; run what wrote it again"
                    ) from None
    except OSError as e:
        raise ConfigError(f"can't read {path}: {e.strerror}") from None


def about_call(events: Iterable[Event], call: str) -> list[str]:
    """What a call asked, and what became of it if no engine was asked, in sentences.

    Args:
        events: of the run, as read.
        call: its id in the run, such as `call-3`.

    Raises:
        UnknownName: there is no such call.
    """
    names: dict[str, str] = {}
    said: list[str] = []
    sent = False
    calls: list[str] = []
    for event in events:
        names.setdefault(event.id, str(event.data.get("name", event.id)))
        if event.kind == "call":
            calls.append(event.id)
        if event.id != call:
            continue
        if event.kind == "call":
            inside = f" in {names[event.parent]}" if event.parent in names else ""
            asks = "scores" if event.data["score"] else "asks"
            text = shorten(event.data["prompt"]["text"], 80, placeholder=" ...")
            said.append(f"{call}{inside} {asks} {event.data['model']}: {text!r}.")
        elif event.kind == "sent":
            sent = True
            if held := event.data.get("held"):
                said.append(
                    f"It waited {held:,.3f} s for its budget: other calls held what it needs."
                )
        elif event.data.get("stored"):
            said.append("Its result came from the store; no engine was asked.")
        elif not sent:
            said.append(f"It was {event.kind} before it went to an engine.")
    if not said:
        raise UnknownName("call", call, calls)
    return said
