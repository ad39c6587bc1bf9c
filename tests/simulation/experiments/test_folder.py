from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from weft.backends.simulated.hardware import Linear
from weft.errors import ConfigError, UsageError
from weft.orchestrator.decisions.decision import Decision
from weft.orchestrator.policy import parse_policy
from weft.simulation.arrivals import parse_arrivals
from weft.simulation.experiments.experiment import Experiment, conduct, first_jobs
from weft.simulation.experiments.folder import SPEED, SimulationFolder, read_json, write_json
from weft.simulation.play import Play
from weft.simulation.records import JobRecord, PlayedCall
from weft.simulation.simulate import SimulatedFleet
from weft.simulation.workload import Job, Parallel, PlannedCall, Workload
from weft.simulation.workloads import open_workload

HARDWARE = Linear(kv_tokens=8000, fixed=0.01, prefill_token=0.0005, decode=0.001)
POLICIES = ("saga", "continuum", "cap(k=2)", "agentix", "thunderagent", "hexgen")


def experiment(*policies: str, seed: int = 0, loads: tuple[str, ...] = ("poisson(rate=0.5)",)):
    work = open_workload(
        "coding_agents(n=12, scale=0.05, wait_max=20, max_tokens=7000, max_calls=6)",
        block_size=16,
        seed=seed,
        tenants=2,
    )
    return Experiment(
        work,
        SimulatedFleet(2, HARDWARE, HARDWARE.kv_tokens, 16, 16),
        [parse_policy(p) for p in policies],
        [parse_arrivals(a) for a in loads],
        seed,
    )


def kept(what: Experiment, path: Path) -> SimulationFolder:
    runs = [(p.spec, a.spec) for p in what.policies for a in what.loads]
    folder = SimulationFolder.create(path, what.described(), runs)
    assert len(list(conduct(what, folder))) == len(runs)
    return folder


def content(path: Path) -> dict[str, bytes]:
    """All files of a folder but the one that may differ."""
    files = (p for p in sorted(path.rglob("*")) if p.is_file() and p.name != SPEED)
    return {str(p.relative_to(path)): p.read_bytes() for p in files}


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    kept(experiment(*POLICIES), tmp_path / "a")
    kept(experiment(*POLICIES), tmp_path / "b")
    kept(experiment(*POLICIES, seed=1), tmp_path / "c")
    a, b, c = (content(tmp_path / name) for name in "abc")
    assert len(a) == 1 + 4 * len(POLICIES)
    assert a == b
    assert all(a[name] != c[name] for name in a)


def test_what_is_kept_is_what_happened(tmp_path: Path) -> None:
    folder = kept(experiment("cap(k=1)", "fcfs"), tmp_path)
    assert list(folder.runs()) == [
        ("cap(k=1)", "poisson(rate=0.5)"),
        ("fcfs", "poisson(rate=0.5)"),
    ]
    run = folder.run("cap(k=1)", "poisson(rate=0.5)")
    calls, jobs, metrics = list(run.calls()), list(run.jobs()), run.metrics()
    assert (len(jobs), len(calls)) == (metrics["jobs"], metrics["calls"]) == (12, len(calls))
    times = [job.ended - job.arrived for job in jobs]
    assert metrics["mean"] == pytest.approx(sum(times) / 12, rel=1e-9)
    cached = sum(call.cached for call in calls) / sum(call.prompt for call in calls)
    assert metrics["hit_rate"] == pytest.approx(cached, rel=1e-9)
    assert metrics["to_optimum"] == pytest.approx(metrics["best_hit_rate"] / cached, rel=1e-9)
    # Every call came, started and ended once, by the log too.
    for kind in ("come", "start", "end"):
        found = [d.call for d in run.decisions if d.kind == kind]
        assert sorted(found) == sorted(call.id for call in calls)
    waits = {d.call: d.at for d in run.decisions if d.kind == "come"}
    starts = {d.call: d.at for d in run.decisions if d.kind == "start"}
    longest = max(starts[call] - waits[call] for call in starts)
    assert metrics["longest_wait"] == pytest.approx(longest, abs=1e-6)
    assert longest > 1
    speed = read_json(tmp_path / SPEED)["runs"]
    assert [r["policy"] for r in speed] == ["cap(k=1)", "fcfs"]
    assert speed[0]["times_real_time"] > 1


def test_records_are_read_back_as_written(tmp_path: Path) -> None:
    folder = SimulationFolder.create(tmp_path, {}, [("fcfs", "burst")])
    run = folder.run("fcfs", "burst")
    calls = [PlayedCall("a/1", "a", "plan", 7, 0.5, 1.25, engine="e", reason="“so”")]
    jobs = [JobRecord("a", "agent", "t", 1 / 3, 2.0, 1, None, "died")]
    run.write(Play(jobs, calls), {"mean": math.nan})
    assert list(run.calls()) == calls
    (job,) = run.jobs()
    assert job.arrived == 0.333333333333
    assert job.error == "died"
    assert run.metrics() == {"mean": None}
    with run.decisions.writing() as note:
        note(Decision(1 / 3, "come", "a", "a/1", "", "first"))
    assert list(run.decisions) == [Decision(0.333333333, "come", "a", "a/1", "", "first")]


def test_specs_that_look_alike_get_folders_of_their_own(tmp_path: Path) -> None:
    runs = [("a(x=1)", "burst"), ("a[x=1]", "burst"), ("a", "burst")]
    folder = SimulationFolder.create(tmp_path, {}, runs)
    assert len({folder.run(*run).path for run in runs}) == 3
    assert folder.run("a(x=1)", "burst").path == tmp_path / "a-x=1" / "burst"
    with pytest.raises(UsageError, match="has no run of b under burst"):
        folder.run("b", "burst")


def test_a_folder_is_used_again_for_another_simulation(tmp_path: Path) -> None:
    kept(experiment("fcfs", "sticky"), tmp_path)
    (tmp_path / "fcfs" / "notes.txt").write_text("mine")
    kept(experiment("sticky"), tmp_path)
    names = set(content(tmp_path))
    assert "fcfs/notes.txt" in names
    assert {name.split("/")[0] for name in names} == {"simulation.json", "sticky", "fcfs"}
    assert len(names) == 1 + 4 + 1


def test_what_can_not_be_used_or_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"can't use .*file"):
        SimulationFolder.create(tmp_path / "file", {}, [])
    with pytest.raises(ConfigError, match="holds no simulation"):
        SimulationFolder(tmp_path).runs()
    folder = SimulationFolder.create(tmp_path / "d", {}, [("fcfs", "burst")])
    run = folder.run("fcfs", "burst")
    assert folder.runs() == {}
    with pytest.raises(ConfigError, match=r"can't read .*jobs\.jsonl: No such file"):
        list(run.jobs())
    for name, read in (("jobs", run.jobs), ("calls", run.calls)):
        (run.path / f"{name}.jsonl").write_text("{}\n")
        with pytest.raises(ConfigError, match=rf"{name}\.jsonl:1: not a record"):
            list(read())
    (run.path / "decisions.jsonl").write_text(json.dumps({"at": 1}) + "\n")
    with pytest.raises(ConfigError, match=r"decisions\.jsonl:1: not a decision"):
        list(run.decisions)
    (run.path / "metrics.json").write_text("{")
    with pytest.raises(ConfigError, match=r"metrics\.json is not JSON"):
        run.metrics()


def test_numbers_that_are_none_are_null(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"a": math.inf, "b": [math.nan, 1.5], "c": "x"})
    assert read_json(tmp_path / "x.json") == {"a": None, "b": [None, 1.5], "c": "x"}


def turn(prompt: int, answer: int) -> PlannedCall:
    return PlannedCall(prompt, answer, ())


def test_a_call_that_no_engine_can_hold_is_an_error(tmp_path: Path) -> None:
    fits, not_fits = turn(7000, 1000), turn(7001, 1000)
    for steps in ([fits, not_fits], [Parallel(((fits,), (Parallel(((not_fits,),)),)))]):
        jobs = [Job("a", [fits]), Job("b", steps)]
        what = Experiment(
            Workload("two", jobs, 16),
            SimulatedFleet(1, HARDWARE, 8015, 16, 16),  # 500 blocks and a rest
            [parse_policy("fcfs")],
            [parse_arrivals("burst")],
        )
        with pytest.raises(UsageError, match=r"call of b holds 8001 tokens, and .* holds 8000"):
            list(conduct(what))
    (outcome,) = conduct(
        Experiment(first_jobs(what.workload, 1), what.fleet, what.policies, what.loads)
    )
    assert (outcome.metrics.jobs, outcome.error) == (1, "")
