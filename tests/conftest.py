"""What all tests share.

Every async test runs twice, on asyncio and on trio (`anyio_mode = "auto"`), unless it is marked
with the loops that it is for: `pytest.mark.loops("asyncio")`, or `"virtual"` for virtual time.
pytest enables faulthandler itself. Nothing in this process may reach beyond the loopback
interface; servers that tests need are started on it.
"""

from __future__ import annotations

import asyncio
import gc
import ipaddress
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any, cast

import pytest
import trio.testing
import uvicorn.server
from hypothesis import settings

if TYPE_CHECKING:
    from bpe_server import Host, Model


LOOPS = ("asyncio", "trio")
LONG = (
    "test_docs.py",
    "test_simulate.py",
    "test_other_verbs.py",
    "test_extras.py",
    "test_registry.py",
    "test_state.py",
    "test_faults.py",
    "test_dashboard.py",
    "test_architecture.py",
)
"""Files that take long: the last ones should be short, so that all processes end at about the same
time."""

pytest_plugins = ["coverage_of_weft"]

settings.register_profile("weft", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("weft")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run async tests on the event loops that they are marked with."""
    if "anyio_backend" in metafunc.fixturenames:
        mark = metafunc.definition.get_closest_marker("loops")
        metafunc.parametrize("anyio_backend", mark.args if mark else LOOPS, indirect=True)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Share tests out by files, where several processes run them.

    So what a module starts is started once. All tests on real vLLM are in one process, for they
    share replicas; they begin first, since they take longest.
    """
    if not hasattr(config, "workerinput"):
        return
    for item in items:
        slow = item.get_closest_marker("integration")
        file = item.nodeid.partition("::")[0]
        item.add_marker(pytest.mark.xdist_group("vllm" if slow else file))
    items.sort(
        key=lambda item: (
            item.get_closest_marker("integration") is None,
            item.path.name not in LONG,
        )
    )


@pytest.fixture
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """The event loop of a test, as anyio wants it named."""
    if request.param == "virtual":
        # Seconds pass at once, and nothing but their order orders events.
        return "trio", {"clock": trio.testing.MockClock(autojump_threshold=0)}
    return request.param


def pytest_collection_finish() -> None:
    """Spare the garbage collector what stays: modules and tests."""
    gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Have `--last-failed` know tests by their own names, without the group behind the `@`."""
    cache = getattr(session.config, "cache", None)
    if cache is not None and not hasattr(session.config, "workerinput"):
        failed: dict[str, bool] = cache.get("cache/lastfailed", {})
        names = {re.sub(r"@[^@\]]*$", "", name): True for name in failed}
        if names != failed:
            cache.set("cache/lastfailed", names)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in one line what was skipped, and why; reasons name what to install."""
    reasons: Counter[str] = Counter()
    for report in terminalreporter.getreports("skipped"):
        if isinstance(report.longrepr, tuple):
            reasons[report.longrepr[2].removeprefix("Skipped: ")] += 1
    if reasons:
        why = "; ".join(f"{count} because {reason}" for reason, count in reasons.most_common())
        terminalreporter.write_line(f"skipped: {why}", yellow=True)


def local(host: Any) -> bool:
    """Whether an address or a host name is this machine's own."""
    if isinstance(host, bytes):
        host = host.decode()
    if host in (None, "", "localhost"):
        return True
    try:
        address = ipaddress.ip_address(str(host).partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def forbid_network(event: str, arguments: tuple[Any, ...]) -> None:
    """Refuse look-ups of, and connections to, anything that is not this machine."""
    if event == "socket.getaddrinfo":
        host = arguments[0]
    elif event in ("socket.connect", "socket.sendto") and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    else:
        return
    if not local(host):
        raise RuntimeError(f"tests must not reach the network, but this one asks for {host!r}")


sys.addaudithook(forbid_network)

# Each client of each test reads whom to trust, and all are on this machine: one authority is
# read in no time, certifi's 140 take some 20 ms.
os.environ["SSL_CERT_FILE"] = str(Path(__file__).parent / "common" / "authority.pem")


class Quick:
    """asyncio for uvicorn's server, which sleeps 0.1 s twice before it ends.

    Tests start some thousand servers, so that would be minutes.
    """

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    @staticmethod
    async def sleep(seconds: float) -> None:
        """Sleep a twentieth of it."""
        await asyncio.sleep(seconds / 20)


cast(Any, uvicorn.server).asyncio = Quick()


class PostgreSQL:
    """A database server of this test session's own, behind a socket in `folder`."""

    def __init__(self, programs: Path, folder: Path) -> None:
        # It refuses to run as root.
        self._user = "postgres" if os.geteuid() == 0 else None
        self._programs, self.folder = programs, folder
        self._server: subprocess.Popen[bytes] | None = None
        if self._user is not None:
            shutil.chown(folder, self._user)
        options = ["-A", "trust", "-U", "weft", "-E", "UTF8", "--locale=C", "--no-sync", "-D"]
        subprocess.run(
            [programs / "initdb", *options, folder / "data"],
            user=self._user,
            cwd=folder,
            check=True,
            capture_output=True,
        )
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = f"-c listen_addresses= -c fsync=off -c unix_socket_directories={self.folder}"
        with (self.folder / "log").open("ab") as log:
            self._server = subprocess.Popen(
                [self._programs / "postgres", "-D", self.folder / "data", *options.split()],
                user=self._user,
                cwd=self.folder,
                stdout=log,
                stderr=log,
            )
        self._psql("SELECT 1")

    def stop(self) -> None:
        """Stop it at once; connections break."""
        if self._server is not None:
            self._server.send_signal(signal.SIGQUIT)
            self._server.wait(150)
            self._server = None

    def database(self) -> str:
        """The URL of an empty database; what was in it is gone."""
        self._psql("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        return f"postgresql://weft@/postgres?host={self.folder}"

    def _psql(self, statement: str) -> None:
        command = [self._programs / "psql", "-h", self.folder, "-U", "weft", "-c", statement]
        for _ in range(500):
            done = subprocess.run([*command, "postgres"], capture_output=True, check=False)
            if not done.returncode:
                return
            time.sleep(0.1)
        raise AssertionError(done.stderr.decode())


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgreSQL]:
    """PostgreSQL; tests are skipped where it is not installed."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    found = shutil.which("initdb", path=os.pathsep.join([os.environ["PATH"], *map(str, debian)]))
    if found is None:
        pytest.skip("PostgreSQL is missing: install postgresql")
    # Not in pytest's folder, which other users can't enter.
    with tempfile.TemporaryDirectory(prefix="weft-") as folder:
        server = PostgreSQL(Path(found).resolve().parent, Path(folder))
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
def store_place(request: pytest.FixtureRequest, tmp_path: Path) -> str | Path:
    """Where a Store can be kept: a file, and a database of PostgreSQL."""
    if request.param == "sqlite":
        return tmp_path / "s.sqlite"
    return request.getfixturevalue("postgres").database()


@pytest.fixture(scope="session")
def bpe_host() -> Iterator[Host]:
    """A server of models with real tokenizers and chat templates."""
    from bpe_server import hosting

    with hosting() as host:
        yield host


@pytest.fixture
def serve(bpe_host: Host) -> Callable[..., tuple[Model, str]]:
    """Serves a model that gives some answers; gives it and its address."""

    def start(answers: Any, template: str = "llama", **more: Any) -> tuple[Model, str]:
        from bpe_server import Model

        model = Model(answers, template, **more)
        return model, bpe_host.add(model)

    return start


@pytest.fixture(autouse=True)
def forgotten(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Forget the modules of files that a test wrote: another test may use the same names."""
    path, before = list(sys.path), len(sys.modules)
    yield
    sys.path[:] = path
    if len(sys.modules) != before:
        folder = str(tmp_path_factory.getbasetemp())
        for name, module in list(sys.modules.items()):
            if str(getattr(module, "__file__", "")).startswith(folder):
                del sys.modules[name]


@pytest.fixture
def put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Write a file into the folder in which the test runs."""
    monkeypatch.chdir(tmp_path)

    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))
        return path

    return write
