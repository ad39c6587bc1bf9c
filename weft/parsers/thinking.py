"""Thinking that a model writes into its text, told from the answer.

Some models write what they think between marks of their own, `<think>` and `</think>`. Where a
chat template has opened the thinking already, the text begins within it and shows only the
mark that ends it. A mark in backticks is spoken of, not used.

Prompts ask for thinking between further tags, such as `<thinking>` or `<reasoning>`. They are no
marks of a model, and may stand in any answer. So such a tag counts only where the text begins
with it, and only if the same tag ends the thinking or the text is cut off before.

gpt-oss writes in channels. A call of a tool ends its thinking too, and belongs to what follows.
Servers that leave special tokens out give `analysisSEVEN OR
EIGHTassistantfinalFIVE`. Such thinking is told by the name of its channel, where the text begins
with it and a word follows at once. If there is no thinking before it, the name `final` can't be
told from the answer, and stays there.
"""

from __future__ import annotations

import re

_MARKS = (
    ("<think>", "</think>"),
    ("<seed:think>", "</seed:think>"),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|channel|>analysis<|message|>", "<|channel|>final<|message|>"),
)
"""What begins thinking, and what ends it."""

_CHANNELS = (("assistantanalysis", "assistantfinal"),)
"""The same between channels whose special tokens were left out; within thinking only."""

_CALLS = ("<|channel|>commentary to=", "<|start|>assistant to=", "assistantcommentary to=")
"""What ends thinking within channels, and is no mark: a call of a tool begins with it."""

_NAMES = ("think", "thinking", "thought", "thoughts", "reasoning", "reflection")
_TAG = re.compile(f"<({'|'.join(_NAMES)})>", re.IGNORECASE)
"""A tag that thinking may begin with, at the beginning of a text."""

_SPECIAL = "<|channel|>"

_LONGEST = max(len(mark) for pair in (*_MARKS, *_CHANNELS, _CALLS) for mark in pair)
_FIRST = frozenset(mark[0] for pair in _MARKS for mark in pair)
_ANALYSIS = "analysis"
_BEGINNINGS = tuple(f"<{name}>" for name in _NAMES)
_CLOSINGS = tuple(f"</{name}>" for name in _NAMES)
_UNMARKED = re.compile(_ANALYSIS + r"(?=[^\s.,;:!?_/=\-)\]}'`|&])")


def _either(pairs: tuple[tuple[str, str], ...], calls: tuple[str, ...] = ()) -> re.Pattern[str]:
    opens = "|".join(re.escape(opens) for opens, _ in pairs)
    closes = "|".join(re.escape(closes) for _, closes in pairs)
    kept = f"|(?P<calls>{'|'.join(map(re.escape, calls))})" if calls else ""
    return re.compile(f"(?<!`)(?:(?P<opens>{opens})|(?P<closes>{closes}){kept})")


_OUTSIDE, _INSIDE = _either(_MARKS), _either(_MARKS + _CHANNELS, _CALLS)
_RESUMED = re.compile(
    _INSIDE.pattern[:-1] + f"|(?P<tag></(?:{'|'.join(_NAMES[1:])})>))", re.IGNORECASE
)
"""Where nothing tells what has begun the thinking."""
_TURNS = re.compile(r"(?:<\|end\|>)?(?:<\|start\|>assistant)?\s*$")


class Thinking:
    """Tells thinking from answer while a text comes.

    Args:
        inside: whether the text begins within thinking.
        unmarked: whether thinking may begin by no mark of a model: by the name of its channel
            alone, or a tag that prompts ask for.

    Attributes:
        inside: whether the text so far ends within thinking.
        unmarked: whether thinking began so.
        unopened: whether thinking ended that no mark had begun, though `inside` did not say
            that the text begins there.
    """

    def __init__(self, inside: bool = False, unmarked: bool = True) -> None:
        self.inside = inside
        self.unmarked = False
        self._fresh = unmarked and not inside  # nothing came that is no beginning of thinking
        # What ends it, if a tag has begun it, or may have.
        self._ends: re.Pattern[str] | None = _RESUMED if inside else None
        self.unopened = False
        self._thought: list[str] = []
        self._said: list[str] = []
        self._held = ""  # what may be the beginning of a mark
        self._before = ""  # the character in front of it

    def feed(self, piece: str) -> str:
        """Take more of the text; gives what is surely more of the answer."""
        if self._fresh:
            piece = self._begin(self._held + piece)
            if self._fresh:
                return ""
        if not self._held and not self.inside and not _FIRST.intersection(piece):
            return self._say(piece)  # by far the most common case
        text, start = self._before + self._held + piece, len(self._before)
        told = ""
        while (mark := self._marks().search(text, start)) is not None:
            told += self._take(text[start : mark.start()])
            if mark["opens"]:
                self._open()
            else:
                self._close()
            start = mark.start() if mark.lastgroup == "calls" else mark.end()
        keep = _begun(text, start, self.inside, self._ends)
        self._held = text[len(text) - keep :] if keep else ""
        told += self._take(text[start : len(text) - keep])
        self._before = text[len(text) - keep - 1 : len(text) - keep]
        return told

    @property
    def reasoning(self) -> str:
        """The thinking so far."""
        return "".join([*self._thought, self._held if self.inside else ""]).strip()

    @property
    def text(self) -> str:
        """The answer so far."""
        # A special token is no text, though nothing may tell yet which channel it begins.
        silent = self.inside or self._held.startswith(_SPECIAL)
        return "".join([*self._said, "" if silent else self._held])

    def _marks(self) -> re.Pattern[str]:
        return self._ends or (_INSIDE if self.inside else _OUTSIDE)

    def _begin(self, text: str) -> str:
        """The text so far, less what begins thinking at its beginning; or it is held."""
        begun = text.lstrip()
        if begun and begun[0] not in "a<":  # by far the most common case
            self._fresh, self._held = False, ""
            return text
        if _ANALYSIS.startswith(begun) or _starts(_BEGINNINGS, begun.lower()):
            self._held = text
            return ""
        self._fresh, self._held = False, ""
        tag = _TAG.match(begun)
        if tag is not None and not begun.startswith("<think>"):
            name = re.escape(tag[1])
            self._ends = re.compile(f"(?P<opens>(?!))|(?P<closes></{name}>)", re.IGNORECASE)
        elif _UNMARKED.match(begun) is None:
            return text
        self.inside = self.unmarked = True
        return begun[tag.end() if tag is not None else len(_ANALYSIS) :]

    def _take(self, piece: str) -> str:
        if not piece:
            return ""
        if self.inside:
            self._thought.append(piece)
            return ""
        return self._say(piece)

    def _say(self, piece: str) -> str:
        if self._thought and not self._said:
            piece = piece.lstrip()  # what parts an answer from the thinking before it
        if piece:
            self._said.append(piece)
            self._before = piece[-1]
        return piece

    def _open(self) -> None:
        if self.inside:
            self._thought = [_TURNS.sub("", "".join(self._thought)) + "\n"]
        self.inside = True
        if not "".join(self._said).strip():
            self._said.clear()

    def _close(self) -> None:
        if not self.inside and self._said:
            self.unopened = True
            self._thought += self._said
            self._said.clear()
        self._thought = [_TURNS.sub("", "".join(self._thought)) + "\n"]
        self.inside, self._ends = False, None


def _starts(wholes: tuple[str, ...], text: str) -> bool:
    """Whether a text is the beginning of one that goes on."""
    return any(len(text) < len(whole) and whole.startswith(text) for whole in wholes)


def _begun(text: str, start: int, inside: bool, ends: re.Pattern[str] | None) -> int:
    """How many characters at a text's end may be the beginning of a mark."""
    if ends is not None:
        at = text.rfind("<", start)
        if at >= 0 and _starts(_CLOSINGS, text[at:].lower()):
            return len(text) - at
        if ends is not _RESUMED:
            return 0
    pairs = (*_MARKS, *_CHANNELS, _CALLS) if inside else _MARKS
    for length in range(min(_LONGEST - 1, len(text) - start), 0, -1):
        tail = text[-length:]
        if any(m.startswith(tail) for pair in pairs for m in pair):
            return length
    return 0


CLOSING_MARKS = tuple(dict.fromkeys((*(closes for _, closes in _MARKS), *_CLOSINGS)))
"""All that may end thinking."""


def split_thinking(text: str, inside: bool = False, ended: bool = False) -> Thinking:
    """A whole text, read.

    Args:
        text: what was generated.
        inside: whether it begins within thinking.
        ended: whether the model ended it. If no mark has shown that the model thinks, and
            thinking never ended, the model did not think.
    """
    found = Thinking(inside)
    found.feed(text)
    if ended and found.inside and (inside or found.unmarked):
        found = Thinking(unmarked=False)
        found.feed(text)
    return found


def opening_mark(text: str) -> str:
    """The mark of a model by which a text begins its thinking; empty if it begins otherwise."""
    return next((opens for opens, _ in _MARKS if text.lstrip().startswith(opens)), "")


def closing_mark(text: str) -> str:
    """What ends the thinking that a text is within; `</think>` if nothing shows what began it."""
    tag = _TAG.match(text.lstrip())
    if tag is not None and (mark := f"</{tag[1]}>") not in text:
        return mark
    begun, mark = max((text.rfind(opens), closes) for opens, closes in _MARKS)
    return mark if begun >= 0 else "</think>"


def visible(text: str) -> str | None:
    """What follows the thinking in a text; None while the thinking goes on."""
    found = split_thinking(text, ended=True)
    return None if found.inside else found.text


def opens_thinking(prompt: str) -> bool:
    """Whether a prompt's end has opened thinking, so that the answer begins within it."""
    return prompt.rstrip().endswith(tuple(opens for opens, _ in _MARKS))


def names_channel(prompt: str) -> bool:
    """Whether a prompt's end leaves it to the model in which channel it answers (gpt-oss)."""
    return prompt.endswith("<|start|>assistant")
