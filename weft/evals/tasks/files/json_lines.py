"""JSON Lines as people write them: one object a line, numbers kept as they stand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn, cast

from weft.errors import ConfigError


class WrittenNumber(str):
    """A number as the file has it: `0.00001` is not `1e-05`, and no digit is rounded away."""

    __slots__ = ()


def read_objects(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    r"""The objects of a file, with the numbers of their lines.

    A line ends at `\n`, and nowhere else: U+2028 and its like are legal within a text. Byte
    order marks, of which files that were joined have several, a `\r` before the line's end and
    blank lines are passed over. Numbers are `WrittenNumber`; NaN and Infinity are no JSON.

    Raises:
        ConfigError: the file can't be read, or a line is no JSON object; names the line.
    """
    try:
        raw = path.read_bytes()
    except OSError as e:
        raise ConfigError(f"can't read {path}: {e.strerror or e}; name another file") from None
    for at, line in enumerate(raw.split(b"\n"), 1):
        line = line.removeprefix(b"\xef\xbb\xbf")
        if line.strip():
            yield at, _object(f"{path}:{at}", line)


def _object(where: str, line: bytes) -> dict[str, Any]:
    try:
        read: Any = json.loads(
            line.decode(),
            parse_int=WrittenNumber,
            parse_float=WrittenNumber,
            parse_constant=_refuse,
        )
    except UnicodeDecodeError:
        raise ConfigError(f"{where}: is not UTF-8; save the file as UTF-8") from None
    except RecursionError:
        raise ConfigError(f"{where}: is nested too deeply; write a flat object") from None
    except ValueError as e:
        raise ConfigError(f"{where}: not JSON: {e}; write one object on each line") from None
    if not isinstance(read, dict):
        raise ConfigError(f"{where}: must be a JSON object; write one on each line")
    return cast("dict[str, Any]", read)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"JSON has no {constant}")


def text_of(value: Any) -> str | None:
    """A text, number or truth value as JSON writes it; None for anything else."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str) else None
