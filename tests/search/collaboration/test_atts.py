"""ATTS: of the small model's chunks the stated share is refused, in whatever order they come."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from weft.backends.scripted.engine import Scripted
from weft.errors import RequestRejected
from weft.search import Atts, Question
from weft.search.collaboration.atts import at_least
from weft.types import Request


def number(request: Request) -> str:
    """Chunks of three digits, by chance."""
    return f"{(request.sampling.seed or 0) % 1000:03}..."


def likes(drift: float = 1.0) -> Callable[[Request], dict[str, float]]:
    """The larger a chunk's number the better; later ones are less good, if they drift."""

    def grade(request: Request) -> dict[str, float]:
        text = request.messages[-3].content
        share = int(text[-3:]) / 1000 * (drift if len(text) > 3 else 1)
        return {"9": share, "0": 1 - share}

    return grade


@pytest.fixture
def chunks(question: Question) -> Question:
    """Answers of three chunks, of which the last one is the answer."""
    return replace(
        question, answer=lambda text: text[-3:], complete=lambda text: len(text) > 8, think=None
    )


@pytest.mark.parametrize(
    ("n", "refuse", "first"),
    [(19, 0.4, 7), (19, 0.05, 0), (39, 0.05, 1), (4, 0.5, 1), (5, 0, 0), (5, 1, 5), (1, 0.4, 0)],
)
async def test_the_share_of_first_chunks_that_are_refused(
    n: int, refuse: float, first: int, pair, chunks
) -> None:
    """The bound is the ceil((n + 1)(1 - refuse))-th of n scores; those beyond it are refused."""
    both = pair(number, "LLL...", likes(), pieces=())
    done = await both.answer(Atts(n=n, refuse=refuse, every=3), chunks)
    anew = [r for r in both.large.requests if not r.ask and not r.open]
    assert len(anew) == first
    details = done.value.details
    assert details["chunks"] == 3 * n
    assert details["refused"] == len([r for r in both.large.requests if not r.ask])
    assert not details["drifted"]
    if refuse in (0, 1):
        assert details["refused"] == refuse * 3 * n
        assert details["solver_tokens"] == 3 * details["refused"]


async def test_scores_that_drift_are_told(pair, chunks) -> None:
    both = pair(number, "LLL...", likes(0.1), pieces=())
    details = (await both.answer(Atts(n=19, every=3), chunks)).value.details
    assert details["drifted"]
    assert details["refused"] == 7 + 2 * 19


def test_how_likely_so_many_are() -> None:
    assert at_least(2, 2, 0.4) == pytest.approx(0.16)
    assert at_least(1, 2, 0.4) == pytest.approx(1 - 0.36)
    assert at_least(0, 0, 0.4) == pytest.approx(1)
    assert at_least(5000, 9000, 0.4) < 1e-9
    assert (at_least(3, 3, 1), at_least(0, 3, 0), at_least(1, 3, 0)) == (1, 1, 0)


@pytest.mark.loops("virtual")
async def test_the_order_of_completion_changes_nothing(pair, chunks) -> None:
    found = []
    for salt in (1, 7, 31):

        def slow(request: Request, salt: int = salt) -> Scripted:
            return Scripted(number(request), seconds=(request.sampling.seed or 0) * salt % 97)

        both = pair(slow, "LLL...", likes(), pieces=())
        found.append((await both.answer(Atts(n=9, every=3), chunks)).value)
    assert found[0] == found[1] == found[2]


async def test_the_last_chunk_goes_on_to_the_end(pair, chunks) -> None:
    both = pair(number, "LLL and on", likes(), pieces=())
    answer = (await both.answer(Atts(n=2, every=3, turns=2, refuse=0), chunks)).value
    assert (answer.text or "")[3:] == "LLL and on"
    assert answer.details["chunks"] == 4


async def test_where_one_model_fails_the_other_answers(pair, chunks) -> None:
    def refuses(request: Request) -> str:
        raise RequestRejected("not today")

    both = pair(refuses, "LLL...", likes(), pieces=())
    assert (await both.answer(Atts(n=3, every=3), chunks)).value.text == "LLLLLLLLL"
    both = pair(number, refuses, likes(), pieces=())
    answer = (await both.answer(Atts(n=3, every=3, refuse=1), chunks)).value
    assert (answer.text or "L").isdigit()
    with pytest.raises(RequestRejected, match="not today"):
        await pair(refuses, refuses).answer(Atts(n=3), chunks)
