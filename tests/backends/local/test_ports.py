"""Ports of servers that take a while to listen."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from weft.backends.local import ports
from weft.errors import UsageError


def test_ports_are_distinct_and_none_is_given_to_a_connection_meanwhile() -> None:
    found = ports.free_ports(20)
    assert len(set(found)) == 20
    first, last = ports._given()  # pyright: ignore[reportPrivateUsage]
    assert not [port for port in found if first <= port <= last]


def test_ports_that_are_listened_on_are_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (taken,) = ports.free_ports(1)
    given = tmp_path / "range"
    monkeypatch.setattr(ports, "_RANGE", given)
    monkeypatch.setattr(ports, "_LEAST", taken)
    given.write_text(f"{taken + 1} 65535")
    with socket.socket() as one:
        one.bind(("127.0.0.1", taken))
        assert taken not in ports.free_ports(3)


def test_where_all_ports_are_given_to_connections_any_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = tmp_path / "range"
    given.write_text("1024\t65535\n")
    monkeypatch.setattr(ports, "_RANGE", given)
    assert len(set(ports.free_ports(3))) == 3


def test_ports_from_a_first_one_on_must_be_free_and_be_ports() -> None:
    first = next(port for port in ports.free_ports(20) if port < 65_000)
    assert ports.ports_from(first, 1) == [first]
    with socket.socket() as one:
        one.bind(("", first))
        with pytest.raises(UsageError, match=f"port {first} is in use; give another first port"):
            ports.ports_from(first, 1)
    with pytest.raises(UsageError, match="port 65536 is none; 2 ports from 65535 on"):
        ports.ports_from(65_535, 2)
