"""Paths that are passed on without being scheduled, as the configuration lists them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from weft.service.protocols.protocol import Body
from weft.service.protocols.unscheduled.unscheduled import Unscheduled

METHODS = frozenset(("GET", "POST", "PUT", "PATCH", "DELETE"))
_BOUNDARY = re.compile(r'boundary=(?:"([^"]+)"|([^;\s]+))', re.IGNORECASE)
_FIELD = re.compile(
    rb"\r\n(?:[^\r\n]+\r\n)*?"
    rb'content-disposition: *form-data; *name="?model"? *\r\n(?:[^\r\n]+\r\n)*\r\n'
    rb"([^\r\n]{1,1000})\r\n",
    re.IGNORECASE,
)
"""The part of a form that is its field `model`, between two boundaries."""
_LONGEST = 2000  # bytes of such a part
_PARTS = 1000  # of a form that are looked at
_WRONG = (msgspec.DecodeError, ValueError, RecursionError)  # what is no JSON, or no UTF-8
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Passed(Unscheduled):
    """An endpoint of which nothing is read but the model that a request names, if it does.

    Args:
        path: as the configuration has it.
    """

    def __init__(self, path: str) -> None:
        self.path = path

    def check(self, body: Body) -> str:
        """Nothing is wrong, as far as weft knows."""
        return ""


class StoredResponse(Passed):
    """A response that an engine keeps: `/v1/responses/{id}`, its items, and its cancelling."""

    @staticmethod
    def of(path: str) -> StoredResponse | None:
        """The endpoint of a path; None if it is none of these."""
        found = None if _leads_up(path) else _STORED.fullmatch(path)
        return _STORED_PATHS[found[2] or ""] if found else None

    @staticmethod
    def id(path: str) -> str:
        """The response that a path names."""
        found = _STORED.fullmatch(path)
        return found[1] if found else ""


_STORED = re.compile(r"/v1/responses/([^/]+)(/cancel|/input_items)?")
_STORED_PATHS = {
    rest: StoredResponse("/v1/responses/{id}" + rest) for rest in ("", "/cancel", "/input_items")
}


class PassedPaths:
    """Finds the listed path that a request's path belongs to.

    Args:
        listed: paths, and beginnings of paths that end in `*`.
    """

    def __init__(self, listed: Iterable[str]) -> None:
        found = {path: Passed(path) for path in listed}
        self._whole = {path: one for path, one in found.items() if not path.endswith("*")}
        self._begun = {path[:-1]: one for path, one in found.items() if path.endswith("*")}

    def get(self, path: str) -> Passed | None:
        """The endpoint of a path; None if it is not passed on."""
        found = self._whole.get(path)
        if found is not None or not self._begun or _leads_up(path):
            return found
        return next((one for begun, one in self._begun.items() if path.startswith(begun)), None)


def _leads_up(path: str) -> bool:
    """Whether a path may end elsewhere than it begins, once a server has simplified it."""
    return not {".", ".."}.isdisjoint(path.split("/"))


def is_form(kind: str) -> bool:
    """Whether a body of a content type is a form with files."""
    return kind.lower().startswith("multipart/form-data")


def asked_model(kind: str, raw: bytes) -> str:
    """The model that a body names, in JSON or in a form; empty if it names none."""
    if is_form(kind):
        found = _field(kind, raw)
        return found[1].decode("utf-8", "replace").strip() if found else ""
    try:
        model: Any = msgspec.json.decode(_object(raw).get("model", b"null"))
    except _WRONG:
        return ""
    return model if isinstance(model, str) else ""


def renamed(kind: str, raw: bytes, model: str) -> bytes:
    """A body that names another model."""
    if is_form(kind):
        found = _field(kind, raw)
        return raw[: found.start(1)] + model.encode() + raw[found.end(1) :] if found else raw
    return msgspec.json.encode({**_object(raw), "model": model})


def _object(raw: bytes) -> dict[str, msgspec.Raw]:
    """The members of an object, each as it is written; none if it is no object."""
    try:
        return _members.decode(raw)
    except _WRONG:
        return {}


def _field(kind: str, raw: bytes) -> re.Match[bytes] | None:
    """The field `model` of a form.

    The form is cut at its boundaries first: a search through all of it could take hours.
    """
    told = _BOUNDARY.search(kind)
    if told is None:
        return None
    mark = b"--" + (told[1] or told[2]).encode("latin-1", "replace")
    start = raw.find(mark) + len(mark)
    for _ in range(_PARTS):
        end = raw.find(mark, start)
        if end < 0:
            return None
        if end - start <= _LONGEST and (found := _FIELD.fullmatch(raw, start, end)):
            return found
        start = end + len(mark)
    return None
