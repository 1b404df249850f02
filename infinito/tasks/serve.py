"""`task=serve`: answers the chat-completions protocol, and shows a page to talk to a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from infinito.config import RunConf
from infinito.models.generation import describe_unused_settings
from infinito.serving.assembly import build_models
from infinito.serving.server import listen, serve


def run(conf: RunConf, folder: Path, overrides: Sequence[str]) -> None:
    """Serve the model at `checkpoint`, and that at `serve.compare`, until Ctrl+C."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    with listen(conf.serve.host, conf.serve.port) as listening:  # before the models take time
        with console.status("opening the models"):
            models = build_models(conf)
        for model in models:
            if note := describe_unused_settings(model.trained.model):
                console.print(f"[yellow]note:[/] {escape(note)}")
            if model.engine.is_single:
                console.print(
                    f"[yellow]note:[/] the cache of {escape(model.name)} takes no texts side by "
                    "side: it writes one answer at a time"
                )
        serve(models, conf.serve, listening, console)
