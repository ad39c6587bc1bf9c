import pytest

from weft.cache.store import Store
from weft.errors import StoreError


def test_a_result_is_there_again_after_reopening(tmp_path):
    with Store(tmp_path / "s.sqlite") as store:
        assert not store.resumed
        store.put("a", "1", done=True)
        store.put("b", "2", done=True)
    with Store(tmp_path / "s.sqlite") as store:
        assert store.resumed
        first, second = store.get("a"), store.get("b")
        assert first is not None
        assert second is not None
        assert (first.outcome, second.outcome) == ("1", "2")
        assert first.order < second.order
        assert store.get("c") is None


def test_a_finished_result_replaces_a_cancelled_one_and_never_the_reverse():
    with Store() as store:
        store.put("a", "partial", done=False)
        store.put("a", "whole", done=True)
        store.put("a", "partial again", done=False)
        store.put("a", "another", done=True)
        record = store.get("a")
        assert record is not None
        assert record.done
        assert record.outcome == "whole"
        assert len(store) == 1


def test_a_file_that_is_no_store_is_one_clear_sentence(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but long enough to be taken for one " * 30)
    with pytest.raises(StoreError, match="can't be opened"):
        Store(path)


def test_another_format_is_refused(tmp_path):
    with Store(tmp_path / "s.sqlite") as store:
        store._connection.exec_driver_sql("PRAGMA user_version=99")
        store._connection.commit()
    with pytest.raises(StoreError, match="format 99"):
        Store(tmp_path / "s.sqlite")


def test_profiles_are_kept_and_dropped(tmp_path):
    with Store(tmp_path / "s.sqlite") as store:
        store.keep_profiles({str(i): f"first {i}" for i in range(1200)})
        store.keep_profiles({"3": "second"}, dropped=map(str, range(10, 1200)))
    with Store(tmp_path / "s.sqlite") as store:
        assert not store.resumed
        kept = store.profiles()
        assert set(kept) == {str(i) for i in range(10)}
        assert list(kept)[-1] == "3"
        assert (kept["3"], kept["4"]) == ("second", "first 4")


def test_a_file_from_before_profiles_still_opens(tmp_path):
    with Store(tmp_path / "s.sqlite") as store:
        store.put("a", "1", done=True)
        store._connection.exec_driver_sql("DROP TABLE profiles")
        store._connection.commit()
    with Store(tmp_path / "s.sqlite") as store:
        assert store.resumed
        assert store.profiles() == {}
        store.keep_profiles({"k": "v"})
        assert store.profiles() == {"k": "v"}


def test_profiles_are_written_all_or_none():
    with Store() as store:
        store.keep_profiles({"a": "1"})
        with pytest.raises(StoreError, match="can't be written"):
            store.keep_profiles({"a": "2", "b": None}, ["a"])  # type: ignore[dict-item]
        assert store.profiles() == {"a": "1"}
