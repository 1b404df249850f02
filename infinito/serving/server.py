"""Listens on a port until Ctrl+C."""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence

import uvicorn
from rich.console import Console
from rich.markup import escape

from infinito.config import ServeConf
from infinito.errors import ConfigError
from infinito.serving.app import build_app
from infinito.serving.guard import Guard, is_loopback
from infinito.serving.served import ServedModel

BACKLOG = 128


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        ConfigError: the port is in use, or this machine has no such address.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigError(f"`serve.host`={host}: {error.strerror}. Use 127.0.0.1") from None
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(
                f"`serve.port`={port} is in use on {host}: another program listens there. Use "
                f"another, e.g. `serve.port={port + 1}`, or `serve.port=0` for any that is free"
            ) from None
        raise ConfigError(
            f"`serve.host`={host} `serve.port`={port}: {error.strerror}. Use 127.0.0.1 and a port "
            "above 1023"
        ) from None
    return listening


def serve(
    models: Sequence[ServedModel], conf: ServeConf, listening: socket.socket, console: Console
) -> None:
    """Serve models until Ctrl+C, then let running answers end for `stop_s`."""
    host, port = listening.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    names = ", ".join(model.name for model in models)
    console.print(f"serving {escape(names)} at http://{shown}:{port}/ – Ctrl+C stops it")
    if not is_loopback(conf.host):
        console.print(
            f"[yellow]warning:[/] `serve.host`={escape(conf.host)} lets other machines in, "
            "without a password"
        )
    app = Guard(build_app(models), conf.host, conf.max_body, conf.patience_s)
    settings = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        lifespan="off",
        ws="none",
        server_header=False,
        timeout_graceful_shutdown=conf.stop_s,
    )
    try:
        uvicorn.Server(settings).run([listening])
    except KeyboardInterrupt:  # uvicorn repeats the signal once it has stopped
        console.print("stopped")
    finally:
        for model in models:
            model.engine.close()
