"""The schema of the `generation` group."""

from __future__ import annotations

from dataclasses import dataclass

from infinito.config.limits import limited


@dataclass
class GenerationConf:
    """How text is drawn (`task=generate`); a model's own generation_config decides none of it."""

    prompt: str | None = None
    """What to continue; null to read `prompts_file` or standard input."""
    prompts_file: str | None = None
    """A file with one prompt a line."""
    max_new_tokens: int = limited(200, at_least=1)
    """Longest continuation or answer."""
    temperature: float = limited(0.8, at_least=0)
    """0 is greedy."""
    top_k: int | None = limited(None, at_least=1)
    """Draw from the k most probable tokens; null for all."""
    top_p: float | None = limited(None, above=0, at_most=1)
    """Draw from the smallest set with this probability; null for all."""
    repetition_penalty: float = limited(1.0, above=0)
    """Above 1, tokens already there become less probable."""
    agent_every: int = limited(16, at_least=1)
    """Tokens between two decisions of `agent`."""
    json: bool = False
    """Print a line of JSON for each text: prompt, text, and what an `agent` did."""
