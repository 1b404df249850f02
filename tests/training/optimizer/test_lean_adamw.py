"""Updates in the backward pass are the same bits; moments of 16 bits are unbiased."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from infinito.cli.composition import check
from infinito.config import AdamWConf
from infinito.errors import ConfigError
from infinito.models.distance_lm.config import DistanceLMConfig
from infinito.models.distance_lm.model import DistanceLMForCausalLM
from infinito.models.log_probs import tied_gradient
from infinito.models.log_probs.chosen_tokens import score_tokens
from infinito.paths import conf_dir
from infinito.training.optimizer.adamw import build_adamw
from infinito.training.optimizer.lean_adamw import LeanAdamW
from tests.training.test_resume import weights

Trained = Callable[..., Path]
UNCLIPPED = "optimizer.clip_norm=null"


def small_model() -> DistanceLMForCausalLM:
    """Embedding and head share a weight, which has two gradients."""
    torch.manual_seed(0)
    return DistanceLMForCausalLM(
        DistanceLMConfig(vocab_size=11, hidden_size=8, num_hidden_layers=2, num_attention_heads=2)
    )


def train(model: nn.Module, settings: AdamWConf, steps: int = 3) -> torch.optim.Optimizer:
    optimizer = build_adamw(list(model.parameters()), settings)
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        ids = torch.randint(11, (2, 9), generator=generator)

        def closure(ids: torch.Tensor = ids) -> float:
            optimizer.zero_grad()
            loss: Any = model(input_ids=ids, labels=ids).loss
            loss.backward()
            return float(loss.detach())

        optimizer.step(closure)
    return optimizer


@pytest.mark.parametrize("moments", ["float32", "bfloat16"])
def test_a_shared_weight_is_updated_in_blocks(
    moments: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In blocks of 4 of its 11 rows, of which the last has 3; autograd never sees its gradient."""
    monkeypatch.setattr(tied_gradient, "ROWS", 4)

    def tuned(**settings: Any) -> tuple[DistanceLMForCausalLM, torch.optim.Optimizer]:
        model = small_model()
        optimizer = build_adamw(list(model.parameters()), AdamWConf(moments=moments, **settings))
        for number in range(3):
            ids = torch.randint(11, (2, 9), generator=torch.Generator().manual_seed(number))

            def closure(ids: torch.Tensor = ids) -> float:
                optimizer.zero_grad()
                positions = torch.arange(8)
                scores = score_tokens(model, [{"input_ids": ids}], [positions], ids[0, 1:])
                (-scores.log_probs.sum()).backward()
                return 0.0

            optimizer.step(closure)
        return model, optimizer

    model, optimizer = tuned(in_backward=True)
    assert isinstance(optimizer, LeanAdamW)
    head = model.get_output_embeddings().weight
    assert head.grad is None
    assert float(optimizer.norms[id(head)]) > 0
    assert float(optimizer.state[head]["step"]) == 3
    wanted, other = tuned()
    for mine, theirs in zip(model.parameters(), wanted.parameters(), strict=True):
        assert torch.equal(mine, theirs)
        for name in ("exp_avg", "exp_avg_sq"):
            assert torch.equal(optimizer.state[mine][name], other.state[theirs][name])


@pytest.mark.parametrize("checkpointing", [False, True])
def test_updates_in_the_backward_pass_are_the_same_bits(checkpointing: bool) -> None:
    models = [small_model() for _ in range(2)]
    if checkpointing:
        for model in models:
            model.activation_checkpointing_enable()
            model.train()
    states = [
        train(model, AdamWConf(in_backward=lean)).state_dict()["state"]
        for model, lean in zip(models, (False, True), strict=True)
    ]
    for plain, lean in zip(*(model.parameters() for model in models), strict=True):
        assert torch.equal(plain, lean)
        assert plain.grad is not None
        assert lean.grad is None
    for number, state in states[0].items():
        assert all(torch.equal(value, states[1][number][name]) for name, value in state.items())


def test_no_gradient_outlives_its_update() -> None:
    """Of 27 parameters, at most those of one layer's node have a gradient at a time."""
    model = small_model()
    optimizer = build_adamw(list(model.parameters()), AdamWConf(in_backward=True))
    assert isinstance(optimizer, LeanAdamW)
    alive = []
    update = optimizer._update

    def counting(parameter: Any, group: Any) -> None:
        alive.append(sum(each.grad is not None for each in model.parameters()))
        update(parameter, group)

    optimizer._update = counting  # type: ignore[method-assign]
    ids = torch.arange(9)[None]
    optimizer.step(lambda: model(input_ids=ids, labels=ids).loss.backward())
    assert len(alive) == len(list(model.parameters()))
    assert set(alive) == {1}


def test_a_step_without_a_closure_takes_the_gradients_that_are_there() -> None:
    weight = nn.Parameter(torch.ones(2, 2))
    optimizer = build_adamw([weight], AdamWConf(in_backward=True, lr=0.5, weight_decay=0.0))
    weight.grad = torch.ones(2, 2)
    optimizer.step()
    torch.testing.assert_close(weight.detach(), torch.full((2, 2), 0.5))


def test_a_mean_of_squares_in_16_bits_falls() -> None:
    """β₂ = 0.999: 1,000 steps without a gradient leave 0.999¹⁰⁰⁰ = 0.368 of it, and rounding to
    the nearest number would leave all."""
    weight = nn.Parameter(torch.zeros(1000, 2))
    settings = AdamWConf(moments="bfloat16", betas=[0.9, 0.999], weight_decay=0.0)
    optimizer = build_adamw([weight], settings)
    weight.grad = torch.ones_like(weight)
    optimizer.step()
    weight.grad = torch.zeros_like(weight)
    for _ in range(1000):
        optimizer.step()
    square = optimizer.state[weight]["exp_avg_sq"]
    assert square.dtype == torch.bfloat16
    assert float(square.float().mean()) == pytest.approx(0.001 * 0.999**1000, rel=0.02)
    assert optimizer.state[weight]["step"] == 1001


def test_moments_of_16_bits_step_nearly_as_those_of_32() -> None:
    models = [small_model() for _ in range(2)]
    start = [each.detach().clone() for each in models[0].parameters()]
    for model, moments in zip(models, ("float32", "bfloat16"), strict=True):
        train(model, AdamWConf(lr=1e-3, moments=moments), steps=20)
    moved = missed = 0.0
    for first, plain, short in zip(start, *(m.parameters() for m in models), strict=True):
        moved += float((plain.detach() - first).square().sum())
        missed += float((plain - short).detach().square().sum())
    assert 0 < missed < 0.001 * moved


def test_state_of_16_bits_is_restored_to_the_bit() -> None:
    models = [small_model() for _ in range(2)]
    settings = AdamWConf(moments="bfloat16")
    optimizer = train(models[0], settings)
    models[1].load_state_dict(models[0].state_dict())
    other = build_adamw(list(models[1].parameters()), settings)
    other.load_state_dict(optimizer.state_dict())
    for mine, theirs in zip(optimizer.state.values(), other.state.values(), strict=True):
        assert mine["exp_avg_sq"].dtype == theirs["exp_avg_sq"].dtype == torch.bfloat16
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_a_run_in_the_backward_pass_has_the_same_weights_and_norms(trained: Trained) -> None:
    steps = ("trainer.max_steps=3", UNCLIPPED)
    plain = trained(*steps, folder="plain")
    lean = trained(*steps, "optimizer.in_backward=true", folder="lean")
    found = weights(lean)
    for name, value in weights(plain).items():
        assert torch.equal(value, found[name]), name
    columns = [(folder / "metrics.csv").read_text().splitlines()[0] for folder in (plain, lean)]
    assert columns[0] == columns[1]
    assert "train/gradient_norm" in columns[0]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([], r"needs the norm of all gradients before the first update.*clip_norm=null"),
        ([UNCLIPPED, "trainer.accumulate=2"], r"`trainer.accumulate=1 data.batch_size=\d+`"),
        ([UNCLIPPED, "trainer.precision=16-mixed"], r"precision=bf16-mixed"),
        ([UNCLIPPED, "trainer=ddp"], r"in one process.*Use `trainer=default`"),
        ([UNCLIPPED, "optimizer=muon"], r"AdamW's alone.*Use `optimizer=adamw`"),
    ],
)
def test_what_does_not_go_with_it_is_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check(["+experiment=debug", "optimizer.in_backward=true", *overrides], conf_dir())


def test_moments_of_muon_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"`optimizer.moments=bfloat16` is AdamW's alone"):
        check(["+experiment=debug", "optimizer=muon", "optimizer.moments=bfloat16"], conf_dir())
