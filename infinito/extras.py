"""What the extras of the package install, and the error where one is needed and absent."""

from __future__ import annotations

from importlib.util import find_spec

from infinito.errors import MissingExtraError

EXTRAS: dict[str, tuple[str, ...]] = {
    "rl": ("stable_baselines3", "gymnasium"),
    "lora": ("peft",),
    "datasets": ("datasets", "pyarrow"),
    "gguf": ("gguf",),
    "optuna": ("optuna",),
    "eval": ("lm_eval",),
    "wandb": ("wandb",),
    "mlflow": ("mlflow",),
    "trackio": ("trackio",),
    "ray": ("ray",),
    "serve": ("fastapi", "pydantic", "uvicorn"),
}
"""The packages of each extra that infinito imports; the rest of it runs without them."""


def require_extra(extra: str) -> None:
    """Check that the packages of an extra are installed, before they are imported.

    Raises:
        MissingExtraError: one is not; the message names the command that installs it.
    """
    missing = [package for package in EXTRAS[extra] if find_spec(package) is None]
    if missing:
        raise MissingExtraError(
            f"this needs {' and '.join(missing)}, which {'are' if missing[1:] else 'is'} not "
            f"installed: {install_command(extra)}"
        )


def install_command(extra: str) -> str:
    """Return the command that installs an extra, quoted for a message."""
    return f"`pip install 'infinito[{extra}]'`"
