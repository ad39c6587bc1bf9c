"""Choices: which of a few options a text takes, such as B of A to D, or yes of yes and no."""

from __future__ import annotations

import re
from functools import cached_property

from weft.errors import UsageError
from weft.parts.parameters import param
from weft.search.readers.reader import Reader, reader
from weft.search.readers.writing.markup import text_of
from weft.search.readers.writing.stated import Cut, box, statements

LETTERS = "A B C D E F G H I J"
_SCRIPTS = str.maketrans(
    {chr(0xFF21 + i): chr(65 + i) for i in range(26)}
    | {chr(0xFF41 + i): chr(97 + i) for i in range(26)}
    | {chr(0x24B6 + i): chr(65 + i) for i in range(26)}
    | {"（": "(", "）": ")", "：": ":", "．": ".", "、": ", "}  # noqa: RUF001
)
_ALIKE = dict(zip("أبجدАВС", "ABCDABC", strict=True))
"""Letters of other scripts that stand for options: Arabic, and Cyrillic of the same look."""
_ALONE = re.compile(rf"(?<!\w)[{''.join(_ALIKE)}](?!\w)")
_START = r"(?<![A-Za-z0-9À-ÿ'’])"  # noqa: RUF001
_END = r"(?![A-Za-z0-9À-ÿ]|['’][A-Za-z])"  # noqa: RUF001
"""Where an option may begin and end; scripts without spaces may surround it."""
_BEFORE = (
    r"(?:[\s*_`\"'(\[{:<>#.-]|\b(?:the|is|are|option|options|choice|choices|answer|answers|letter|"
    r"(?:most )?likely|correct|right|best|it|so|must be|should be|would be|probably|clearly|"
    r"definitely|therefore|thus|both|only|statement|alternative|opción|opcion|opção|opzione|"
    r"réponse|lettre|letra|la|le|el|buchstabe|вариант|选项|选择|选|보기)\b|选项|选择|选){0,20}"
)
_AND = r"\s*(?:,\s*and|,\s*or|,|/|;|&|\+|\band\b|\bor\b|\bund\b|\bet\b|\by\b|\be\b|和|与|及|或)\s*"

_WORDS = re.compile(r"\s+(?!(?:is|because|since|as|and|or|for|are)\b)[a-z]")
"""Where `A` and `I` are words of a sentence, and no options."""
_HEAD = 400
"""Characters in which a text that begins with an option must name it."""


@reader("choice")
class ChoiceReader(Reader):
    """The option that a text takes: `B` of `The answer is (b), since ...`.

    Several options, such as `A and C`, are one answer in the order of `options`.
    """

    options: str = param(LETTERS, "the options, with spaces between them")

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self._names) < 2:
            raise UsageError(f"options={self.options!r} of choice must be two at least, as 'A B C'")

    @cached_property
    def _names(self) -> dict[str, str]:
        return {name.casefold(): name for name in re.split(r"[\s,;|]+", self.options) if name}

    @cached_property
    def _option(self) -> str:
        longest = sorted(self._names.values(), key=len, reverse=True)
        return "|".join(map(re.escape, longest))

    @cached_property
    def _single(self) -> bool:
        """Whether options are single characters, which words of a text may be too."""
        return all(len(name) == 1 for name in self._names)

    @cached_property
    def _head(self) -> re.Pattern[str]:
        around = r"[()\[\]*_`\"'.:]{0,5}"
        option = rf"(?:{self._option}){_END}"
        one = rf"(?:option |choice )?{around}{option}{around}"
        return re.compile(
            rf"{_BEFORE}(?P<all>{one}(?:{_AND}{one}){{0,20}})(?P<after>.*)", re.I | re.S
        )

    @cached_property
    def _marked(self) -> re.Pattern[str]:
        """An option that is marked as one, in a sentence or at the beginning of a line."""
        option = rf"(?P<{{}}>{self._option}){_END}"
        return re.compile(
            rf"\({option.format('a')}\)"
            rf"|\*\*[(\[]?{option.format('b')}[)\].:]?[^*\n]*\*\*"
            rf"|(?<!\w)(?:option|choice|answer|choose|select|pick|with|leaves|leaving|so|thus|hence|therefore|opción|opção|вариант)"
            rf"[\s*_(\"']+{option.format('c')}(?=[\s*_)\"'.,:;!]|$)"
            rf"|(?:选项|选择|选|答案是)\s*[(]?{option.format('d')}"
            rf"|{_START}{option.format('e')}[)*_\"]*\s+(?:is|would be|must be|seems|looks)\s+"
            rf"(?:the\s+)?(?:correct|right|best|true|answer|most)"
            rf"|^[\s*_>#-]{{0,12}}{option.format('f')}(?:[).:][^\n]*|[*_.\s]*)$",
            re.MULTILINE | (re.IGNORECASE if not self._single else re.NOFLAG),
        )

    def read(self, text: str) -> str | None:
        """The option, or the options; None if the text takes none."""
        text = _latin(text)
        try:
            if (inside := box(text)) is not None:
                return self._begins(text_of(inside), alone=True)
            for one in statements(text):
                found = self._begins(text_of(one.first), alone=one.sure)
                found = found or self._last(one.first)
                if found is not None:
                    return found
                if one.sure and not one.rest.strip():
                    return None
        except Cut:
            return None
        return self._unstated(text.strip())

    def read_alone(self, text: str) -> str | None:
        """The options that a right answer names, such as `(B)` or `A, C`."""
        return self._begins(text_of(_latin(text)), alone=True) or self.read(text)

    def _unstated(self, text: str) -> str | None:
        """Where nothing is stated: the text or its last line is an option, or one is marked."""
        lines = [line for line in text.split("\n") if line.strip()]
        if not lines:
            return None
        for line in (lines[-1], lines[0]) if len(lines) > 1 else lines:
            found = self._begins(text_of(line), alone=False)
            if found is not None:
                return found
        for part in (lines[-1], text[-2000:]):
            if (found := self._last(part)) is not None:
                return found
        return self._only(lines[-1])

    def _begins(self, text: str, *, alone: bool) -> str | None:
        """The options that a text begins with, if it is of them that it speaks."""
        if (together := self._together(text)) is not None:
            return together
        found = self._head.match(text[:_HEAD])
        if found is None:
            return None
        named, after = found["all"], found["after"]
        if re.match(r"[\s*]+(?:is|are|was) (?:wrong|incorrect|false|not|in)\b", after):
            return None
        first = named.strip("([*_`\"' ")[:1]
        if self._single and named.strip() in ("A", "a", "I", "i") and _WORDS.match(after):
            return None
        marked = named.rstrip().endswith((")", ".", ":"))
        if self._single and first.islower() and not (alone or marked) and re.match(r"\s+\w", after):
            return None
        return self._named(named)

    def _together(self, text: str) -> str | None:
        """Letters that stand together, such as `ACD`."""
        if not self._single or not re.fullmatch(rf"(?:{self._option}){{2,}}", text.strip(". ")):
            return None
        letters = text.strip(". ")
        return self._named(" ".join(letters)) if len(set(letters)) == len(letters) else None

    def _named(self, text: str) -> str | None:
        words = re.findall(rf"{_START}(?:{self._option}){_END}", text, re.IGNORECASE)
        taken = {self._names[word.casefold()] for word in words}
        ordered = [name for name in self._names.values() if name in taken]
        return ", ".join(ordered) or None

    def _last(self, text: str) -> str | None:
        found = list(self._marked.finditer(text))
        if not found:
            return None
        return self._named(next(group for group in found[-1].groups() if group is not None))

    def _only(self, line: str) -> str | None:
        """The one option that a line mentions."""
        flags = re.NOFLAG if self._single else re.IGNORECASE
        found = set(re.findall(rf"{_START}(?:{self._option}){_END}", line, flags))
        if self._single:
            found -= {"A", "I"}
        return self._named(found.pop()) if len(found) == 1 else None


def _latin(text: str) -> str:
    """A text with the options of other scripts as Latin letters."""
    text = text.translate(_SCRIPTS)
    return text if text.isascii() else _ALONE.sub(lambda found: _ALIKE[found[0]], text)
