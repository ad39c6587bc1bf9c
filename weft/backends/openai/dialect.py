"""Dialect: what one endpoint takes of the parameters that OpenAI's protocol has.

No two endpoints take the same. What one refuses is learned from its words (`complaints.py`) and
done for every later request to the same model there: left out, renamed, kept within bounds. It
is said once, as a warning. Nothing is lost on the way: a limit or a schema that can't be sent is
held to otherwise, and what can't be held to is named in `Completion.missing`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from weft.backends.openai.complaints import LIMITS, Complaint
from weft.backends.openai.phrasing import EFFORTS, NEUTRAL, Facts, Phrased, nearest, phrased
from weft.backends.openai.schemas import FORMS
from weft.backends.wording import Wording, merged

_log = logging.getLogger(__name__)

_FEWER = (10, 8, 5, 4, 3, 2, 1)
"""Alternatives at a token that are tried where an endpoint does not say how many it allows."""

_known: dict[tuple[object, ...], Facts] = {}
"""What has been learned in this process, by endpoint, model and what was told of it."""


class Dialect:
    """How one endpoint is spoken to about one model.

    Args:
        name: of the engine, for warnings.
        url: of the endpoint.
        model: asked for there.
        wording: what is known beforehand.
    """

    def __init__(self, name: str, url: str, model: str, wording: Wording | None = None) -> None:
        wording = wording or Wording()
        self._name, self._extra = name, wording.extra
        self._key = (url, model, wording.omit, frozenset(wording.rename.items()))
        _known.setdefault(self._key, Facts(wording.omit, wording.rename))

    @property
    def facts(self) -> Facts:
        """What is known now."""
        return _known[self._key]

    def forget(self, learned: Facts, before: Facts) -> None:
        """Take back what was learned of a request that is refused all the same."""
        if self.facts == learned:
            _known[self._key] = before

    def body(self, fields: Mapping[str, Any], schema: dict[str, Any] | None) -> Phrased:
        """A request in this dialect; the arguments are those of `phrased`."""
        return phrased(self.facts, merged(fields, self._extra), schema)

    def learn(self, found: Complaint, body: Phrased, own: Collection[str]) -> bool:
        """Learn from one complaint about a body; whether it may be sent again.

        Args:
            found: the complaint.
            body: what it is about.
            own: fields that a program gave itself; they are not touched.
        """
        if body.facts is not self.facts:
            return True  # another request has learned something meanwhile
        sent = body.fields
        if "response_format" in sent and _of_schema(found):
            return self._learn_form(found, body)
        if "role" in found.path or _SYSTEM.search(found.message):
            return self._learn_roles(sent)
        if "tools" in sent and "tools" not in own and _TOOLS.search(found.message):
            return self._learn_tools(found)
        theirs = {"model", "messages", *own, *self._extra}
        back = {other: name for name, other in body.facts.rename.items()}
        names = found.names(sent)
        if {"temperature", "top_p"} <= {*names} and _EITHER & _words(found.message):
            return self._note("temperature and top_p", "sends one of them", one_of=True)
        for name in names:
            if name in theirs:
                return False
            if name == "stream" and name not in found.path and not found.refuses:
                return False  # the word is in many a sentence
            if back.get(name, name) == "response_format":
                return self._learn_form(found, body)
            return self._learn_value(back.get(name, name), sent[name], found, sent)
        return False

    def _learn_value(
        self, name: str, value: Any, found: Complaint, sent: Mapping[str, Any]
    ) -> bool:
        facts = self.facts
        if name in ("logprobs", "top_logprobs") and "top_logprobs" in sent:
            wanted = sent["top_logprobs"]
            most = found.most(wanted)
            if name == "top_logprobs" or most:
                if most is None and not found.refuses:
                    most = next((fewer for fewer in _FEWER if fewer < wanted), None)
                if most:
                    return self._bound("top_logprobs", most)
                return self._omit("top_logprobs")
        if name == "max_tokens":
            return self._learn_limit(value, found)
        if name == "reasoning_effort":
            efforts = tuple(e for e in found.choices(value) if e in EFFORTS)
            if efforts and facts.efforts != efforts:
                what = f"sends {nearest(value, efforts)!r} for {value!r}"
                return self._note(name, what, efforts=efforts)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if number and value != NEUTRAL.get(name) and not found.refuses:
            if (most := found.most(value)) is not None:
                return self._bound(name, most)
            if (least := found.least(value)) is not None:
                what = f"sends at least {least:g}"
                return self._note(name, what, least={**facts.least, name: least})
        return self._omit(name)

    def _learn_limit(self, value: Any, found: Complaint) -> bool:
        facts = self.facts
        if isinstance(value, int) and not found.refuses:
            if most := found.most(value):
                return self._bound("max_tokens", most)
            if (least := found.least(value)) is not None:
                what = f"asks for {least:g} and breaks off by itself"
                return self._note("max_tokens", what, least={**facts.least, "max_tokens": least})
        now = facts.rename.get("max_tokens", "max_tokens")
        others = [name for name in LIMITS if name != now]
        told = next((name for name in others if _named(name, found.message)), None)
        other = told or others[0]
        if facts.rename.get("max_tokens") is None or told is not None:
            what = f"sends it as {other}"
            return self._note(now, what, rename={**facts.rename, "max_tokens": other})
        return self._omit("max_tokens")

    def _learn_form(self, found: Complaint, body: Phrased) -> bool:
        facts = body.facts
        strictly = "additionalproperties" in found.message.lower() or "required" in found.message
        if facts.form == 0 and _of_schema(found) and strictly:
            return self._note("response_format", FORMS[1].done, form=1)
        if facts.form < 2 and body.schema not in facts.loose and _of_schema(found):
            loose = facts.loose | {body.schema}
            return self._note("response_format", FORMS[2].done, loose=loose, form=1)
        form = max(facts.form + 1, 3)
        return form < len(FORMS) and self._note("response_format", FORMS[form].done, form=form)

    def _learn_roles(self, sent: Mapping[str, Any]) -> bool:
        if not any(one["role"] == "system" for one in sent["messages"]):
            return False
        return self._note("system turns", "sends them as part of the user's", folded=True)

    def _learn_tools(self, found: Complaint) -> bool:
        if _PARSES.search(found.message) and not self.facts.tools:
            return self._note("tools", "reads calls out of the text", tools="text")
        return self._note("tools", "tells the model of them in words", tools="none")

    def _omit(self, name: str) -> bool:
        return self._note(name, "leaves it out", omit=self.facts.omit | {name})

    def _bound(self, name: str, most: float) -> bool:
        return self._note(name, f"sends at most {most:g}", most={**self.facts.most, name: most})

    def _note(self, name: str, what: str, **changes: Any) -> bool:
        changed = replace(self.facts, **changes)
        if changed == self.facts:
            return False
        _known[self._key] = changed
        _log.warning("%s does not take %s as it is; weft %s from now on", self._name, name, what)
        return True


_SYSTEM = re.compile(
    r"\b(?:system|developer)\b.{0,3} (?:role|message|prompt|instruction|turn)"
    r"|role.{0,12}\bsystem\b",
    re.IGNORECASE,
)
_TOOLS = re.compile(
    r"enable-auto-tool-choice|tool[ _-]call[ _-]parser"
    r"|(?:n[o']t\b|\bno\b|unsupported|unknown|unrecognized|unexpected|extra)"
    r".{0,60}\b(?:tools?|functions?)\b(?!_choice)"
    r"|\b(?:tools?|functions?)\b(?!_choice).{0,60}"
    r"(?:n[o']t\b|unsupported|unknown|unrecognized|not permitted|forbidden|disabled)",
    re.IGNORECASE,
)
"""A refusal of tools altogether."""

_PARSES = re.compile(r"enable-auto-tool-choice|tool[ _-]call[ _-]parser", re.IGNORECASE)
"""vLLM without a parser for the model's calls; with `tool_choice` none the template has tools."""

_EITHER = {"both", "either", "one", "together", "mutually"}


def _words(text: str) -> set[str]:
    return set(text.lower().replace(",", " ").replace(".", " ").split())


def _named(name: str, message: str) -> bool:
    return re.search(rf"(?<!\w){name}(?!\w)", message) is not None


def _of_schema(found: Complaint) -> bool:
    """Whether it is about a schema itself, rather than about giving one."""
    said = found.message.lower()
    return "schema" in found.code or "invalid schema" in said or "additionalproperties" in said
