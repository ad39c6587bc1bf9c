"""The page of all answers, tables and logs for other tools, and watching a run by its records."""

from __future__ import annotations

import csv
import json
from importlib.util import find_spec
from pathlib import Path
from zipfile import ZipFile

import pytest

from weft.errors import MissingExtra
from weft.evals.records import ROWS, Folder, KeptText, Row, Session, Settings
from weft.evals.viewing.following import Following
from weft.evals.viewing.inspect_log import write_inspect
from weft.evals.viewing.tables import write_csv, write_parquet
from weft.evals.viewing.viewer import write_viewer
from weft.types import Usage


def evaluation(path: Path, *rows: Row, samples: int = 0) -> Folder:
    folder = Folder(path, create=True)
    folder.save(Settings("t", "", "m", 0), Session(samples={"greedy": samples}))
    for row in rows:
        folder.append(row)
    return folder


def row(id: str, correct: bool | None = True, **more: object) -> Row:
    texts = [KeptText("</script><b>4", thinking="hm", value="4", tokens=3)]
    given = {
        "answer": "4", "texts": texts, "chosen": 0, "text": texts[0].text, "target": "4",
        "question": [{"role": "user", "content": f"{id}?"}], "usage": Usage(1, 5, 0, 3),
        "at": 1e9, "seconds": 2.0,
    } | more  # fmt: skip
    return Row("greedy", id, correct, **given)  # pyright: ignore[reportArgumentType]


def test_the_page_holds_every_row_as_it_is(tmp_path: Path) -> None:
    folder = evaluation(tmp_path, row("1"), row("2", None, error="down"))
    page = write_viewer(folder).read_text()
    lines = page.split('id="rows">\n', 1)[1].split("</script>", 1)[0].splitlines()
    heads, bodies = map(json.loads, lines[::2]), list(map(json.loads, lines[1::2]))
    assert list(heads) == [["greedy", "1", 0, "right", "4"], ["greedy", "2", 0, "error", "4"]]
    assert bodies[0]["t"] == [folder_text.json() for folder_text in row("1").texts]
    assert bodies[0]["w"][-1] == "right: '4'"
    assert "http" not in page.replace("http-equiv", "")


def test_a_page_that_would_be_too_large_leaves_texts_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("weft.evals.viewing.viewer._MOST", 500)
    page = write_viewer(evaluation(tmp_path, row("1"), row("2"))).read_text()
    lines = page.split('id="rows">\n', 1)[1].split("</script>", 1)[0].splitlines()
    assert [bool(json.loads(line).get("t")) for line in lines[1::2]] == [True, False]


def test_a_table_has_a_line_for_each_row(tmp_path: Path) -> None:
    folder = evaluation(tmp_path / "e", row("1"), row("2", False, answer="5, or\n6"))
    write_csv(folder, tmp_path / "rows.csv")
    with (tmp_path / "rows.csv").open(newline="") as file:
        first, second = csv.DictReader(file)
    assert (first["id"], first["correct"], first["prompt_tokens"]) == ("1", "True", "5")
    assert (second["outcome"], second["answer"]) == ("wrong", "5, or\n6")
    assert json.loads(second["texts"])[0]["thinking"] == "hm"


def test_parquet_is_an_extra(tmp_path: Path) -> None:
    folder, out = evaluation(tmp_path / "e", row("1")), tmp_path / "rows.parquet"
    if find_spec("pyarrow") is None:
        with pytest.raises(MissingExtra, match=r"weft\[parquet\]"):
            write_parquet(folder, out)
    else:
        write_parquet(folder, out)
        assert out.read_bytes()[:4] == b"PAR1"


def test_a_log_for_inspect_has_its_parts(tmp_path: Path) -> None:
    more = Row("majority(n=2)", "1", False, details={"abstained": True}, at=1e9)
    rows = row("1"), row("2", False, answer="5", credit=0.5), row("3", None, error="down"), more
    paths = write_inspect(evaluation(tmp_path / "e", *rows, samples=3), tmp_path / "log.eval")
    assert [p.name for p in paths] == ["log-greedy.eval", "log-majority-n=2.eval"]
    with ZipFile(paths[0]) as log:
        header = json.loads(log.read("header.json"))
        sample = json.loads(log.read("samples/1_epoch_1.json"))
        failed = json.loads(log.read("samples/3_epoch_1.json"))
        summaries = json.loads(log.read("summaries.json"))
        assert set(json.loads(log.read("_journal/start.json"))) == {"version", "eval", "plan"}
    assert (header["version"], header["status"], header["eval"]["model"]) == (2, "error", "m")
    scores = {s["name"]: s["metrics"]["accuracy"]["value"] for s in header["results"]["scores"]}
    assert scores == {"correct": 0.5, "credit": 0.75}
    assert sample["scores"]["correct"]["value"] == "C"
    assert sample["input"] == [{"role": "user", "content": "1?"}]
    assert sample["messages"][-1]["content"][0] == {"type": "reasoning", "reasoning": "hm"}
    assert failed["error"]["message"] == "down"
    assert [s["id"] for s in summaries] == ["1", "2", "3"]
    with ZipFile(paths[1]) as log:
        abstained = json.loads(log.read("samples/1_epoch_1.json"))
    assert abstained["scores"]["correct"]["value"] == "N"


def test_inspect_reads_its_log_back(tmp_path: Path) -> None:
    reading = pytest.importorskip("inspect_ai.log")
    said = KeptText("4", thinking="hm", value="4", tokens=3, engine="one", finish="length")
    judge = KeptText("yes", asked="Is it right?", engine="two", score=0.5)
    rows = [
        row("task/1"),
        row("task/1", False, repeat=1, answer=None, text=None, chosen=None),
        row("2 ü", False, credit=0.5, texts=[judge, said], chosen=1, text="4"),
        row("3", None, error="down", texts=[], chosen=None, text=None, answer=None),
        row("4", False, details={"abstained": True, "scores": {"match": "I"}}),
    ]
    (path,) = write_inspect(evaluation(tmp_path / "e", *rows, samples=5), tmp_path / "log.eval")
    log = reading.read_eval_log(str(path))
    assert (log.status, log.eval.model, log.eval.config.epochs) == ("error", "m", 2)
    assert log.results.total_samples == 5
    found = {(s.id, s.epoch): s for s in log.samples}
    assert found.keys() == {(r.id, r.repeat + 1) for r in rows}
    first, again, partial, failed, abstained = (found[r.id, r.repeat + 1] for r in rows)
    assert (first.output.completion, first.target, again.epoch) == (rows[0].text, "4", 2)
    assert first.messages[-1].content[0].reasoning == "hm"
    assert first.scores["correct"].value == "C"
    assert partial.scores["credit"].value == 0.5
    assert partial.output.stop_reason == "max_tokens"
    assert failed.error.message == "down"
    assert not failed.scores
    assert abstained.scores["correct"].value == "N"
    assert abstained.metadata["details"]["scores"] == {"match": "I"}
    whole = reading.read_eval_log_sample(str(path), id="2 ü", epoch=1)
    assert whole.metadata["texts"][0]["asked"] == "Is it right?"
    copy = tmp_path / "again.json"
    reading.write_eval_log(log, str(copy))
    assert reading.read_eval_log(str(copy)).samples == log.samples
    assert len(list(reading.read_eval_log_sample_summaries(str(path)))) == 5


def test_a_run_is_followed_by_its_records(tmp_path: Path) -> None:
    following = Following(tmp_path / "e")
    assert following.look() == []
    assert following.title == ""
    folder = evaluation(tmp_path / "e", row("1", at=100.0), samples=4)
    with folder.writing():
        assert [r.id for r in following.look()] == ["1"]
        assert following.running
        with (folder.path / ROWS).open("a") as file:
            line = row("2", None, error="down", at=110.0).line()
            file.write(line[:40])
            file.flush()
            assert following.look() == [], "half a line is no row yet"
            file.write(line[40:])
        assert [r.id for r in following.look()] == ["2"]
        assert following.rate(110.0) == 0.2
        assert following.left(110.0) == 15.0
        folder.append(row("2", False, at=120.0))
        following.look()
    progress = following.strategies["greedy"]
    assert (progress.total, progress.done, progress.count("right")) == (4, 2, 1)
    assert following.usage == Usage(2, 10, 0, 6), "of a row that came again the last counts"
    folder.rewrite(lambda r: r if r.id == "1" else None)
    assert [r.id for r in following.look()] == ["1"]
    assert following.usage == Usage(1, 5, 0, 3)
    assert following.running is False
