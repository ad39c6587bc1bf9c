"""Large JSON read in pieces is what it is when read at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.service.client import json_pieces, json_writing
from weft.service.client.json_pieces import NoJson, TooDeep, TooMany, read_pieces, take_apart
from weft.service.client.json_writing import write_pieces

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.text('"\\\\\n,:[{é漢😀a'),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def plain(value: Any) -> bytes:
    return orjson.dumps(value)


def spaced(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2)


def escaped(value: Any) -> bytes:
    return json.dumps(value).encode()


@given(VALUES, st.integers(1, 40), st.sampled_from([plain, spaced, escaped]))
def test_pieces_make_the_whole(value: Any, piece: int, write: Callable[[Any], bytes]) -> None:
    raw = write(value)
    with patch.object(json_pieces, "_PIECE", piece):
        assert read_pieces(raw) == value


@given(VALUES, st.integers(1, 5))
def test_what_is_written_in_pieces_is_the_same(value: Any, few: int) -> None:
    with (
        patch.object(json_writing, "_FEW", few),
        patch.object(json_writing, "_BATCH", few),
        patch.object(json_writing, "_TEXT", few),
    ):
        assert write_pieces(value) == orjson.dumps(value)


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
    except (orjson.JSONDecodeError, NoJson) as error:
        return str(error)
    return ""


@pytest.mark.parametrize("depth", [240, 270, 1000, 2000, 100_000])
def test_depth_is_bounded(depth: int) -> None:
    raw = b'{"a":%b%b}' % (b"[" * depth, b"]" * depth)
    with patch.object(json_pieces, "_PIECE", 100):
        if depth < 250:
            assert read_pieces(raw) == orjson.loads(raw)
        else:
            with pytest.raises((TooDeep, NoJson)):
                read_pieces(raw)


def test_no_piece_is_large() -> None:
    """Whatever a body is full of, orjson never gets much of it at once."""
    text = 'Some "words"\n\tü and \\ more. '
    image = {"type": "image_url", "image_url": {"url": "data:;base64," + "QUJD" * 2000}}
    bodies: list[Any] = [
        text * 2000,
        {"prompt": text * 2000},
        {"messages": [{"role": "user", "content": text}] * 2000},
        {"messages": [{"role": "user", "content": [image] * 9}]},
        {"prompt": list(range(10_000))},
        {"prompt": [[1, 2, 3]] * 5000},
        {text * 2000: {"a": {"b": {"c": [text * 2000, 1]}}}},
    ]
    sizes: list[int] = []

    class Orjson:
        JSONDecodeError = orjson.JSONDecodeError

        @staticmethod
        def loads(raw: bytes) -> Any:
            sizes.append(len(raw))
            return orjson.loads(raw)

    for body in bodies:
        for raw in (plain(body), escaped(body)):
            with (
                patch.object(json_pieces, "_PIECE", 4000),
                patch.object(json_pieces, "orjson", Orjson),
            ):
                assert read_pieces(raw) == body
    assert max(sizes) < 10_000


def test_a_member_that_comes_twice_counts_as_the_last() -> None:
    raw = b'{"a":[1,2],"b":[3],"a":[4,5,6,7,8,9],"c":{"d":1,"d":[1,2,3,4,5,6,7]}}'
    for piece in range(1, len(raw)):
        with patch.object(json_pieces, "_PIECE", piece):
            assert read_pieces(raw)["c"] == orjson.loads(raw)["c"]


@pytest.mark.parametrize("piece", [b"[]", b"{}", b'{"a":1}', b"[[],{}]", b'"x":{}'])
def test_there_may_be_only_so_many_lists_and_objects(piece: bytes) -> None:
    begin, end = (b"{", b"}") if piece.startswith(b'"') else (b"[", b"]")
    some = b",".join([piece] * 100)
    raw = b'{"text":"%b","x":%b%b%b}' % (b"[{" * 1000, begin, some, end)
    least = 102 + 100 * (piece == b"[[],{}]") * 2
    for containers, bound in ((least, TooMany), (least + 2, None)):
        with (
            patch.object(json_pieces, "_PIECE", 50),
            patch.object(json_pieces, "CONTAINERS", containers - 1),
        ):
            assert read_pieces(raw, bounded=False) == orjson.loads(raw)
            if bound is None:
                read_pieces(raw)
            else:
                with pytest.raises(bound):
                    read_pieces(raw)


@pytest.mark.parametrize(
    ("bound", "value"), [("MEMBERS", {str(n): n for n in range(98)}), ("VALUES", [1] * 100)]
)
def test_there_may_be_only_so_many_members_and_values(bound: str, value: Any) -> None:
    raw = orjson.dumps({"text": ":," * 1000, "x": value})
    for most in (99, 100):
        with patch.object(json_pieces, "_PIECE", 50), patch.object(json_pieces, bound, most):
            if most == 100:
                assert read_pieces(raw) == orjson.loads(raw)
            else:
                with pytest.raises(TooMany):
                    read_pieces(raw)


@given(VALUES)
def test_what_is_taken_apart_holds_nothing(value: Any) -> None:
    with patch.object(json_pieces, "_FREED", 2):
        take_apart(value)
    assert not isinstance(value, list | dict) or not value
