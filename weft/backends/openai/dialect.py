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
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from weft.backends.openai.complaints import Complaint
from weft.backends.openai.schemas import FORMS, TOLD, digest, formatted

_log = logging.getLogger(__name__)

NEUTRAL: Mapping[str, Any] = MappingProxyType(
    {
        "temperature": 1,
        "top_p": 1,
        "top_k": -1,
        "min_p": 0,
        "presence_penalty": 0,
        "frequency_penalty": 0,
        "repetition_penalty": 1,
    }
)
"""Values that ask for nothing."""

_OTHERWISE = ("max_tokens", "response_format", "stream_options", "chat_template_kwargs")
"""What is held to, or named as missing, otherwise where it can't be sent."""

_FEWER = (10, 8, 5, 4, 3, 2, 1)
"""Alternatives at a token that are tried where an endpoint does not say how many it allows."""

_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_LIMITS = ("max_tokens", "max_completion_tokens")


@dataclass(frozen=True)
class Facts:
    """What is known of an endpoint.

    Attributes:
        omit: parameters that it refuses.
        rename: what it calls parameters.
        most: largest values that it allows.
        least: smallest values that it allows.
        efforts: values of `reasoning_effort` that it knows.
        form: how a schema is given: a place in `FORMS`.
        loose: digests of schemas that it takes only where it need not hold to them.
        one_of: whether it takes either a temperature or a top_p.
        folded: whether system turns go into the user's first.
    """

    omit: frozenset[str] = frozenset()
    rename: Mapping[str, str] = field(default_factory=dict[str, str])
    most: Mapping[str, float] = field(default_factory=dict[str, float])
    least: Mapping[str, float] = field(default_factory=dict[str, float])
    efforts: tuple[str, ...] = ()
    form: int = 0
    loose: frozenset[str] = frozenset()
    one_of: bool = False
    folded: bool = False


@dataclass(frozen=True)
class Phrased:
    """A request as an endpoint takes it.

    Attributes:
        fields: of the body.
        missing: what was asked for and could not be said.
        limited: whether the endpoint itself holds to `max_tokens`.
        facts: by which it was made.
        schema: digest of the schema, if there is one.
    """

    fields: dict[str, Any]
    missing: tuple[str, ...]
    limited: bool
    facts: Facts
    schema: str = ""


_known: dict[tuple[object, ...], Facts] = {}
"""What has been learned in this process, by endpoint, model and what was told of it."""


class Dialect:
    """How one endpoint is spoken to about one model.

    Args:
        name: of the engine, for warnings.
        url: of the endpoint.
        model: asked for there.
        omit: parameters never to send.
        rename: parameters to send under other names.
        extra: fields to send with every request.
    """

    def __init__(
        self,
        name: str,
        url: str,
        model: str,
        *,
        omit: Collection[str] = (),
        rename: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        names = dict(rename or {})
        self._name, self._extra = name, dict(extra or {})
        self._key = (url, model, frozenset(omit), frozenset(names.items()))
        _known.setdefault(self._key, Facts(frozenset(omit), names))

    @property
    def facts(self) -> Facts:
        """What is known now."""
        return _known[self._key]

    def forget(self, learned: Facts, before: Facts) -> None:
        """Take back what was learned of a request that is refused all the same."""
        if self.facts == learned:
            _known[self._key] = before

    def body(self, fields: Mapping[str, Any], schema: dict[str, Any] | None) -> Phrased:
        """A request in this dialect.

        Args:
            fields: of the body, in OpenAI's words, `max_tokens` for the limit.
            schema: that the answer must follow.
        """
        facts, said = self.facts, merged(fields, self._extra)
        missing: list[str] = []
        of_schema = digest(schema) if schema is not None else ""
        if schema is not None:
            form = facts.form if facts.form != 1 or of_schema not in facts.loose else 2
            form = TOLD if "response_format" in facts.omit else form
            said |= formatted(schema, form, said["messages"])
            missing += [] if FORMS[form].held else ["schema"]
        if facts.folded:
            said["messages"] = folded(said["messages"])
        if facts.one_of and "temperature" in said and "top_p" in said:
            less = "temperature" if said["top_p"] != 1 and said["temperature"] == 1 else "top_p"
            missing += [less] if said[less] != 1 else []
            del said[less]
        for name in sorted(facts.omit & said.keys()):
            if name not in _OTHERWISE and (name not in NEUTRAL or said[name] != NEUTRAL[name]):
                missing.append(name)
            elif name == "chat_template_kwargs":
                missing += [key for key in ("thinking", "reasoning_effort") if key in said[name]]
            del said[name]
        if "logprobs" not in said:
            said.pop("top_logprobs", None)  # which can't be asked for alone
        for name, most in facts.most.items():
            if name in said and said[name] > most:
                said[name] = type(said[name])(most)
                missing += [name] if name not in _OTHERWISE else []
        for name, least in facts.least.items():
            if name in said and said[name] < least:
                said[name] = int(least) if least == int(least) else least
        if facts.efforts and said.get("reasoning_effort") not in (None, *facts.efforts):
            said["reasoning_effort"] = nearest(said["reasoning_effort"], facts.efforts)
            missing.append("reasoning_effort")
        limited = "max_tokens" in said and "max_tokens" not in facts.least
        for name, other in facts.rename.items():
            if name in said:
                said[other] = said.pop(name)
        return Phrased(said, tuple(dict.fromkeys(missing)), limited, facts, of_schema)

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
        theirs = {"model", "stream", "messages", *own, *self._extra}
        back = {other: name for name, other in body.facts.rename.items()}
        names = found.names(sent)
        if {"temperature", "top_p"} <= {*names} and _EITHER & _words(found.message):
            return self._note("temperature and top_p", "sends one of them", one_of=True)
        for name in names:
            if name in theirs:
                return False
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
                if most is None and not _refused(found):
                    most = next((fewer for fewer in _FEWER if fewer < wanted), None)
                if most:
                    return self._bound("top_logprobs", most)
                return self._omit("top_logprobs")
        if name == "max_tokens":
            return self._learn_limit(value, found)
        if name == "reasoning_effort":
            efforts = tuple(e for e in found.choices(value) if e in _EFFORTS)
            if efforts and facts.efforts != efforts:
                what = f"sends {nearest(value, efforts)!r} for {value!r}"
                return self._note(name, what, efforts=efforts)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if number and value != NEUTRAL.get(name) and not _refused(found):
            if (most := found.most(value)) is not None:
                return self._bound(name, most)
            if (least := found.least(value)) is not None:
                what = f"sends at least {least:g}"
                return self._note(name, what, least={**facts.least, name: least})
        return self._omit(name)

    def _learn_limit(self, value: Any, found: Complaint) -> bool:
        facts = self.facts
        if isinstance(value, int) and not _refused(found):
            if most := found.most(value):
                return self._bound("max_tokens", most)
            if (least := found.least(value)) is not None:
                what = f"asks for {least:g} and breaks off by itself"
                return self._note("max_tokens", what, least={**facts.least, "max_tokens": least})
        now = facts.rename.get("max_tokens", "max_tokens")
        other = _LIMITS[now == _LIMITS[0]]
        if facts.rename.get("max_tokens") is None or other in found.message:
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
    r"\bsystem\b.{0,3} (?:role|message|prompt|instruction|turn)|role.{0,12}\bsystem\b",
    re.IGNORECASE,
)
_EITHER = {"both", "either", "one", "together", "mutually"}
_REFUSED = (
    "not supported",
    "unsupported",
    "does not support",
    "not permitted",
    "not allowed",
    "unknown",
    "unrecognized",
    "unexpected",
    "unavailable",
    "only the default",
)


def _words(text: str) -> set[str]:
    return set(text.lower().replace(",", " ").replace(".", " ").split())


def _refused(found: Complaint) -> bool:
    """Whether a parameter is refused whatever its value."""
    said = f"{found.message} {found.code.replace('_', ' ')}".lower()
    return any(words in said for words in _REFUSED)


def _of_schema(found: Complaint) -> bool:
    """Whether it is about a schema itself, rather than about giving one."""
    said = found.message.lower()
    return "schema" in found.code or "invalid schema" in said or "additionalproperties" in said


def merged(fields: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """The fields with further ones; objects that both have are joined."""
    found = dict(fields)
    for name, value in extra.items():
        both = isinstance(found.get(name), dict) and isinstance(value, dict)
        found[name] = {**found[name], **value} if both else value
    return found


def nearest(effort: str, known: tuple[str, ...]) -> str:
    """The known effort that is nearest to another; of two the smaller."""
    if effort not in _EFFORTS:
        return known[0]
    at = _EFFORTS.index(effort)
    return min(known, key=lambda one: abs(_EFFORTS.index(one) - at))


def folded(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The messages with each system turn at the head of the user's turn after it."""
    found: list[dict[str, Any]] = []
    held: list[str] = []
    for one in messages:
        if one["role"] == "system":
            held.append(one["content"])
        elif one["role"] == "user" and held:
            found.append({**one, "content": "\n\n".join([*held, one["content"]])})
            held = []
        else:
            found.append(one)
    return [*found, {"role": "user", "content": "\n\n".join(held)}] if held else found
