"""`task=serve` as people use it: started, asked for answers of two models, and stopped."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from infinito.config import RunConf
from infinito.errors import CheckpointError, DataError
from infinito.tasks import serve

WORDS = ("task=serve", "serve.port=0", "trainer.accelerator=cpu")


def test_two_models_are_served_until_ctrl_c(finished: Callable[..., Path], tmp_path: Path) -> None:
    run = finished("data.block_size=64")
    words = [*WORDS, f"checkpoint={run}", f"serve.compare={run / 'model'}", "chat.template=plain"]
    with subprocess.Popen(
        [sys.executable, "-m", "infinito.run", *words],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's & ignores it
    ) as server:
        try:
            assert server.stderr is not None
            line = server.stderr.readline()
            found = re.search(r"http://127\.0\.0\.1:\d+", line)
            assert found is not None, line
            names = [each["id"] for each in httpx2.get(f"{found[0]}/v1/models").json()["data"]]
            assert names == [f"{run.parent.name}/{run.name}", f"{run.parent.name}/{run.name}#2"]
            answers = [ask(found[0], name) for name in names]
            assert answers[0] == answers[1]  # the second checkpoint is the first one's export
            server.send_signal(signal.SIGINT)
            assert server.stderr.read() == "stopped\n"
            assert server.wait(60) == 0
        finally:
            server.kill()


def ask(address: str, model: str) -> str:
    body = {"model": model, "messages": [{"role": "user", "content": "line 7"}]}
    answer = httpx2.post(
        f"{address}/v1/chat/completions",
        json={**body, "temperature": 0, "max_tokens": 8},
        timeout=60,
    )
    assert answer.status_code == 200, answer.text
    return str(answer.json()["choices"][0]["message"]["content"])


def test_models_that_cannot_be_served_are_named(
    finished: Callable[..., Path], tmp_path: Path, reading: Callable[..., RunConf]
) -> None:
    run = finished("data.block_size=64")
    conf = reading(*WORDS, f"checkpoint={run}")
    with pytest.raises(DataError, match=r"chat\.template=plain"):
        serve.run(conf, tmp_path, [])
    absent = tmp_path / "absent"
    words = (f"checkpoint={run}", "chat.template=plain", f"serve.compare={absent}")
    with pytest.raises(CheckpointError, match="absent"):
        serve.run(reading(*WORDS, *words), tmp_path, [])
