"""A server on a free port, with a model of random weights whose tokens are characters."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import pytest
import uvicorn

from infinito.config import ChatConf, GenerationConf, ServeConf
from infinito.models.trained import Trained
from infinito.serving.app import build_app
from infinito.serving.guard import Guard
from infinito.serving.served import ServedModel
from infinito.serving.server import listen
from tests.chat.conftest import characters, talker

__all__ = ["characters", "talker"]


def build_served(trained: Trained, conf: ServeConf | None = None) -> ServedModel:
    """A model of the name `tiny`, greedy, with answers of 12 tokens."""
    generation = GenerationConf(temperature=0, max_new_tokens=12)
    chat = ChatConf(template="plain")
    return ServedModel("tiny", trained, chat, generation, conf or ServeConf(), 0)


@contextmanager
def serving(*models: ServedModel, conf: ServeConf) -> Iterator[str]:
    """The address of a server of these models."""
    with listen("127.0.0.1", 0) as listening:
        app = Guard(build_app(models), conf.host, conf.max_body, conf.patience_s)
        settings = uvicorn.Config(app, log_level="critical", lifespan="off", ws="none")
        server = uvicorn.Server(settings)
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
            for model in models:
                model.engine.close()


@pytest.fixture
def serve(talker: Callable[..., Trained]) -> Iterator[Callable[..., str]]:
    """Starts a server of one model, greedy, with answers of 12 tokens; returns its address."""
    running = []

    def start(name: str = "distance_l1", model: dict[str, Any] | None = None, **conf: Any) -> str:
        settings = ServeConf(**conf)
        trained = talker(name, max_position_embeddings=512, **(model or {}))
        served = build_served(trained, settings)
        manager = serving(served, conf=settings)
        address = manager.__enter__()
        running.append(manager)
        return address

    yield start
    for manager in running:
        manager.__exit__(None, None, None)


def post(address: str, **body: Any) -> httpx2.Response:
    """Ask for an answer; the model and one message are there unless given."""
    whole = {"model": "tiny", "messages": [{"role": "user", "content": "has he"}], **body}
    return httpx2.post(f"{address}/v1/chat/completions", json=whole, timeout=60)
