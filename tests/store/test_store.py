"""The Store, on SQLite and on PostgreSQL."""

import re
import sqlite3
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text

from weft.errors import StoreError
from weft.orchestrator.estimates.profiles import Profiles
from weft.store.store import Store


def test_a_result_is_there_again_after_reopening(store_place):
    with Store(store_place) as store:
        assert not store.resumed
        store.put("a", "1", done=True)
        store.put("b", "2", done=True)
        assert len(store) == 2
    with Store(store_place) as store:
        assert store.resumed
        first, second = store.get("a"), store.get("b")
        assert first is not None
        assert second is not None
        assert (first.outcome, second.outcome) == ("1", "2")
        assert first.order < second.order
        assert store.get("c") is None


def test_a_finished_result_replaces_a_cancelled_one_and_never_the_reverse(store_place):
    with Store(store_place) as store:
        store.put("a", "partial", done=False)
        store.put("b", "whole", done=True)
        store.put("a", "whole", done=True)
        store.put("a", "partial again", done=False)
        store.put("a", "another", done=True)
        record, earlier = store.get("a"), store.get("b")
        assert record is not None
        assert earlier is not None
        assert record.done
        assert record.outcome == "whole"
        assert record.order > earlier.order  # it came when it was whole
        assert len(store) == 2
        store.put("c", "later", done=True)
        last = store.get("c")
        assert last is not None
        assert last.order > record.order


def test_results_that_come_at_once_do_not_collide(store_place):
    with Store(store_place) as store, ThreadPoolExecutor(8) as threads:

        def put(i: int) -> None:
            store.put(str(i % 5), "whole" if i % 3 else "partial", done=i % 3 > 0)
            store.keep_profiles({str((i + j) % 7): f"{i}" for j in range(7)}, ["gone", "0"])

        list(threads.map(put, range(60)))
        found = [store.get(str(key)) for key in range(5)]
        assert all(record is not None and record.outcome == "whole" for record in found)
        assert len(store) == 5
        assert set(store.profiles()) == {str(key) for key in range(7)}


def test_a_file_that_is_no_store_is_one_clear_sentence(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but long enough to be taken for one " * 30)
    with pytest.raises(StoreError, match=r"notes.txt can't be opened .*not a database"):
        Store(path)
    with pytest.raises(StoreError, match=r"folder of store .* can't be made"):
        Store(path / "below" / "s.sqlite")


def test_a_database_of_something_else_stays_as_it_is(tmp_path):
    path = tmp_path / "shop.db"
    shop = sqlite3.connect(path)
    shop.execute("CREATE TABLE runs (day TEXT)")
    shop.commit()
    shop.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"shop.db is a database of something else, .* 'runs'"):
        Store(path)
    assert path.read_bytes() == before
    empty = sqlite3.connect(tmp_path / "new.db")
    empty.close()
    Store(tmp_path / "new.db").close()


def test_another_format_is_refused(store_place):
    with Store(store_place) as store, store.database.writing() as connection:
        sqlite = isinstance(store_place, Path)
        other = "PRAGMA user_version=99" if sqlite else "UPDATE weft_format SET version = 99"
        connection.execute(text(other))
    with pytest.raises(StoreError, match="format 99, this weft reads 1"):
        Store(store_place)


def test_profiles_are_kept_and_dropped(store_place):
    with Store(store_place) as store:
        store.keep_profiles({str(i): f"first {i}" for i in range(1200)})
        store.keep_profiles({"3": "second"}, dropped=map(str, range(10, 1200)))
    with Store(store_place) as store:
        assert not store.resumed
        kept = store.profiles()
        assert set(kept) == {str(i) for i in range(10)}
        assert list(kept)[-1] == "3"
        assert (kept["3"], kept["4"]) == ("second", "first 4")


def test_a_file_from_before_profiles_still_opens(store_place):
    with Store(store_place) as store:
        store.put("a", "1", done=True)
        with store.database.writing() as connection:
            connection.execute(text("DROP TABLE profiles"))
    with Store(store_place) as store:
        assert store.resumed
        assert store.profiles() == {}
        store.keep_profiles({"k": "v"})
        assert store.profiles() == {"k": "v"}


def test_a_file_of_an_earlier_weft_is_read_and_written(tmp_path):
    path = tmp_path / "s.sqlite"
    old = sqlite3.connect(path)
    old.executescript(
        """
        PRAGMA user_version=1;
        CREATE TABLE calls (
            "order" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, "key" VARCHAR(64) NOT NULL,
            done BOOLEAN NOT NULL, outcome TEXT NOT NULL, at FLOAT NOT NULL, UNIQUE ("key"));
        INSERT INTO calls VALUES (7, 'a', 0, 'partial', 1.0);
        """
    )
    old.close()
    with Store(path) as store:
        assert store.resumed
        store.put("a", "whole", done=True)
        record = store.get("a")
        assert record is not None
        assert (record.outcome, record.order) == ("whole", 8)


def test_profiles_are_written_all_or_none(store_place):
    with Store(store_place) as store:
        store.keep_profiles({"a": "1"})
        with pytest.raises(StoreError, match="can't be written"):
            store.keep_profiles({"a": "2", "b": None}, ["a"])  # type: ignore[dict-item]
        assert store.profiles() == {"a": "1"}


def test_what_programs_taught_is_known_after_a_restart(store_place):
    with Store(store_place) as store:
        profiles = Profiles(store)
        for _ in range(30):
            profiles.learn_tool("swe", "grep", 0.5)
        profiles.save()
    with Store(store_place) as store:
        assert Profiles(store).tool("swe", "grep").source == "30 uses of grep in swe"


async def test_profiles_saved_aside_are_all_there(anyio_backend):
    with Store() as store:
        profiles = Profiles(store)
        for i in range(100):
            profiles.learn_answer("swe", f"stage {i}", i)
        await profiles.save_aside()
        assert len(store.profiles()) == len(profiles)
        store.keep_profiles({}, list(store.profiles()))
        await profiles.save_aside()
        assert store.profiles() == {}


async def test_profiles_that_could_not_be_saved_are_saved_later(tmp_path, anyio_backend):
    store = Store(tmp_path / "s.sqlite")
    profiles = Profiles(store, most=9)
    for i in range(20):
        profiles.learn_answer(f"program {i}", "plan", i)
    with sqlite3.connect(tmp_path / "s.sqlite") as other:
        other.execute("ALTER TABLE profiles RENAME TO away")
    with pytest.raises(StoreError, match="no such table"):
        await profiles.save_aside()
    with sqlite3.connect(tmp_path / "s.sqlite") as other:
        other.execute("ALTER TABLE away RENAME TO profiles")
    other.close()
    profiles.save()
    assert len(store.profiles()) == len(profiles)
    store.close()


def test_urls_of_sqlite(tmp_path):
    with Store(f"sqlite:///{tmp_path}/s.sqlite") as store:
        store.put("a", "1", done=True)
        assert store.name == f"{tmp_path}/s.sqlite"
    with Store(str(tmp_path / "s.sqlite")) as store:
        assert store.resumed
    with Store("sqlite://") as store:
        assert store.name == "in memory"
        assert not store.resumed


@pytest.mark.parametrize(
    ("url", "wrong"),
    [
        ("mysql://host/db", "can't be kept in mysql; write sqlite"),
        ("https://host/db", "can't be kept in https"),
        ("postgresql://host:port/db", "URL can't be read"),
    ],
)
def test_a_url_of_something_else_is_one_clear_sentence(url, wrong):
    with pytest.raises(StoreError, match=wrong):
        Store(url)


def test_a_server_that_is_not_there_is_one_clear_sentence_without_the_password(tmp_path):
    pytest.importorskip("psycopg")
    for url in (f"postgresql://me:hush@/db?host={tmp_path}", f"postgres:///?host={tmp_path}"):
        with pytest.raises(StoreError, match=r"can't be opened \(.*connection.*failed") as caught:
            Store(url)
        assert "hush" not in str(caught.value)
        assert "\n" not in str(caught.value)


def test_without_a_driver_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(StoreError, match=re.escape("pip install 'weft[postgres]'")):
        Store("postgresql://me:hush@host/db")


def test_connections_that_broke_are_replaced(postgres):
    with Store(postgres.database()) as store:
        store.put("a", "1", done=True)
        postgres.stop()
        try:
            with pytest.raises(StoreError, match="can't be written"):
                store.put("b", "2", done=True)
            with pytest.raises(StoreError, match="can't be read"):
                store.get("a")
        finally:
            postgres.start()
        store.put("b", "2", done=True)
        assert len(store) == 2


def test_several_may_make_the_tables_at_once(postgres):
    place = postgres.database()
    with ThreadPoolExecutor(6) as threads:
        for store in list(threads.map(lambda _: Store(place), range(6))):
            store.close()
