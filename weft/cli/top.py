"""weft top: what the dashboard of a service shows."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from weft.cli.common import fetch, stdout


def top(
    url: Annotated[
        str, typer.Argument(metavar="URL", help="The address of the service.")
    ] = "http://127.0.0.1:8080",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print all that the dashboard shows, as JSON.")
    ] = False,
) -> None:
    """Show a service's engines, programs and outcomes, as its dashboard does.

    If the service has keys, WEFT_ADMIN_KEY in the environment holds an admin's.

    Example: weft top http://127.0.0.1:8080 --json
    """
    data = fetch(url.rstrip("/"), "/dashboard/data")
    if as_json:
        print(json.dumps(data))
        return
    totals, out = data["totals"], stdout()
    outcomes = ", ".join(f"{count} {name}" for name, count in data["outcomes"].items())
    out.print(
        f"{totals['programs']} programs; {totals['queued']} calls wait, "
        f"{totals['prefill'] + totals['decode']} run, {totals['calls']} ended"
        + (f": {outcomes}" if outcomes else "")
        + (f"; {totals['media']} images and files" if totals["media"] else ""),
        markup=False,
    )
    for error in data["errors"]:
        out.print(
            f"  {error['calls']} {error['outcome']} with status {error['status']}", markup=False
        )
    _table(
        ["engine", "model", "state", "calls", "programs", "hits"],
        [
            [
                one["name"],
                one["model"],
                "draining" if one["draining"] else "up" if one["alive"] else one["error"] or "down",
                str(one["in_flight"]),
                str(one["programs"]),
                "" if one["hits"] is None else f"{one['hits']:.0%}",
            ]
            for one in data["engines"]
        ],
    )
    _table(
        ["program", "client", "state", "calls", "errors", "prompt", "cached", "generated"],
        [
            [one["id"], one["name"], one["state"]]
            + [str(one[key]) for key in ("calls", "errors", "prompt", "cached", "generated")]
            for one in data["programs"]
        ],
    )


def _table(columns: list[str], rows: list[list[str]]) -> None:
    from rich.table import Table
    from rich.text import Text

    if rows:
        table = Table(*columns, box=None, header_style="bold")
        for row in rows:
            table.add_row(*map(Text, row))
        stdout().print(table)
