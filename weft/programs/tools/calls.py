"""What a model called, made ready to run: ids, and arguments that fit the signature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b

from weft.errors import UnknownName
from weft.programs.tools.arguments import WrongArguments, as_object
from weft.programs.tools.marking import Tool
from weft.types import ToolCall


def numbered(calls: Sequence[ToolCall], about: bytes) -> tuple[ToolCall, ...]:
    """The calls, each with an id of its own.

    Ids that are missing, or given twice, are made of what determines the answer. So a run that
    is resumed has the same ids, and finds what was asked next in the Store.

    Args:
        calls: as the model made them.
        about: what determines the answer.
    """
    found: list[ToolCall] = []
    taken: set[str] = {""}
    for at, one in enumerate(calls):
        if one.id in taken:
            digest = blake2b(about + f"\0{at}".encode(), digest_size=8).hexdigest()
            one = replace(one, id=digest[:9])  # the form that Mistral's templates ask for
        taken.add(one.id)
        found.append(one)
    return tuple(found)


def checked(call: ToolCall, tools: Mapping[str, Tool], *, cut: bool) -> ToolCall:
    """A call with arguments of the signature's types, or with the error that the model reads.

    Args:
        call: as the model made it.
        tools: that were offered.
        cut: whether the answer was cut off behind the call's beginning.
    """
    tool = tools.get(call.name)
    if tool is None and cut:
        return replace(call, error=_CUT.format(call.name or "a tool"))
    if tool is None:
        what = str(UnknownName("tool", call.name, list(tools)))
        return replace(call, error=what if call.name else f"the call names no tool; {what}")
    try:
        read = as_object if tool.arguments is None else tool.arguments.read
        return replace(call, arguments=read(call.text))
    except WrongArguments as error:
        if cut and _unfinished(call.text):
            return replace(call, error=_CUT.format(call.name))
        return replace(call, error=f"the arguments of {call.name} are wrong: {error}")


_CUT = "the call of {} was cut off, for the answer had come to max_tokens; make it shorter"


def _unfinished(text: str) -> bool:
    try:
        as_object(text)
    except WrongArguments:
        return True
    return not text.strip()
