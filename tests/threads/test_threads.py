"""Threads: what is joined is the same in whatever order threads end, and nothing is lost."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft import Pool, Prompt, ScriptedEngine, budget
from weft.backends.scripted.engine import Scripted
from weft.errors import BudgetExceeded, RequestRejected, UsageError
from weft.threads import (
    Markup,
    fork_join,
    outline,
    parallel_paths,
    rounds,
    spawn,
    subsearches,
)
from weft.threads.fork_join import MARKUPS
from weft.threads.parallel_paths import shortened
from weft.types import Request

THREADWEAVER = MARKUPS["threadweaver"]
PLAN = "<Parallel>\n<Outlines>\n<Outline>1: left</Outline>\n<Outline>2: right</Outline>\n"


def _written(request: Request) -> str:
    """The answer so far."""
    return request.messages[-1].content if request.open else ""


def weaving(
    markup: Markup = THREADWEAVER, **threads: Scripted | str
) -> Callable[[Request], Scripted | str]:
    """A model that was trained for the marks."""

    def reply(request: Request) -> Scripted | str:
        text = _written(request)
        if text.endswith(markup.end):
            return " so 7 it is."
        for number, said in threads.items():
            if text.endswith(markup.thread.format(number=number[1:])):
                return said
        return "" if markup.outlines_end in text else f"Hm. {PLAN}{markup.outlines_end}"

    return reply


@pytest.mark.parametrize("markup", MARKUPS.values())
async def test_threads_are_joined_in_the_order_of_their_outlines(markup: Markup) -> None:
    end = markup.thread_end
    texts = {"t1": f" three{end}", "t2": f" four{end}"}
    for slow in ("t1", "t2"):
        said = {k: Scripted(v, seconds=0.002 if k == slow else 0.0) for k, v in texts.items()}
        async with Pool(engine := ScriptedEngine(weaving(markup, **said))):
            done = await fork_join(Prompt.user("3 + 4?"), markup)
        one, two = (markup.thread.format(number=n) for n in (1, 2))
        plan = f"Hm. {PLAN}{markup.outlines_end}"
        assert done.text == f"{plan}{one} three{end}{two} four{end}{markup.end} so 7 it is."
        assert (done.whole, done.threads, done.failed) == (True, 2, 0)
        # Threads begin from the same text, and do not see each other.
        begun = [r for r in engine.requests if re.search(r"(Thread|Path)>\n\d:$", _written(r))]
        assert {_written(r) for r in begun} == {plan + one, plan + two}
        lengths = len(f" three{end}"), len(f" four{end}")
        assert done.tokens - done.critical_tokens == min(lengths)


@pytest.mark.parametrize(
    "plan",
    [
        "<Parallel>\n<Outlines>\n",
        "<Parallel>\n<Outlines>\n<Outline>1: alone</Outline>\n",
        "<Parallel><Outline>1: a</Outline><Outline>1: b</Outline>",
        "<Parallel>" + "".join(f"<Outline>{n}: x</Outline>" for n in range(20)),
    ],
    ids=["none", "one", "twice the same", "too many"],
)
async def test_outlines_that_cannot_be_read_leave_the_answer_sequential(plan: str) -> None:
    def reply(request: Request) -> str:
        return " and 7." if THREADWEAVER.outlines_end in _written(request) else f"{plan}</Outlines>"

    async with Pool(ScriptedEngine(reply)):
        done = await fork_join(Prompt.user("?"))
    assert done.text == f"{plan}</Outlines> and 7."
    assert (done.threads, done.whole) == (0, True)
    assert done.tokens == done.critical_tokens


async def test_a_thread_that_fails_or_nests_harms_itself_alone() -> None:
    nested = " first <Parallel><Outlines><Outline>1: no</Outline></Outlines>"
    model = weaving(t1=nested, t2=Scripted(refuses="not this one"))
    async with Pool(ScriptedEngine(model)):
        done = await fork_join(Prompt.user("?"))
    assert "<Thread>\n1: first </Thread>\n<Thread>\n2:</Thread>\n</Parallel> so" in done.text
    assert (done.failed, done.whole) == (1, True)


@given(tokens=st.integers(1, 260))
async def test_at_every_budget_what_was_written_is_given(tokens: int) -> None:
    async with Pool(engine := ScriptedEngine(weaving(t1=" three</Thread>", t2=" 4</Thread>"))):
        with budget(tokens=tokens) as spent:
            try:
                done = await fork_join(Prompt.user("?"))
            except BudgetExceeded:
                assert not engine.requests  # not even a first token fits
                return
        assert spent.spent.total <= tokens
        assert engine.running == engine.waiting == 0
    whole = f"Hm. {PLAN}</Outlines>\n<Thread>\n1: three</Thread>\n<Thread>\n2: 4</Thread>"
    assert done.whole == done.text.endswith("it is.")
    assert done.text[:20] == (whole + "\n</Parallel> so 7 it is.")[: len(done.text)][:20]


async def test_a_parent_reads_results_alone() -> None:
    def reply(request: Request) -> Scripted | str:
        asked = request.messages[-1].content
        if asked == "search left":
            return Scripted("a long search\nand\nleft: 3", seconds=0.001)
        if asked == "search right":
            return Scripted(refuses="broken")
        if "->" in _written(request):
            return " So 3."
        return "Let me see <call>\nleft\nright\nup\n</call>"

    async with Pool(engine := ScriptedEngine(reply)):
        done = await subsearches(
            Prompt.user("?"), child=lambda part: Prompt.user(f"search {part}"), width=2
        )
    block = "Let me see <call>\nleft\nright\nup\n</call>"
    assert done.text == f"{block}\nleft -> left: 3\nright -> none\nup -> none\n So 3."
    assert (done.threads, done.failed, done.whole) == (2, 1, True)
    assert not any("long search" in _written(r) for r in engine.requests)


async def test_a_block_that_names_nothing_is_no_call() -> None:
    def reply(request: Request) -> str:
        return " So 3." if "</call>" in _written(request) else "a line\nanother</call>"

    async with Pool(engine := ScriptedEngine(reply)):
        done = await subsearches(Prompt.user("?"), child=Prompt.user)
    assert done.text == "a line\nanother</call> So 3."
    assert (done.threads, len(engine.requests)) == (0, 2)


async def test_what_a_failed_path_had_written_is_not_lost() -> None:
    async with Pool(ScriptedEngine(lambda request: Scripted("I know: 7", dies_after=9))):
        done = await parallel_paths(Prompt.user("?"), 1)
    assert (done.text, done.failed, done.whole) == ("I know: 7", 1, False)


async def test_the_first_path_cuts_the_others_off_and_all_are_read() -> None:
    def reply(request: Request) -> Scripted | str:
        asked = request.messages[-1].content
        if asked == "by hand":
            return Scripted("I count and ", seconds=0.002, endless=True)
        return Scripted("I know: 7", seconds=0.01) if asked == "by heart" else "7"

    async with Pool(engine := ScriptedEngine(reply)):
        done = await parallel_paths(Prompt.user("?"), 2, hints=["by hand", "by heart"])
        last = engine.requests[-1].messages[-1].content
    assert (done.text, done.whole, done.threads) == ("7", True, 2)
    assert last.index("1. I count") < last.index("2. I know: 7")
    assert engine.cancelled == 1


async def test_a_path_is_the_answer_where_none_can_be_written() -> None:
    def reply(request: Request) -> Scripted | str:
        merging = "attempts" in request.messages[-1].content
        return Scripted(refuses="no") if merging else "I know: 7"

    async with Pool(ScriptedEngine(reply)):
        done = await parallel_paths(Prompt.user("?"), 3)
    assert (done.text, done.whole) == ("I know: 7", False)
    async with Pool(ScriptedEngine(lambda request: Scripted(refuses="no"))):
        with pytest.raises(RequestRejected):
            await parallel_paths(Prompt.user("?"), 3)


@given(st.text(max_size=60), st.integers(1, 60))
def test_the_middle_is_left_out(text: str, most: int) -> None:
    short = shortened(text, most)
    assert len(short) <= most or short == text
    if len(text) <= most:
        assert short == text
    elif most > 12:
        assert short[:3] == text[:3]
        assert short[-3:] == text[-3:]


async def test_workers_write_behind_all_steps_so_far() -> None:
    steps = {"Ann": ["two\n\n", "same\n\n", "Final answer: 7\n\n"], "Bo": ["four\n\n"] * 3}

    def reply(request: Request) -> str:
        text = _written(request)
        if text.endswith("Final answer:"):
            return " 7"
        turn = re.findall(r"(\w+) \[(\d+)\]:", text)[-1]
        return steps[turn[0]][int(turn[1]) - 1]

    async with Pool(engine := ScriptedEngine(reply)):
        done = await rounds(Prompt.user("?"), ["Ann", "Bo"], check=2)
    assert done.text == "7"
    # `four` came three times, and stands there once.
    assert done.details["unique"] == pytest.approx(4 / 6)
    assert _written(engine.requests[-1]) == (
        "Ann [1]: two\n\nBo [1]: four\n\nAnn [2]: same\n\nAnn [3]: Final answer: 7\n\n"
        "\n\nFinal answer:"
    )
    histories = [_written(r).rpartition("\n\n")[0] for r in engine.requests[:-1]]
    assert all(b.startswith(a[: len(b)]) for a, b in pairwise(histories))
    assert sum("Quick check" in _written(r) for r in engine.requests) == 2


async def test_an_ordinary_model_is_asked_for_parts() -> None:
    def reply(request: Request) -> Scripted | str:
        asked = request.messages[-1].content
        if "as JSON" in asked:
            return '{"parts": ["left", "right"]}'
        if "part alone" in asked:
            return Scripted("3", seconds=0.01) if "left" in asked else "4"
        return ("left\n3\n\nright\n4" in asked and "7") or "?"

    async with Pool(ScriptedEngine(reply)):
        done = await outline(Prompt.user("3 + 4?"))
    assert (done.text, done.threads, done.whole) == ("7", 2, True)
    async with Pool(ScriptedEngine(["no JSON", "7"])):
        done = await outline(Prompt.user("3 + 4?"))
    assert (done.text, done.threads) == ("7", 0)


async def test_arguments_out_of_range_are_told() -> None:
    async with Pool(ScriptedEngine("x")):
        for wrong in (
            fork_join(Prompt.user("?"), max_tokens=0),
            fork_join(Prompt.user("?"), "threadweave"),
            parallel_paths(Prompt.user("?"), 0),
            rounds(Prompt.user("?"), ["a", "a"]),
            rounds(Prompt.user("?"), most=0),
            outline(Prompt.user("?"), most=1),
        ):
            with pytest.raises(UsageError):
                await wrong
        assert await spawn([]) == []
