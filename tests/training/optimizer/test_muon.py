"""Muon with AdamW: who takes what, and one optimizer's worth of steps, state and errors."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from infinito.cli.composition import check
from infinito.config import MuonConf, RunConf
from infinito.errors import ConfigError, NonFiniteError
from infinito.models.assembly import build_language_model
from infinito.models.checkpoint_file import read_checkpoint
from infinito.models.distance_lm.config import DistanceLMConfig
from infinito.models.distance_lm.model import DistanceLMForCausalLM
from infinito.models.pretrained.lora import LoraSettings, add_lora
from infinito.paths import conf_dir
from infinito.training.callbacks.interruption import Interrupted
from infinito.training.optimizer.assembly import build_optimizer, describe_optimizer
from infinito.training.optimizer.muon import MuonAndAdamW, build_muon, hidden_matrices
from tests.training.test_resume import Trained, assert_same_run, resumed, stop_at

MUON = ("optimizer=muon", "optimizer.warmup_steps=2")


def small(**settings: Any) -> DistanceLMForCausalLM:
    torch.manual_seed(0)
    return DistanceLMForCausalLM(
        DistanceLMConfig(vocab_size=8, hidden_size=8, num_hidden_layers=2, **settings)
    )


def small_gpt2() -> GPT2LMHeadModel:
    torch.manual_seed(0)
    return GPT2LMHeadModel(GPT2Config(vocab_size=9, n_positions=8, n_embd=8, n_layer=1, n_head=2))


def train_step(model: torch.nn.Module, optimizer: torch.optim.Optimizer, seed: int) -> None:
    tokens = torch.randint(8, (2, 6), generator=torch.Generator().manual_seed(seed))
    optimizer.zero_grad()
    model(input_ids=tokens, labels=tokens).loss.backward()
    optimizer.step()


def values(model: torch.nn.Module) -> dict[str, Tensor]:
    return {name: each.detach().clone() for name, each in model.named_parameters()}


@pytest.mark.parametrize("tied", [True, False])
def test_each_parameter_has_one_optimizer(tied: bool) -> None:
    model = small(tie_word_embeddings=tied, learned_scale=True, position="learned")
    model.model.layers[0].requires_grad_(False)
    optimizer = build_muon(model, MuonConf())
    *of_adamw, of_muon = optimizer.param_groups
    assert {name.split(".", 2)[2] for name in hidden_matrices(model)} == {
        "1.attention.qkv.weight",
        "1.attention.out.weight",
        "1.feed_forward.up.weight",
        "1.feed_forward.out.weight",
    }
    assert of_muon["params"] == list(hidden_matrices(model).values())
    taken = [id(each) for group in optimizer.param_groups for each in group["params"]]
    assert sorted(taken) == sorted(id(each) for each in model.parameters() if each.requires_grad)
    assert {group["lr"] for group in of_adamw} == {MuonConf().lr}
    assert of_muon["lr"] == MuonConf().matrix_lr


def test_gpt2s_transposed_layers_count() -> None:
    kinds = [name.rpartition("h.0.")[2] for name in hidden_matrices(small_gpt2())]
    assert kinds == [
        "attn.c_attn.weight",
        "attn.c_proj.weight",
        "mlp.c_fc.weight",
        "mlp.c_proj.weight",
    ]


def test_adapters_count_and_are_named() -> None:
    model = small_gpt2()
    add_lora(model, LoraSettings(rank=2, target_modules=("c_attn",)))
    text = describe_optimizer(model, MuonConf())
    assert text == "muon for 64 parameters (1 c_attn.lora_A, 1 c_attn.lora_B), adamw for 0"
    assert isinstance(build_optimizer(model, MuonConf()), torch.optim.Muon)


def test_shares_by_hand() -> None:
    """Layers of 8·24 + 8·8 + 2·8·32 = 768; 8·8 of the embedding and 5 norms of 8 remain."""
    text = describe_optimizer(small(), MuonConf())
    assert text.startswith("muon for 1,536 parameters (2 attention.qkv, 2 attention.out, ")
    assert text.endswith("adamw for 104")


def test_nothing_for_muon_is_an_error() -> None:
    model = small(learned_scale=True)
    for name, each in model.named_parameters():
        each.requires_grad_("scale" in name)
    with pytest.raises(ConfigError, match=r"DistanceLMForCausalLM trains none .*optimizer=adamw"):
        build_muon(model, MuonConf())


def test_a_configuration_that_trains_lambda_alone_is_refused(gpt2_folder: Path) -> None:
    conf = check(
        [
            "model=gpt2",
            f"model.path={gpt2_folder}",
            "model.trainable=memory",
            "attention=l1",
            "attention.learned_scale=true",
            "optimizer=muon",
            "data.block_size=8",
        ],
        conf_dir(),
    )
    model = build_language_model(conf, 300, None)
    with pytest.raises(ConfigError, match=r"e\.g\. `model\.trainable=lora`"):
        build_optimizer(model, conf.optimizer)


def test_a_step_is_one_of_each_part() -> None:
    """Against torch's two optimizers side by side, bit for bit."""
    settings = MuonConf(weight_decay=0.1, matrix_weight_decay=0.2, momentum=0.8)
    ours, theirs = small(), small()
    optimizer = build_muon(ours, settings)
    assert isinstance(optimizer, MuonAndAdamW)
    matrices = list(hidden_matrices(theirs).values())
    rest = [each for each in theirs.parameters() if not any(each is other for other in matrices)]
    muon = torch.optim.Muon(matrices, lr=0.02, weight_decay=0.2, momentum=0.8)
    adamw = torch.optim.AdamW(
        [
            {"params": [each for each in rest if each.ndim > 1], "weight_decay": 0.1},
            {"params": [each for each in rest if each.ndim < 2], "weight_decay": 0.0},
        ],
        lr=settings.lr,
        betas=(0.9, 0.95),
        fused=True,
    )
    for seed in range(3):
        train_step(ours, optimizer, seed)
        tokens = torch.randint(8, (2, 6), generator=torch.Generator().manual_seed(seed))
        theirs.zero_grad()
        theirs(input_ids=tokens, labels=tokens).loss.backward()
        muon.step()
        adamw.step()
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(one, other)


def test_one_schedule_moves_the_rates_of_both() -> None:
    model = small()
    optimizer = build_muon(model, MuonConf(lr=0.1, matrix_lr=0.4))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
    train_step(model, optimizer, 0)
    schedule.step()
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.05, 0.05, 0.2])
    before = values(model)
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    train_step(model, optimizer, 1)
    assert all(torch.equal(before[name], each) for name, each in model.named_parameters())


def test_a_restored_state_goes_on_with_the_same_bits() -> None:
    whole, resumed_model = small(), small()
    optimizer = build_muon(whole, MuonConf())
    for seed in range(2):
        train_step(whole, optimizer, seed)
    file = io.BytesIO()
    torch.save({"model": whole.state_dict(), "optimizer": optimizer.state_dict()}, file)
    train_step(whole, optimizer, 2)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    resumed_model.load_state_dict(saved["model"])
    again = build_muon(resumed_model, MuonConf(lr=9.0, matrix_lr=9.0))
    again.load_state_dict(saved["optimizer"])
    train_step(resumed_model, again, 2)
    for one, other in zip(whole.parameters(), resumed_model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_closure_runs_once_with_gradients() -> None:
    model, calls = small(), []

    def closure() -> Tensor:
        calls.append(torch.is_grad_enabled())
        loss = model(input_ids=torch.zeros(1, 4, dtype=torch.long)).logits.square().mean()
        loss.backward()
        return loss

    assert torch.isfinite(build_muon(model, MuonConf()).step(closure))
    assert calls == [True]


def test_a_stopped_training_resumes_with_the_same_bits(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = (*MUON, "trainer.max_steps=8", "trainer.validate_every=3")
    whole = trained(*settings, folder="whole")
    with monkeypatch.context() as patch:
        stop_at(patch, "training_step", 5, 15)
        with pytest.raises(Interrupted, match="resume="):
            trained(*settings, folder="stopped")
    stopped = whole.parent / "stopped"
    resumed(stopped)
    assert_same_run(whole, stopped)
    assert len(read_checkpoint(stopped / "checkpoints/last.ckpt")["optimizer_states"]) == 1


def test_a_gradient_that_is_not_finite_stops_both(trained: Trained, tmp_path: Path) -> None:
    with pytest.raises(NonFiniteError, match=r"step \d+ .*`optimizer\.matrix_lr` \(now 1e\+38\)"):
        trained(*MUON, "optimizer.matrix_lr=1e38", "trainer.max_steps=30")
    for path in tmp_path.glob("run/checkpoints/*.ckpt"):
        for value in read_checkpoint(path)["state_dict"].values():
            assert torch.isfinite(value).all()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("trainer=fsdp",), r"`trainer\.strategy`=fsdp splits them.*`optimizer=adamw`"),
        (("task=rl_scheduler",), r"`optimizer` is not read by `task=rl_scheduler`"),
        (("optimizer.matrix_lr=0",), r"`optimizer\.matrix_lr`=0.*above 0"),
        (("optimizer.name=sgd",), r"`optimizer\.name`=sgd.*no such kind"),
    ],
)
def test_what_muon_does_not_go_with(
    configured: Callable[..., RunConf], overrides: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        configured("optimizer=muon", *overrides)


def test_adamw_has_no_rate_for_matrices(configured: Callable[..., RunConf]) -> None:
    with pytest.raises(ConfigError, match=r"`optimizer\.matrix_lr`.*there is no such key"):
        configured("+optimizer.matrix_lr=0.1")
