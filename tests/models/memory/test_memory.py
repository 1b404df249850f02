"""The integration memory: reads by hand, evictions, noise, segments, and what never happens."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from infinito.config.memory import MemoryConf, memory_faults
from infinito.models.memory.memory import Entries, IntegrationMemory
from infinito.models.memory.segments import Segments, cut_segments


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def memory(dim: int = 4, **settings: object) -> IntegrationMemory:
    torch.manual_seed(0)
    return IntegrationMemory(dim, MemoryConf(name="integration", **settings))  # type: ignore[arg-type]


def segments(
    batch: int = 2, count: int = 3, dim: int = 4, seed: int = 0
) -> tuple[Tensor, Segments]:
    hidden = drawn(batch, 8 * count, dim, seed=seed)
    return hidden, cut_segments(hidden, torch.zeros(batch, 8 * count), None, 8 * count, 8)


def entries(values: list[float], alive: list[bool] | None = None) -> Entries:
    """Entries whose four components are all one value."""
    components = torch.tensor(values)[:, None].expand(-1, 4)
    states = torch.arange(len(values)).float()[:, None].expand(-1, 4).contiguous()
    kept = torch.ones(len(values), dtype=torch.bool) if alive is None else torch.tensor(alive)
    return Entries(states, components, torch.zeros(len(values), dtype=torch.long), kept)


def batched(one: Entries) -> Entries:
    return Entries(*(each[None] for each in one))


def test_a_read_by_hand() -> None:
    """Identity projections, dim 4: weights ∝ priority · exp(q·k/2) over two past segments."""
    block = memory(top_k=5)
    for layer in (block.query, block.key, block.value):
        torch.nn.init.eye_(layer.weight)
    own = batched(entries([0.5, 1.0]))
    own = own._replace(states=drawn(1, 2, 4), born=torch.tensor([[0, 1]]))
    hidden = drawn(1, 1, 4, seed=1)
    read = block.read(hidden, torch.tensor([[2]]), None, own)
    priorities = [
        0.8 * component + 0.2 * component + 0.1 * math.exp(-age / 256)
        for component, age in ((0.5, 2), (1.0, 1))
    ]
    scores = [float(hidden[0, 0] @ state) / 2 for state in own.states[0]]
    parts = [p * math.exp(score) for p, score in zip(priorities, scores, strict=True)]
    expected = sum(
        part / sum(parts) * state for part, state in zip(parts, own.states[0], strict=True)
    )
    assert torch.allclose(read[0, 0], expected, atol=1e-6)


def test_the_gate_starts_nearly_closed() -> None:
    for gate in ("static", "dynamic"):
        block = memory(gate=gate).eval()
        assert float(block.open_gate(drawn(1, 1, 4)).detach().mean()) == pytest.approx(
            1 / (1 + math.exp(5))
        )


def test_a_dynamic_gate_follows_the_state() -> None:
    block = memory(gate="dynamic")
    assert block.gate_weight is not None
    torch.nn.init.ones_(block.gate_weight)
    low, high = block.open_gate(torch.tensor([[[0.0] * 4, [1.0] * 4]])).detach()[0, :, 0]
    assert float(high) == pytest.approx(1 / (1 + math.exp(1)))
    assert low < high


def test_the_first_segment_reads_nothing() -> None:
    block = memory(segment=8).eval()
    torch.nn.init.ones_(block.gate_bias)
    hidden, text = segments()
    moved = (block(hidden, text) != hidden).any(-1)
    assert not moved[:, :8].any()
    assert moved[:, 8:].all()


def test_writing_fills_and_then_evicts_the_lowest() -> None:
    block = memory(slots=3, top_k=1)
    block.write(batched(entries([0.2, 0.9])))
    assert block.statistics()["utilisation"] == pytest.approx(2 / 3)
    block.write(batched(entries([0.1, 0.5, 0.7])))
    assert sorted(block.components[:, 0].tolist()) == pytest.approx([0.5, 0.7, 0.9])
    assert int(block.evictions) == 2
    # A slot that is kept keeps its state with its components.
    assert sorted(block.states[:, 0].tolist()) == [1.0, 1.0, 2.0]


def test_the_newest_stay_when_age_rules() -> None:
    block = memory(slots=2, top_k=1, priority="age")
    for value in (0.9, 0.5, 0.1):
        block.write(batched(entries([value])._replace(born=block.clock.view(1))))
    assert sorted(block.components[:, 0].tolist()) == pytest.approx([0.1, 0.5])


def test_priority_by_hand() -> None:
    """Components (1, 0.5, 0.25, 0.5): Φ = 5.8... /10: .3+.15+.05+.1 = .6; .48 + .1 + .1 = .68."""
    found = memory().prioritize(torch.tensor([1.0, 0.5, 0.25, 0.5]), torch.tensor(0))
    assert float(found) == pytest.approx(0.68)
    aged = memory().prioritize(torch.tensor([1.0, 0.5, 0.25, 0.5]), torch.tensor(256))
    assert float(aged) == pytest.approx(0.58 + 0.1 / math.e)


def test_a_random_priority_is_an_entrys_own() -> None:
    block = memory(priority="random")
    components = drawn(50, 4).abs()
    first = block.prioritize(components, torch.zeros(50))
    assert torch.equal(first, block.prioritize(components, torch.full((50,), 9)))
    assert torch.equal(first[10:20], block.prioritize(components[10:20], torch.zeros(10)))
    assert first.std() > 0.1
    assert abs(float(torch.corrcoef(torch.stack([first, components.mean(-1)]))[0, 1])) < 0.35


def test_no_more_than_the_slots_are_readable() -> None:
    """Two slots are full and three segments follow: of up to five entries two are readable."""
    block = memory(slots=2, top_k=1)
    block.write(batched(entries([0.9, 0.1])))
    own = batched(entries([0.5, 0.2, 0.8]))
    own = own._replace(born=block.clock + torch.arange(3)[None])
    _, readable = block.rank_entries(block.copy_slots(), own)
    assert readable[0].int().tolist() == [
        [1, 1, 0, 0, 0],
        [1, 0, 1, 0, 0],
        [1, 0, 1, 0, 0],
        [1, 0, 0, 0, 1],
    ]


def test_evaluation_writes_nothing_and_starts_empty() -> None:
    block = memory(slots=6, segment=8)
    torch.nn.init.ones_(block.gate_bias)
    hidden, text = segments()
    fresh = block.eval()(hidden, text)
    block.train()(*segments(seed=5))
    before = {name: buffer.clone() for name, buffer in block.named_buffers()}
    assert int(before["alive"].sum()) == 6
    assert torch.equal(block.eval()(hidden, text), fresh)
    for name, buffer in block.named_buffers():
        assert torch.equal(buffer, before[name])


def test_a_frozen_memory_is_read_and_left_alone() -> None:
    block = memory(slots=6, segment=8, evaluation="frozen")
    torch.nn.init.ones_(block.gate_bias)
    hidden, text = segments()
    empty = block.eval()(hidden, text)
    block.train()(*segments(seed=5))
    states = block.states.clone()
    first = block.eval()(hidden, text)
    assert not torch.equal(first, empty)
    assert torch.equal(block(hidden, text), first)
    assert torch.equal(block.states, states)
    block.clear()
    assert torch.equal(block(hidden, text), empty)


@pytest.mark.parametrize("noise", ["gaussian", "uniform", "dropout"])
def test_noise_acts_in_training_only_and_fades(noise: str) -> None:
    block = memory(noise=noise, noise_level=0.5, noise_steps=2, segment=8)
    scores, readable = torch.zeros(1, 1, 500), torch.ones(1, 1, 500, dtype=torch.bool)
    torch.manual_seed(1)
    noisy, kept = block.add_noise(scores, readable)
    if noise == "dropout":
        assert 180 < int(kept.sum()) < 320
    else:
        assert float(noisy.std()) == pytest.approx(0.5 if noise == "gaussian" else 0.289, rel=0.15)
    block.steps += 2
    assert block.add_noise(scores, readable)[0] is scores
    block.eval()
    hidden, text = segments()
    state = torch.get_rng_state()
    assert torch.equal(block(hidden, text), block(hidden, text))
    assert torch.equal(state, torch.get_rng_state())


def test_the_language_loss_trains_learned_weights() -> None:
    torch.manual_seed(0)
    block = IntegrationMemory(4, MemoryConf(segment=8), learned_weights=True)
    assert torch.allclose(block.component_weights(), torch.tensor([0.3, 0.3, 0.2, 0.2]))
    hidden, text = segments()
    block(hidden, text).square().sum().backward()
    assert block.weight_logits is not None
    assert block.weight_logits.grad is not None
    assert block.weight_logits.grad.abs().sum() > 0
    assert memory().weight_logits is None


def test_a_text_shorter_than_a_segment_has_none() -> None:
    text = cut_segments(drawn(2, 5, 4), torch.zeros(2, 5), None, 5, 8)
    assert text.states.shape == (2, 0, 8, 4)
    block = memory(segment=8)
    hidden = drawn(2, 5, 4)
    assert torch.equal(block(hidden, text), hidden)


def test_settings_that_do_not_fit_are_named() -> None:
    (fault,) = memory_faults(MemoryConf(slots=3))
    assert "`model.memory.slots`=3 is fewer than the `model.memory.top_k`=5" in fault
    (fault,) = memory_faults(MemoryConf(noise="dropout", noise_level=1.0))
    assert "drops everything" in fault
