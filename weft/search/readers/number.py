"""Numbers: the last one in a text, in one way of writing it."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation

from weft.search.readers.reader import Reader, reader

_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?(?:[eE][-+]?\d{1,6}(?!\w))?")
_PLAIN = 60  # digits; a longer number is compared with its power of ten apart


@reader("number")
class NumberReader(Reader):
    """The last number in a text: `1,200.0` is `1200`."""

    def read(self, text: str) -> str | None:
        """The last number, or None."""
        return number(text)


def number(text: str) -> str | None:
    """The last number in a text in one way of writing it (`1,200.0` is `1200`), or None."""
    if not (found := _NUMBER.findall(text)):
        return None
    try:
        value = Decimal(found[-1].replace(",", ""))
    except InvalidOperation:
        return None
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        return None
    # By hand, for `normalize` rounds to 28 digits.
    written = "".join(map(str, digits))
    short = written.rstrip("0")
    exponent += len(written) - len(short)
    short = short.lstrip("0")
    if not short:
        return "0"
    minus = "-" if sign else ""
    if not -_PLAIN <= exponent <= _PLAIN:
        return f"{minus}{short}e{exponent}"
    if exponent >= 0:
        return minus + short + "0" * exponent
    short = short.rjust(1 - exponent, "0")
    return f"{minus}{short[:exponent]}.{short[exponent:]}"


def is_number(text: str) -> bool:
    """Whether a text is a number and nothing else, but for the space around it."""
    return _NUMBER.fullmatch(text.strip()) is not None
