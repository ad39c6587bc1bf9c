"""Batches: requests that are sent together, to be answered within a day for less.

OpenAI's protocol: a file of requests is uploaded, a batch is made of the file, and a file of
answers is fetched when the batch has come to its end. What is sent is written down before. So a
process that is killed and started again waits for its batches, and pays for nothing twice.

No task runs beside the calls: of the calls that wait for a batch one moves the batch on, and if
that one is cancelled another one does.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

import anyio
import openai

from weft.backends.openai.reaching import reaching
from weft.backends.openai.reading import as_object
from weft.errors import EngineBusy, EngineUnavailable, RequestFailed, UsageError

QUIET = 0.5
"""Seconds without a further request after which a batch is sent."""
MOST, MOST_BYTES = 50_000, 150 << 20
"""Requests of a batch, and bytes of its file; OpenAI's limits are 50,000 and 200 MB."""
FIRST_LOOK, LONGEST_LOOK = 0.2, 60.0
"""Seconds between two looks at a batch: they double."""
_TRIES = 8
"""Looks in a row that may fail."""
_TAG = "weft"
_OVER = ("completed", "expired", "cancelled", "failed")


class BatchLine(NamedTuple):
    """An answer of a batch: an HTTP status, and the body."""

    status: int
    body: dict[str, Any]


class _Void(Exception):
    """A batch that was to be sent never was."""


class SentBatch:
    """Requests that go together.

    Args:
        tag: tells it from others, at the endpoint too.
        keys: of the requests that were sent before, by another process.
        id: the endpoint's name for it, if that is known.
    """

    def __init__(self, tag: str, keys: Iterable[str] = (), id: str = "") -> None:
        self.tag, self.id = tag, id
        self.requests: dict[str, bytes] = dict.fromkeys(keys, b"")
        self.size = 0
        self.closed = self.resumed = bool(self.requests)
        self.came = 0.0
        self.turn = anyio.Lock()
        self.lines: dict[str, BatchLine] | None = None
        self.problem = ""

    def add(self, key: str, request: bytes) -> None:
        """Take a request in."""
        self.requests[key] = request
        self.size += len(request)
        self.came = anyio.current_time()
        self.closed = len(self.requests) >= MOST or self.size >= MOST_BYTES


class Batches:
    """The batches of one endpoint.

    Args:
        client: speaks to the endpoint.
        url: of it, for errors.
        file: where it is written down what was sent.

    Raises:
        UsageError: the file can't be read or written.
    """

    def __init__(self, client: Callable[[], openai.AsyncOpenAI], url: str, file: Path) -> None:
        self._client, self._url, self._file = client, url, file
        self._open: SentBatch | None = None
        self._known: dict[str, SentBatch] = {}
        """By key, those that another process has sent."""
        self._load()

    async def answer(self, key: str, body: Mapping[str, Any]) -> BatchLine:
        """The answer to a request.

        Args:
            key: of the request: the same in every process, and no other's.
            body: of it.

        Raises:
            EngineError: the endpoint can't be reached, or refuses the batch.
        """
        while True:
            batch = self._known.pop(key, None) or self._collecting(key, body)
            try:
                return await self._wait(batch, key)
            except _Void:
                continue
            finally:
                if not batch.closed:  # it was not sent yet, and need not be
                    batch.requests.pop(key, None)

    def _collecting(self, key: str, body: Mapping[str, Any]) -> SentBatch:
        batch = self._open
        if batch is None or batch.closed or key in batch.requests:
            batch = self._open = SentBatch(secrets.token_hex(8))
        line = {"custom_id": key, "method": "POST", "url": "/v1/chat/completions", "body": body}
        batch.add(key, json.dumps(line).encode() + b"\n")
        return batch

    async def _wait(self, batch: SentBatch, key: str) -> BatchLine:
        while batch.lines is None:
            async with batch.turn:
                if batch.lines is None:
                    await self._move(batch)
        found = batch.lines.pop(key, None)
        if found is None:
            problem = batch.problem or f"gave no answer to a request of batch {batch.id}"
            raise RequestFailed(f"{self._url} {problem}")
        return found

    async def _move(self, batch: SentBatch) -> None:
        """Bring a batch on its way, and to its end."""
        while not batch.closed:
            if (left := batch.came + QUIET - anyio.current_time()) > 0:
                await anyio.sleep(left)
            else:
                batch.closed = True
        with reaching(self._url):
            if not batch.id:
                await self._send(batch)
            state = await self._until_over(batch)
            lines = await self._fetch(state, "output_file_id")
            lines |= await self._fetch(state, "error_file_id")
        if state["status"] == "failed":
            batch.problem = f"refused batch {batch.id}: {_reason(state)}"
        batch.lines = lines
        failed = [key for key in batch.requests if key not in lines or lines[key].status != 200]
        if failed:
            self._note(batch, failed=failed)
        batch.requests.clear()

    async def _send(self, batch: SentBatch) -> None:
        """Make the batch at the endpoint, unless another process has."""
        client = self._client()
        if batch.resumed or batch.tag in self._tags():
            batch.id = await self._found(batch.tag)
        else:
            self._note(batch, keys=list(batch.requests))
        if not batch.id and batch.resumed:
            self._note(batch, over=True)
            for key in [key for key, known in self._known.items() if known is batch]:
                del self._known[key]
            raise _Void
        if not batch.id:
            data = b"".join(batch.requests.values())
            file = await client.files.with_raw_response.create(
                file=(f"{batch.tag}.jsonl", data, "application/jsonl"), purpose="batch"
            )
            made = await client.batches.with_raw_response.create(
                input_file_id=file.http_response.json()["id"],
                endpoint="/v1/chat/completions",
                completion_window="24h",
                metadata={_TAG: batch.tag},
            )
            batch.id = made.http_response.json()["id"]
        batch.requests = dict.fromkeys(batch.requests, b"")
        self._note(batch, id=batch.id)

    async def _found(self, tag: str) -> str:
        """The endpoint's name for a batch; empty if it has none of this tag."""
        after: dict[str, Any] = {}
        while True:
            answer = await self._client().batches.with_raw_response.list(limit=100, **after)
            page = cast("dict[str, Any]", answer.http_response.json())
            listed = cast("list[dict[str, Any]]", page["data"])
            for one in listed:
                if as_object(one.get("metadata")).get(_TAG) == tag:
                    return one["id"]
            if not page.get("has_more") or not listed:
                return ""
            after = {"after": listed[-1]["id"]}

    async def _until_over(self, batch: SentBatch) -> dict[str, Any]:
        rest, failures = FIRST_LOOK, 0
        while True:
            try:
                with reaching(self._url):
                    answer = await self._client().batches.with_raw_response.retrieve(batch.id)
                state, failures = as_object(answer.http_response.json()), 0
                if state.get("status") in _OVER:
                    return dict(state)
            except (EngineUnavailable, EngineBusy, RequestFailed):
                failures += 1
                if failures == _TRIES:
                    raise
            await anyio.sleep(rest)
            rest = min(2 * rest, LONGEST_LOOK)

    async def _fetch(self, state: Mapping[str, Any], field: str) -> dict[str, BatchLine]:
        """The answers in one of a batch's files."""
        if not (name := state.get(field)):
            return {}
        answer = await self._client().files.content(name)
        found: dict[str, BatchLine] = {}
        for text in answer.content.splitlines():
            if text.strip():
                line = json.loads(text)
                response = as_object(line.get("response"))
                error = as_object(line.get("error"))
                status = int(response.get("status_code") or 500)
                body = dict(as_object(response.get("body"))) or {"error": dict(error)}
                found[line["custom_id"]] = BatchLine(
                    500 if error and status == 200 else status, body
                )
        return found

    def _tags(self) -> set[str]:
        return {line["tag"] for line in self._read()}

    def _note(self, batch: SentBatch, **what: Any) -> None:
        """Write down what has become of a batch, before going on."""
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"tag": batch.tag, **what}) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def _load(self) -> None:
        """See which requests are on their way."""
        batches: dict[str, SentBatch] = {}
        for line in self._read():
            tag = line["tag"]
            if "keys" in line:
                batches[tag] = SentBatch(tag, line["keys"])
            elif "id" in line and tag in batches:
                batches[tag].id = line["id"]
            elif "failed" in line and tag in batches:
                for key in line["failed"]:
                    batches[tag].requests.pop(key, None)
            elif "over" in line:
                batches.pop(tag, None)
        self._known = {key: batch for batch in batches.values() for key in batch.requests}

    def _read(self) -> list[dict[str, Any]]:
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            text = self._file.read_text(encoding="utf-8") if self._file.exists() else ""
            whole = text[: text.rfind("\n") + 1]  # a crash may have cut the last line short
            return [json.loads(line) for line in whole.splitlines()]
        except (OSError, ValueError) as e:
            raise UsageError(f"batch={self._file} can't be read: {e}; name another file") from None


def _reason(state: Mapping[str, Any]) -> str:
    errors = as_object(state.get("errors")).get("data")
    listed = cast("list[Any]", errors) if isinstance(errors, list) else []
    said = [str(as_object(one).get("message") or one) for one in listed]
    return "; ".join(said[:3]) or "no reason is given"
