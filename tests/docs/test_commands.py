"""Every command of every page is typed by a reader, in the order of the page.

Commands that cannot run on a machine without a network are listed in `ONLY_READ`, each with its
reason; `test_pages.py` composes the settings of those that are infinito's.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

import pytest

from tests.docs.files import save_model, write_files
from tests.docs.reader import ENOUGH_S, Reader
from tests.docs.reading import PAGES, ROOT, find_arguments, list_blocks, list_commands, name_page
from tests.hub.server import Hub

pytestmark = pytest.mark.slow

ONLY_READ = {
    r"make (?!help)|python -m venv": "takes minutes: `.ci/run` runs setup, lint, test and docs",
    r"pip install": "downloads packages: what it names is looked up in pyproject.toml",
    r"wandb (login|sync)|logger=wandb(?!.*offline)": "needs an account at wandb.ai",
    r"ray start|launcher.address=auto": "tests/sweeps/mcts_sweeper/test_ray.py starts a cluster",
    r"submitit_slurm": "needs SLURM: submitit's local launcher runs the same code",
    r"--nnodes": "needs two machines: tests/training/distributed/test_nodes.py has two in one",
    r"arc_easy": "reads its questions from the hub",
}
"""Patterns of commands that no test runs, and why."""

EXTRAS = {
    "trackio": "trackio",
    "logger=wandb": "wandb",
    "mlflow": "mlflow",
    "launcher=ray": "ray",
    "submitit": "submitit",
    "launcher=joblib": "joblib",
    "lm_eval": "lm_eval",
    "+experiment=rl": "stable_baselines3",
    "serve": "fastapi",
    "export_sweep": "optuna",
    "parquet": "pyarrow",
}
"""Packages that commands need, by a part of the command."""

RUN, SWEEP, SEARCH, SCHEDULE = (f"multirun/earlier/{name}" for name in ("run", "a", "b", "c"))

EARLIER = (
    f"infinito -m +experiment=debug attention=dot,l1 seed=0,1 hydra.sweep.dir={SWEEP}",
    f"infinito -m +search=mcts_attention trainer.max_steps=6 hydra.sweep.dir={SEARCH}",
    f"infinito +experiment=rl_quick hydra.run.dir={SCHEDULE}",
    f"infinito +experiment=base_30ep optimizer.schedule=wsd hydra.run.dir={RUN}",
)
"""Runs that the reader has; the last is the newest, which `checkpoint=last` means."""

FILLED = {
    "<run>": RUN,
    "<run folder>": RUN,
    "<rl run>": SCHEDULE,
    "<run or sweep>": SWEEP,
    "<sweep folder>": SEARCH,
    "<folder of the sweep>": SWEEP,
    "<folder>": "models/gpt2",
    "<file, folder or hub id>": "records.jsonl",
    "<files, folder or hub id>": "records.jsonl",
    "<owner>": "reader",
    "<name>": "model",
}

T = TypeVar("T")


@pytest.fixture(scope="session")
def hub(gpt2_folder: Path) -> Iterator[Hub]:
    """A hub of this machine, with the models that the pages name."""
    served = Hub()
    served.add_model("openai-community/gpt2", gpt2_folder)
    served.writable.add("reader")
    yield served
    served.close()


@pytest.fixture(scope="session")
def earlier(hub: Hub, gpt2_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Reader:
    """A reader with files, models and earlier runs."""
    folder = tmp_path_factory.mktemp("reader")
    write_files(folder)
    shutil.copytree(gpt2_folder, folder / "models/gpt2")
    for architecture in ("llama", "qwen2"):
        save_model(architecture, gpt2_folder, folder / f"models/{architecture}")
    (folder / "bin").mkdir()
    program = folder / "bin/infinito"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m infinito.run "$@"\n')
    program.chmod(0o755)
    cache = str(folder / "hub_cache")
    environment = {
        "HF_ENDPOINT": hub.address,
        "HF_HUB_CACHE": cache,
        "HF_HUB_OFFLINE": "0",
        "HF_TOKEN": hub.token,
        "HF_HUB_DISABLE_XET": "1",  # files go through the endpoints that the local hub has
        "XDG_CACHE_HOME": str(folder / "cache"),
        "PATH": f"{folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
    }
    settings = {
        "huggingface_hub.constants.ENDPOINT": hub.address,
        "huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE": (
            f"{hub.address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        ),
        "huggingface_hub.constants.HF_HUB_CACHE": cache,
        "huggingface_hub.constants.HF_HUB_OFFLINE": False,
    }
    reader = Reader(folder, FILLED, environment, settings)
    for command in EARLIER:
        reader.type(command)
    return reader


@pytest.fixture
def reader(earlier: Reader, tmp_path: Path) -> Reader:
    """The reader in a folder of their own."""
    shutil.copytree(earlier.folder, tmp_path / "reader", symlinks=True)
    return Reader(tmp_path / "reader", FILLED, earlier.environment, earlier.settings)


def find_reason(command: str) -> str | None:
    """Return why a command is only read."""
    for pattern, reason in ONLY_READ.items():
        if re.search(pattern, command):
            return reason
    for part, package in EXTRAS.items():
        if part in command and find_spec(package) is None:
            return f"{package} is not installed"
    return None


def test_few_commands_are_only_read_and_every_reason_is_used() -> None:
    commands = [each for page in PAGES for each in list_commands(page)]
    assert all(any(re.search(pattern, each) for each in commands) for pattern in ONLY_READ)
    ours = [each for each in commands if find_arguments(each)]
    unrun = [each for each in ours if any(re.search(pattern, each) for pattern in ONLY_READ)]
    assert len(unrun) < 0.12 * len(ours)


@pytest.mark.parametrize("page", [page for page in PAGES if list(list_blocks(page))], ids=name_page)
def test_a_reader_types_all_of_a_page(page: Path, reader: Reader) -> None:
    for command in list_commands(page):
        if find_reason(command) is None:
            type_command(command, page, reader)
    for block in list_blocks(page):
        if block.language == "python" and "<run>" in block.text:
            reader.call([sys.executable, "-c", reader.fill(block.text)])


def type_command(command: str, page: Path, reader: Reader) -> None:
    """Type a command as its kind wants it."""
    for part, model in (("llama", "models/llama"), ("qwen", "models/qwen2")):
        if part in command:
            command = command.replace("<folder>", model)
    if "<folder>/sft" in command:
        (stages,) = reader.folder.glob("multirun/chat_from_scratch/*/")
        command = command.replace("<folder>", str(stages))
    if "tasks_path" in command:
        command = command.replace("<folder>", "tasks")
    if "task=serve" in command:
        with serving(command, reader) as address:
            models = json.loads(fetch(f"{address}/v1/models"))["data"]
            assert len(models) == (2 if "serve.compare" in command else 1)
            ask_as_the_page(page, address, models[0]["id"], reader)
    elif command.startswith(("tensorboard ", "mlflow ui", "trackio show")):
        watch(command, reader)
    elif "curl " in command:
        assert "task=serve" in "".join(list_commands(page))  # the server's block has asked it
    elif "task=chat" in command and "|" not in command:
        assert "Human" not in reader.type(add_template(command), "What is 2 + 2?\n/quit\n")
    elif find_arguments(command) is None:
        reader.call(reader.fill(add_template(command)))
    else:
        reader.type(command)


def add_template(command: str) -> str:
    """Return a chat command with a template: the model at hand has read text alone."""
    given = "" if "chat.template" in command else " chat.template=plain"
    return re.sub(r"(task=(chat|serve) checkpoint=\S+)", rf"\1{given}", command)


@contextmanager
def serving(command: str, reader: Reader) -> Iterator[str]:
    """Serve until the block ends; yields the address."""
    words = add_template(reader.fill(command).partition("#")[0]).split()[1:]
    log = reader.folder / "server.log"
    with (
        log.open("w") as output,
        subprocess.Popen(
            [sys.executable, "-m", "infinito.run", *words, "serve.port=0"],
            cwd=reader.folder,
            env={**os.environ, **reader.environment},
            stderr=output,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        ) as server,
    ):

        def look() -> re.Match[str] | None:
            assert server.poll() is None, f"{command}\n{log.read_text()}"
            return re.search(r"http://127\.0\.0\.1:\d+", log.read_text())

        try:
            yield wait_for(look)[0]
            server.send_signal(signal.SIGINT)
            assert server.wait(ENOUGH_S) == 0
        finally:
            server.kill()


def ask_as_the_page(page: Path, address: str, model: str, reader: Reader) -> None:
    """Run the Python and the curl of a page against a server."""
    here = ("http://127.0.0.1:8000", address)
    if find_spec("openai"):
        for block in list_blocks(page):
            if "openai" in block.text and block.language == "python":
                exec(compile(block.text.replace(*here), name_page(page), "exec"), {})
    for command in list_commands(page):
        if command.startswith("curl ") and shutil.which("curl"):
            printed = reader.call(command.replace(*here).replace("<name>", model))
            assert "data: [DONE]" in printed


def watch(command: str, reader: Reader) -> None:
    """Start a dashboard, wait until it answers, and stop it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    given = "" if command.startswith("trackio ") else f" --port {port}"
    name, _, rest = command.partition("#")[0].partition(" ")
    module = {"tensorboard": "tensorboard.main", "trackio": "trackio.cli"}.get(name, name)
    line = f"exec {sys.executable} -m {module} {rest}{given}"
    with subprocess.Popen(
        line,
        shell=True,
        cwd=reader.folder,
        env={**os.environ, **reader.environment, "GRADIO_SERVER_PORT": str(port)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as dashboard:

        def look() -> str:
            assert dashboard.poll() is None, line
            return fetch(f"http://127.0.0.1:{port}/")

        try:
            assert "<title" in wait_for(look).lower()
        finally:
            with suppress(ProcessLookupError):
                os.killpg(dashboard.pid, signal.SIGKILL)


def fetch(address: str) -> str:
    """Return a page; "" where nothing answers."""
    try:
        with urllib.request.urlopen(address, timeout=60) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


def wait_for(look: Callable[[], T | None]) -> T:
    """Return what is there, once it is."""
    until_s = time.monotonic() + ENOUGH_S
    while not (found := look()):
        assert time.monotonic() < until_s
        time.sleep(0.1)
    return found
