"""Indices: what is found, in which order, whatever the query; and what outlives a process."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.errors import ConfigError, EngineBusy, RequestFailed, UsageError
from weft.retrieval import EmbeddingEndpoint, FullText, Hybrid, Passage, Vectors, read_passages
from weft.testing import forbid_engines

BEES = [
    Passage("bees", "Bees make honey and live in hives.", source="insects"),
    Passage("ants", "Ants live in hills and carry leaves.", source="insects"),
    Passage("zurich", "Zürich lies on a lake; its trams are blue."),
    Passage("cjk", "蜜蜂在花园里采蜜"),
]


async def found(index: FullText, query: str, k: int = 5) -> list[str]:
    return [one.id for one in await index.search(query, k)]


async def test_words_find_passages_whatever_stands_in_the_query() -> None:
    with FullText(BEES) as index:
        for query in (
            "honey",
            "HONEY!",
            '"honey',
            "honey AND NOT",
            "NEAR(honey, 2)",
            "text:honey*",
            "-honey",
            "honey') --",
            "honey \ud83d\x00",
            "what is honey^2 {col}: (",
        ):
            assert (await found(index, query))[0] == "bees", query
        for query in ("", "  ", "?!*\"'", "\x00", "unknown", "\ud800"):
            assert await found(index, query) == []
        assert await found(index, "zurich tram") == ["zurich"]  # accents and endings don't matter
        assert await found(index, "蜜蜂") == ["cjk"]
        assert set(await found(index, "live")) == {"bees", "ants"}
        assert await found(index, "live in hives") == ["bees", "ants"]
        assert await found(index, "live", k=1) == ["ants"]  # of equals the first by id
        best = (await index.search("leaves"))[0]
        assert (best.text, best.source) == (BEES[1].text, "insects")
        assert best.score > 0
        assert await found(index, "honey " + " ".join(f"word{n}" for n in range(5000))) == ["bees"]


@given(st.text())
def test_no_query_is_an_error(query: str) -> None:
    import anyio

    anyio.run(_INDEX.search, query)


_INDEX = FullText(BEES)


async def test_bm25_weighs_rare_words_more() -> None:
    texts = [f"common filler number{n}" for n in range(8)] + ["rare word", "common common common"]
    with FullText(texts) as index:
        assert (await index.search("common rare"))[0].text == "rare word"


async def test_a_passage_takes_the_place_of_the_one_with_its_id(tmp_path: Path) -> None:
    file = tmp_path / "words.db"
    with FullText(BEES, file=file) as index:
        first = await index.version()
        await index.add([Passage("bees", "Wasps build nests of paper.")])
        assert await found(index, "honey") == []
        assert await found(index, "paper") == ["bees"]
        assert await index.version() != first
        await index.remove("ants", "nobody")
        assert await found(index, "leaves") == []
        assert len(index) == 3
    with FullText(file=file) as again:
        assert await found(again, "paper") == ["bees"]
        await again.add(BEES[:2])
        assert await again.version() == first  # the same passages, by another way
    with FullText(reversed(BEES)) as other:
        assert await other.version() == first


async def test_files_are_cut_into_passages(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "a.md").write_text("One.\n\nTwo.\n\n" + "long " * 30, encoding="utf-8-sig")
    (tmp_path / "b.bin").write_bytes(b"\xff\xfe\x00")
    (tmp_path / ".hidden").write_text("secret")
    passages = list(read_passages(tmp_path, size=40))
    assert [one.id for one in passages] == [f"deep/a.md#{n}" for n in range(1, 6)]
    assert passages[0].text == "One.\n\nTwo."
    assert passages[0].source.endswith("a.md")
    assert all(len(one.text) <= 40 for one in passages)
    assert " ".join(one.text for one in passages[1:]).split() == ["long"] * 30
    for wrong in (tmp_path / "b.bin", tmp_path / "nowhere"):
        with pytest.raises(UsageError, match="can't be read"):
            list(read_passages(wrong))


def test_files_that_are_no_index_are_told(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database at all, but long enough" * 40)
    for wrong in (tmp_path, tmp_path / "text", tmp_path / "no" / "folder" / "x"):
        with pytest.raises(ConfigError, match="file="):
            FullText(file=wrong)
    FullText(file=tmp_path / "words").close()
    with pytest.raises(ConfigError, match="is a full-text index"):
        Vectors(lambda texts: [[1.0]], file=tmp_path / "words")
    with pytest.raises(UsageError, match="no tokenizer"):
        FullText(words="klingon")
    with pytest.raises(UsageError, match="Passage or a str"):
        FullText([3])  # pyright: ignore[reportArgumentType]
    with pytest.raises(UsageError, match="must be a list"):
        FullText("bees")


ALONG = {"east": [1.0, 0.0], "north": [0.0, 2.0], "north-east": [3.0, 3.0], "nowhere": [0.0, 0.0]}


async def test_vectors_find_what_is_near(tmp_path: Path) -> None:
    pytest.importorskip("numpy")
    asked: list[list[str]] = []

    def embed(texts: Sequence[str]) -> list[list[float]]:
        asked.append(list(texts))
        return [ALONG[text] for text in texts]

    passages = [Passage(f"{n}", text) for n, text in enumerate(ALONG)]
    file = tmp_path / "vectors.db"
    with Vectors(embed, file=file, batch=3) as index:
        assert await index.search("east") == []
        assert not asked
        await index.add(passages)
        assert [len(texts) for texts in asked] == [3, 1]
        near = await index.search("north", 4)
        assert [one.text for one in near] == ["north", "north-east", "east", "nowhere"]
        assert near[1].score == pytest.approx(math.sqrt(0.5))
        await index.add(passages)  # nothing is new
        assert len(asked) == 3
    with Vectors(embed, file=file) as again:
        assert (await again.search("east", 1))[0].id == "0"
        await again.remove("0")
        assert (await again.search("east", 1))[0].id == "2"
        again._embed = lambda texts: [[1.0, 2.0, 3.0] for _ in texts]
        with pytest.raises(UsageError, match="3 numbers, those that are kept have 2"):
            await again.search("east")
        with pytest.raises(UsageError, match="3 numbers"):
            await again.add(["west"])
        assert len(again) == 3
        for wrong in ([[1.0]], [1.0, 2.0], [[math.nan], [1.0]], "ab", None):
            again._embed = lambda texts, wrong=wrong: wrong  # pyright: ignore
            with pytest.raises(UsageError, match="embed"):
                await again.add(["south", "west"])


async def test_ranks_are_fused() -> None:
    def fixed(*ids: str):
        async def search(query: str, k: int) -> list[Passage]:
            return [Passage(id, id.upper()) for id in ids][:k]

        return search

    async def broken(query: str, k: int) -> list[Passage]:
        raise ConnectionError("no line")

    both = await Hybrid(fixed("a", "b", "c"), fixed("b", "d"), constant=60).search("x", 3)
    assert [one.id for one in both] == ["b", "a", "d"]
    assert both[0].score == pytest.approx(1 / 62 + 1 / 61)
    assert both[1].score == pytest.approx(1 / 61)
    weighed = await Hybrid(fixed("a"), fixed("b"), weights=[1, 2]).search("x", 2)
    assert [one.id for one in weighed] == ["b", "a"]
    assert [one.id for one in await Hybrid(broken, fixed("a")).search("x", 2)] == ["a"]
    with pytest.raises(Exception, match="no line"):
        await Hybrid(broken, broken).search("x", 2)
    wrong: dict[str, Any]
    for wrong in ({"weights": [1]}, {"weights": [1, -1]}, {"constant": -1}, {"depth": 0}):
        with pytest.raises(UsageError):
            Hybrid(fixed("a"), fixed("b"), **wrong)


@contextmanager
def _serving(answers: list[tuple[int, object]], asked: list[dict[str, object]]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            asked.append({"path": self.path, "key": self.headers["authorization"], **body})
            status, said = answers.pop(0)
            text = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1"
        finally:
            server.shutdown()
            thread.join()


async def test_embeddings_of_an_endpoint() -> None:
    asked: list[dict[str, object]] = []
    rows = [{"index": 1, "embedding": [0, 1]}, {"index": 0, "embedding": [1, 0]}]
    answers: list[tuple[int, object]] = [
        (200, {"data": rows}),
        (429, {"error": {"message": "busy"}}),
        (200, {"data": rows[:1]}),
    ]
    with _serving(answers, asked) as url:
        embed = EmbeddingEndpoint("e5", url, api_key="k")
        assert await embed(["a", "b"]) == [[1, 0], [0, 1]]
        assert asked[0]["path"] == "/v1/embeddings"
        assert asked[0]["key"] == "Bearer k"
        assert (asked[0]["model"], asked[0]["input"]) == ("e5", ["a", "b"])
        with pytest.raises(EngineBusy):
            await embed(["a"])
        with pytest.raises(RequestFailed, match="no embedding"):
            await embed(["a", "b"])
        with forbid_engines(), pytest.raises(UsageError, match="forbidden"):
            await embed(["a"])
