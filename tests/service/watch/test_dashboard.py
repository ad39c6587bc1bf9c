"""The dashboard in a real browser; skipped where there is none."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from waiting import PATIENCE, block_until
from weft.backends.engine import EngineLoad
from weft.backends.scripted.engine import ScriptedEngine
from weft.errors import EngineUnavailable
from weft.orchestrator.policy_file import load_policy
from weft.orchestrator.programs.program import Program
from weft.orchestrator.scheduler import Scheduler
from weft.service.programs.records import CallRecord, ProgramRecord
from weft.service.watch.dashboard import Handler, routes
from weft.service.watch.overview import Overview
from weft.service.watch.snapshot import program_detail

pytestmark = pytest.mark.loops("asyncio")

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
XSS = "<img src=x onerror=\"document.title='broken'\">"


@dataclass
class Site:
    """A service without its gateway: records that tests write, and the pages above them."""

    engines: int = 2
    key: str = ""
    programs: dict[str, ProgramRecord] = field(default_factory=dict[str, ProgramRecord])
    polls: list[int] = field(default_factory=list[int])
    broken: bool = False
    refusal: str = ""

    def __post_init__(self) -> None:
        engines = [
            ScriptedEngine("x", model="coder", name=f"10.0.0.{i + 1}:8000", kv_tokens=480_000)
            for i in range(self.engines)
        ]

        async def make() -> Scheduler:
            return Scheduler(engines, load_policy("weft"))  # it needs a clock

        with ThreadPoolExecutor() as threads:  # the browser's own loop runs in this one
            self.scheduler = threads.submit(anyio.run, make).result()
        self.loads: dict[str, EngineLoad] = {}
        self.began = time.time() - 3600
        self.overview = Overview(self, self.scheduler, self.loads, self.began)
        self.url = ""

    def program(self, id: str, **fields: Any) -> ProgramRecord:
        now = time.time()
        given: dict[str, Any] = {"tenant": "", "name": "aider", "parent": "", **fields}
        given = {"source": "session-id", "began": now - 100, "seen": now, **given}
        made = ProgramRecord(id, **given)
        self.programs[id] = made
        return made

    def call(self, of: ProgramRecord, came: float, *ages: float, **fields: Any) -> CallRecord:
        """A call that came, was sent, answered and ended so many seconds ago."""
        now = time.time()
        times = dict(zip(("sent", "first", "ended"), (now - a for a in ages), strict=False))
        given: dict[str, Any] = {"engine": "10.0.0.1:8000", "model": "coder", "attempts": 1}
        given |= {"placement_reason": "its prefix is cached there", **times, **fields}
        id = f"{of.id}-{len(of.calls)}"
        made = CallRecord(id, of, "/v1/messages", came=now - came, **given)
        of.calls.append(made)
        of.seen = now
        if made.ended:
            self.end(made)
        else:
            of.live[id] = made
        return made

    def end(self, call: CallRecord) -> None:
        """Its records as the service leaves them."""
        of = call.program
        of.live.pop(call.id, None)
        call.ended, call.status = call.ended or time.time(), call.status or 200
        of.count += 1
        of.prompt, of.cached = of.prompt + call.prompt, of.cached + call.cached
        of.generated += call.generated
        of.waited += max(0.0, (call.sent or call.ended) - call.came)
        self.overview.call_ended(call)

    def app(self) -> Starlette:
        """The dashboard as the service has it, with a guard of the same kind."""

        def guard(handler: Handler) -> Handler:
            async def guarded(request: Request) -> Response:
                if self.broken:
                    return Response("", 500)
                if self.key and request.headers.get("authorization") != f"Bearer {self.key}":
                    return JSONResponse({"error": {"message": "this needs an admin key"}}, 401)
                if self.refusal:
                    return JSONResponse({"error": {"message": self.refusal}}, 403)
                answer = await handler(request)
                if request.url.path == "/dashboard/data":
                    self.polls.append(answer.status_code)
                return answer

            return guarded

        async def detail(request: Request) -> Response:
            record = self.programs.get(request.path_params["id"])
            if record is None:
                return JSONResponse({"error": "no such program"}, 404)
            return JSONResponse(program_detail(record, time.time()))

        programs = Route("/v1/programs/{id:path}", guard(detail))
        return Starlette(routes=[*routes(self.overview, guard), programs])


@contextmanager
def serving(site: Site) -> Generator[Site]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        config = uvicorn.Config(site.app(), log_level="critical", lifespan="off")
        server = uvicorn.Server(config)
        run = lambda: anyio.run(server.serve, [listener])  # noqa: E731
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        site.url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        try:
            yield site
        finally:
            server.should_exit = server.force_exit = True
            thread.join()


@pytest.fixture
def site() -> Generator[Site]:
    with serving(Site()) as running:
        yield running


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
def page_of(browser: Any, url: str, width: int = 1200, height: int = 900, **options: Any) -> Any:
    """A page; whatever it complains about in its console is an error."""
    context = browser.new_context(viewport={"width": width, "height": height}, **options)
    context.set_default_timeout(1000 * PATIENCE)
    page = context.new_page()
    page.complaints = []
    page.on("console", lambda m: page.complaints.append(m.text) if m.type != "log" else None)
    page.on("pageerror", lambda e: page.complaints.append(str(e)))
    page.goto(url)
    try:
        yield page
        assert not page.complaints
    finally:
        context.close()


def test_headers(site: Site) -> None:
    with httpx.Client(base_url=site.url, timeout=PATIENCE) as client:
        page = client.get("/")
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert page.headers["referrer-policy"] == "no-referrer"
        assert "http" not in page.text.replace("http-equiv", "")  # nothing from elsewhere
        again = client.get("/", headers={"if-none-match": page.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert client.head("/").status_code == 200
        assert client.post("/").status_code == 405


def test_data_is_sent_again_only_when_it_has_changed(site: Site) -> None:
    with httpx.Client(base_url=site.url, timeout=PATIENCE) as client:
        first = client.get("/dashboard/data")
        assert abs(float(first.headers["weft-now"]) - time.time()) < 30
        assert first.headers["cache-control"] == "no-store"
        known = {"if-none-match": "W/" + first.headers["etag"]}  # as proxies make it
        assert client.get("/dashboard/data", headers=known).status_code == 304
        known = {"if-none-match": first.headers["etag"]}
        assert client.get("/dashboard/data", headers=known).status_code == 304
        site.program("p")
        block_until(lambda: client.get("/dashboard/data", headers=known).status_code == 200)


def test_it_shows_what_there_is_and_follows(site: Site, browser: Any) -> None:
    boss = site.program("s-1", name="claude-code")
    site.call(boss, 60, 58, 57, 50, prompt=9000, cached=6000, generated=300, tool="Bash")
    live = site.call(boss, 5, 4, 2, wait_reason="10.0.0.1:8000 is full: 8 calls run there")
    site.program("s-2", name="explorer", parent="s-1")
    site.loads["10.0.0.1:8000"] = EngineLoad(3, 0, 0.63)
    site.scheduler.replicas[1].take_out(EngineUnavailable("connection refused"))
    with page_of(browser, site.url) as page:
        page.get_by_role("status").filter(has_text="live").wait_for()
        card = page.get_by_role("article").first
        assert "10.0.0.1:8000" in card.inner_text()
        assert card.get_by_label("KV in use").get_attribute("aria-valuenow") == "63"
        assert card.get_by_label("Cache hits").get_attribute("aria-valuenow") == "67"
        assert "connection refused" in page.get_by_role("article").last.inner_text()
        rows = page.locator("#programs li:not(.axis)")
        assert rows.count() == 2
        assert "claude-code" in rows.first.inner_text()
        assert "decode" in rows.first.inner_text()
        assert "sub-agent" in rows.last.inner_text()
        spoken = rows.first.locator("canvas").get_attribute("aria-label")
        assert "prefill 3.0 s" in spoken
        assert "tool 45" in spoken
        drawn = rows.first.locator("canvas").evaluate(
            "c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(v => v)"
        )
        assert drawn
        placements = page.locator("#placements tr")
        assert placements.count() == 2
        assert "its prefix is cached there" in placements.first.inner_text()
        assert "8 calls run there" in placements.first.inner_text()
        assert page.locator("#tenants tr").count() == 1
        # What happens is seen without a reload, and what had the focus keeps it.
        rows.first.get_by_role("button").focus()
        live.tool = "Edit"
        site.end(live)
        site.program("s-3", name="codex")
        page.get_by_text("codex").wait_for()
        rows.nth(1).filter(has_text="tool").wait_for()
        assert page.evaluate("document.activeElement.textContent") == "claude-code"
        del site.programs["s-3"]
        page.get_by_text("codex").wait_for(state="detached")


def test_a_program_in_detail(site: Site, browser: Any) -> None:
    program = site.program("acme/with space?#%/x", tenant="acme", name="claude-code")
    site.call(program, 60, 58, 57, 50, prompt=9000, cached=6000, generated=300, tool="Bash")
    site.call(program, 40, 40, 38, 30, status=502, outcome="broken", error="engine died")
    site.call(program, 5, 4)
    with page_of(browser, site.url) as page:
        page.locator("#programs").get_by_role("button", name="claude-code").click()
        dialog = page.get_by_role("dialog")
        dialog.locator("#d-calls tr").nth(2).wait_for()
        text = dialog.inner_text()
        assert "acme/with space?#%/x" in text
        assert "prefill" in text
        assert "engine died" in text
        assert "67% cached" in text
        assert dialog.locator("#d-calls tr").first.locator("td").nth(1).inner_text() == "2"
        assert "3 calls" in dialog.locator("#d-chart").get_attribute("aria-label")
        page.keyboard.press("Escape")
        dialog.wait_for(state="hidden")
        page.locator("#placements").get_by_role("button").first.click()
        dialog.wait_for()
        dialog.get_by_role("button", name="Close").click()
        dialog.wait_for(state="hidden")


def test_what_clients_say_stays_text(site: Site, browser: Any) -> None:
    program = site.program(XSS, name=XSS, tenant=XSS, source=XSS)
    site.call(
        program,
        9,
        8,
        7,
        6,
        engine=XSS,
        placement_reason=XSS,
        wait_reason=XSS,
        tool=XSS,
        error=XSS,
        model=XSS,
    )
    site.scheduler.replicas[0].name = XSS
    with page_of(browser, site.url) as page:
        page.locator("#programs").get_by_role("button").first.click()
        page.get_by_role("dialog").locator("#d-calls tr").first.wait_for()
        assert page.locator("img").count() == 0
        assert page.title() == "weft"
        assert XSS in page.get_by_role("dialog").inner_text()


def fill(site: Site) -> None:
    """A busy quarter of an hour on three engines."""
    reasons = (
        "its context is cached there: 41,216 of 42,880 tokens",
        "least of its KV is promised: 31% of 480,000 tokens",
        "its home; 18,944 tokens are kept for it",
    )
    clients = ("claude-code", "codex", "aider", "opencode", "mini-swe-agent")
    tenants = ("platform", "research", "web")
    for i in range(14):
        tenant = tenants[i % 3]
        now = time.time()
        parent = f"{tenant}/5f{i - 3:02x}c2-session" if i in (5, 9) else ""
        program = site.program(
            f"{tenant}/5f{i:02x}c2-session",
            tenant=tenant,
            name="Explore" if parent else clients[i % 5],
            parent=parent,
            began=now - 900 + 31 * i,
        )
        at, context, n = 150.0 - 3.1 * i, 11_000 + 3_300 * i, 0
        while at > 12:
            waits = (0.1, 0.4, 6.0 if i % 4 == 1 else 0.2, 1.3)[n % 4]
            first, last = at - waits - 0.8 - (n + i) % 3, at - waits - 5.5 - (3 * i + 5 * n) % 9
            if last < 1:
                break
            site.call(
                program,
                at,
                at - waits,
                first,
                last,
                prompt=context,
                cached=int(context * (0.93 if n else 0.31)),
                generated=240 + 37 * n,
                engine=f"10.0.0.{i % 3 + 1}:8000",
                placement_reason=reasons[(i + n) % 3],
                wait_reason="10.0.0.2:8000 is full: 16 calls run there" if waits > 1 else "",
                tool=("Bash", "Edit", "Read")[n % 3],
            )
            context, at, n = context + 1_450, last - 2.2 - (7 * i + 3 * n) % 11, n + 1
        engine = f"10.0.0.{i % 3 + 1}:8000"
        if i % 5 == 3:
            site.call(
                program,
                7.5,
                engine="",
                placement_reason="",
                wait_reason="no room for its context yet",
            )
        elif i % 3 != 2:
            first = [2.0] if i % 2 else []
            site.call(
                program,
                4.0,
                3.8,
                *first,
                prompt=context,
                engine=engine,
                placement_reason=reasons[i % 3],
            )
    for i in range(5):
        overloaded = site.program(f"web/late-{i}", tenant="web")
        site.call(
            overloaded, 1, engine="", status=429, outcome="refused", attempts=0, ended=time.time()
        )
        del site.programs[overloaded.id]
    for i, replica in enumerate(site.scheduler.replicas):
        site.loads[replica.name] = EngineLoad(5 + i, i % 2, (0.81, 0.64, 0.47)[i])
        replica.in_flight = 5 + i
        replica.index.private(replica.index.open([]), (12_000, 9_100, 6_300)[i])
        for j in range(4):
            replica.claim(Program(f"{i}{j}"), 21_000 + 4_000 * j, 1.0, 1e12)
        for tokens in range(500, 20_000, 900):
            replica.speed.learn_prefill(tokens, 0.02 + tokens * 5.5e-5)
            replica.speed.learn_decode(200, 200 * (0.021 + i / 700), 6)
    site.scheduler.dispatcher.counters.longest_wait = 6.02


WIDTHS = [(360, 780), (1200, 900)]


@pytest.mark.parametrize(("width", "height"), WIDTHS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_the_screen(
    browser: Any, width: int, height: int, scheme: str, tmp_path: Path
) -> None:
    with serving(Site(3)) as site:
        fill(site)
        endless = site.program("x" * 300, name="y" * 300, tenant="z" * 80)
        site.call(endless, 9, 8, 7, 6, placement_reason="w" * 300)
        with page_of(browser, site.url, width, height, color_scheme=scheme) as page:
            page.locator("#placements tr").first.wait_for()
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            for row in page.locator("#programs li:not(.axis)").all()[:3]:
                box = row.bounding_box()
                assert box["x"] >= 0
                assert box["x"] + box["width"] <= width
            page.locator("#programs").get_by_role("button").nth(1).click()
            page.locator("#d-calls tr").first.wait_for()
            box = page.get_by_role("dialog").bounding_box()
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width
            assert page.locator("#detail").evaluate("d => d.scrollWidth <= d.clientWidth")


def test_headings_tables_and_controls_have_names(browser: Any) -> None:
    with serving(Site(3)) as site:
        fill(site)
        with page_of(browser, site.url) as page:
            page.locator("#placements tr").first.wait_for()
            assert page.get_by_role("heading", level=1).count() == 1
            for name in ("Engines", "Live programs", "Tenants", "Last placements"):
                assert page.get_by_role("heading", level=2, name=name).count() == 1
            assert page.locator("table").count() == page.locator("table > caption").count()
            for one in page.get_by_role("button").all():
                assert one.inner_text().strip()
            for one in page.locator("canvas[role=img], [role=meter]").all():
                assert one.get_attribute("aria-label") or one.get_attribute("id") == "d-chart"


def test_with_tenants_it_asks_for_the_admin_key(browser: Any) -> None:
    with serving(Site(key="adm-1")) as site:
        site.program("p", name="claude-code")
        with page_of(browser, site.url) as page:
            box = page.get_by_label("Admin key")
            box.wait_for()
            assert not page.locator("main").is_visible()
            box.fill("wrong")
            box.press("Enter")
            page.get_by_text("That key is not an admin key.").wait_for()
            box.fill("adm-1")
            box.press("Enter")
            page.get_by_role("button", name="claude-code").wait_for()
            assert not box.is_visible()
            page.reload()
            page.get_by_role("button", name="claude-code").click()
            page.get_by_role("dialog").get_by_text("State", exact=True).wait_for()
            site.key = "adm-2"  # keys are renewed while it is open
            box.wait_for()
            assert page.locator("#programs").inner_text() == ""
            # The browser itself notes each 401.
            assert all("401" in complaint for complaint in page.complaints)
            page.complaints.clear()


def test_another_refusal_is_shown_as_text(site: Site, browser: Any) -> None:
    site.refusal = f"this service is not called {XSS}"
    with page_of(browser, site.url) as page:
        page.get_by_role("alert").filter(has_text=XSS).wait_for()
        assert page.locator("img").count() == 0
        assert all("403" in complaint for complaint in page.complaints)
        page.complaints.clear()


def test_it_survives_a_service_that_is_away(site: Site, browser: Any) -> None:
    site.program("p", name="claude-code")
    with page_of(browser, site.url) as page:
        page.get_by_role("button", name="claude-code").wait_for()
        site.broken = True
        page.get_by_text("no answer; this is from").wait_for()
        assert page.get_by_role("button", name="claude-code").is_visible()
        site.program("q", name="codex")
        site.broken = False
        page.get_by_role("button", name="codex").wait_for()
        page.locator("#status").filter(has_text="live").wait_for()
        assert all("500" in complaint for complaint in page.complaints)
        page.complaints.clear()


def test_it_does_not_ask_while_nobody_looks(site: Site, browser: Any) -> None:
    hide = """hidden => {
        Object.defineProperty(document, 'hidden', {configurable: true, get: () => hidden});
        document.dispatchEvent(new Event('visibilitychange'));
    }"""
    with page_of(browser, site.url) as page:
        page.locator("#status").filter(has_text="live").wait_for()
        page.clock.install()
        page.evaluate(hide, True)
        page.locator("#status").filter(has_text="paused").wait_for()
        before = len(site.polls)
        page.clock.run_for(5000)
        assert len(site.polls) <= before + 1  # one may have been on its way
        page.evaluate(hide, False)
        page.locator("#status").filter(has_text="live").wait_for()
        assert len(site.polls) > before


def test_unchanged_data_is_not_sent_twice(site: Site, browser: Any) -> None:
    with page_of(browser, site.url) as page:
        deadline = time.monotonic() + PATIENCE
        while 304 not in site.polls:
            assert time.monotonic() < deadline
            page.wait_for_timeout(100)
        assert site.polls.count(200) <= 2


def test_picture(browser: Any, tmp_path: Path) -> None:
    target = tmp_path / "dashboard.png"
    with serving(Site(3)) as site:
        fill(site)
        for name, width, height, scale in (("", 1200, 1240, 1), ("-phone", 360, 780, 2)):
            path = target.with_name(target.stem + name + target.suffix)
            with page_of(browser, site.url, width, height, device_scale_factor=scale) as page:
                page.locator("#placements tr").first.wait_for()
                page.wait_for_timeout(400)  # bars grow into place
                if name:
                    page.evaluate("document.querySelector('#h-programs').scrollIntoView()")
                page.screenshot(path=path)
            assert path.stat().st_size > 20_000
