from __future__ import annotations

import re
import struct
from dataclasses import replace
from pathlib import Path

from weft.orchestrator.dispatch.counters import DispatchCounters
from weft.simulation.arrivals import parse_arrivals
from weft.simulation.experiments.experiment import PolicyOutcome
from weft.simulation.experiments.plot import Segment, completion, segments, timeline
from weft.simulation.metrics import measure
from weft.simulation.play import Play
from weft.simulation.records import PlayedCall

NOTHING = measure(Play())


def outcome(policy: str, arrivals: str, mean: float) -> PolicyOutcome:
    metrics = replace(NOTHING, mean=mean, p99=3 * mean)
    return PolicyOutcome(policy, parse_arrivals(arrivals), metrics, DispatchCounters(), None, 1.0)


def texts(path: Path) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", path.read_text())


def test_completion_over_load(tmp_path: Path) -> None:
    outcomes = [
        outcome(policy, f"poisson(rate={rate})", 10 * rate)
        for policy in ("fcfs", "cap(k=8)")
        for rate in (1, 0.5, 2)
    ]
    completion(outcomes, tmp_path / "a.svg")
    completion(outcomes, tmp_path / "b.svg")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    words = texts(tmp_path / "a.svg")
    assert words.count("programs a second") == 2
    for word in ("fcfs", "cap(k=8)", "mean completion time, s", "p99 completion time, s"):
        assert words.count(word) == 1
    completion(outcomes, tmp_path / "a.png")
    head = (tmp_path / "a.png").read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", head[16:]) == (1440, 630)


def test_loads_far_apart_are_on_a_logarithmic_axis(tmp_path: Path) -> None:
    near = [outcome("fcfs", f"closed(n={n})", 5) for n in (10, 20)]
    far = [outcome("fcfs", f"closed(n={n})", 5) for n in (1, 100)]
    completion(near, tmp_path / "near.svg")
    completion(far, tmp_path / "far.svg")
    assert {"1", "5", "10", "50", "100"} <= set(texts(tmp_path / "far.svg"))
    assert "50" not in texts(tmp_path / "near.svg")
    assert "programs at once" in texts(tmp_path / "near.svg")


def test_loads_without_a_number_are_left_out(tmp_path: Path) -> None:
    completion([outcome("fcfs", "burst", 5)], tmp_path / "a.svg")
    assert "fcfs" not in texts(tmp_path / "a.svg")


def call(job: str, came: float, sent: float, first: float, ended: float, engine: str = "e"):
    return PlayedCall(
        f"{job}/{came:g}", job, "turn", 9, came, sent, first, ended, engine, answer=int(first > 0)
    )


def test_what_a_program_does() -> None:
    calls = [
        call("a", 0, 0, 1, 3),
        call("a", 5, 6, 8, 9, "f"),
        call("a", 5, 6, 7, 12),  # beside the last
        call("a", 12, 12, 0, 13),  # cancelled before its first token
        call("a", 20, 20, 21, 22),
    ]
    assert list(segments(calls)) == [
        Segment("prefill", 0, 1, "e"),
        Segment("decode", 1, 2, "e"),
        Segment("tool", 3, 2, "e"),
        Segment("waits", 5, 1, "f"),
        Segment("prefill", 6, 2, "f"),
        Segment("decode", 8, 1, "f"),
        Segment("waits", 5, 1, "e"),
        Segment("prefill", 6, 1, "e"),
        Segment("decode", 7, 5, "e"),
        Segment("prefill", 12, 1, "e"),
        Segment("tool", 13, 7, "e"),
        Segment("prefill", 20, 1, "e"),
        Segment("decode", 21, 1, "e"),
    ]


def test_the_timeline_of_an_engine(tmp_path: Path) -> None:
    calls = [call(f"job-{i}", i, i + 1, i + 2, i + 3) for i in (3, 1, 2)]
    calls += [call("other", 0, 1, 2, 3, "f"), call("job-1", 9, 9, 10, 11, "f")]
    calls.append(call("never", 0, 0, 0, 5, ""))
    timeline(calls, "e", tmp_path / "a.svg")
    words = texts(tmp_path / "a.svg")
    rows = [word for word in words if word.startswith(("job", "other", "never"))]
    assert rows == ["job-1", "job-2", "job-3"]
    assert "programs of e; pale: on other engines" in words
    assert {"waits", "prefill", "decode", "tool", "seconds"} <= set(words)
    drawn = (tmp_path / "a.svg").read_text()
    assert drawn.count("fill: #c2453f; fill-opacity: 0.3") == 1  # one prefill elsewhere
    timeline(calls, "e", tmp_path / "b.svg", most=2)
    words = texts(tmp_path / "b.svg")
    assert "programs of e (the first 2 of 3); pale: on other engines" in words
    assert "job-3" not in words
    timeline([], "e", tmp_path / "empty.svg")
    assert "programs of e; pale: on other engines" in texts(tmp_path / "empty.svg")
