"""AdamW: which parameters decay."""

from __future__ import annotations

from infinito.config import AdamWConf
from infinito.models.distance_lm.config import DistanceLMConfig
from infinito.models.distance_lm.model import DistanceLMForCausalLM
from infinito.training.optimizer.adamw import build_adamw


def test_decay_reaches_matrices_only() -> None:
    model = DistanceLMForCausalLM(
        DistanceLMConfig(vocab_size=8, hidden_size=8, num_hidden_layers=1)
    )
    optimizer = build_adamw(list(model.parameters()), AdamWConf())
    for group in optimizer.param_groups:
        assert {p.ndim > 1 for p in group["params"]} == {group["weight_decay"] > 0}
    counted = sum(len(group["params"]) for group in optimizer.param_groups)
    assert counted == len(list(model.parameters()))
