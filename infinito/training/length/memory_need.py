"""What a step will hold beside the model, compared with the memory that this machine has free."""

from __future__ import annotations

import torch
from transformers import PreTrainedModel

from infinito.config import AdamWConf, MuonConf
from infinito.errors import ConfigError
from infinito.process import available_mib

MIB = 2**20


def predict_step_mib(model: PreTrainedModel, optimizer: AdamWConf) -> float:
    """Return the MiB of gradients and moments, without activations.

    A weight that embedding and head share gets a gradient from each before they are summed.
    """
    trained = [each for each in model.parameters() if each.requires_grad]
    sizes = [each.numel() * each.element_size() for each in trained]
    if optimizer.in_backward:
        gradients = 2 * max(sizes, default=0)
    else:
        ends = (model.get_input_embeddings(), model.get_output_embeddings())
        shared = {id(each.weight) for each in ends if each is not None}
        gradients = sum(sizes)
        if len(shared) == 1:
            gradients += max(
                (s for s, p in zip(sizes, trained, strict=True) if id(p) in shared), default=0
            )
    moments = 2.0 * sum(each.numel() for each in trained)
    of_moments: torch.dtype = getattr(torch, optimizer.moments)
    moments *= of_moments.itemsize
    if isinstance(optimizer, MuonConf):
        moments /= 2  # Muon keeps one mean; the head's and embedding's second is small beside it
    return (gradients + moments) / MIB


def check_memory(model: PreTrainedModel, optimizer: AdamWConf, copies: int = 0) -> None:
    """Check that gradients, moments and copies of a model fit into the memory that is free.

    Args:
        model: The model, in memory already.
        optimizer: Its optimizer.
        copies: Further copies of all weights, as of a reference.

    Raises:
        ConfigError: they do not; names what takes less.
    """
    free = available_mib()
    weights = sum(each.numel() * each.element_size() for each in model.parameters()) / MIB
    needed = predict_step_mib(model, optimizer) + copies * weights
    if free is None or needed <= free:
        return
    ways = []
    if copies:
        ways.append("`dpo.reference=precomputed`")
    if not isinstance(optimizer, MuonConf):
        if not optimizer.in_backward:
            ways.append("`optimizer.in_backward=true optimizer.clip_norm=null`")
        if optimizer.moments == "float32":
            ways.append("`optimizer.moments=bfloat16`")
    ways.append("`model.trainable=lora` for a pretrained model, or a smaller one")
    raise ConfigError(
        f"a step holds {needed:,.0f} MiB beside the model and its activations, and this machine "
        f"has {free:,.0f} MiB free. What takes less: {', '.join(ways)}"
    )
