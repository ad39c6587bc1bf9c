"""Large JSON read in pieces is what it is when read at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weft.service.client import json_pieces
from weft.service.client.json_pieces import TooDeep, read_pieces

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@settings(max_examples=50)
@given(VALUES, st.integers(0, 40), st.booleans())
def test_pieces_make_the_whole(value: Any, piece: int, spaced: bool) -> None:
    raw = orjson.dumps(value, option=orjson.OPT_INDENT_2 if spaced else 0)
    with patch.object(json_pieces, "_PIECE", piece):
        assert read_pieces(raw) == value


@settings(max_examples=50)
@given(VALUES, st.data())
def test_what_is_no_json_is_refused_in_pieces_too(value: Any, data: st.DataObject) -> None:
    raw = orjson.dumps([value, {"a": value}])
    at = data.draw(st.integers(0, len(raw) - 1))
    for broken in (raw[:at], raw[:at] + b"\xff" + raw[at + 1 :]):
        said = problem_of(orjson.loads, broken)
        with patch.object(json_pieces, "_PIECE", 4):
            assert problem_of(read_pieces, broken) == said


def problem_of(read: Callable[[bytes], Any], raw: bytes) -> str:
    try:
        read(raw)
    except orjson.JSONDecodeError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("depth", [240, 270, 1000, 2000, 100_000])
def test_depth_is_bounded(depth: int) -> None:
    raw = b'{"a":%b%b}' % (b"[" * depth, b"]" * depth)
    with patch.object(json_pieces, "_PIECE", 100):
        if depth < 250:
            assert read_pieces(raw) == orjson.loads(raw)
        else:
            with pytest.raises((TooDeep, orjson.JSONDecodeError)):
                read_pieces(raw)
