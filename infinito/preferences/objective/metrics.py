"""Metrics of preference tuning under TRL's names, and the displacement of chosen answers."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from infinito.preferences.objective.losses import PairLogProbs
from infinito.training.distributed.reduction import means_over_processes


def compute_pair_metrics(pairs: PairLogProbs, beta: float) -> dict[str, Tensor]:
    """Return means over pairs, each a tensor ().

    A reward is β log π/π_ref. `displacement/kl_chosen` is the mean over pairs of log π_ref/π per
    token of the chosen answer, in nats: an estimate of KL(π_ref‖π) if chosen answers are typical of
    the reference. `displacement/chosen_fell` is the share of chosen answers that are less likely
    than under the reference.
    """
    chosen, rejected = beta * pairs.chosen_ratio, beta * pairs.rejected_ratio
    each = {
        "rewards/chosen": chosen,
        "rewards/rejected": rejected,
        "rewards/accuracies": (chosen > rejected).double(),
        "rewards/margins": chosen - rejected,
        "logps/chosen": pairs.chosen,
        "logps/rejected": pairs.rejected,
        "displacement/kl_chosen": -pairs.chosen_ratio / pairs.chosen_tokens,
        "displacement/chosen_fell": (pairs.chosen_ratio < 0).double(),
    }
    means = torch.stack(list(each.values())).detach().mean(-1)
    return dict(zip(each, means.unbind(), strict=True))


def compute_token_metrics(
    entropy: Tensor, mean_logits: Tensor, is_top: Tensor, of_chosen: Tensor
) -> dict[str, Tensor]:
    """Return means over the answer tokens of all processes, which must all call it; tensors ().

    Args:
        entropy: Entropy of the prediction of each answer token, (tokens,), in nats.
        mean_logits: Means of the logits over the vocabulary, (tokens,).
        is_top: Whether the token is the likeliest, (tokens,).
        of_chosen: Whether the token belongs to a chosen answer, (tokens,).
    """
    means = {
        "logits/chosen": mean_logits[of_chosen].mean(),
        "logits/rejected": mean_logits[~of_chosen].mean(),
        "entropy": entropy.mean(),
        "mean_token_accuracy": is_top[of_chosen].double().mean(),
    }
    chosen, rejected = of_chosen.sum(), (~of_chosen).sum()
    return means_over_processes(means, [chosen, rejected, chosen + rejected, chosen])


def describe_displacement(means: Mapping[str, float]) -> str | None:
    """Return a warning if the margin rose while chosen answers fell below the reference, or None.

    Args:
        means: Metrics by the names above; all rewards are 0 at the start, where policy and
            reference are equal.
    """
    if means["rewards/margins"] <= 0 or means["rewards/chosen"] >= 0:
        return None
    return (
        f"the margin rose to {means['rewards/margins']:.3g} while chosen answers became less "
        f"likely than under the reference ({means['displacement/chosen_fell']:.0%} of them): the "
        "policy moves probability to answers that are in no pair. Try a larger `dpo.beta`, "
        "`dpo.nll_weight=1`, or a smaller `optimizer.lr`."
    )
