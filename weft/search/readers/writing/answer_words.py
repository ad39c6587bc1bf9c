"""How languages say "the answer is", as far as readers know it.

The words are those of public prompts and scorers in many languages (MGSM, MMMLU), and of
what models write in them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache


def _words_of(text: str) -> list[str]:
    return text.split()


_LATIN = _words_of(
    "answer answers ans antwort antworten lösung ergebnis réponse reponse réponses "
    "répondre respuesta respuestas resposta respostas risposta antwoord svar svaret "
    "vastaus odpowiedź odpověď odpoveď válasz răspuns răspunsul raspuns cevap yanıt "  # noqa: RUF001
    "jawaban jawapan jibu ìdáhùn idahun sagot resposte atsakymas atbilde vastus odgovor "
)
_OTHER = (
    "ответ",
    "відповідь",
    "отговор",
    "одговор",
    "απάντηση",
    "đáp án",
    "đáp số",
    "câu trả lời",
    "الإجابة",
    "الاجابة",
    "الجواب",
    "إجابة",
    "جواب",
    "پاسخ",
    "תשובה",
    "התשובה",
    "उत्तर",
    "जवाब",
    "উত্তর",
    "சமாधான",
    "பதில்",
    "సమాధానం",
    "คำตอบ",
)
_UNSPACED = (
    "答案",
    "答え",
    "回答",
    "解答",
    "正解",
    "正确选项",
    "结果",
    "答",
    "정답",
    "답변",
    "답",
)
"""Words of scripts that put no space between words."""

_SPACED = (*_LATIN, *_OTHER)

_KINDS = _words_of(
    "final finally correct right best true overall numeric numerical short my our your the a so "
    "thus therefore hence complete exact endgültige endgültig richtige korrekte die das la el le "
    "o il il a het den det finale final correcta correcto correcte bonne juste corretta esatta "
    "correta definitiva riktiga rätta ostateczna prawidłowa poprawna správná окончательный "
    "правильный итоговый остаточна jawaban yang benar akhir doğru son nihai cuối cùng đúng অন্তিম "
    "सही अंतिम صحیح oikea lopullinen slutgiltiga slutliga juiste definitieve"
)
"""Words that may stand before it: which answer."""

_AFTER = _words_of(
    "choice option letter number value finale final correcta correcto correcte correta corretta "
    "akhir akhirnya yang benar cuối cùng đúng النهائية الصحيحة הסופית הנכונה"
)
"""Words that may stand behind it."""

_IS = (
    r"is|are|would be|should be|must be|will be|has to be|comes (?:out )?to|equals|ist|lautet|sind|"
    r"wäre|est|sont|es|son|é|è|são|sono|sarà|será|är|er|on|to|jest|brzmi|je|este|is dus|adalah|"
    r"ialah|ni|là|है|হল|হলো|هي|هو|היא|הוא|είναι"
)
_SAYS = r"[:：=]|[-–—]+>|→|⇒|[-–—](?=\s)"  # noqa: RUF001 - what models write


MARK = r"[*_#>`~\s|]{0,12}"
"""Markup that may stand around words; no more of it, so that no text takes long to read."""

BEGINS = re.compile(
    rf"{MARK}(?:\d{{1,2}}\.\s?)?(?:(?:{'|'.join(_KINDS)}),?\s{{1,3}}|"
    rf"(?:最终|最終|最后|正确|正しい|최종|所以|因此|故|则|따라서|的|な)\s?){{0,6}}",
    re.IGNORECASE,
)
"""What may stand before the words on their line, where they can mean nothing else."""

_AFTER_WORDS = rf"(?:\s(?:{'|'.join(_AFTER)}))*(?!\w)|(?:选项|番号)?"

ALONE = re.compile(
    rf"(?:{_AFTER_WORDS}){MARK}[:：]?[*_#>`~ \t|]{{0,12}}$",  # noqa: RUF001
    re.IGNORECASE | re.MULTILINE,
)
"""The rest of their line, where the answer is on lines of its own."""

LINK = re.compile(
    rf"(?:{_AFTER_WORDS})(?:\s(?:to|for|of)\s[^.:：\n=]{{0,80}}?)?"  # noqa: RUF001
    rf"(?:{MARK}[\"')\]]?{MARK}(?:(?:{_SAYS})|(?:是|为|為|は|が|은|는)[:：]?"  # noqa: RUF001
    rf"|(?<=[\s*_])(?P<is>{_IS})(?!\w)(?:\s*[:：])?)){MARK}",  # noqa: RUF001
    re.IGNORECASE,
)
"""What leads from the words to the answer itself."""


def named(text: str) -> Iterator[re.Match[str]]:
    """Where a text has one of the words."""
    lower = text.casefold()
    spaced = tuple(word for word in _SPACED if word in lower)
    unspaced = tuple(word for word in _UNSPACED if word in lower)
    return _words(spaced, unspaced).finditer(text) if spaced or unspaced else iter(())


@lru_cache(maxsize=256)
def _words(spaced: tuple[str, ...], unspaced: tuple[str, ...]) -> re.Pattern[str]:
    """Few words, for a pattern of all takes long where a text has none."""
    whole = rf"(?<!\w)(?:{'|'.join(spaced)})(?!\w)" if spaced else ""
    return re.compile("|".join(filter(None, [whole, *unspaced])), re.IGNORECASE)
