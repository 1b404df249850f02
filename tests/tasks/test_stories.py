"""LoRA on real weights: a Llama of 260 thousand parameters that was trained on stories."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer

from infinito import run as program
from infinito.cli.composition import check
from infinito.models.pretrained.base_weights import additions
from infinito.models.pretrained.lora import LoraSettings, add_lora, merge_adapters
from infinito.models.pretrained.opening import open_base, open_weights
from infinito.models.trained import open_trained
from infinito.paths import conf_dir

SETTINGS = LoraSettings(8, 16.0, 0.0, ("q_proj", "v_proj", "up_proj", "down_proj"))
IDS = torch.randint(3, 500, (4, 64), generator=torch.Generator().manual_seed(0))


@pytest.fixture
def stories(shared_data: Path) -> Path:
    return shared_data / "stories260k"


def test_untrained_adapters_leave_the_published_text(stories: Path) -> None:
    model: Any = open_base(stories / "hf").eval()
    add_lora(model, SETTINGS)
    ids = model.generate(
        torch.tensor([[1]]),
        max_new_tokens=200,
        do_sample=False,
        pad_token_id=0,
        eos_token_id=None,
    )
    tokenizer = AutoTokenizer.from_pretrained(stories / "hf")
    text = tokenizer.decode(ids[0], skip_special_tokens=True)
    assert isinstance(text, str)
    expected = (stories / "expected_greedy_200.txt").read_text(encoding="utf-8")
    assert text.strip() == expected.strip()


@torch.no_grad()
def test_merging_keeps_the_logits(stories: Path) -> None:
    """In float64, for float32 itself errs by 1.3e-5 here: the logits reach 18."""
    model = open_base(stories / "hf").eval()
    add_lora(model, SETTINGS)
    torch.manual_seed(0)
    for name, each in model.named_parameters():
        if "lora_B" in name:
            each.normal_(std=0.02)
    adapted = copy.deepcopy(model).double()(input_ids=IDS).logits
    assert (adapted - open_weights(stories / "hf")(input_ids=IDS).logits).abs().max() > 0.1
    merged = merge_adapters(model).double()(input_ids=IDS).logits
    torch.testing.assert_close(merged, adapted, atol=1e-5, rtol=0)


@pytest.mark.slow
def test_sixty_steps_teach_it_shakespeare(stories: Path, shared_data: Path, tmp_path: Path) -> None:
    overrides = [
        "model=llama",
        f"model.path={stories / 'hf'}",
        "model.lora.dropout=0",
        "data=text",
        f"data.path={shared_data / 'tinyshakespeare/input.txt'}",
        "data.test_fraction=0",
        "data.block_size=128",
        "data.batch_size=8",
        f"data.cache_dir={tmp_path / 'cache'}",
        "optimizer.lr=5e-3",
        "trainer.epochs=null",
        "trainer.max_steps=60",
        "trainer.accelerator=cpu",
        "trainer.threads=1",
        "trainer.progress_bar=false",
    ]
    program.execute(check(overrides, conf_dir()), tmp_path / "run")
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    assert summary["val/loss"] < 3.62
    model = open_trained(str(tmp_path / "run")).model
    state, base = model.state_dict(), open_weights(stories / "hf").state_dict()
    added = additions(model, state)
    assert len(added) == 5 * 4 * 2
    kept = {name.replace(".base_layer", ""): t for name, t in state.items() if name not in added}
    assert kept.keys() == base.keys()
    assert all(torch.equal(tensor, base[name]) for name, tensor in kept.items())
