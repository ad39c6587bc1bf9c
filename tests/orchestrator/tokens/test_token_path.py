"""Paths of tokens: right whatever is remembered, and only the end of a path is hashed."""

from __future__ import annotations

from typing import Any

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from weft import Pool, generate, run
from weft.backends.scripted.engine import ScriptedEngine
from weft.cache import block_hashes
from weft.cache.vllm_hashes import event_hashes, vllm_block_hashes
from weft.orchestrator.call import Call
from weft.orchestrator.tokens.token_path import PathMemo, TokenPath
from weft.programs.prompt import Prompt
from weft.types import Message, Request

IDS = st.lists(st.integers(0, 2**31), max_size=20)


@given(IDS, st.lists(st.tuples(st.integers(0, 100), IDS, st.booleans()), max_size=8))
def test_paths_that_branch_have_the_ids_and_hashes_of_their_own(root, branches):
    paths = [(TokenPath(tuple(root)), tuple(root))]
    for at, more, looked in branches:
        path, ids = paths[at % len(paths)]
        if looked:
            path.hashes(4)
            path.reported(4, "salt")
        paths.append((path.extended(more), (*ids, *more)))
    for path, ids in paths:
        assert path.tokens == ids
        assert len(path) == len(ids)
        assert path.hashes(4) == block_hashes.block_hashes(ids, 4)
        known = vllm_block_hashes(ids, 4, "salt")
        assert path.reported(4, "salt") == (known, event_hashes(known))


@given(IDS, IDS, st.slices(12), st.integers(-25, 25))
def test_a_path_is_a_sequence_of_its_ids_whether_others_go_on_from_it_or_not(root, more, cut, at):
    ids = tuple(root)
    path = TokenPath(ids)
    for _ in range(2):
        assert path == ids == tuple(path)
        assert hash(path) == hash(ids)
        assert path != (*ids, 1)
        assert path[cut] == ids[cut]
        assert path + ids == ids + ids
        if -len(ids) <= at < len(ids):
            assert path[at] == ids[at]
        else:
            with pytest.raises(IndexError):
                path[at]
        path.extended(more)


@given(st.lists(st.text(max_size=40), min_size=1, max_size=3))
def test_text_is_estimated_and_hashed_by_its_bytes(texts):
    messages = tuple(Message("user", text) for text in texts)
    text = "".join(f"user\0{text}\0" for text in texts).encode("utf-8", "surrogatepass")
    units = [int.from_bytes(text[i : i + 4], "big") for i in range(0, len(text), 4)]
    call = Call(Request("r", "m", messages))
    assert call.prompt_tokens == len(units)
    assert call.hashes(3) == block_hashes.block_hashes(units, 3)


def test_a_memo_keeps_what_was_used_last():
    memo = PathMemo(most=3 * 1024)
    paths = [memo.keep(i, TokenPath(tuple(range(300)))) for i in range(3)]
    assert memo.get(0) is paths[0]
    memo.keep(3, TokenPath(tuple(range(300))))
    assert memo.get(1) is None
    assert memo.get(0) is paths[0]
    huge = memo.keep(4, TokenPath(tuple(range(5000))))
    assert memo.get(4) is huge
    assert memo.get(0) is None


async def test_a_step_hashes_only_the_blocks_that_it_adds(monkeypatch, anyio_backend):
    hashed: list[int] = []
    plain = xxhash.xxh3_64_intdigest

    def counting(data: Any, seed: int = 0) -> int:
        hashed.append(seed)
        return plain(data, seed=seed)

    monkeypatch.setattr(block_hashes.xxhash, "xxh3_64_intdigest", counting)
    tokens = 4000
    engine = ScriptedEngine(lambda request: "word ", context=10_000)
    counts: list[int] = []

    async def path() -> None:
        prompt = Prompt.user("x" * tokens)
        for _ in range(6):
            hashed.clear()
            prompt = (await generate(prompt, max_tokens=5)).prompt
            counts.append(len(hashed))

    async with Pool(engine) as pool:
        await run(path, pool=pool)
    blocks = tokens // engine.block_size
    assert counts[0] >= blocks
    assert all(count < 5 for count in counts[1:])


@given(IDS, IDS)
def test_prefixes_of_an_adapter_are_its_own(root: list[int], more: list[int]) -> None:
    ids = (*root, *more)

    def call(adapter: str) -> Call:
        request = Request("r", "m", (), tokens=ids, adapter=adapter)
        return Call(request, path=TokenPath(tuple(root)))

    plain, one, same, other = map(call, ("", "one", "one", "other"))
    assert one.hashes(4) == same.hashes(4)
    assert len(one.hashes(4)) == len(plain.hashes(4))
    hashes = [set(each.hashes(4)) for each in (plain, one, other)]
    assert not hashes[0] & hashes[1]
    assert not hashes[1] & hashes[2]
    grown = one.grown(4, (1, 2, 3, 4, 5), 5)
    assert grown == Call(Request("r", "m", (), tokens=(*ids, 1, 2, 3, 4), adapter="one")).hashes(4)


@given(IDS, IDS)
def test_prefixes_under_a_cache_salt_are_their_own(root: list[int], more: list[int]) -> None:
    ids = (*root, *more)

    def call(salt: str, ids: tuple[int, ...]) -> Call:
        request = Request("r", "m", (), tokens=ids, cache_salt=salt)
        return Call(request, path=TokenPath(tuple(root)))

    plain, one, other = call("", ids), call("one", ids), call("other", ids)
    assert one.hashes(4) == call("one", ids).hashes(4)
    assert not set(one.hashes(4)) & {*plain.hashes(4), *other.hashes(4)}
    assert one.grown(4, (1, 2, 3, 4, 5), 5) == call("one", (*ids, 1, 2, 3, 4)).hashes(4)
