"""What comes from outside ends what runs; what code raises by itself is its own failure."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any

import anyio
import pytest

from weft.errors import PartFailed
from weft.interrupts import is_interrupt, must_pass, receiving_interrupts
from weft.parts.faults import blaming


class Odd(BaseException):
    """Nothing that `except Exception` would catch."""


def group(*errors: BaseException) -> BaseExceptionGroup[BaseException]:
    return BaseExceptionGroup("several", errors)


class Part:
    """Stands for a user's part."""


async def test_ctrl_c_is_an_interrupt_unless_a_receiver_gets_it() -> None:
    assert is_interrupt(KeyboardInterrupt())
    assert must_pass(KeyboardInterrupt())
    with receiving_interrupts():
        assert not must_pass(KeyboardInterrupt())
    assert must_pass(KeyboardInterrupt())


async def test_a_cancellation_passes_and_its_imitation_does_not() -> None:
    assert not must_pass(GeneratorExit())
    assert not must_pass(Odd())
    assert not must_pass(SystemExit(3))
    assert not must_pass(asyncio.CancelledError())
    passed: list[bool] = []
    with anyio.CancelScope() as scope:
        scope.cancel()
        try:
            await anyio.sleep_forever()
        except BaseException as error:
            passed.append(must_pass(error))
            raise
    assert passed == [True]


def test_a_coroutine_that_nothing_runs_is_closed_without_a_word() -> None:
    class Never:
        def __await__(self) -> Generator[None]:
            yield

    async def solve() -> None:
        with blaming("strategy", Part):
            await Never()

    left = solve()
    left.send(None)
    left.close()  # raises what comes out, were that not what closed it
    with pytest.raises(PartFailed, match="GeneratorExit"), blaming("task", Part):
        raise GeneratorExit


@pytest.mark.parametrize(
    "error",
    [SystemExit(3), Odd(), GeneratorExit(), group(SystemExit(3)), group(Odd(), ValueError("no"))],
)
async def test_a_part_fails_whatever_it_raises_and_however_deep(error: BaseException) -> None:
    with (
        pytest.raises(PartFailed, match=r"strategy Part failed at .*test_interrupts\.py"),
        blaming("strategy", Part),
    ):
        raise error


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), group(ValueError("no"), KeyboardInterrupt())]
)
async def test_ctrl_c_passes_through_parts_but_not_in_a_service(error: BaseException) -> None:
    with pytest.raises(type(error)), blaming("strategy", Part):
        raise error
    with receiving_interrupts(), pytest.raises(PartFailed), blaming("strategy", Part):
        raise error


async def test_a_program_may_end_the_process() -> None:
    leaving: Any
    for leaving in (SystemExit(3), group(SystemExit(3))):
        with pytest.raises(type(leaving)), blaming("program", Part):
            raise leaving
