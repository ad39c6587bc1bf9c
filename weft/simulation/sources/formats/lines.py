"""Reading a trace line by line, plain or gzipped."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn, TypeVar, cast

from pydantic import BaseModel, ConfigDict, ValidationError

from weft.errors import ConfigError

R = TypeVar("R", bound=BaseModel)
_ENDINGS = (".json", ".jsonl", ".json.gz", ".jsonl.gz")


class TraceRow(BaseModel):
    """What a line holds; fields that the format does not have are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines that hold anything, with their numbers; one is held at a time.

    Raises:
        ConfigError: the file can't be read, or is cut off or damaged.
    """
    at = 0
    try:
        with path.open("rb") as probe:
            zipped = probe.read(2) == b"\x1f\x8b"
        opened = gzip.open if zipped else open
        with opened(path, "rt", encoding="utf-8-sig", newline="\n") as file:
            for at, line in enumerate(file, 1):
                if line.strip():
                    yield at, line
    except EOFError:
        raise ConfigError(
            f"{path} is cut off after line {at}; fetch or write the file again"
        ) from None
    except (gzip.BadGzipFile, zlib.error, UnicodeDecodeError) as e:
        raise ConfigError(
            f"{path} is damaged after line {at} ({e}); fetch or write the file again"
        ) from None
    except OSError as e:
        raise ConfigError(f"can't read {path}: {e.strerror or e}; name another file") from None


def files_of(path: Path) -> list[Path]:
    """The files that a path means: of a folder those of JSON, by their names; else the path."""
    if not path.is_dir():
        return [path]
    return sorted(f for f in path.iterdir() if f.name.endswith(_ENDINGS) and f.is_file())


def read_objects(path: Path) -> Iterator[tuple[int, str]]:
    """The objects of a file with the lines where they begin: one a line, or one in all.

    Raises:
        ConfigError: as `read_lines`.
    """
    lines = read_lines(path)
    for at, line in lines:
        if line.strip() == "{":
            yield at, line + "".join(more for _, more in lines)
        else:
            yield at, line


def names_in(line: str) -> set[str]:
    """The names of a line's fields; none if it is no JSON object."""
    try:
        row: object = json.loads(line)
    except (ValueError, RecursionError):
        return set()
    return set(cast("dict[str, object]", row)) if isinstance(row, dict) else set()


def parse(path: Path, at: int, line: str, row: type[R]) -> R:
    """A line of JSON as data.

    Raises:
        ConfigError: it is no JSON, or lacks a field, or has one of the wrong form.
    """
    try:
        return row.model_validate_json(line)
    except ValidationError as e:
        raise _explained(path, at, e) from None


def wrong(path: Path, at: int, field: str, what: str) -> NoReturn:
    """Raise a `ConfigError` that names file, line and field."""
    raise ConfigError(f"{path}:{at}: field {field} {what}; correct it or leave the line out")


def _explained(path: Path, at: int, error: ValidationError) -> ConfigError:
    first = error.errors(include_url=False)[0]
    field = _written(first["loc"])
    if first["type"] == "json_invalid":
        # The error counts lines within the line.
        reason = first["msg"].removeprefix("Invalid JSON: ").replace(" line 1 ", " ")
        return ConfigError(f"{path}:{at}: not JSON ({reason}); write one object on each line")
    if not field:
        return ConfigError(f"{path}:{at}: must be a JSON object; write one on each line")
    if first["type"] == "missing":
        what = "is missing"
    elif first["type"] == "extra_forbidden":
        what = "is none that this format has"
    else:
        value = repr(first["input"])
        shown = value if len(value) <= 40 else f"{value[:40]}..."
        what = f"is {shown} but {first['msg'].replace('Input should', 'should')}"
    return ConfigError(f"{path}:{at}: field {field} {what}; correct it or leave the line out")


def _written(where: Sequence[int | str]) -> str:
    """A place in a line as `calls[3].think`; tags of unions, `<so>`, are left out."""
    text = ""
    for name in where:
        if isinstance(name, int):
            text += f"[{name}]"
        elif not name.startswith("<"):
            text += f".{name}" if text else name
    return text
