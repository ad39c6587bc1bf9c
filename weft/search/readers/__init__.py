"""Readers: what counts as a text's answer, and which answers are the same.

Called by tasks and by the service's strategies; votes cluster answers as their reader does. To
add a reader, mark a class `@reader`, and name its file in `READERS` if it is weft's own. Where
texts state their answers, and how answers are written, is in `writing`. Trades away: an answer is
compared as one text, in the form that its reader gives it.
"""

from weft.search.readers.reader import READERS, Reader, parse_reader, reader

__all__ = ["READERS", "Reader", "parse_reader", "reader"]
