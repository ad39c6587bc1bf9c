"""weft eval watch: an evaluation that runs, as its records tell of it."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from weft.cli.common import stdout
from weft.errors import UsageError
from weft.evals.records import Row
from weft.evals.viewing.why import outcome

if TYPE_CHECKING:
    from rich.console import RenderableType

    from weft.evals.viewing.following import Following

_COLOURS = {"right": "green", "wrong": "red", "error": "red"}


def watch(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="An evaluation's folder.")],
    every: Annotated[
        float, typer.Option(min=0.1, max=3600, metavar="S", help="Seconds between two looks.")
    ] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Look once, and end.")] = False,
    page: Annotated[
        bool, typer.Option("--page", help="Show it in a browser: serve a page on this machine.")
    ] = False,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, metavar="N", help="The page's port; any by default."),
    ] = None,
) -> None:
    """Show how an evaluation goes that another process runs: progress, rate, cost, new samples.

    Ends when nobody writes into the folder any more; a page is served until Ctrl-C.

    Example: weft eval watch results --page
    """
    from weft.evals.viewing.following import Following

    if once and not folder.is_dir():
        raise UsageError(f"there is no folder {folder}; give the --out of a `weft eval run`")
    if once and (page or port is not None):
        raise UsageError("--once looks once, and --page goes on; leave one of them out")
    following, console = Following(folder), stdout()
    if page or port is not None:
        _serve(following, port or 0)
        return
    if once or not console.is_terminal:
        _lines(following, every, once)
        return
    from rich.live import Live

    with Live(console=console, refresh_per_second=4) as live:
        while True:
            following.look()
            live.update(view(following, time.time()))
            if following.running is False and following.title:
                return
            time.sleep(every)


def _serve(following: Following, port: int) -> None:
    """The page, until it is interrupted."""
    from weft.evals.viewing.live import WatchServer

    try:
        server = WatchServer(following, port)
    except OSError as e:
        raise UsageError(
            f"can't listen at port {port}: {e.strerror}; give another --port"
        ) from None
    stdout().print(
        f"{server.url} shows {following.path}; Ctrl-C ends", markup=False, soft_wrap=True
    )
    with server, server.running():
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            return


def _lines(following: Following, every: float, once: bool) -> None:
    """The same for pipes and logs: a line for each sample, and in the end the view."""
    console = stdout()
    while True:
        for row in following.look():
            if not once:
                console.print(sample_line(row), markup=False, soft_wrap=True)
        if once or (following.running is False and following.title):
            console.print(view(following, time.time()))
            return
        time.sleep(every)


def sample_line(row: Row) -> str:
    """A sample in a line."""
    said = row.error if row.error is not None else row.answer
    short = " ".join((said or "").split())
    short = short if len(short) <= 60 else f"{short[:57]}..."
    return f"{outcome(row):<9} {row.strategy} {row.id} {short} ({row.seconds:.1f} s)"


def view(following: Following, now: float) -> RenderableType:
    """All that is known now."""
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", expand=False)
    table.add_column("strategy", overflow="fold")
    table.add_column("")
    for name in ("done", "right, %", "errors", "tokens"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, progress in following.strategies.items():
        done = progress.done
        share = f"{100 * progress.count('right') / done:.1f}" if done else ""
        table.add_row(
            Text(name),
            ProgressBar(total=max(progress.total, done, 1), completed=done, width=16),
            f"{done}/{max(progress.total, done)}",
            share,
            str(progress.count("error") or ""),
            f"{progress.usage.computed:,}",
        )
    rows = [
        Text(line, _COLOURS.get(word, "yellow"), no_wrap=True, overflow="ellipsis")
        for line, word in ((sample_line(row), outcome(row)) for row in following.latest)
    ]
    title = following.title or f"{following.path}: no evaluation yet"
    return Group(Text(title, "bold"), table, Text(_facts(following, now)), *rows)


def _facts(following: Following, now: float) -> str:
    """Rate, cost and time left."""
    usage = following.usage
    parts = [f"{usage.calls:,} calls", f"{usage.generated:,} tokens generated"]
    if usage.dollars:
        parts.append(f"${usage.dollars:.4f}")
    if following.running:
        parts.append(f"{following.rate(now):.2f} samples/s")
        if (left := following.left(now)) is not None:
            minutes, seconds = divmod(round(left), 60)
            parts.append(f"about {minutes}:{seconds:02d} left")
    elif following.title:
        parts.append("nobody writes here now")
    return ", ".join(parts)
