"""Runs with an id: what they did once is not done again."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import anyio
import anyio.lowlevel
import pytest
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from weft import (
    Pool,
    Prompt,
    ScriptedEngine,
    Store,
    ask_person,
    fan_out,
    generate,
    once,
    program,
    run,
    sleep,
)
from weft.cli.main import app
from weft.errors import RunCancelled, RunChanged, UsageError
from weft.programs.durable import named_run
from weft.programs.durable.manage import answer, cancel, forget, fork
from weft.store.kept_runs import KeptRuns


@dataclass
class Mail:
    to: str
    size: int


async def _until(what: Any) -> None:
    with anyio.fail_after(20):
        while not what():  # noqa: ASYNC110 - what is in a database, tells nobody
            await anyio.sleep(0.01)


async def test_what_was_done_is_not_done_again_and_the_key_stays() -> None:
    sent: list[str] = []
    breaks = True

    @once
    async def send(mail: Mail, *, key: str) -> Mail:
        sent.append(f"{mail.to} {key}")
        if breaks and len(sent) == 2:
            raise ConnectionError("the line broke")  # after the effect
        return mail

    @program
    async def two(to: str) -> list[Mail]:
        text = (await generate(Prompt.user(to))).text
        return [await send(Mail(text, n)) for n in (1, 2)]

    engine = ScriptedEngine("bees")
    async with Pool(engine, store=Store()) as pool:
        with pytest.raises(ConnectionError):
            await run(two, "to", pool=pool, id="mail")
        breaks = False
        done = await run(two, "to", pool=pool, id="mail")
        again = await run(two, "to", pool=pool, id="mail")
    assert done.value == again.value == [Mail("bees", 1), Mail("bees", 2)]
    assert [one.split()[0] for one in sent] == ["bees"] * 3
    assert len(engine.requests) == 1
    assert sent[1] == sent[2] != sent[0]
    assert done.usage == again.usage


async def test_a_key_of_the_program_is_done_once_whatever_the_arguments() -> None:
    sent: list[int] = []

    @once
    async def send(number: int, *, key: str) -> int:
        sent.append(number)
        return number

    async def sends() -> list[int]:
        return [await send(1, key="mine"), await send(2, key="mine"), await send(3, key="other")]

    async with Pool(ScriptedEngine("x"), store=Store()) as pool:
        assert (await run(sends, pool=pool, id="r")).value == [1, 1, 3]
        assert (await run(sends, pool=pool, id="r")).value == [1, 1, 3]
    assert sent == [1, 3]


async def test_outside_a_run_with_an_id_nothing_is_kept() -> None:
    keys: list[str] = []

    @once
    async def act(*, key: str) -> int:
        keys.append(key)
        return len(keys)

    async def both() -> tuple[int, int]:
        return await act(), await act()

    assert await both() == (1, 2)
    async with Pool(ScriptedEngine("x"), store=Store()) as pool:
        assert (await run(both, pool=pool)).value == (3, 4)
        assert (await run(both, pool=pool)).value == (5, 6)
        with pytest.raises(UsageError, match="ask_person needs a run"):
            await run(ask_person, "May I?", pool=pool)
    assert len(set(keys)) == 6


async def test_another_course_is_an_error_before_anything_is_done() -> None:
    done: list[str] = []

    @once
    async def act(what: str) -> None:
        done.append(what)

    what = ["a", "b"]

    @program
    async def acts() -> None:
        for one in what:
            await act(one)
        raise ConnectionError("and ends")

    async with Pool(ScriptedEngine("x"), store=Store()) as pool:
        with pytest.raises(ConnectionError):
            await run(acts, pool=pool, id="r")
        what[0] = "c"
        with pytest.raises(RunChanged, match=r'did act\(\{"what": "a"\}\) before, and now .*"c"'):
            await run(acts, pool=pool, id="r")
        assert done == ["a", "b"]
        assert pool.store is not None
        fork(pool.store, "r", "s", at=1)
        with pytest.raises(ConnectionError):
            await run(acts, pool=pool, id="s")
    assert done == ["a", "b", "c", "b"]


async def test_a_fork_does_anew_what_comes_from_a_deed_on(store_place: str | Path) -> None:
    done: list[int] = []

    @once
    async def act(number: int) -> int:
        done.append(number)
        return number

    @program
    async def acts() -> int:
        return sum([await act(n) for n in range(3)])

    store = Store(store_place)
    async with Pool(ScriptedEngine("x"), store=store) as pool:
        await run(acts, pool=pool, id="r")
        fork(store, "r", "s", at=3)
        await run(acts, pool=pool, id="s")
        fork(store, "s", "t", at=2)  # a fork of a fork, before the fork
        await run(acts, pool=pool, id="t")
    assert done == [0, 1, 2, 2, 1, 2]
    with pytest.raises(UsageError, match="1 to 4"):
        fork(store, "r", "u", at=5)
    with pytest.raises(UsageError, match="already"):
        fork(store, "r", "t", at=1)
    with pytest.raises(UsageError, match="goes on from 'r'; forget"):
        forget(store, "r")
    store.close()


async def test_a_function_that_is_done_once_asks_no_model() -> None:
    @once
    async def asks() -> str:
        return (await generate(Prompt.user("?"))).text

    async with Pool(ScriptedEngine("x"), store=Store()) as pool:
        with pytest.raises(UsageError, match="asks is done @once, so it can't ask a model"):
            await run(asks, pool=pool, id="r")


async def test_what_json_cannot_say_is_refused_in_a_sentence() -> None:
    @once
    async def takes(what: object) -> None: ...

    @once
    async def gives() -> int:
        return "many"  # pyright: ignore[reportReturnType]

    async with Pool(ScriptedEngine("x"), store=Store()) as pool:

        async def wrong() -> None:
            await takes(object())

        with pytest.raises(UsageError, match="an argument of takes can't be kept as JSON"):
            await run(wrong, pool=pool, id="a")
        with pytest.raises(UsageError, match="gives gave 'many', which can't be kept as int"):
            await run(gives, pool=pool, id="b")
    with pytest.raises(UsageError, match="@once marks an async function"):
        once(len)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("returns", "wrong", "right", "value"),
    [
        (bool, "maybe", "yes", True),
        (Literal["now", "later"], "never", "later", "later"),
        (Mail, "{}", '{"to": "me", "size": 3}', Mail("me", 3)),
    ],
)
async def test_people_answer_from_outside(returns: Any, wrong: str, right: str, value: Any) -> None:
    store = Store()
    kept = KeptRuns(store.database)

    async def asks() -> Any:
        return await ask_person("Publish?", {"plan": 1}, returns=returns)

    async with Pool(ScriptedEngine("x"), store=store) as pool:
        async with anyio.create_task_group() as tasks:  # nobody answers; the process ends
            tasks.start_soon(partial(run, asks, pool=pool, id="r"))
            await _until(kept.waiting)
            tasks.cancel_scope.cancel()
        answer(store, "r", wrong)  # while nothing runs
        async with anyio.create_task_group() as tasks:

            async def person() -> None:
                await _until(lambda: [d for d in kept.waiting() if "is no answer" in d.said])
                answer(store, "r", right)

            tasks.start_soon(person)
            done = await run(asks, pool=pool, id="r")
        assert done.value == value
        assert (await run(asks, pool=pool, id="r")).value == value
        with pytest.raises(UsageError, match="asks nothing now"):
            answer(store, "r", right)


async def test_of_several_questions_one_is_named() -> None:
    store = Store()
    kept = KeptRuns(store.database)

    async def asks() -> list[str]:
        async with fan_out(ask_person, ["A?", "B?"]) as said:
            return sorted([one async for one in said])

    async with Pool(ScriptedEngine("x"), store=store) as pool, anyio.create_task_group() as tasks:

        async def people() -> None:
            await _until(lambda: len(kept.waiting()) == 2)
            with pytest.raises(UsageError, match=r"name one by its number: 1: .*; 2: "):
                answer(store, "r", "x")
            answer(store, "r", "x", deed=1)
            answer(store, "r", "y", deed=2)

        tasks.start_soon(people)
        assert (await run(asks, pool=pool, id="r")).value == ["x", "y"]


async def test_a_run_is_cancelled_from_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(named_run, "BEAT", 0.02)
    store = Store()

    async def waits() -> None:
        await sleep(1000)

    async with Pool(ScriptedEngine("x"), store=store) as pool, anyio.create_task_group() as tasks:

        async def elsewhere() -> None:
            await _until(lambda: KeptRuns(store.database).deeds("r"))
            with pytest.raises(UsageError, match="'r' is running in process"):
                await run(waits, pool=pool, id="r")
            with pytest.raises(UsageError, match="is running; cancel it first"):
                forget(store, "r")
            assert cancel(store, "r")

        tasks.start_soon(elsewhere)
        with pytest.raises(RunCancelled, match="'r' was cancelled"):
            await run(waits, pool=pool, id="r")
        found = KeptRuns(store.database).get("r")
        assert found is not None
        assert found.state == "cancelled"
        with pytest.raises(UsageError, match="is cancelled already"):
            cancel(store, "r")
        forget(store, "r")
        assert KeptRuns(store.database).get("r") is None


async def test_a_wait_goes_on_while_nothing_runs() -> None:
    store = Store()
    kept = KeptRuns(store.database)

    async def waits() -> None:
        await sleep(1000)

    async with Pool(ScriptedEngine("x"), store=store) as pool:
        for _ in range(2):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(partial(run, waits, pool=pool, id="r"))
                await _until(lambda: kept.deeds("r"))
                tasks.cancel_scope.cancel()
        (deed,) = kept.deeds("r")
        assert deed.state == "waiting"
        assert deed.until == pytest.approx(deed.at + 1000, abs=10)
        kept.change_deed(deed, until=deed.at)  # as if so much time had gone by
        await run(waits, pool=pool, id="r")
    assert kept.deeds("r")[0].state == "done"


async def test_a_process_that_was_taken_for_dead_gives_the_run_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(named_run, "BEAT", 0.02)
    store = Store()
    kept = KeptRuns(store.database)

    async def waits() -> None:
        await sleep(1000)

    async with Pool(ScriptedEngine("x"), store=store) as pool, anyio.create_task_group() as tasks:

        async def elsewhere() -> None:
            await _until(lambda: kept.deeds("r"))
            assert (before := kept.get("r")) is not None
            assert kept.take("r", "other:1:x", before.owner)

        tasks.start_soon(elsewhere)
        with pytest.raises(RunCancelled, match="taken over"):
            await run(waits, pool=pool, id="r")
    found = kept.get("r")
    assert found is not None
    assert (found.owner, found.state) == ("other:1:x", "running")


@pytest.mark.parametrize("id", ["", " ", "a\nb", "x" * 201, 7])
async def test_an_id_is_a_name(id: Any) -> None:
    async def nothing() -> None: ...

    async with Pool(ScriptedEngine("x"), store=Store()) as pool:
        with pytest.raises(UsageError, match="must be a name"):
            await run(nothing, pool=pool, id=id)
    async with Pool(ScriptedEngine("x")) as pool:
        with pytest.raises(UsageError, match="a run with an id needs a store"):
            await run(nothing, pool=pool, id="r")


async def test_an_id_belongs_to_one_program_and_its_arguments() -> None:
    async def one(a: int, b: int = 2) -> int:
        return a + b

    async def other(a: int) -> int:
        return a

    async with Pool(ScriptedEngine("x"), store=Store()) as pool:
        await run(one, 1, pool=pool, id="r")
        await run(one, a=1, pool=pool, id="r")
        with pytest.raises(UsageError, match=r'begun with \{"a": 1\}, not with \{"a": 2\}'):
            await run(one, 2, pool=pool, id="r")
        with pytest.raises(UsageError, match="'r' is one of one, not of other"):
            await run(other, 1, pool=pool, id="r")
        with pytest.raises(UsageError, match="missing a"):  # and the id is free again
            await run(other, pool=pool, id="s")
        with pytest.raises(UsageError, match="missing a"):
            await run(other, pool=pool, id="s")


@settings(max_examples=8)
@given(breaks=st.lists(st.integers(1, 12), max_size=4), limit=st.sampled_from([1, 2, None]))
def test_wherever_a_run_breaks_off_each_deed_is_done_once(
    breaks: list[int], limit: int | None
) -> None:
    """The run is left at random points, and begun again until it ends."""
    done: Counter[str] = Counter()
    left = [0]
    scope: list[anyio.CancelScope] = []

    async def point() -> None:
        left[0] -= 1
        if left[0] == 0:
            scope[-1].cancel()
        await anyio.lowlevel.checkpoint()

    @once
    async def act(name: str) -> str:
        await point()
        done[name] += 1
        return name

    async def branch(n: int) -> str:
        text = (await generate(Prompt.user(f"{n}"))).text
        first = await act(f"{n} {text}")
        await point()
        return first + await act(f"{n} again")

    @program
    async def acts() -> list[str]:
        async with fan_out(branch, range(3), limit=limit) as found:
            return sorted([one async for one in found])

    async def main() -> list[str]:
        engine = ScriptedEngine(lambda request: f"<{request.messages[-1].content}>")
        async with Pool(engine, store=Store()) as pool:
            for at in breaks:
                left[0] = at
                scope.append(anyio.CancelScope())
                with scope[-1]:
                    await run(acts, pool=pool, id="r")
            left[0] = 0
            value = (await run(acts, pool=pool, id="r")).value
            assert len(engine.requests) <= 3 + len(breaks) * 3
            return value

    # In virtual time: a run that is resumed waits for results of before.
    clock = trio.testing.MockClock(autojump_threshold=0)
    value = anyio.run(main, backend="trio", backend_options={"clock": clock})
    assert value == [f"{n} <{n}>{n} again" for n in range(3)]
    assert set(done.values()) == {1}
    assert len(done) == 6


def test_a_killed_process_loses_nothing(tmp_path: Path) -> None:
    """kill -9 in a wait for a person; the answer comes while nothing runs."""
    program = tmp_path / "pub.py"
    program.write_text(
        "from weft import *\n"
        "@once\n"
        "async def send(to: str) -> int:\n"
        f"    open({str(tmp_path / 'sent')!r}, 'a').write(to)\n"
        "    return len(to)\n"
        "@program\n"
        "async def pub(topic: str) -> str:\n"
        "    text = (await generate(Prompt.user(topic))).text\n"
        "    n = await send(text)\n"
        "    return f'{text} {n} {await ask_person(\"Publish?\", text, returns=bool)}'\n"
    )
    path = tmp_path / "runs.db"
    at = ["--store", str(path)]
    what = [f"{program}:pub", "-a", "topic=bees", "-e", "scripted:hum", "--id", "r", *at]
    command = "from weft.cli.main import main; main()"
    begun = subprocess.Popen([sys.executable, "-c", command, "run", *what])
    store = Store(path)
    while not KeptRuns(store.database).waiting():
        assert begun.poll() is None
        time.sleep(0.1)
    begun.send_signal(signal.SIGKILL)
    begun.wait()
    store.close()

    def verb(*args: str) -> str:
        done = CliRunner().invoke(app, [*args, *at])
        assert done.exit_code == 0, done.output
        return done.stdout

    listed = verb("runs", "list")
    assert "died" in listed
    assert "Publish?" in listed
    assert "kept" in verb("answer", "r", "yes")
    assert verb("runs", "resume", "r", "-e", "scripted:other") == "hum 3 True\n"
    assert (tmp_path / "sent").read_text() == "hum"
    shown = verb("runs", "show", "r")
    assert 'pub(topic="bees")' in shown
    assert 'value: "hum 3 True"' in shown
