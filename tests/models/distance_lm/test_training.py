"""DistanceLM in training: gradients, precision, what it learns, compilation."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from infinito.models.distance_lm.model import DistanceLMForCausalLM
from tests.models.distance_lm.small_model import (
    POSITIONS,
    VOCAB,
    build,
    every_position,
    logits,
    tokens,
)


class TestTraining:
    @pytest.mark.parametrize("reentrant", [True, False])
    @pytest.mark.parametrize("per", ["model", "head"])
    def test_gradient_checkpointing_changes_no_bit(self, reentrant: bool, per: str) -> None:
        gradients = []
        for checkpointing in (False, True):
            model = build("l1", learned_scale=True, scale_per=per).train()
            if checkpointing:
                model.activation_checkpointing_enable({"use_reentrant": reentrant})
            model(tokens(), labels=tokens(), use_cache=False).loss.backward()
            gradients.append([p.grad for p in model.parameters()])
        assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))

    def test_every_parameter_gets_a_gradient(self) -> None:
        for position in POSITIONS:
            model = build("cosine", position=position, learned_scale=True)
            model(tokens(8, 16), labels=tokens(8, 16)).loss.backward()
            assert all(p.grad is not None and p.grad.any() for p in model.parameters())

    def test_dropout_acts_in_training_only(self) -> None:
        for how in ("dropout", "attention_dropout"):
            model = build("l1", **{how: 0.5})
            assert torch.equal(logits(model, tokens()), logits(model, tokens()))
            model.train()
            assert not torch.equal(logits(model, tokens()), logits(model, tokens()))

    def test_the_seed_decides_the_weights(self) -> None:
        first, second = build(), build()
        torch.manual_seed(1)
        other = DistanceLMForCausalLM(first.config)
        for a, b, c in zip(
            first.parameters(), second.parameters(), other.parameters(), strict=True
        ):
            assert torch.equal(a, b)
            assert a.ndim == 1 or not torch.equal(a, c)

    @pytest.mark.parametrize("metric", ["dot", "l1", "sq_l2", "cosine"])
    def test_half_precision_is_near(self, metric: str) -> None:
        model, ids = build(metric), tokens()
        expected = logits(model, ids)
        with torch.autocast("cpu", torch.bfloat16):
            mixed = logits(model, ids)
        half = logits(model.bfloat16(), ids)
        for out in (mixed, half):
            assert out.dtype == torch.bfloat16
            assert (out.float() - expected).abs().mean() < 0.05 * expected.abs().mean()

    @pytest.mark.parametrize("metric", ["dot", "l1", "linf"])
    def test_a_tiny_problem_is_learned(self, metric: str) -> None:
        """Copying: which token comes is known from the one four places back."""
        model = build(metric, initializer_range=None).train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        ids = tokens(4, 4).repeat(1, 4)
        for _ in range(40):
            loss = model(ids, labels=ids, use_cache=False).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        predicted = logits(model.eval(), ids)[:, 4:-1].argmax(-1)
        assert torch.equal(predicted, ids[:, 5:])

    @pytest.mark.parametrize("metric", ["dot", "l1"])
    def test_nothing_is_learned_from_uniform_tokens(self, metric: str) -> None:
        """The null case: on i.i.d. uniform tokens no perplexity is below the vocabulary's size."""
        model = build(metric, initializer_range=None).train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
        for step in range(60):
            ids = tokens(16, 16, seed=step)
            model(ids, labels=ids, use_cache=False).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
        ids = tokens(200, 16, seed=10**6)
        loss = model.eval()(ids, labels=ids, use_cache=False).loss.item()
        assert 0.98 * VOCAB <= math.exp(loss) < 1.1 * VOCAB


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
@pytest.mark.parametrize("metric", ["dot", "l1"])
@every_position
def test_compiles_in_one_graph(metric: str, position: str) -> None:
    model, ids = build(metric, position=position), tokens()
    compiled = torch.compile(model, fullgraph=True)
    with torch.no_grad():
        torch.testing.assert_close(
            compiled(ids, use_cache=False).logits, logits(model, ids), atol=1e-4, rtol=1e-4
        )


@pytest.mark.parametrize("metric", ["dot", "l1", "cosine"])
def test_a_training_step_compiles_in_one_graph(metric: str) -> None:
    """No graph breaks with a gradient either, and the gradient is the eager one."""
    model, ids = build(metric, learned_scale=True, scale_per="head").train(), tokens()
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    wanted = gradients(model, model(ids, labels=ids, use_cache=False).loss)
    found = gradients(model, compiled(ids, labels=ids, use_cache=False).loss)
    for mine, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-4)


def gradients(model: DistanceLMForCausalLM, loss: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(loss, list(model.parameters()))


def test_a_training_stays_compiled() -> None:
    """Past its limit of compilations torch would silently go on without compiled code."""
    torch.compiler.reset()
    model = build("l1", num_hidden_layers=1)
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    with torch._dynamo.config.patch(fail_on_recompile_limit_hit=True):
        for batch, training in [(4, True), (8, False), (3, False), (1, False), (4, True)]:
            model.train(training)
            compiled(tokens(batch), use_cache=False)
    torch.compiler.reset()
