"""Passages out of files: texts cut at blank lines into pieces of some size."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from weft.errors import UsageError
from weft.retrieval.passage import Passage


def read_passages(*paths: str | Path, pattern: str = "**/*", size: int = 1200) -> Iterator[Passage]:
    """The passages of text files, and of all text files in folders.

    A passage has the id `FILE#NUMBER`, where a file in a folder is named from this folder on, and
    the file as its source. Files that are no text (UTF-8) and hidden ones are left out where
    a folder is read.

    Args:
        *paths: files and folders.
        pattern: which files of folders.
        size: most characters of a passage.

    Raises:
        UsageError: there is no such file, one that was named is no text, or `size` is below 1.
    """
    if size < 1:
        raise UsageError(f"size={size} must be at least 1 character")
    for path in map(Path, paths):
        if path.is_dir():
            for file in sorted(path.glob(pattern)):
                inside = file.relative_to(path)
                if file.is_file() and not any(part.startswith(".") for part in inside.parts):
                    text = _text(file)
                    yield from cut(text or "", inside.as_posix(), size=size, source=str(file))
        else:
            if (text := _text(path)) is None:
                raise UsageError(
                    f"{path} can't be read as a text in UTF-8; name a file that is one"
                )
            yield from cut(text, path.name, size=size, source=str(path))


def cut(text: str, id: str, *, size: int = 1200, source: str = "") -> Iterator[Passage]:
    """A text in passages: paragraphs, as many together as have room; long ones at spaces.

    Args:
        text: the text.
        id: the passages' ids are `id#1` and so on.
        size: most characters of a passage.
        source: of the passages.
    """
    for number, piece in enumerate(_joined(_pieces(text, size), size), 1):
        yield Passage(f"{id}#{number}", piece, 0.0, source)


def _pieces(text: str, size: int) -> Iterator[str]:
    for paragraph in re.split(r"\n\s*\n", text):
        rest = paragraph.strip()
        while len(rest) > size:
            at = rest.rfind(" ", 1, size + 1)
            at = at if at > 0 else size
            yield rest[:at].rstrip()
            rest = rest[at:].lstrip()
        if rest:
            yield rest


def _joined(pieces: Iterable[str], size: int) -> Iterator[str]:
    held = ""
    for piece in pieces:
        if held and len(held) + 2 + len(piece) > size:
            yield held
            held = ""
        held = f"{held}\n\n{piece}" if held else piece
    if held:
        yield held


def _text(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8-sig")
    except (UnicodeDecodeError, OSError):
        return None
