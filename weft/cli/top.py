"""weft top: what the dashboard of a service shows."""

from __future__ import annotations

import json
import os
from typing import Annotated, Any

import typer

from weft.cli.common import stdout
from weft.errors import UsageError

_KEY = "WEFT_ADMIN_KEY"


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


def fetch(url: str, path: str, missing: str = "") -> dict[str, Any]:
    """What a service tells.

    Args:
        url: of the service.
        path: of what is asked for.
        missing: what it means that there is nothing.

    Raises:
        UsageError: there is no service, or it wants another key.
    """
    import httpx

    key = os.environ.get(_KEY)
    headers = {"authorization": f"Bearer {key}"} if key else {}
    try:
        answer = httpx.get(f"{url}{path}", headers=headers, timeout=30.0)
        answer.raise_for_status()
        return answer.json()
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        if status in (401, 403):
            raise UsageError(f"{url} wants an admin's key; put it into {_KEY}") from None
        if status == 404 and missing:
            raise UsageError(f"{url} knows {missing}; GET /v1/programs lists programs") from None
        raise UsageError(f"{url} answers {status}; is it a weft service?") from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise UsageError(f"{url} can't be reached: {error}; start weft serve") from None
    except ValueError:
        raise UsageError(f"{url} answers with what is no JSON; is it a weft service?") from None


def _table(columns: list[str], rows: list[list[str]]) -> None:
    from rich.table import Table
    from rich.text import Text

    if rows:
        table = Table(*columns, box=None, header_style="bold")
        for row in rows:
            table.add_row(*map(Text, row))
        stdout().print(table)
