"""The schema of the `serve` group."""

from __future__ import annotations

from dataclasses import dataclass

from infinito.config.limits import limited


@dataclass
class ServeConf:
    """Where `task=serve` listens, and what it takes on."""

    host: str = "127.0.0.1"
    """Address to listen on; `0.0.0.0` lets other machines in, without any password."""
    port: int = limited(8000, at_least=0, at_most=65535)
    """0 for any that is free."""
    compare: str | None = None
    """A second checkpoint, answered from by its own name and shown beside the first."""
    batch: int = limited(8, at_least=1)
    """Answers that a model writes at once."""
    queue: int = limited(32, at_least=0)
    """Requests that wait for a place in the batch; a further one is answered 429."""
    max_tokens: int = limited(1024, at_least=1)
    """Most tokens of an answer that a request may ask for."""
    max_context: int = limited(8192, at_least=2)
    """Most tokens of a request with its answer; fewer where the model's window is shorter."""
    max_body: int = limited(1 << 20, at_least=1)
    """Most bytes of a request."""
    patience_s: float = limited(30.0, above=0)
    """Seconds in which a request has to arrive whole."""
    stop_s: int = limited(10, at_least=0)
    """Seconds that running answers have left after Ctrl+C."""
