"""Where the server listens, and what it says where it cannot."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from infinito.config import ServeConf
from infinito.errors import ConfigError
from infinito.serving.assembly import name_model
from infinito.serving.guard import is_loopback
from infinito.serving.server import listen
from tests.serving.conftest import post

Serve = Callable[..., str]


def test_a_port_in_use_is_refused_with_another() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            ConfigError, match=rf"`serve.port`={port} is in use.*`serve.port={port + 1}`"
        ):
            listen("127.0.0.1", port)


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"`serve.host`=192.0.2.1 .*Use 127.0.0.1"):
        listen("192.0.2.1", 0)
    with pytest.raises(ConfigError, match=r"`serve.host`=no host: .*Use 127.0.0.1"):
        listen("no host", 0)


def test_it_listens_on_this_machine_alone_by_default() -> None:
    assert is_loopback(ServeConf().host)
    assert is_loopback("::1")
    assert not is_loopback("0.0.0.0")
    assert not is_loopback("127.evil.example")


def test_a_request_that_never_arrives_whole_is_answered_408(serve: Serve) -> None:
    address = serve(patience_s=0.2)
    host, port = address.removeprefix("http://").split(":")
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\n"
    head += "Content-Type: application/json\r\nContent-Length: 10\r\n\r\n{"
    with socket.create_connection((host, int(port)), timeout=20) as slow:
        slow.sendall(head.encode())
        assert slow.recv(100).startswith(b"HTTP/1.1 408 ")
    assert post(address, max_tokens=1).status_code == 200


def test_a_folder_that_is_no_run_has_its_own_name(tmp_path: Path) -> None:
    assert name_model(tmp_path / "gpt2") == "gpt2"
