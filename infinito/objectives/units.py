"""A loss in all units: nats, bits per byte, perplexities."""

from __future__ import annotations

from dataclasses import dataclass

from infinito.objectives.language import bits_per_byte, perplexity


@dataclass(frozen=True)
class TextUnits:
    """How much text a token of a split stands for, to report losses in comparable units."""

    bytes_per_token: float
    """UTF-8 bytes."""
    words_per_token: float | None = None
    """Words, where the text is tokenised by words."""


def loss_report(nats: float, units: TextUnits, prefix: str) -> dict[str, float]:
    """The mean loss per token (nats) in all units that make sense, each named."""
    report = {
        f"{prefix}/loss": nats,
        f"{prefix}/perplexity": perplexity(nats),
        f"{prefix}/bits_per_byte": bits_per_byte(nats, units.bytes_per_token),
    }
    if units.words_per_token is not None:
        report[f"{prefix}/word_perplexity"] = perplexity(nats, units.words_per_token)
    return report
