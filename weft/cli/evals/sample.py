"""One sample on the terminal: question, answers, votes, why an answer won, tokens, times."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

from weft.cli.common import stdout
from weft.errors import UsageError
from weft.evals.records import Folder, KeptText, Row
from weft.evals.viewing.why import outcome, votes, why

if TYPE_CHECKING:
    from rich.console import Console

_LINES = 12
"""Lines of a text that is not the answer; `--full` shows all."""
_COLOURS = {"right": "green", "wrong": "red", "error": "red"}


def show_sample(folder: Folder, name: str, strategy: str | None, full: bool) -> None:
    """Print what each strategy made of a sample.

    Args:
        folder: the evaluation's.
        name: the sample's id, or its number, counted from 1.
        strategy: only this one; all if None.
        full: whether to print all texts whole.

    Raises:
        UsageError: there is no such sample, or the strategy has not answered it.
    """
    id = _found(folder, name)
    rows = list(folder.whole_rows(lambda key: key[1][0] == id))
    if strategy is not None:
        there = list(dict.fromkeys(r.strategy for r in rows))
        rows = [r for r in rows if r.strategy == strategy or r.strategy.startswith(f"{strategy}(")]
        if not rows:
            raise UsageError(
                f"strategy {strategy!r} has no row for sample {id!r}; there are {', '.join(there)}"
            )
    console = stdout()
    first = rows[0]
    _heading(console, f"Sample {id}")
    for turn in first.question:
        console.print(f"{turn['role']}: {turn['content']}", markup=False, soft_wrap=True)
    if first.target:
        console.print(f"right answer: {first.target}", markup=False, soft_wrap=True)
    for row in rows:
        _row(console, row, full)


def _found(folder: Folder, name: str) -> str:
    ids = dict.fromkeys(id for _, (id, _) in folder.row_keys())
    if name in ids:
        return name
    if name.isdecimal() and 0 < int(name) <= len(ids):
        return list(ids)[int(name) - 1]
    if not ids:
        raise UsageError(f"{folder.path} has no rows yet; `weft eval run` makes them")
    shown = ", ".join(list(ids)[:3])
    raise UsageError(
        f"{folder.path} has no sample {name!r}; give an id such as {shown}, or a number from 1 to "
        f"{len(ids)}"
    )


def _heading(console: Console, text: str) -> None:
    from rich.text import Text

    console.print(Text(text, "bold"), soft_wrap=True)


def _row(console: Console, row: Row, full: bool) -> None:
    from rich.text import Text

    word = outcome(row)
    again = f", repeat {row.repeat + 1}" if row.repeat else ""
    console.print()
    console.print(
        Text.assemble((f"{row.strategy}{again}: ", "bold"), (word, _COLOURS.get(word, "yellow")))
    )
    for sentence in why(row):
        console.print(f"  {sentence}", markup=False, soft_wrap=True)
    count = votes(row)
    most = max(count.values(), default=0)
    for answer, n in count.items() if len(count) > 1 else ():
        console.print(f"  {'#' * max(1, round(20 * n / most)):<20} {n:g} {answer}", markup=False)
    if isinstance(scores := row.details.get("scores"), dict) and scores:
        named = cast("dict[str, object]", scores).items()
        said = ", ".join(f"{name} {_score(value)}" for name, value in named)
        console.print(f"  scores: {said}", markup=False, soft_wrap=True)
    u = row.usage
    dollars = f", ${u.dollars:.4f}" if u.dollars else ""
    console.print(
        f"  {u.calls} calls; tokens: {u.prompt} prompt ({u.cached} cached), {u.completion} "
        f"generated ({u.reasoning} thinking), {u.cancelled} cancelled{dollars}; "
        f"{row.seconds:.2f} s",
        markup=False,
        soft_wrap=True,
    )
    for line in _texts(row, full):
        console.print(line, markup=False, soft_wrap=True)
    if not row.texts and row.text:
        console.print(_indented(row.text, None), markup=False, soft_wrap=True)


def _score(value: object) -> str:
    """What a scorer of another package gave."""
    if isinstance(value, dict):
        parts = cast("dict[str, object]", value).items()
        return f"({', '.join(f'{name} {_score(one)}' for name, one in parts)})"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _texts(row: Row, full: bool) -> Iterator[str]:
    on_path = path(row)
    for i, text in enumerate(row.texts):
        head = f"  text {i + 1}{_facts(text)}"
        yield head + (" <- the answer" if i == row.chosen else "")
        most = None if full or i in on_path else _LINES
        if text.asked:
            yield _indented(f"asked: {text.asked}", most)
        if text.thinking:
            yield _indented(f"thinking: {text.thinking}", None if full else _LINES)
        yield _indented(text.text, most)


def path(row: Row) -> set[int]:
    """The texts of which the answer is made."""
    found: set[int] = set()
    at = row.chosen
    while at is not None and at < len(row.texts) and at not in found:
        found.add(at)
        at = row.texts[at].after
    return found


def _facts(text: KeptText) -> str:
    parts = [
        f", goes on from {text.after + 1}" if text.after is not None else "",
        f", {text.value!r}" if text.value is not None else "",
        f", score {text.score:.3g}" if text.score is not None else "",
        f", {text.tokens} tokens, {text.seconds:.2f} s",
        f", {text.finish}" if text.finish != "stop" else "",
        ", broken off" if not text.whole and text.finish != "cancelled" else "",
    ]
    return "".join(parts)


def _indented(text: str, most: int | None) -> str:
    lines = text.rstrip("\n").split("\n")
    left = len(lines) - most if most is not None else 0
    if left > 0:
        lines = [*lines[:most], f"... {left} more lines; --full shows them"]
    return "\n".join(f"    {line}" for line in lines)


def show_folder(folder: Path, sample: str | None, strategy: str | None, full: bool) -> None:
    """Print the table and the findings of an evaluation, or one sample of it."""
    from weft.cli.evals.table import show
    from weft.evals.results import read

    if sample is None:
        if strategy is not None or full:
            raise UsageError("--strategy and --full are for one sample; give --sample")
        show(read(Folder(folder)))
    else:
        show_sample(Folder(folder), sample, strategy, full)
