"""Markup around answers, in LaTeX, Markdown and Unicode, written in one plain way."""

from __future__ import annotations

import re
import unicodedata

_FRACTIONS = {
    c: unicodedata.normalize("NFKC", c).replace("\u2044", "/") for c in "¼½¾⅐⅑⅒⅓⅔⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞"
}
_RAISED = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+", strict=True))
_SIGNS = {
    "\u2212": "-",
    "\ufe63": "-",
    "\u2013": "-",
    "\u2014": " - ",
    "×": "*",  # noqa: RUF001
    "⋅": "*",
    "·": "*",
    "∙": "*",
    "÷": "/",
    "\u2215": "/",
    "\u2044": "/",
    "\u202f": "\u00a0",
    "\u2009": "\u00a0",
    "\u2007": "\u00a0",
    "\u066b": ".",
    "\u066c": ",",
    "º": "°",
    "٪": "%",
}
_SINGLE = str.maketrans(
    _SIGNS
    | {c: f" {f} " for c, f in _FRACTIONS.items()}
    | {chr(c): unicodedata.normalize("NFKC", chr(c)) for c in range(0xFF01, 0xFF5F)}
    | {"\u3000": " "}
)
_RAISE = re.compile(f"[{''.join(_RAISED)}]+")
_WORDS = {
    "times": "*", "cdot": "*", "ast": "*", "div": "/", "approx": "≈", "simeq": "≈", "sim": "≈",
    "pm": "±", "mp": "±", "le": "≤", "leq": "≤", "ge": "≥", "geq": "≥", "lt": "<", "gt": ">",
    "circ": "°", "degree": "°", "pi": "π", "infty": "∞", "quad": " ", "qquad": " ",
    "left": "", "right": "", "displaystyle": "", "textstyle": "", "bf": "", "rm": "", "big": "",
    "Big": "", "bigl": "", "bigr": "", "dfrac": r"\frac", "tfrac": r"\frac", "cfrac": r"\frac",
    "pounds": "", "euro": "", "ldots": "...", "dots": "...", "to": "→", "rightarrow": "→",
    "implies": "⇒", "Rightarrow": "⇒", "therefore": "", "neq": "≠", "ne": "≠", "ell": "l",
    "minus": "-", "colon": ":",
}  # fmt: skip
_WORD = re.compile(r"\\([a-zA-Z]+)(?![a-zA-Z])")
_TEXT = re.compile(
    r"\\(?:text|textbf|textit|texttt|textrm|textsf|textnormal|mathrm|mathbf|mathit|mathsf|mathtt|"
    r"mathbb|boldsymbol|bm|operatorname|mbox|hbox|emph|underline|boxed|fbox)\s*\*?\{([^{}]*)\}"
)
_SPACES = re.compile(r"\\[,;: ]|~(?=[^~\d]|$)|(?<=\d)~(?=\d)")
_PLACE = re.compile(r"\^\{?\s*(?:°|\\circ)\s*\}?")
_REPEATING = re.compile(r"(\d*)\.(\d{0,20})\\overline\{(\d{1,20})\}")
_SUB = re.compile(r"(?<=\w)_\{?\w+\}?")
_STRUCK = re.compile(r"~~[^~\n]{1,200}~~")
_TEN = re.compile(r"(?<=\d)[xX](?=10\s?\^)")
_HTML = re.compile(r"</?(?:b|strong|i|em|u|p|br|span|div|sub|sup|code)(?: [^<>]{0,80})?/?>")
_MONEY = re.compile(r"(?<![A-Za-z])[A-Z]{1,3}(?=\$)")
_MILLIONS = re.compile(r"([$€£]\s*\d[\d.,]*)\s?([MB])(?:n|ln)?\b")


def unstruck(text: str) -> str:
    """A text without what Markdown strikes out: `~~15~~ 12` is `12`."""
    return _STRUCK.sub("", text)


def text_of(text: str) -> str:
    r"""A text without the markup of emphasis and formulas: `**$\text{Paris}$**` is `Paris`."""
    for _ in range(4):  # they nest
        text, changed = _TEXT.subn(r"\1", text)
        if not changed:
            break
    text = _HTML.sub("", text)
    text = re.sub(r"\\[()\[\]]|\\[,;:!]|\*\*|__|`|(?<!\\)\$", "", text)
    text = re.sub(r"\\([ $%#&_{}])", r"\1", text)
    text = re.sub(r"^\s*[#>]+\s+", "", text)
    return " ".join(text.split()).strip("*_ ")


def flat(text: str) -> str:
    r"""A text in which numbers stand as plain Unicode and a little LaTeX would write them.

    `$1{,}234$` is `1,234`, `½` is `1/2`, `10³` is `10^(3)`, `√2` is `\sqrt{2}`; `\frac` and `\sqrt`
    stay, and signs of currency go.
    """
    text = unstruck(text)
    text = _RAISE.sub(lambda m: "^(" + "".join(_RAISED[c] for c in m[0]) + ")", text)
    text = text.translate(_SINGLE)
    text = re.sub(r"√\s?(?:(\d[\d.,]*(?<![.,]))|\(([^()]*)\))", _rooted, text)
    if not text.isascii():
        text = "".join(str(unicodedata.decimal(c, c)) if c > "\x7f" else c for c in text)
    text = _HTML.sub("", _TEN.sub("*", text))
    text = _MILLIONS.sub(lambda m: m[1] + (" million" if m[2] == "M" else " billion"), text)
    text = _MONEY.sub("", text)
    if "\\" in text or "{" in text:
        text = _latex(text)
    text = re.sub(r"(?<=[\d)])\s*\*\*\s*(?=[-\d(])(?![^*\n]*\*\*)", "^", text)
    text = re.sub(r"\*\*|__|`|(?<![\w\s)])\*(?=\S)|(?<=[\w.%])\*(?![\s\w(])", "", text)
    text = re.sub(r"(?<=\d)_(?=\d{3}(?!\d))", "", text)
    text = _SUB.sub("", text)
    text = re.sub(r"(?<=[A-Za-z])[$€£¥₹]", " ", text)
    return re.sub(r"[$€£¥₹₽₩₺฿]\s?", "", text)


def _rooted(found: re.Match[str]) -> str:
    return rf"\sqrt{{{found[1] or found[2]}}}"


def _latex(text: str) -> str:
    text = re.sub(r"(?<=\d)\{([,.])\}(?=\d)", r"\1", text)
    text = text.replace("\\!", "").replace("\\$", "$").replace("\\%", "%").replace("\\#", "#")
    text = text.replace("\\{", "{").replace("\\}", "}")
    text = _SPACES.sub("\u00a0", text)
    text = _REPEATING.sub(_repeated, text)
    for _ in range(4):
        text, changed = _TEXT.subn(r" \1 ", text)
        if not changed:
            break
    text = _PLACE.sub("°", text)
    text = _WORD.sub(lambda m: _WORDS.get(m[1], m[0]), text)
    return re.sub(r"\\[()\[\]]", " ", text)


def _repeated(found: re.Match[str]) -> str:
    r"""A decimal that repeats, as a fraction: `0.\overline{3}` is `3/9`."""
    whole, first, again = found.groups()
    up = int(whole + first + again) - int(whole + first or "0")
    return rf"\frac{{{up}}}{{{(10 ** len(again) - 1) * 10 ** len(first)}}}"
