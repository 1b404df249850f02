"""The schema of the `memory` group, whose values lie at `model.memory`."""

from __future__ import annotations

from dataclasses import dataclass

from infinito.config.limits import limited


@dataclass
class MemoryConf:
    """An integration memory between trunk and head (`infinito.models.memory.memory`)."""

    name: str = limited("none", choices=("none", "integration"))
    slots: int = limited(256, at_least=1)
    """Segments that the memory keeps."""
    top_k: int = limited(5, at_least=1)
    """Slots read by each token."""
    segment: int = limited(16, at_least=8)
    """Tokens of a segment; Φ needs 8."""
    gate: str = limited("dynamic", choices=("static", "dynamic"))
    """One gate for all tokens, or one computed from each token's state."""
    priority: str = limited("phi", choices=("phi", "age", "random"))
    """Which segments are kept and weigh more: those of the highest 0.8·Φ/10 + 0.2·attention +
    0.1·recency (phi), the newest (age), or a fixed arbitrary choice, the control (random)."""
    evaluation: str = limited("empty", choices=("empty", "frozen"))
    """What evaluation reads besides its own text: nothing, or the slots that training left. It
    writes into neither."""
    noise: str = limited("none", choices=("none", "gaussian", "uniform", "dropout"))
    """Exploration in training: noise on the scores of entries, or entries dropped at random."""
    noise_level: float = limited(0.1, at_least=0)
    """Standard deviation, half-width or probability at the start."""
    noise_steps: int = limited(1000, at_least=0)
    """Steps over which the noise fades out, 0 for never."""


def memory_faults(memory: MemoryConf) -> list[str]:
    """Return the settings that do not fit together, one sentence each."""
    faults = []
    if memory.slots < memory.top_k:
        faults.append(
            f"`model.memory.slots`={memory.slots} is fewer than the `model.memory.top_k`="
            f"{memory.top_k} that are read, e.g. `model.memory.top_k={memory.slots}`"
        )
    if memory.noise == "dropout" and memory.noise_level >= 1:
        faults.append(
            f"`model.memory.noise_level`={memory.noise_level:g} drops everything that is read, "
            "e.g. `model.memory.noise_level=0.1`"
        )
    return faults
