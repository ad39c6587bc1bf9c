"""The page of `weft eval watch --page`, over HTTP and in a real browser."""

from __future__ import annotations

import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from waiting import PATIENCE
from weft.evals.records import Folder, Row, Session, Settings
from weft.evals.viewing.following import Following
from weft.evals.viewing.live import WatchServer
from weft.types import Usage

pytestmark = pytest.mark.loops("asyncio")

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
XSS = "<img src=x onerror=\"document.title='broken'\">"


def row(id: str, correct: bool | None = True, **more: Any) -> Row:
    given = {
        "answer": "4", "text": "so it is 4", "usage": Usage(2, 50, 20, 30), "at": 1e9,
        "question": [{"role": "user", "content": f"{id}?"}], "seconds": 0.5,
    } | more  # fmt: skip
    return Row("greedy", id, correct, **given)


@contextmanager
def running(path: Path, *rows: Row, total: int = 8) -> Generator[Folder]:
    """A folder into which this process writes, as far as its lock says."""
    folder = Folder(path, create=True)
    folder.save(Settings("sums", "", "adder", 0), Session(samples={"greedy": total}))
    for one in rows:
        folder.append(one)
    with folder.writing():
        yield folder


@pytest.fixture(scope="module")
def browser() -> Generator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api")
    if BROWSER is None:
        pytest.skip("Chromium is missing: install chromium")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=BROWSER, args=["--no-sandbox"], timeout=1000 * PATIENCE
        )
        yield chromium
        chromium.close()


@contextmanager
def page_of(browser: Any, url: str, width: int = 1100, height: int = 800, **options: Any) -> Any:
    """A page; whatever it complains about in its console is an error."""
    context = browser.new_context(viewport={"width": width, "height": height}, **options)
    context.set_default_timeout(1000 * PATIENCE)
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda m: complaints.append(m.text) if m.type != "log" else None)
    page.on("pageerror", lambda e: complaints.append(str(e)))
    page.goto(url)
    try:
        yield page
        assert not complaints
    finally:
        context.close()


def test_the_page_and_its_data_are_for_this_machine_alone(tmp_path: Path) -> None:
    rows = row("1"), row("2", False), row("3", None, error="down", answer=None)
    with (
        running(tmp_path, *rows),
        WatchServer(Following(tmp_path)).running() as url,
        httpx.Client(base_url=url, timeout=PATIENCE) as client,
    ):
        page = client.get("/")
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in page.text.replace("http-equiv", "")
        data = client.get("/data").json()
        assert (data["running"], data["title"]) == (True, "sums, model adder, seed 0")
        (strategy,) = data["strategies"]
        found = [strategy[name] for name in ("total", "done", "right", "wrong", "none", "error")]
        assert found == [8, 2, 1, 1, 0, 1]
        assert 0 < strategy["low"] < 0.5 < strategy["high"] < 1
        assert [s["outcome"] for s in data["latest"]] == ["error", "wrong", "right"]
        assert data["latest"][0]["answer"] == "down"
        assert client.get("/data", headers={"host": "elsewhere.example:80"}).status_code == 403
        assert client.get("/../etc").status_code == 404


def test_it_follows_a_run_in_a_browser_and_what_models_say_stays_text(
    tmp_path: Path, browser: Any
) -> None:
    with (
        running(tmp_path, row("1")) as folder,
        WatchServer(Following(tmp_path)).running() as url,
        page_of(browser, url) as page,
    ):
        page.get_by_role("status").filter(has_text="live").wait_for()
        card = page.get_by_role("article")
        assert "1 of 8" in card.inner_text()
        assert page.get_by_role("img").first.get_attribute("aria-label") == (
            "1 right, 0 wrong, 0 without an answer, 0 errors, of 8"
        )
        line = page.locator("#samples li")
        line.first.locator("summary").click()
        folder.append(row(XSS, False, answer=XSS, text=XSS))
        page.get_by_text("2 of 8").first.wait_for()
        assert line.count() == 2
        assert XSS in line.first.inner_text()
        assert "so it is 4" in line.last.inner_text(), "what was opened stays open"
        assert page.locator("img").count() == 0
        assert page.title() == "weft: sums, model adder, seed 0"


def test_it_fits_a_phone(tmp_path: Path, browser: Any) -> None:
    rows = [row(f"{'long' * 12}-{i}", i % 2 == 0, answer="9" * 200) for i in range(4)]
    with (
        running(tmp_path, *rows),
        WatchServer(Following(tmp_path)).running() as url,
        page_of(browser, url, 390, 800) as page,
    ):
        page.get_by_role("status").filter(has_text="live").wait_for()
        wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert page.evaluate(wide) <= 0
