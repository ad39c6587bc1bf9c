"""Programs that look things up: they end, keep within their limits, and lose no answer."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from typing import Any

import anyio
import pytest

from weft import Pool, Prompt, ScriptedEngine, Store, budget, generate, run
from weft.backends.scripted.engine import Scripted
from weft.errors import EngineError, UsageError
from weft.retrieval import (
    FullText,
    Passage,
    Searcher,
    Shot,
    answers_stay,
    auto_rag,
    compress,
    drag,
    iter_drag,
    parallel_search,
)
from weft.retrieval.answering.lines import FINAL, QUERY, final, lines_of, marked
from weft.types import Request

CORPUS = [
    Passage("1-film", "The film Bees of Ur was directed by Ada Quill."),
    Passage("2-quill", "Ada Quill was born in the town of Marsh."),
    Passage("3-marsh", "The town of Marsh lies on the river Tarn."),
    *(
        Passage(f"9-filler{n}", f"Filler text number {n} about weather and bread.")
        for n in range(9)
    ),
]
Model = Callable[[Request], Scripted | str]


def said(request: Request) -> str:
    """All that the model has read."""
    return "\n".join(message.content for message in request.messages)


def last(request: Request) -> str:
    return request.messages[-1].content


def hops(request: Request) -> str:
    """A model that follows facts: it answers by what it has read, in a form of its own."""
    read = said(request)
    if "river Tarn" in read:
        return "Marsh lies on a river.\n**Final Answer:** *the Tarn*."
    if "town of Marsh" in read:
        return "So where does it lie?\nquery: river at town Marsh"
    if "Ada Quill" in read:
        return "Who is she? **Query:** `Ada Quill born`"
    return "I need the film.\nQUERY: director of film Bees of Ur"


async def answer(
    model: Model | Sequence[str | Scripted], program: Any, *args: Any, **settings: Any
) -> Any:
    async with Pool(ScriptedEngine(model)):
        return await program("On which river?", FullText(CORPUS), *args, **settings)


async def test_auto_rag_follows_the_facts_and_ends_by_itself() -> None:
    done = await answer(hops, auto_rag, k=1)
    assert done.text == "the Tarn."
    assert (done.whole, done.forced, done.searches, done.failed) == (True, False, 3, 0)
    assert [one.id for one in done.passages] == ["1-film", "2-quill", "3-marsh"]
    assert done.rounds == 4
    assert done.input_tokens > 0


async def test_auto_rag_stops_at_its_limits_and_never_shows_a_passage_twice() -> None:
    seen: list[str] = []

    def asks(request: Request) -> str:
        if last(request).startswith("Write a short passage"):
            return "from memory"
        if last(request).startswith("Nothing more"):
            return "Final answer: forty"
        seen.extend(re.findall(r"^\[(.*?)\]", last(request), re.M))
        return "Query: filler weather bread"

    done = await answer(asks, auto_rag, k=2, rounds=3, recalls=2)
    assert (done.searches, done.details["recalled"], done.forced) == (3, 2, True)
    assert len(seen) == len(set(seen)) == 6
    assert done.text == "forty"
    assert done.whole


@pytest.mark.parametrize(
    ("replies", "text", "forced"),
    [
        (["hm", "Final answer: 4"], "4", False),  # mended
        (["hm", "hm", "Final answer: 5"], "5", True),
        (["hm", "hm", "It is 6."], "It is 6.", True),
        (["Query:\n", "Query: bread", "The final answer is 7"], "7", False),
        (["Answer: not yet\nQuery: bread", "Final answer: 8"], "8", False),
        (["Query: bread\nPassages: made up\nFinal answer: 9", "Final answer: 10"], "10", False),
        (["<think>Final answer: 1</think>Final answer: 2"], "2", False),
    ],
)
async def test_auto_rag_reads_what_models_write(
    replies: list[str], text: str, forced: bool
) -> None:
    done = await answer(replies, auto_rag)
    assert (done.text, done.forced, done.whole) == (text, forced, True)


async def test_auto_rag_gives_what_can_be_read_when_a_budget_or_an_engine_ends_it() -> None:
    replies = ["Query: bread\n\nFinal answer: perhaps 3", Scripted("never", refuses="no")]
    done = await answer(replies, auto_rag)
    assert (done.text, done.whole, done.searches) == ("perhaps 3", False, 1)
    async with Pool(ScriptedEngine("Query: bread\n\nFinal answer: perhaps 3")):
        with budget(calls=2):
            done = await auto_rag("x?", FullText(CORPUS))
    assert (done.text, done.whole, done.rounds) == ("perhaps 3", False, 2)

    async def asks(query: str, k: int) -> list[str]:
        return [(await generate(Prompt.user(query))).text]

    async with Pool(ScriptedEngine("Query: bread\n\nFinal answer: perhaps 3")):
        with budget(calls=1):  # which ends within the retriever
            done = await auto_rag("x?", asks)
    assert (done.text, done.whole, done.failed) == ("perhaps 3", False, 1)
    async with Pool(ScriptedEngine("Final answer: 1234567890")):
        tokens = (await auto_rag("x?", FullText(CORPUS))).input_tokens
        with budget(tokens=tokens + len("Final answer: 1234")):
            done = await auto_rag("x?", FullText(CORPUS))
    assert (done.text, done.whole) == ("1234", False)
    with pytest.raises(EngineError):
        await answer([Scripted("", refuses="no")], auto_rag)


async def test_a_retriever_that_fails_is_told_to_the_model() -> None:
    async def broken(query: str, k: int) -> list[Passage]:
        raise ConnectionError("down")

    def model(request: Request) -> str:
        return "Final answer: unknown" if "failed" in last(request) else "Query: x"

    async with Pool(ScriptedEngine(model)):
        done = await auto_rag("x?", broken)
        assert (done.text, done.searches, done.failed) == ("unknown", 1, 1)
        assert (await drag("x?", broken)).failed == 1

    def searches(request: Request) -> str:
        if "the search failed" in last(request):
            return "Final answer: nothing"
        return "<search>a;\nb</search>"

    async with Pool(ScriptedEngine(searches)):
        done = await parallel_search("x?", broken)
    assert (done.text, done.searches, done.failed, done.whole) == ("nothing", 2, 2, True)


def fan(request: Request) -> str:
    """A model that needs several facts at once."""
    text = last(request)
    if text.startswith("What do these passages say"):
        return "condensed " + text.split("about: ")[1].split("\n")[0]
    if "Results for" in said(request):
        return "All is there.\nFinal answer: done"
    return "I look.\n<SEARCH>\n1. Ada Quill;\n2. the river Tarn;\n3. ADA  quill\n</SEARCH> rest"


async def test_parallel_queries_take_one_turn_and_stand_in_their_order() -> None:
    async with Pool(engine := ScriptedEngine(fan)):
        done = await parallel_search("x?", FullText(CORPUS), k=2, order="best first")
    assert (done.text, done.searches, done.details["turns"]) == ("done", 2, 1)
    results = engine.requests[-1].messages[-1].content
    assert results.split("\n\n") == [
        "Results for: Ada Quill\ncondensed Ada Quill",
        "Results for: the river Tarn\ncondensed the river Tarn",
        "Results for: ADA  quill\ncondensed Ada Quill",
    ]
    assert done.passages[0].id in ("1-film", "2-quill")
    assert len(done.passages) <= 4
    assert [one.id for one in done.passages][2:] == ["3-marsh"]


async def test_chained_queries_take_as_many_turns_and_those_known_come_from_before() -> None:
    def chained(request: Request) -> str:
        if last(request).startswith("Nothing more"):
            return "Tarn"
        return f"<search>{'bread' if 'bread' in last(request) else 'Bread '}</search>"

    async with Pool(engine := ScriptedEngine(chained)):
        done = await parallel_search("x?", FullText(CORPUS), k=1, turns=3, condense=False)
    assert (done.text, done.forced, done.details["turns"], done.searches) == ("Tarn", True, 3, 1)
    assert done.details["repeated"] == 2
    assert len(engine.requests) == 5
    wide = ["<search>\n" + "\n".join("abcde") + "\n</search>", "The answer"]
    done = await answer(wide, parallel_search, width=2, condense=False)
    assert done.searches == 2
    assert "not looked up" in done.prompt.messages[2].content


async def test_a_helper_that_fails_leaves_the_passages() -> None:
    def model(request: Request) -> str | Scripted:
        if last(request).startswith("What do these"):
            return Scripted("x", refuses="no")
        return "Final answer: ok" if "Results" in last(request) else "<search>Ada</search>"

    async with Pool(engine := ScriptedEngine(model)):
        done = await parallel_search("x?", FullText(CORPUS), k=1)
    assert done.text == "ok"
    assert "Ada Quill" in last(engine.requests[-1])


async def test_drag_has_what_fits_in_canonical_order() -> None:
    shots = [Shot("Who?", "she", (CORPUS[0],)), Shot("What?", "it")]

    def model(request: Request) -> str:
        return f"Final answer: {len(said(request))}"

    async with Pool(engine := ScriptedEngine(model)):
        full = await drag("Marsh filler?", FullText(CORPUS), documents=5, shots=shots)
        text = last(engine.requests[-1])
        ids = re.findall(r"^\[(.*?)\]", text, re.M)
        assert ids[0] == "1-film"
        assert ids[1:] == sorted(ids[1:])
        assert len(ids) == 6
        assert text.endswith("Question: Marsh filler?")
        assert "Final answer: she" in text
        assert full.input_tokens > 0
        assert full.details["shots"] == 2
        for context in range(full.input_tokens, 180, -97):
            less = await drag(
                "Marsh filler?", FullText(CORPUS), documents=5, shots=shots, context=context
            )
            assert less.input_tokens <= context
        bare = await drag("Marsh filler?", FullText(CORPUS), documents=0, shots=shots)
        for context, kept in ((bare.input_tokens, 2), (bare.input_tokens - 1, 1)):
            less = await drag(
                "Marsh filler?", FullText(CORPUS), documents=5, shots=shots, context=context
            )
            assert (less.passages, less.details["shots"]) == ((), kept)
        with pytest.raises(UsageError, match="no room for the question"):
            await drag("x?", FullText(CORPUS), context=10)
        none = await drag("x?", FullText(CORPUS), documents=0)
        assert none.searches == 0


def steps(request: Request) -> str:
    read = said(request)
    if "Answer now" in last(request) or "Follow up:" not in read or "river Tarn" in read:
        return "Intermediate answer: on a river\nSo the final answer is: the Tarn"
    if "town of Marsh" in read:
        return "Intermediate answer: in Marsh\nFollow up: on which river lies town Marsh?"
    return "Follow-up question: where was Ada Quill born?"


async def test_iter_drag_follows_up_and_its_prompts_grow_at_the_end() -> None:
    async with Pool(engine := ScriptedEngine(steps)):
        done = await iter_drag("Director of film Bees of Ur?", FullText(CORPUS), documents=1)
        assert (done.text, done.whole, done.forced, done.rounds) == ("the Tarn", True, False, 3)
        assert done.details["intermediate"] == [
            ("where was Ada Quill born?", "in Marsh"),
            ("on which river lies town Marsh?", "on a river"),
        ]
        prompts = [tuple(r.tokens or ()) for r in engine.requests]
        for before, after in itertools.pairwise(prompts):
            assert after[: len(before)] == before
        assert done.input_tokens == sum(map(len, prompts))
        whole = done.input_tokens
        for context in range(whole + 400, 560, -111):
            engine.requests.clear()
            less = await iter_drag(
                "Director of film Bees of Ur?",
                FullText(CORPUS),
                documents=1,
                context=context,
                step_tokens=80,
            )
            used = sum(len(r.tokens or ()) for r in engine.requests)
            assert less.input_tokens == used <= context
            assert less.text == "the Tarn"


@pytest.mark.parametrize("iterations", [1, 2, 3])
async def test_iter_drag_answers_in_its_last_iteration(iterations: int) -> None:
    def never(request: Request) -> str:
        asked = "Answer now" in last(request) or "Follow up:" not in said(request)
        return "Final answer: 3" if asked else "Follow up: more bread?"

    async with Pool(engine := ScriptedEngine(never)):
        done = await iter_drag("x?", FullText(CORPUS), iterations=iterations)
    assert (done.text, done.forced, len(engine.requests)) == ("3", True, iterations)
    assert done.searches == iterations
    mended = await answer(["hm", "hm", "Final answer: 4"], iter_drag)
    assert (mended.text, mended.forced, mended.rounds) == ("4", True, 3)


async def test_a_shorter_text_is_taken_only_if_answers_stay() -> None:
    text = "The code is 42. " + "This sentence says nothing at all. " * 5 + "No."

    def model(request: Request) -> str:
        asked = last(request)
        if asked.startswith("Shorten"):
            words = int(re.findall(r"most (\d+) words", asked)[0])
            return "Nothing." if words < 15 else "The code is 42." if words < 25 else text
        return "No" if "42" not in asked else "Yes" if len(asked) < 100 else "yes!"

    async with Pool(ScriptedEngine(model)):
        utility = answers_stay(["Is there a code?"])
        done = await compress(text, utility)
        assert done.text == "The code is 42."
        assert done.tokens < done.original
        assert (done.utility, done.before) == (1.0, 1.0)
        assert [score for _, score in done.tried] == [0.0, 1.0]
        kept = await compress(text, answers_stay(["Is there a code?"]), shares=[0.25, 0.9])
        assert kept.text == text
        assert [score for _, score in kept.tried] == [0.0, None]

        async def broken(text: str) -> float:
            if len(text) < 100:
                raise ValueError("no")
            return 1.0

        assert (await compress(text, broken)).text == text
        with budget(calls=1):
            assert (await compress(text, answers_stay(["Is there a code?"]))).text == text
        with budget(calls=2):
            assert (await compress(text, answers_stay(["Is there a code?"]))).text == text


async def test_a_killed_run_pays_nothing_twice_and_sees_what_it_saw() -> None:
    asked: list[str] = []
    index = FullText(CORPUS)

    async def search(query: str, k: int) -> Sequence[Passage]:
        asked.append(query)
        return await index.search(query, k)

    async def research() -> Any:
        return await auto_rag("On which river?", Searcher(search), k=1)

    with Store() as store:
        counts: list[int] = []
        for stops in (True, False, False):
            reached = anyio.Event()

            def model(request: Request, stops: bool = stops, reached: Any = reached) -> Any:
                if stops and "Ada Quill was born" in said(request):
                    reached.set()
                    return Scripted("", hangs=True)
                return hops(request)

            async with Pool(engine := ScriptedEngine(model), store=store) as pool:
                async with anyio.create_task_group() as tasks:

                    async def killed(scope: anyio.CancelScope, reached: Any = reached) -> None:
                        await reached.wait()
                        scope.cancel()

                    tasks.start_soon(killed, tasks.cancel_scope)
                    done = await run(research, pool=pool, id="r")
                    tasks.cancel_scope.cancel()
                counts.append(len(engine.requests))
                assert engine.running == 0
        assert counts == [3, 2, 0]
        assert len(asked) == 3
        assert done.value.text == "the Tarn."
        assert [one.id for one in done.value.passages] == ["1-film", "2-quill", "3-marsh"]


def test_marked_lines() -> None:
    text = '> **Query:** "bees"\n- final ANSWER : 42\nThe answer: 7. So the final answer is: x'
    assert [tuple(part) for part in marked(text, query=QUERY, final=FINAL)] == [
        ("query", '"bees"'),
        ("final", "42"),
        ("final", "7."),
        ("final", "x"),
    ]
    assert marked(text, query=QUERY)[0].line == "bees"
    assert final(marked("an answer: 3", final=FINAL)) == ""
    assert final(marked("Final answer:\n\na\nb", final=FINAL)) == "a\nb"
    assert list(lines_of(' 1. "a b";\n- c\n\n;;*\n 2020 census')) == ["a b", "c", "2020 census"]


@pytest.mark.parametrize("program", [auto_rag, parallel_search, drag, iter_drag])
async def test_what_is_no_question_is_told(program: Any) -> None:
    for question in ("", "  ", 3, Prompt.user("x")):
        with pytest.raises(UsageError, match="question="):
            await answer("x", lambda _, index, q=question: program(q, index))
    for wrong in ({"most": 0}, {"order": "random"}):
        with pytest.raises(UsageError):
            await answer("<search>bread</search>\nQuery: bread", program, **wrong)
