"""Labels: names as a figure can show them, whoever gave them."""

from __future__ import annotations

_LONG = 80  # letters of a line


def shown(label: str) -> str:
    """A label whose letters all can be drawn, with lines that fit a box.

    Names of tools are made up by models, names of programs by clients: half a surrogate pair or
    a control character, which neither UTF-8 nor XML has, is shown as a replacement character.
    """
    return "\n".join([_fitting(line) for line in label.split("\n")])


def _fitting(line: str) -> str:
    if len(line) > _LONG:
        line = line[: _LONG - 1] + "…"
    return line if line.isprintable() else "".join([c if c.isprintable() else "�" for c in line])
