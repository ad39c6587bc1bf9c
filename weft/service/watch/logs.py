"""Logs: one line an event on stderr, as JSON or as text; nothing of a prompt or a key in them."""

from __future__ import annotations

import json
import logging
import sys
import time
import traceback
from types import TracebackType
from typing import Any, Literal, TextIO

import msgspec

from weft.errors import UsageError
from weft.service.programs.records import CallRecord, ProgramRecord

Form = Literal["json", "text"]

_LEVELS = ("debug", "info", "warning", "error")
_log = logging.getLogger("weft.service.events")
_LONGEST = 200  # characters of what clients name
_Info = tuple[type[BaseException], BaseException, TracebackType | None]


def set_up(
    form: Form = "json", level: str = "info", *, telling: bool = False, to: TextIO | None = None
) -> logging.Handler:
    """Have everything logged as one line an event.

    weft logs from `level` on; libraries from `warning` on, since what some of them say below
    holds prompts and keys.

    Args:
        form: `json`, or `text` for terminals.
        level: `debug`, `info`, `warning` or `error`.
        telling: also say what exceptions and engines' errors say. They may quote prompts.
        to: where to; stderr by default.

    Returns:
        the handler, which is the root logger's.

    Raises:
        UsageError: no such level.
    """
    if level not in _LEVELS:
        raise UsageError(f"log level {level!r} is not known; give one of {', '.join(_LEVELS)}")
    handler = _Lines(to or sys.stderr)
    handler.setFormatter(Formatter(form, telling=telling))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(logging.WARNING, _number(level)))
    logging.getLogger("weft").setLevel(_number(level))
    logging.captureWarnings(True)
    # What no line says need not be looked up for each.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    return handler


def _number(level: str) -> int:
    return logging.getLevelNamesMapping()[level.upper()]


class _Lines(logging.StreamHandler[TextIO]):
    """Writes lines with less ado than its base: one is written for each request."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        try:
            self.stream.write(f"{self.format(record)}\n")
            self.stream.flush()
        except RecursionError:
            raise
        except Exception:
            self.handleError(record)


class Formatter(logging.Formatter):
    """Writes a record as one line.

    Of messages of libraries only the first line is kept, and of exceptions their kind and
    where they come from, unless it is to be telling.
    """

    def __init__(self, form: Form, *, telling: bool = False) -> None:
        super().__init__()
        self._json, self._telling = form == "json", telling
        self._encoder = msgspec.json.Encoder()
        self._second, self._stamp = -1, ""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        line: dict[str, Any] = {
            "time": self._time(record.created),
            "level": record.levelname.lower(),
        }
        fields: dict[str, Any] | None = getattr(record, "fields", None)
        if fields is not None:
            line["event"] = record.msg
            line.update(fields)
            if self._telling:
                line.update(getattr(record, "told", {}))
        else:
            message = record.getMessage()
            if not self._telling and not record.name.startswith("weft"):
                message = message.partition("\n")[0]
            line["logger"], line["message"] = record.name, message
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = self._exception(record.exc_info)
        if self._json:
            try:
                return self._encoder.encode(line).decode()
            except UnicodeEncodeError:  # half a character, in what an exception says
                return json.dumps(line)
        return _text(line)

    def _time(self, at: float) -> str:
        second = int(at)
        if second != self._second:
            self._second = second
            self._stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._stamp}.{int((at - second) * 1000):03d}Z"

    def _exception(self, info: _Info) -> str:
        kind, error, frames = info
        if self._telling:
            return "".join(traceback.format_exception(kind, error, frames))
        where = [f"{f.filename}:{f.lineno} {f.name}" for f in traceback.extract_tb(frames)]
        return " < ".join([kind.__qualname__, *reversed(where)])


def _text(line: dict[str, Any]) -> str:
    """A line for a terminal, without anything that a terminal would obey."""
    time, level, what = line.pop("time"), line.pop("level"), line.pop("event", None)
    parts = [time[11:], f"{level:7}", what or line.pop("message")]
    parts += [f"{name}={value}" for name, value in line.items() if value not in ("", None)]
    text = " ".join(map(str, parts))
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class EventLog:
    """An `Observer` that writes one line a call and one a program.

    Lines hold who asked for what, when, and what it cost. They hold nothing that a prompt or
    an answer says; what an engine's error says only if the formatter is telling.
    """

    def call_ended(self, call: CallRecord) -> None:
        """Write a call's line; parts have none."""
        if call.within or not _log.isEnabledFor(logging.INFO):
            return
        program, came, sent, ended = call.program, call.came, call.sent, call.ended
        fields: dict[str, Any] = {
            "call": call.id,
            "program": program.id[:_LONGEST],
            "tenant": program.tenant,
            "path": call.path,
            "model": call.model[:_LONGEST],
            "status": call.status,
            "outcome": call.outcome,
            "engine": call.engine,
            "attempts": call.attempts,
            "waited": round((sent or ended) - came, 4),
            "first_byte": round(call.first - came, 4) if call.first else None,
            "took": round(ended - came, 4),
            "prompt": call.prompt,
            "cached": call.cached,
            "generated": call.generated,
            "where": call.placement_reason,
            "wait": call.wait_reason,
        }
        if not call.counted:
            fields["estimated"] = True
        _log.handle(_Event("call", fields, {"error": call.error, "tool": call.tool}))

    def program_ended(self, program: ProgramRecord, reason: str) -> None:
        """Write a program's line."""
        if not _log.isEnabledFor(logging.INFO):
            return
        fields: dict[str, Any] = {
            "program": program.id[:_LONGEST],
            "tenant": program.tenant,
            "name": program.name[:_LONGEST],
            "source": program.source,
            "parent": program.parent[:_LONGEST],
            "reason": reason,
            "took": round(program.seen - program.began, 3),
            "calls": program.count,
            "errors": program.errors,
            "prompt": program.prompt,
            "cached": program.cached,
            "generated": program.generated,
            "waited": round(program.waited, 3),
        }
        _log.handle(_Event("program", fields, {}))


class _Event(logging.LogRecord):
    """A record of something that happened. It has no line of code, which is dear to look for."""

    def __init__(self, event: str, fields: dict[str, Any], told: dict[str, str]) -> None:
        vars(self).update(_BLANK)
        self.created = now = time.time()
        self.msecs = float(int(1000 * (now - int(now))))
        self.relativeCreated += 1000 * (now - _BLANK["created"])
        self.msg, self.fields, self.told = event, fields, told


_BLANK = vars(logging.LogRecord(_log.name, logging.INFO, "", 0, "", None, None))
"""What all such records have in common: to make each anew takes longer than to write it."""
