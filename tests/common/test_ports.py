"""A kept port goes to the server that names it, and to nobody who asks for any."""

import socket

from ports import free_port


def test_a_server_that_names_the_port_gets_it() -> None:
    port = free_port()
    for _ in range(2):  # one that is started again, too
        with socket.create_server(("127.0.0.1", port)) as server:
            assert server.getsockname()[1] == port
            with socket.create_connection(("127.0.0.1", port)):
                pass


def test_nobody_else_is_given_it() -> None:
    kept = {free_port() for _ in range(50)}
    assert len(kept) == 50
    others: list[socket.socket] = []
    try:
        for _ in range(200):
            others.append(socket.create_server(("127.0.0.1", 0)))
        assert not kept & {other.getsockname()[1] for other in others}
    finally:
        for other in others:
            other.close()
