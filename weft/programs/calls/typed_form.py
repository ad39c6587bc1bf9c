"""The form of a typed answer: the schema that a model is held to, and the value in its text."""

from __future__ import annotations

import re
from collections import OrderedDict
from inspect import isroutine
from typing import Annotated, Any, cast, get_args, get_origin

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError, create_model

from weft.errors import OutputError, UsageError
from weft.programs.calls.completion import Completion
from weft.programs.calls.json_text import json_texts
from weft.programs.prompt import Prompt

_FIELD = "answer"
"""Of the object around an answer that is none by itself."""
_ENDS = ("}", "]", '"')
"""With what JSON ends of which the end can be seen."""
_KNOWN = 64
_MODULES = re.compile(r"(?:[A-Za-z_<][\w<>]*\.)+")
_WRAPPED = re.compile(rf'{{\s*"{_FIELD}"\s*:')
_JSON = re.compile(r'[{\["`]')
_forms: OrderedDict[tuple[object, str], TypedForm] = OrderedDict()


def typed_form(returns: Any) -> TypedForm:
    """The form that answers of a type have; the same object for the same type.

    Args:
        returns: a type, of any kind that pydantic knows.

    Raises:
        UsageError: pydantic can make no schema of it.
    """
    try:
        key = returns, repr(returns)  # `int | str` and `str | int` are equal, and two schemas
        if (known := _forms.get(key)) is not None:
            return known
    except TypeError:  # what has no hash, such as a constraint, is read anew
        return TypedForm(returns)
    _forms[key] = made = TypedForm(returns)
    if len(_forms) > _KNOWN:
        _forms.popitem(last=False)
    return made


class TypedForm:
    """What a typed answer must look like.

    Guided decoding of many engines wants an object. So an answer of another kind is asked for
    as the field `answer` of one, and is read with or without the object around it.

    Args:
        returns: the type.

    Attributes:
        name: of the type.
        schema: a JSON schema of an object.
    """

    def __init__(self, returns: Any) -> None:
        shown = get_args(returns)[0] if get_origin(returns) is Annotated else returns
        plain = isinstance(shown, type) and get_origin(shown) is None
        self.name = shown.__name__ if plain else _MODULES.sub("", repr(shown))
        try:
            if isroutine(returns):  # pydantic would check its arguments
                raise PydanticUserError("it is a function", code=None)
            self._bare: TypeAdapter[Any] = TypeAdapter(returns)
            self._whole: TypeAdapter[Any] = self._bare
            self.schema = _root(self._bare.json_schema())
            self._wraps = self.schema.get("type") != "object"
            if self._wraps:
                closed = ConfigDict(extra="forbid")
                holder = create_model("Answer", __config__=closed, answer=(returns, ...))
                self._whole = TypeAdapter(holder)
                self.schema = self._whole.json_schema()
        except (PydanticUserError, NameError) as error:
            said = str(error).split("\n", 1)[0].rstrip(".")
            raise UsageError(
                f"returns={returns!r:.60} must be a type of which pydantic knows a schema: {said}"
            ) from None

    def read(self, completion: Completion) -> Any:
        """The value that an answer states: of the first JSON in its text that fits.

        Raises:
            OutputError: there is none. The error has the completion, and what is wrong with it.
        """
        if completion.finish_reason not in ("stop", "length", "unknown"):
            # What a filter or an error has ended is no answer, though some of it be JSON.
            raise self._misses(completion, ())
        wrong: ValidationError | None = None
        for text in json_texts(completion.text):
            if not completion.whole and text.strip()[-1:] not in _ENDS:
                continue  # of a number that was cut off nobody knows whether it goes on
            try:
                return self._value(text)
            except ValidationError as error:
                wrong = wrong or error
        text = completion.text.strip()
        if self._wraps and text and completion.whole and not _JSON.search(text):
            try:  # a word of a `Literal`, say, without its quotes
                return self._bare.validate_strings(text)
            except ValidationError:
                pass
        if wrong is None:  # the text is empty, or there was no end to its thinking
            what = "before it began" if not completion.text else "before its end could be seen"
            what = "within its thinking" if completion.in_thinking else what
            raise self._misses(completion, (f"it ended {what}",))
        raise self._misses(completion, tuple(map(self._sentence, wrong.errors())))

    @staticmethod
    def mending(error: OutputError, prompt: Prompt) -> Prompt | None:
        """The Prompt that asks for an answer again, and says what was wrong; None if that is vain.

        Args:
            error: what was wrong.
            prompt: what was answered.
        """
        completion = cast("Completion", error.completion)
        if not error.errors:
            return None
        # An answer that never began would leave an empty turn, or an open thought.
        empty = completion.in_thinking or not completion.text
        answered = prompt.assistant("(no answer)") if empty else completion.prompt
        cut = (
            ["it was cut off: answer more briefly"] if completion.finish_reason == "length" else []
        )
        wrong = "\n".join(f"- {one}" for one in (*error.errors[:_MOST], *cut))
        return answered.user(
            f"This answer does not have the form that was asked for:\n{wrong}\n"
            "Answer again, with JSON of this form alone."
        )

    def _value(self, text: str) -> Any:
        if not self._wraps:
            return self._bare.validate_json(text)
        try:
            return getattr(self._whole.validate_json(text), _FIELD)
        except ValidationError as error:
            try:
                return self._bare.validate_json(text)
            except ValidationError:
                if _WRAPPED.match(text):
                    raise error from None
                raise

    def _sentence(self, error: Any) -> str:
        where = error["loc"][1:] if self._wraps and error["loc"][:1] == (_FIELD,) else error["loc"]
        return f"{'.'.join(map(str, where)) or 'the whole'}: {error['msg']}"

    def _misses(self, completion: Completion, errors: tuple[str, ...]) -> OutputError:
        why = {"stop": "", "length": " (cut off by max_tokens)"}.get(
            completion.finish_reason, f" (it ended by {completion.finish_reason})"
        )
        said = f": {errors[0]}" if errors else ""
        return OutputError(f"the answer is no {self.name}{said}{why}", completion, errors)


_MOST = 10
"""Things that are wrong that a model is told of at once."""


def _root(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema that says at its root what it is of: that of a recursive type only refers to it."""
    name = str(schema.get("$ref", "")).removeprefix("#/$defs/")
    found = schema.get("$defs", {}).get(name)
    return {**found, "$defs": schema["$defs"]} if found is not None else schema
