"""weft eval show, and what else is done with the records of an evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from weft.cli.common import Engines, Replicas, stdout
from weft.errors import UsageError

Dir = Annotated[Path, typer.Argument(metavar="DIR", help="An evaluation's folder.")]


def show(
    folder: Dir,
    sample: Annotated[
        str | None,
        typer.Option(metavar="ID|N", help="Show this sample: by its id, or by its number."),
    ] = None,
    strategy: Annotated[
        str | None,
        typer.Option("--strategy", "-s", metavar="SPEC", help="Of the sample only this strategy."),
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Show all its texts whole.")] = False,
) -> None:
    """Print the table and the findings of an evaluation, or all about one sample.

    Example: weft eval show results --sample 17
    """
    from weft.cli.evals.sample import show_folder

    show_folder(folder, sample, strategy, full)


def rescore(
    folder: Dir,
    task: Annotated[
        str | None,
        typer.Option(metavar="SPEC|FILE", help="The task that judges; the evaluation's own."),
    ] = None,
    reader: Annotated[
        str | None, typer.Option(metavar="SPEC", help="What reads answers; see weft readers.")
    ] = None,
    scorer: Annotated[
        str | None,
        typer.Option(metavar="SPEC", help="Gives partial credit; see weft scorers."),
    ] = None,
) -> None:
    """Read and judge the kept texts anew. No model is called.

    A plain vote is counted anew. Rows that change keep in `before` what they said at first.

    Example: weft eval rescore results --reader math
    """
    from weft.cli.evals.table import show as show_table
    from weft.evals.finished.rescoring import rescore as anew

    found = anew(folder, task, reader=reader, scorer=scorer)
    if found.evaluation is not None:
        show_table(found.evaluation)
    left = f"; {found.left} have no texts and stay as they are" if found.left else ""
    stdout().print(
        f"{found.changed} of {found.rows} rows changed: {found.righted} are right now, "
        f"{found.wronged} no longer{left}",
        markup=False,
    )


def retry(
    folder: Dir,
    engine: Engines = None,
    replicas: Replicas = None,
    max_errors: Annotated[
        str | None,
        typer.Option(metavar="N|N%|all", help="A strategy ends that has more errors than this."),
    ] = None,
) -> None:
    """Run the samples again that failed, and nothing else.

    The engines are those of the last run unless others are given.

    Example: weft eval retry results
    """
    from weft.cli.evals.table import show as show_table
    from weft.cli.evals.verbs import evaluate
    from weft.evals.records import Folder
    from weft.evals.suites.suite import Suite, restored

    kept = Folder(folder)
    _, session = kept.settings()
    failed = {(r.strategy, r.key) for r in kept.whole_rows(texts=False) if r.error}
    if not failed:
        stdout().print(f"no sample of {folder} has failed", markup=False, soft_wrap=True)
        return
    if not session.suite:
        raise UsageError(f"{folder} does not say what it ran; give its command once more")
    suite = restored(Path(session.folder), session.suite)
    given = {"engine": engine, "replicas": replicas, "max_errors": max_errors}
    more = {name: value for name, value in given.items() if value is not None}
    suite = Suite.model_validate(suite.model_dump(by_alias=True) | more)
    show_table(evaluate(suite, folder, moved=engine is not None, only=failed))


def merge(
    folders: Annotated[
        list[Path], typer.Argument(metavar="DIR...", help="Folders of parts of one evaluation.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="A new folder for all.")],
) -> None:
    """Put the rows of several runs of one suite into one folder.

    Rows may be in several, if they say the same; what failed in one may be there in another.

    Example: weft eval merge monday tuesday -o both
    """
    from weft.cli.evals.table import show as show_table
    from weft.evals.finished.merging import merge as merged

    show_table(merged(folders, out))


def export(
    folder: Dir,
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="The file; its ending, .csv, .parquet or .eval (Inspect's log), says the form.",
        ),
    ],
) -> None:
    """Write all rows with their texts as CSV, as Parquet, or as logs for Inspect's viewer.

    Example: weft eval export results -o rows.csv
    """
    from weft.evals.records import Folder
    from weft.evals.viewing.inspect_log import write_inspect
    from weft.evals.viewing.tables import write_csv, write_parquet

    kept, written = Folder(folder), [out]
    try:
        match out.suffix:
            case ".csv":
                write_csv(kept, out)
            case ".parquet":
                write_parquet(kept, out)
            case ".eval":
                written = write_inspect(kept, out)
            case _:
                raise UsageError(f"--out {out} must end with .csv, .parquet or .eval")
    except OSError as e:
        raise UsageError(f"can't write --out {out}: {e.strerror}; name another file") from None
    for path in written:
        stdout().print(path, markup=False, soft_wrap=True)
