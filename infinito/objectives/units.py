"""Reports a loss in all units: nats, bits per byte, perplexities."""

from __future__ import annotations

from dataclasses import dataclass

from infinito.objectives.language import bits_per_byte, perplexity


@dataclass(frozen=True)
class TextUnits:
    """The mean bytes and words of a token of a split, by which losses become comparable."""

    bytes_per_token: float
    """UTF-8 bytes."""
    words_per_token: float | None = None
    """Words, where the text is tokenised by words."""


def loss_report(nats: float, units: TextUnits, prefix: str) -> dict[str, float]:
    """Return a mean loss per token (nats) in all units that the text has, by name."""
    report = {
        f"{prefix}/loss": nats,
        f"{prefix}/perplexity": perplexity(nats),
        f"{prefix}/bits_per_byte": bits_per_byte(nats, units.bytes_per_token),
    }
    if units.words_per_token is not None:
        report[f"{prefix}/word_perplexity"] = perplexity(nats, units.words_per_token)
    return report
