"""The folder that an agent works in, as its first message names it."""

from __future__ import annotations

import re

_FIRST = 8192  # bytes of a first message in which a folder is looked for
_folder = re.compile(
    rb"(?:[dD]irectory|cwd|[wW]orkspace|[fF]older)[^\n/~\\]{0,16}((?:/|~/|[A-Za-z]:\\)[^\s\"'<>)`]*)"
)


def folder_in(message: bytes) -> bytes:
    """The first folder that a message names as the one that is worked in; empty if none."""
    head = message[:_FIRST]
    # No path: quicker to see than the words. For bytes `in` first tries whether they are a number.
    if head.find(b"/") < 0 and head.find(b"\\") < 0:
        return b""
    if not (b"irectory" in head or b"cwd" in head or b"orkspace" in head or b"older" in head):
        return b""
    found = _folder.search(head)
    return found[1].rstrip(b"/.,:;") if found is not None else b""
