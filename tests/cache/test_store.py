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
