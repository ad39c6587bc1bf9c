r"""Final answers of conversations: what is boxed, or said to be the answer, or all of it."""

from __future__ import annotations

from weft.search.readers.number import is_number, number
from weft.search.readers.reader import Reader, reader
from weft.search.readers.text import plain, stated_text
from weft.search.readers.writing.stated import Cut


@reader("final")
class FinalReader(Reader):
    r"""What a text states as its answer, else the whole text; numbers compare as numbers.

    Answers are compared without regard to case, spacing, a final full stop, and marks of
    emphasis.
    """

    def read(self, text: str) -> str | None:
        """What is stated, or all of the text."""
        try:
            found = stated_text(text)
        except Cut:
            found = None
        return self._key(text if found is None else found)

    def read_cut(self, text: str) -> str | None:
        """The same: who asks in a conversation gets what there is."""
        return self.read(text)

    @staticmethod
    def _key(text: str) -> str | None:
        if is_number(text):
            return number(text)
        found = plain(text)
        return None if found is None else found.casefold().strip("*_$ ") or None
