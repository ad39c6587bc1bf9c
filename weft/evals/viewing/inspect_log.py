"""Logs that Inspect's viewer opens: one `.eval` file a strategy.

The form is version 2 of https://inspect.aisi.org.uk/eval-logs.html: a zip of a header, a summary of
all samples, and one file a sample. weft writes the form itself, so Inspect need not be there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

from weft.errors import UsageError
from weft.evals.records import Folder, KeptText, Row, Session, Settings
from weft.evals.results import Result, gather
from weft.evals.viewing.why import outcome, why
from weft.types import Usage

_STOP = {"stop": "stop", "length": "max_tokens", "content_filter": "content_filter"}
_VALUES = {"right": "C", "wrong": "I", "abstained": "N", "no answer": "N"}


def write_inspect(folder: Folder, out: Path) -> list[Path]:
    """Write a log for each strategy; gives the files.

    Args:
        folder: the evaluation's.
        out: the file; of several strategies, each one's name is added to the file's.

    Raises:
        UsageError: there are no rows.
    """
    settings, session = folder.settings()
    results = gather(settings, session, folder.every_row()).results
    if not results:
        raise UsageError(f"{folder.path} has no rows to export yet; run it first")
    found: list[Path] = []
    for result in results:
        path = out
        if len(results) > 1:
            name = re.sub(r"[^\w.=-]+", "-", result.strategy).strip("-")
            path = out.with_name(f"{out.stem}-{name}{out.suffix}")
        _write(path, folder, result, settings, session)
        found.append(path)
    return found


def _write(
    path: Path, folder: Folder, result: Result, settings: Settings, session: Session
) -> None:
    def rows() -> Iterator[Row]:
        return folder.whole_rows(lambda key: key[0] == result.strategy)

    partial = result.partly
    summaries: list[dict[str, Any]] = []
    first = last = 0.0
    with ZipFile(path, "w", ZIP_DEFLATED) as file:
        for row in rows():
            sample = _sample(row, settings.model, partial=partial)
            file.writestr(f"samples/{row.id}_epoch_{row.repeat + 1}.json", _json(sample))
            summaries.append(_summary(sample))
            first, last = min(first or row.at, row.at), max(last, row.at)
        header = _header(result, settings, session, partial, (first, last))
        start = {name: header[name] for name in ("version", "eval", "plan")}
        file.writestr("_journal/start.json", _json(start))
        file.writestr("summaries.json", _json(summaries))
        file.writestr("header.json", _json(header))


def _json(value: object) -> str:
    return json.dumps(value, default=str)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def _header(
    result: Result,
    settings: Settings,
    session: Session,
    partial: bool,
    times: tuple[float, float],
) -> dict[str, Any]:
    scorers = {"correct": result.share} | ({"credit": result.partial} if partial else {})
    scores = [
        {
            "name": name,
            "scorer": name,
            "metrics": {
                "accuracy": {"name": "accuracy", "value": sure.value},
                "stderr": {"name": "stderr", "value": sure.stderr},
            },
        }
        for name, sure in scorers.items()
    ]
    total = max(result.samples, result.n + result.errors)
    repeats = 1 + max((repeat for _, repeat in result.keys), default=0)
    return {
        "version": 2,
        "status": "success" if result.n == total else "error",
        "eval": {
            "eval_id": f"weft-{settings.data or settings.task}-{result.strategy}",
            "run_id": f"weft-{times[0]:.0f}",
            "created": _time(times[0]),
            "task": settings.task,
            "task_id": settings.task,
            "solver": result.strategy,
            "dataset": {"name": settings.question[0], "samples": result.problems},
            "model": settings.model,
            "config": {"epochs": repeats},
            "packages": {"weft": session.version} if session.version else {},
            "metadata": {"seed": settings.seed, "budget": settings.budget},
            "scorers": [{"name": name} for name in scorers],
        },
        "plan": {"name": "plan", "steps": [{"solver": result.strategy}]},
        "results": {"total_samples": total, "completed_samples": result.n, "scores": scores},
        "stats": {
            "started_at": _time(times[0]),
            "completed_at": _time(times[1]),
            "model_usage": {settings.model: _usage(result.usage)},
        },
    }


def _usage(usage: Usage) -> dict[str, int]:
    return {
        "input_tokens": usage.prompt,
        "output_tokens": usage.generated,
        "total_tokens": usage.total,
        "input_tokens_cache_read": usage.cached,
        "reasoning_tokens": usage.reasoning,
    }


def _sample(row: Row, model: str, *, partial: bool) -> dict[str, Any]:
    word = outcome(row)
    scores: dict[str, Any] = {}
    if row.correct is not None:
        scores["correct"] = {
            "value": _VALUES.get(word, "I"),
            "answer": row.answer,
            "explanation": "; ".join(why(row)),
        }
        if partial:
            scores["credit"] = {"value": float(row.credit or 0.0), "answer": row.answer}
    ends = row.texts[row.chosen] if row.chosen is not None else None
    said = {"role": "assistant", "content": _content(row, ends)}
    finish = ends.finish if ends is not None else "stop"
    sample: dict[str, Any] = {
        "id": row.id,
        "epoch": row.repeat + 1,
        "input": row.question or row.id,
        "target": row.target,
        "messages": [*row.question, said],
        "output": {
            "model": model,
            "choices": [{"message": said, "stop_reason": _STOP.get(finish, "unknown")}],
            "completion": row.text or "",
            "usage": _usage(row.usage),
        },
        "scores": scores,
        "metadata": {
            "strategy": row.strategy,
            "details": row.details,
            "texts": [text.json() for text in row.texts],
            "chosen": row.chosen,
        },
        "model_usage": {model: _usage(row.usage)},
        "total_time": row.seconds,
        "working_time": row.seconds,
        "started_at": _time(row.at - row.seconds),
        "completed_at": _time(row.at),
        "uuid": f"{row.strategy}/{row.id}/{row.repeat}",
    }
    if row.error is not None:
        sample["error"] = {"message": row.error, "traceback": "", "traceback_ansi": ""}
    return sample


def _content(row: Row, ends: KeptText | None) -> Any:
    """The answer, and what was thought before it."""
    text = row.text or ""
    if ends is None or not ends.thinking:
        return text
    return [{"type": "reasoning", "reasoning": ends.thinking}, {"type": "text", "text": text}]


def _summary(sample: dict[str, Any]) -> dict[str, Any]:
    """A sample as a list shows it."""
    names = (
        "id", "epoch", "input", "target", "scores", "model_usage", "total_time", "working_time",
        "started_at", "completed_at", "uuid",
    )  # fmt: skip
    error = sample.get("error")
    return {name: sample[name] for name in names} | {
        "metadata": {"strategy": sample["metadata"]["strategy"]},
        "error": error["message"] if error else None,
        "completed": True,
        "message_count": len(sample["messages"]),
    }
