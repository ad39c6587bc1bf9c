"""Tasks from other packages, where these are installed; and what is said where they are not."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from weft.errors import ConfigError, MissingExtra, UnknownName
from weft.evals.tasks.registry import parse_task
from weft.parts.spec import written
from weft.search.strategy import Answer


@pytest.mark.parametrize(
    ("module", "spec", "extra"),
    [("reasoning_gym", "reasoning_gym(name=x)", "gym"), ("datasets", "hf(path=x)", "hf")],
)
def test_a_package_that_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch, module: str, spec: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra, match=rf"{module}; .*pip install 'weft\[{extra}\]'"):
        parse_task(spec)


@pytest.mark.skipif(find_spec("reasoning_gym") is None, reason="needs reasoning-gym")
@pytest.mark.filterwarnings("ignore::SyntaxWarning")  # of cellpylib, which it imports
def test_reasoning_gym_judges_by_its_own_scorer() -> None:
    task = parse_task("reasoning_gym(name=chain_sum, config='{\"min_terms\": 3}')")
    samples = task.samples(3, 5)
    assert samples == task.samples(3, 5) != task.samples(3, 6)
    first = samples[0]
    question, right = task.question(first, 0), first.data["answer"]
    for text, correct in [
        (f"It is <answer>\n{right}\n</answer>.", True),
        (f"<answer>1</answer> No: <answer>{right}</answer>", True),
        (f"The answer is {right}.", True),
        ("<answer>x</answer>", False),
        ("<think>", False),
    ]:
        assert task.correct(first, Answer(text, question.answer(text))) is correct
    with pytest.raises(UnknownName, match="unknown dataset of reasoning_gym 'chain_sun'"):
        parse_task("reasoning_gym(name=chain_sun)")
    with pytest.raises(ConfigError, match="config of reasoning_gym is not JSON"):
        parse_task("reasoning_gym(name=chain_sum, config=x)")
    with pytest.raises(
        ConfigError, match=r"config of reasoning_gym does not suit chain_sum: .*nope"
    ):
        parse_task("reasoning_gym(name=chain_sum, config='{\"nope\": 1}')")


@pytest.mark.skipif(find_spec("datasets") is None, reason="needs datasets")
def test_datasets_are_read_from_disk(tmp_path: Path) -> None:
    import pyarrow  # pyright: ignore[reportMissingImports]

    test = tmp_path / "saved" / "test"  # as save_to_disk writes it
    test.mkdir(parents=True)
    table: Any = pyarrow.table(
        {"question": ["1 < 2?", "2 < 1?"], "answer": [1, 0], "meta": [{"n": 1}, {"n": 2}]}
    )
    with pyarrow.ipc.new_stream(str(test / "0.arrow"), table.schema) as stream:
        stream.write_table(table)
    number = {"dtype": "int64", "_type": "Value"}
    classes = {"names": ["no", "yes"], "_type": "ClassLabel"}
    text = {"dtype": "string", "_type": "Value"}
    features = {"question": text, "answer": classes, "meta": {"n": number}}
    state = {"_data_files": [{"filename": "0.arrow"}], "_fingerprint": "x", "_split": "test"}
    plain = {"_format_columns": None, "_format_kwargs": {}, "_format_type": None}
    state |= {**plain, "_output_all_columns": False}
    (test / "state.json").write_text(json.dumps(state))
    (test / "dataset_info.json").write_text(json.dumps({"features": features}))
    (tmp_path / "saved" / "dataset_dict.json").write_text(json.dumps({"splits": ["test"]}))
    path = written(str(tmp_path / "saved"))
    task = parse_task(f"hf(path={path}, template='{{meta.n}}: {{question}}')")
    first, second = task.samples(None, 0)
    asked = task.question(first, 0)
    assert asked.prompt.messages[0].content == "1: 1 < 2?"
    assert task.correct(first, Answer("", asked.answer("Yes, it is.")))
    assert not task.correct(second, Answer("", asked.answer("Yes.")))
    with pytest.raises(ConfigError, match="has no split 'train'; it has test"):
        parse_task(f"hf(path={path}, split=train)")
    with pytest.raises(ConfigError, match="can't load the dataset"):
        parse_task(f"hf(path={written(str(tmp_path / 'none'))})")
