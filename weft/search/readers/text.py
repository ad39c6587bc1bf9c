"""Texts: the last line, compared but for spaces."""

from __future__ import annotations

from weft.search.readers.reader import Reader, reader


@reader("text")
class TextReader(Reader):
    """The last line that holds anything, compared exactly but for its spaces."""

    def read(self, text: str) -> str | None:
        """The last line."""
        lines = [line for line in text.split("\n") if line.strip()]
        return self.read_alone(lines[-1]) if lines else None

    def read_alone(self, text: str) -> str | None:
        """All of the text, of however many lines."""
        return " ".join(text.split()) or None
