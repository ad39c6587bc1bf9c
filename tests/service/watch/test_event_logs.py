from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Callable, Generator
from typing import Any

import pytest

from call_records import T, call
from weft.errors import UsageError
from weft.service.programs.records import ProgramRecord
from weft.service.watch.logs import EventLog, set_up
from work import steps

SECRET = "XYZZY-secret-marker"

Logged = Callable[..., io.StringIO]


@pytest.fixture
def logged() -> Generator[Logged]:
    """Sets logging up as the service does, and undoes it."""
    root, weft = logging.getLogger(), logging.getLogger("weft")
    before = root.handlers[:], root.level, weft.level

    def begin(*arguments: Any, **options: Any) -> io.StringIO:
        stream = io.StringIO()
        set_up(*arguments, to=stream, **options)
        return stream

    yield begin
    logging.captureWarnings(False)
    root.handlers[:] = before[0]
    root.setLevel(before[1])
    weft.setLevel(before[2])


def program(**fields: Any) -> ProgramRecord:
    given: dict[str, Any] = {"id": "a/p", "tenant": "a", "name": "aider", "parent": ""}
    given |= {"source": "session-id", "began": T, "seen": T + 9}
    return ProgramRecord(**given | fields)


def test_one_line_a_call_and_one_a_program(logged: Logged) -> None:
    stream = logged()
    log = EventLog()
    log.call_ended(call(program()))
    log.program_ended(program(), "released")
    one, other = map(json.loads, stream.getvalue().splitlines())
    assert one.pop("time").endswith("Z")
    assert one == {
        "level": "info",
        "event": "call",
        "call": "c1",
        "program": "a/p",
        "tenant": "a",
        "path": "/v1/messages",
        "model": "m",
        "status": 200,
        "outcome": "done",
        "engine": "gpu0",
        "attempts": 1,
        "waited": 0.25,
        "first_byte": 0.5,
        "took": 3.0,
        "prompt": 100,
        "cached": 60,
        "generated": 7,
        "where": "its home",
        "wait": "",
    }
    assert (other["event"], other["reason"], other["took"]) == ("program", "released", 9.0)


def leak() -> None:
    """Everything that could carry a prompt into a log."""
    log = EventLog()
    log.call_ended(call(program(), error=f"bad input: {SECRET}", tool=SECRET))
    log.program_ended(program(), "released")
    weft = logging.getLogger("weft.somewhere")
    try:
        raise ValueError(SECRET)
    except ValueError:
        weft.exception("it went wrong")
        logging.getLogger("uvicorn.error").exception("in the application")
    try:
        try:
            raise KeyError(SECRET)
        except KeyError as error:
            raise RuntimeError(SECRET) from error
    except RuntimeError:
        weft.exception("it went wrong again")
    logging.getLogger("asyncio").error(f"Task exception was never retrieved\nfuture: <{SECRET}>")
    for name in ("httpx", "openai", "aiohttp.access"):
        logging.getLogger(name).info("POST %s", SECRET)
        logging.getLogger(name).debug("Request options: %s", SECRET)


@pytest.mark.parametrize("form", ["json", "text"])
@pytest.mark.parametrize("level", ["debug", "info", "warning"])
def test_nothing_of_a_prompt_is_logged(logged: Logged, form: str, level: str) -> None:
    stream = logged(form, level)
    leak()
    text = stream.getvalue()
    assert "it went wrong again" in text
    assert "ValueError" in text
    assert "test_event_logs.py" in text  # where it came from
    assert SECRET not in text


def test_unless_it_is_asked_for(logged: Logged) -> None:
    stream = logged(telling=True)
    leak()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert lines[0]["error"] == f"bad input: {SECRET}"
    assert SECRET in lines[2]["exception"]


def test_a_line_is_a_line_whatever_clients_send(logged: Logged) -> None:
    nasty = program(id="a\n{}\x1b[2J\u2028b" + "x" * 9999)
    for form in ("json", "text"):
        stream = logged(form)
        EventLog().call_ended(call(nasty))
        text = stream.getvalue()
        assert len(text.splitlines()) == 1 or form == "json"
        assert text.count("\n") == 1
        assert "\x1b" not in text
        assert len(text) < 1000


def test_half_a_character_is_escaped(logged: Logged) -> None:
    stream = logged()
    logging.getLogger("weft.somewhere").warning("a part said \ud800")
    assert json.loads(stream.getvalue())["message"] == "a part said \ud800"


def test_text_for_terminals(logged: Logged) -> None:
    stream = logged("text")
    EventLog().call_ended(call(program(), tool="bash"))
    logging.getLogger("weft.x").warning("gpu%d is out", 3)
    one, other = stream.getvalue().splitlines()
    assert " info    call call=c1 program=a/p tenant=a path=/v1/messages" in one
    assert "tool" not in one
    assert other.split(" ", 1)[1] == "warning gpu3 is out logger=weft.x"


def test_levels(logged: Logged) -> None:
    stream = logged("json", "warning")
    EventLog().call_ended(call(program()))
    EventLog().program_ended(program(), "released")
    logging.getLogger("weft.x").info("quiet")
    assert stream.getvalue() == ""
    with pytest.raises(UsageError, match="give one of debug, info"):
        set_up("json", "loud")


def test_warnings_are_events(logged: Logged) -> None:
    stream = logged()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(False)
        logging.captureWarnings(True)
        warnings.warn("careful", UserWarning, stacklevel=1)
        logging.captureWarnings(False)
    line = json.loads(stream.getvalue())
    assert (line["level"], line["logger"]) == ("warning", "py.warnings")
    assert "careful" in line["message"]


def test_a_line_is_quick(logged: Logged) -> None:
    logged()
    made, log = call(program()), EventLog()
    first = steps(lambda: log.call_ended(made))
    for _ in range(1000):
        log.call_ended(made)
    assert max(first, steps(lambda: log.call_ended(made))) <= 400
