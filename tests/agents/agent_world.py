"""Where the agents of all tests meet: one service with one scripted engine, and a neighbour."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import openai

from agent_clients import Place
from agent_player import OLD, play
from waiting import PATIENCE, block_until
from weft.backends.scripted.engine import ScriptedEngine
from weft.backends.scripted.requests import Received, ScriptRequest
from weft.backends.scripted.script import Script, Scripted
from weft.types import Request

CONTEXT = 1_000_000
"""Tokens, of which the engine has one for each character."""

NEIGHBOUR, GREETED = "neighbour", "Greeting"
Plays = Callable[[Request], Scripted]


class World:
    """A service, its engine, and what one test sees of them.

    Args:
        engine: plays the model.
        url: of the service.
        folder: for the homes of the clients.
    """

    def __init__(self, engine: ScriptedEngine, url: str, folder: Path) -> None:
        self.engine, self.url, self.folder = engine, url, folder
        # A program that was released, as those of other tests were, does not come back.
        self.neighbour = f"{NEIGHBOUR}-{folder.name}-{id(self)}"
        self.plays(play)
        engine.token_seconds = 0.0
        engine.requests.clear()
        engine.received.clear()

    def plays(self, how: Plays) -> None:
        """Answer by this function from now on."""
        self.engine.script = Script(how)

    def place(self, name: str, url: str = "") -> Place:
        """A home and a folder to work in, with the file to change."""
        made = Place(url or self.url, self.folder / name / "home", self.folder / name / "work")
        made.home.mkdir(parents=True)
        made.work.mkdir()
        made.file.write_text(OLD + "\n")
        return made

    def came(self) -> list[Received]:
        """What came to the engine to be answered, less what the neighbour asked."""
        asked = [r for r in self.engine.requests if isinstance(r, ScriptRequest)]
        return [r.http for r in asked if r.messages[-1].content != NEIGHBOUR]

    def programs(self) -> list[dict[str, Any]]:
        """The programs of the test, the first first, without the neighbour's."""
        found = self._got("/v1/programs")["data"]
        return sorted(
            (one for one in found if one["id"] != self.neighbour), key=lambda p: p["began"]
        )

    def calls(self, program: dict[str, Any]) -> list[dict[str, Any]]:
        """The calls of a program, oldest first."""
        nodes = self._got(f"/v1/programs/{program['id']}")["graph"]["nodes"]
        return [node for node in nodes if node["kind"] == "call"]

    def ends(self, program: dict[str, Any]) -> list[tuple[int, str]]:
        """Status and outcome of each of its calls."""
        return [(call["status"], call["outcome"]) for call in self.calls(program)]

    def counted(self) -> dict[str, int]:
        """Calls by outcome, as the dashboard has them since the service began."""
        return self._got("/dashboard/data")["outcomes"]

    @contextmanager
    def beside(self) -> Iterator[None]:
        """A neighbour asks one thing after the other all the while: nothing happens to it."""
        asked, over, wrong = threading.Event(), threading.Event(), list[str]()

        def ask() -> None:
            named = {"x-weft-program": self.neighbour}
            said: Any = [{"role": "user", "content": NEIGHBOUR}]
            with openai.OpenAI(
                base_url=f"{self.url}/v1", api_key="k", max_retries=0, default_headers=named
            ) as client:
                while not over.wait(0.2):
                    try:
                        chunks = client.chat.completions.create(
                            model="m", messages=said, stream=True
                        )
                        deltas = [c.choices[0].delta.content or "" for c in chunks if c.choices]
                        got = "".join(deltas)
                    except openai.OpenAIError as error:
                        got = repr(error)
                    if got != GREETED:
                        wrong.append(got)
                    asked.set()

        thread = threading.Thread(target=ask)
        thread.start()
        try:
            assert asked.wait(PATIENCE)
            yield
            asked.clear()
            assert asked.wait(PATIENCE)
        finally:
            over.set()
            thread.join()
        assert wrong == []

    def leave(self) -> None:
        """Nothing is left of the test: of its calls at once, of its programs once released."""
        block_until(lambda: not self._under_way())
        for program in self._got("/v1/programs")["data"]:
            url = f"{self.url}/v1/programs/{program['id']}"
            httpx.delete(url, timeout=PATIENCE).raise_for_status()
        block_until(lambda: not self._held())

    def _got(self, path: str) -> Any:
        return httpx.get(f"{self.url}{path}", timeout=PATIENCE).json()

    def _under_way(self) -> int:
        totals = self._got("/dashboard/data")["totals"]
        here = sum(totals[phase] for phase in ("queued", "prefill", "decode"))
        return here + self.engine.running + self.engine.waiting

    def _held(self) -> float:
        (engine,) = self._got("/dashboard/data")["engines"]
        return sum(engine[kept] or 0 for kept in ("in_flight", "queued", "programs", "reserved"))


@contextmanager
def recorded(url: str) -> Iterator[tuple[str, list[bytearray]]]:
    """An address in front of another, and the bytes that clients send there, by connection."""
    port, sent = int(url.rpartition(":")[2]), list[bytearray]()

    class Between(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            kept = bytearray()
            sent.append(kept)
            with socket.create_connection(("127.0.0.1", port)) as server:
                answers = threading.Thread(target=pump, args=(server, self.request, bytearray()))
                answers.start()
                pump(self.request, server, kept)
                answers.join()

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Between) as door:
        thread = threading.Thread(target=door.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{door.server_address[1]}", sent
        finally:
            door.shutdown()
            thread.join()


def pump(source: socket.socket, sink: socket.socket, kept: bytearray) -> None:
    """Pass on what comes from one to the other until it ends."""
    with contextlib.suppress(OSError):
        while part := source.recv(1 << 16):
            kept += part
            sink.sendall(part)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


@contextmanager
def streaming(answer: bytes) -> Iterator[tuple[str, list[str]]]:
    """A server that answers everything by this stream, and the paths of what it was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.path)
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()
