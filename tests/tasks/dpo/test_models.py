"""The models that a tuning starts from, and their exports."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from rich.console import Console
from transformers import AutoModelForCausalLM, AutoTokenizer, Qwen2Config, Qwen2ForCausalLM

from infinito import run as program
from infinito.cli.composition import check
from infinito.config import RunConf
from infinito.data.tokenizers.bpe import BpeTokenizer
from infinito.errors import ConfigError
from infinito.models.pretrained.lora import LoraSettings, add_lora
from infinito.paths import conf_dir
from infinito.preferences.assembly import Policy
from infinito.preferences.preparation import Prepared
from infinito.preferences.reference.policies import CopyReference
from infinito.preferences.scoring.layout_probe import Layout
from infinito.preferences.scoring.layouts import arrange
from infinito.preferences.training import score_reference
from tests.preferences.pair_models import make, random_pairs
from tests.tasks.dpo.conftest import Tune, saved


def test_what_gguf_cannot_hold_is_refused_before_training(
    small: Callable[..., RunConf], tmp_path: Path
) -> None:
    folder = saved(tmp_path / "neox", "gpt_neox")
    run = small("model=pretrained", f"model.path={folder}", "dpo.export=gguf", "data.chat=false")
    with pytest.raises(ConfigError, match=r"not for gpt_neox|need the gguf package"):
        Prepared(run, Console(quiet=True))


def test_adapters_trained_before_belong_to_the_reference(small: Callable[..., RunConf]) -> None:
    """A copy and the precomputed table say what the policy says; its base says something else."""
    model = make("llama")
    add_lora(model, LoraSettings())
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter)
    pairs = random_pairs(3)
    found = {}
    for reference in ("copy", "precomputed", "adapter_off"):
        run = small(
            "model=pretrained", "model.path=x", "checkpoint=y", f"dpo.reference={reference}"
        )
        policy = Policy(model, None, "y", is_new=False)  # type: ignore[arg-type]
        layout = Layout("shared", "fused")
        found[reference] = score_reference(run, policy, layout, pairs, pairs).held_out
    asked = CopyReference(model)(arrange(pairs, "shared")).view(2, -1).T
    for reference in ("copy", "precomputed"):
        torch.testing.assert_close(found[reference], asked, rtol=0, atol=1e-5)
    assert (found["adapter_off"] - asked).abs().max() > 0.1


def test_a_trained_language_model_can_be_tuned(finished: Callable[..., Path], tune: Tune) -> None:
    base = finished()
    end = "data.end_token='.'"  # one text has no token between documents
    report = tune(f"checkpoint={base}", "data.block_size=300", end, folder="tuned")
    assert report["model"]["origin"] == str(base)
    assert report["initial_loss"] == pytest.approx(math.log(2), abs=1e-6)
    learned = finished("model.position=learned", folder="learned")
    with pytest.raises(ConfigError, match="longer than the 16 positions"):
        tune(f"checkpoint={learned}", end, folder="refused")


def test_adapters_alone_merged_and_as_gguf(tune: Tune, shared_data: Path, tmp_path: Path) -> None:
    """A pretrained Llama with LoRA: three exports that say the same as each other."""
    pytest.importorskip("gguf", reason="the gguf extra is not installed")
    report = tune(
        "model=pretrained",
        f"model.path={shared_data / 'stories260k/hf'}",
        "model.lora.rank=4",
        "optimizer.lr=1e-3",
        "dpo.reference=adapter_off",
        "dpo.export=[model,adapter,gguf]",
        "data.block_size=256",
    )
    assert report["model"]["trained_parameters"] < report["model"]["parameters"]
    run = tmp_path / "run"
    merged = AutoModelForCausalLM.from_pretrained(run / "model")
    adapted = AutoModelForCausalLM.from_pretrained(run / "adapter")
    read_back = AutoModelForCausalLM.from_pretrained(run, gguf_file="model.gguf")
    base = AutoModelForCausalLM.from_pretrained(shared_data / "stories260k/hf")
    ids = torch.randint(3, 512, (2, 20), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected, *others, original = (
            each.double().eval()(ids).logits.log_softmax(-1)
            for each in (merged, adapted, read_back, base)
        )
    for other in others:
        torch.testing.assert_close(other, expected, rtol=0, atol=1e-5)
    assert (original - expected).abs().max() > 1e-4


CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture
def tiny_qwen(tmp_path: Path) -> Path:
    """A Qwen2 of toy size with a tokenizer that has ChatML and its special tokens."""
    tokenizer = BpeTokenizer(280).build(
        ["What is a way to remember the list? Say it aloud."] * 40, separates_documents=True
    )
    tokenizer.add_special_tokens(
        {"eos_token": "<|im_end|>", "additional_special_tokens": ["<|im_start|>"]}
    )
    tokenizer.chat_template = CHATML
    torch.manual_seed(0)
    model = Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=300,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            eos_token_id=tokenizer.eos_token_id,
            tie_word_embeddings=True,
        )
    )
    model.save_pretrained(tmp_path / "qwen")
    tokenizer.save_pretrained(tmp_path / "qwen")
    return tmp_path / "qwen"


def test_the_qwen_preset_on_a_small_qwen(tiny_qwen: Path, tmp_path: Path) -> None:
    overrides = ["+experiment=dpo_qwen_05b", f"model.path={tiny_qwen}", "trainer.accelerator=cpu"]
    overrides += ["generation.max_new_tokens=3", "trainer.threads=1", "trainer.progress_bar=false"]
    cache = f"data.cache_dir={tmp_path / 'cache'}"
    program.execute(check([*overrides, cache], conf_dir()), tmp_path / "run")
    report = json.loads((tmp_path / "run/training_report.json").read_text())
    assert (report["model"]["name"], report["model"]["type"]) == ("qwen", "qwen2")
    assert report["model"]["trained_parameters"] == report["model"]["parameters"]
    assert (report["steps"], report["epochs"]) == (6, 3)
    assert report["initial_loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert report["answers"][0]["prompt"] == "How can I keep cut tulips fresh for a week?"
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "run/model")
    assert tokenizer.chat_template == CHATML
