"""A score that adds up loss, spread of attention and speed, for comparison with other work."""

from __future__ import annotations

LOSS_CEILING = 10.0
STEP_CEILING_S = 1.0


def composite(
    loss: float, entropy: float, step_s: float, entropy_weight: float
) -> dict[str, float]:
    """Return max(0, 10 − loss) + weight · entropy + max(0, 1 − step seconds), and its terms.

    Higher is "better", but it rewards attention for being spread out, whatever that does to the
    text, and the last term is noise of the machine: compare by `val/loss`. NaN stays NaN.

    Args:
        loss: nats per token.
        entropy: of attention, 0 to 1.
        step_s: of one optimizer step.
        entropy_weight: of the second term.
    """
    terms = {
        "composite/loss": max(LOSS_CEILING - loss, 0.0),
        "composite/entropy": entropy_weight * entropy,
        "composite/speed": max(STEP_CEILING_S - step_s, 0.0),
    }
    return {"composite": sum(terms.values()), **terms}
