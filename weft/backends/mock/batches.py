"""The mock server's batches: files that are uploaded, and answered line by line."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from email import message_from_bytes
from typing import Any

from starlette.requests import Request as HTTPRequest
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from weft.backends.mock.forms import failure, unique

Answer = Callable[[dict[str, Any]], Awaitable[tuple[int, dict[str, Any]]]]
"""Answers the body of one line, with a status."""


class MockBatches:
    """Files and batches of a server.

    Args:
        answer: answers the body of a line.

    Attributes:
        paid: how many lines were answered.
    """

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._files: dict[str, bytes] = {}
        self._batches: dict[str, dict[str, Any]] = {}
        self.paid = 0

    @property
    def routes(self) -> list[Route]:
        """Where they are."""
        return [
            Route("/v1/files", self._upload, methods=["POST"]),
            Route("/v1/files/{id}/content", self._content),
            Route("/v1/batches", self._create, methods=["POST"]),
            Route("/v1/batches", self._list),
            Route("/v1/batches/{id}", self._look),
        ]

    async def _upload(self, request: HTTPRequest) -> Response:
        kind = request.headers.get("content-type", "").encode()
        form = message_from_bytes(b"Content-Type: " + kind + b"\r\n\r\n" + await request.body())
        for part in form.walk():
            if part.get_param("name", header="content-disposition") == "file":
                id = unique("file-")
                self._files[id] = bytes(part.get_payload(decode=True) or b"")  # pyright: ignore
                return JSONResponse({"id": id, "object": "file", "purpose": "batch"})
        return _refused("there is no file")

    async def _content(self, request: HTTPRequest) -> Response:
        found = self._files.get(request.path_params["id"])
        return _refused("no such file", 404) if found is None else PlainTextResponse(found)

    async def _create(self, request: HTTPRequest) -> Response:
        asked = await request.json()
        if asked.get("input_file_id") not in self._files:
            return _refused("no such file")
        id = unique("batch_")
        self._batches[id] = {
            "id": id,
            "object": "batch",
            "status": "validating",
            "endpoint": asked.get("endpoint"),
            "input_file_id": asked["input_file_id"],
            "metadata": asked.get("metadata"),
            "output_file_id": None,
            "error_file_id": None,
        }
        return JSONResponse(self._batches[id])

    async def _list(self, request: HTTPRequest) -> Response:
        return JSONResponse(
            {"object": "list", "data": [*self._batches.values()][::-1], "has_more": False}
        )

    async def _look(self, request: HTTPRequest) -> Response:
        """The batch, which is answered when it is first asked after."""
        batch = self._batches.get(request.path_params["id"])
        if batch is None:
            return _refused("no such batch", 404)
        if batch["status"] == "validating":
            batch["status"] = "in_progress"
            await self._run(batch)
        return JSONResponse(batch)

    async def _run(self, batch: dict[str, Any]) -> None:
        files: dict[str, list[bytes]] = {"output_file_id": [], "error_file_id": []}
        for text in self._files[batch["input_file_id"]].splitlines():
            line = json.loads(text)
            status, body = await self._answer(line["body"])
            self.paid += 1
            response = {"status_code": status, "body": body}
            made = {"custom_id": line["custom_id"], "response": response, "error": None}
            file = "output_file_id" if status == 200 else "error_file_id"
            files[file].append(json.dumps(made).encode() + b"\n")
        for name, lines in files.items():
            if lines:
                batch[name] = unique("file-")
                self._files[batch[name]] = b"".join(lines)
        batch["status"] = "completed"


def _refused(text: str, status: int = 400) -> Response:
    return JSONResponse(failure("/v1/batches", status, text), status)
