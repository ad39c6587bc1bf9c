from __future__ import annotations

import pytest

from weft.errors import UnknownName
from weft.orchestrator.decisions.decision import Decision, Kind
from weft.simulation.experiments.explain import Wait, explain, longest_waits


def log(*rows: tuple[float, Kind, str, str, str, str]) -> list[Decision]:
    return [Decision(*row) for row in rows]


LOG = log(
    (0.0, "come", "a", "a/1", "", "oldest first"),
    (0.0, "start", "a", "a/1", "e", "nothing runs there; everyone is admitted"),
    (0.5, "come", "b", "b/1", "", "younger"),
    (0.5, "wait", "b", "b/1", "e", "e is full: 1 calls run there"),
    (0.75, "come", "b", "b/2", "e", "youngest"),
    (2.0, "end", "a", "a/1", "e", "5 tokens generated"),
    (2.0, "retain", "a", "", "e", "kept for 9 s: its tool is quick"),
    (2.0, "start", "b", "b/1", "e", "placed; admitted"),
    (3.0, "wait", "b", "b/2", "e", "e is full: 1 calls run there"),
    (20.5, "end", "b", "b/1", "e", "7 tokens generated"),
    (20.5, "start", "b", "b/2", "e", "placed; overdue"),
    (21.0, "release", "a", "", "e", "its time is up"),
    (22.0, "come", "a", "a/2", "", "oldest first"),
    (22.5, "end", "b", "b/2", "e", "1 tokens generated"),
    (22.5, "retain", "b", "", "e", "not kept: no claim between calls"),
    (23.5, "start", "a", "a/2", "e", "placed; admitted"),
    (24.0, "end", "a", "a/2", "e", "2 tokens generated"),
    (24.0, "retain", "a", "", "e", "kept till it ends: nobody waits"),
    (24.0, "release", "a", "", "e", "the program is over"),
    (25.0, "come", "c", "c/1", "", "newest"),
    (26.0, "come", "d", "d/1", "", "newest"),
    (26.0, "start", "d", "d/1", "e", "placed; admitted"),
)


def test_a_first_call_that_starts_at_once() -> None:
    assert explain(LOG, "a/1") == [
        "Call a/1 of program a came at 0.000 s.",
        "It was its program's first call.",
        "Its place among those that wait: oldest first.",
        "It went to e at once, at 0.000 s: nothing runs there; everyone is admitted.",
        "It ended at 2.000 s: 5 tokens generated.",
        "After it, its program's room on e was kept for 9 s: its tool is quick; its program's "
        "room was given up at 21.000 s: its time is up; the next call came at 22.000 s.",
    ]


def test_a_call_that_an_engine_refused_at_first() -> None:
    assert explain(LOG, "b/1") == [
        "Call b/1 of program b came at 0.500 s.",
        "It was its program's first call.",
        "Its place among those that wait: younger.",
        "It could not start at once: e is full: 1 calls run there.",
        "It went to e after 1.500 s, at 2.000 s: placed; admitted.",
        "It ended at 20.500 s: 7 tokens generated.",
        "After it, its program's room on e was not kept: no claim between calls.",
    ]


def test_a_call_behind_others() -> None:
    assert explain(LOG, "b/2")[1:5] == [
        "Other calls of its program waited then.",
        "Its place among those that wait for e: youngest.",
        "Others were ahead of it until 3.000 s; then it could not start: e is full: 1 calls run "
        "there.",
        "It went to e after 19.8 s, at 20.500 s: placed; overdue.",
    ]
    assert explain(LOG, "a/2") == [
        "Call a/2 of program a came at 22.000 s.",
        "Before it, its program's room was given up at 21.000 s: its time is up.",
        "Its place among those that wait: oldest first.",
        "Others were ahead of it until 23.500 s.",
        "It went to e after 1.500 s, at 23.500 s: placed; admitted.",
        "It ended at 24.000 s: 2 tokens generated.",
        "After it, its program's room on e was kept till it ends: nobody waits; its program's "
        "room was given up at 24.000 s: the program is over.",
    ]


def test_calls_without_start_or_end() -> None:
    assert explain(LOG, "c/1")[-2:] == [
        "It never started: it was cancelled while it waited, or no engine was left.",
        "What became of its program after it is not known.",
    ]
    assert explain(LOG, "d/1")[-2] == "The log ends before it does."


def test_beside_another_call_and_on_two_engines() -> None:
    decisions = log(
        (0.0, "come", "a", "a/1", "", "first"),
        (0.0, "start", "a", "a/1", "e", "here"),
        (1.0, "come", "a", "a/2", "", "second"),
        (1.0, "start", "a", "a/2", "e", "here"),
        (2.0, "end", "a", "a/2", "e", "0 tokens generated; it did not finish"),
        (2.0, "come", "a", "a/2", "", "second"),
        (2.0, "start", "a", "a/2", "f", "there"),
        (3.0, "end", "a", "a/2", "f", "9 tokens generated"),
        (4.0, "end", "a", "a/1", "e", "9 tokens generated"),
    )
    assert explain(decisions, "a/2") == [
        "Call a/2 of program a came at 1.000 s.",
        "Its program was running 1 other call then.",
        "Its place among those that wait: second.",
        "It went to e at once, at 1.000 s: here.",
        "It ended at 2.000 s: 0 tokens generated; it did not finish.",
        "Its place among those that wait: second.",
        "It went to f at once, at 2.000 s: there.",
        "It ended at 3.000 s: 9 tokens generated.",
        "Its program had other calls to run.",
    ]


def test_an_unknown_call() -> None:
    with pytest.raises(UnknownName, match=r"unknown call 'b/3'; did you mean b/"):
        explain(LOG, "b/3")


def test_the_longest_waits() -> None:
    full = "e is full: 1 calls run there"
    assert longest_waits(LOG) == [
        Wait("b/2", 19.75, 0.75, "e", full),
        Wait("b/1", 1.5, 0.5, "e", full),
        Wait("a/2", 1.5, 22.0, "e", ""),
    ]
    assert [w.call for w in longest_waits(LOG, 1)] == ["b/2"]
    assert longest_waits(LOG[:2]) == []
