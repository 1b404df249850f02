"""model=pretrained through the jobs: train, resume, evaluate, generate, analyze, dry run."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from infinito import run as program
from infinito.cli.composition import check
from infinito.config import RunConf
from infinito.models.checkpoint_file import read_checkpoint
from infinito.models.pretrained.lora import has_adapters
from infinito.models.trained import extract_weights, open_trained
from infinito.paths import conf_dir
from infinito.training.callbacks.interruption import Interrupted
from tests.tasks.pretrained.conftest import Train
from tests.training.test_resume import stop_at


def base_unchanged(folder: Path, base: Path, prefix: str = "") -> bool:
    """Whether the base's weights in a run's model are those of its folder."""
    own = AutoModelForCausalLM.from_pretrained(base).state_dict()
    adapted = open_trained(str(folder)).model.state_dict()
    named = {name.replace(".base_layer", ""): each for name, each in adapted.items()}
    return all(torch.equal(each, named[prefix + name]) for name, each in own.items())


def test_only_adapters_train_and_only_they_are_saved(finished: Train, gpt2_folder: Path) -> None:
    folder = finished()
    checkpoint = read_checkpoint(folder / "checkpoints/last.ckpt")
    names = extract_weights(checkpoint).keys()
    assert len(names) == 12
    assert all("lora_" in name for name in names)
    assert any(
        extract_weights(checkpoint)[name].abs().sum() > 0 for name in names if "lora_B" in name
    )
    record = json.loads(checkpoint["infinito"]["model_config"])["base_model"]
    assert record["path"] == str(gpt2_folder)
    assert len(record["weights_sha256"]) == 64
    assert base_unchanged(folder, gpt2_folder)
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["val/loss"] < 6.0


def test_the_export_stands_alone_and_equals_the_adapted_model(finished: Train) -> None:
    folder = finished()
    adapted = open_trained(str(folder))
    assert has_adapters(adapted.model)
    plain = AutoModelForCausalLM.from_pretrained(folder / "model").eval()
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    ids = tokenizer("line 7 has", return_tensors="pt")["input_ids"]
    torch.testing.assert_close(
        plain(input_ids=ids).logits, adapted.model(input_ids=ids).logits, atol=1e-5, rtol=1e-5
    )
    text = (folder / "model/config.json").read_text()
    assert "lora" not in text
    assert "base_model" not in text


def test_a_resumed_run_equals_one_that_never_stopped(
    trained: Train, finished: Train, tmp_path: Path
) -> None:
    whole, stopped = finished(), tmp_path / "stopped"
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, "training_step", 3, signal.SIGTERM)
        with pytest.raises(Interrupted):
            trained(folder="stopped")
    program.execute(check([f"resume={stopped}"], conf_dir()), stopped)
    first, second = (
        extract_weights(read_checkpoint(folder / "checkpoints/last.ckpt"))
        for folder in (whole, stopped)
    )
    assert first.keys() == second.keys()
    assert all(torch.equal(each, second[name]) for name, each in first.items())


def test_the_reading_tasks_read_it_and_its_export(
    finished: Train,
    reading: Callable[..., RunConf],
    text_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = finished()
    summary = json.loads((folder / "summary.json").read_text())
    text = ["data=text", f"data.path={text_file}", "data.block_size=16", "data.batch_size=4"]
    for name, options in (("", []), ("model", text)):
        run = reading("task=evaluate", f"checkpoint={folder / name}", *options)
        program.execute(run, tmp_path / f"evaluated{name}")
        report = json.loads((tmp_path / f"evaluated{name}/evaluation.json").read_text())
        assert report["val/loss"] == pytest.approx(summary["val/loss"], abs=1e-5)
    capsys.readouterr()
    prompt = ["generation.prompt=line", "generation.max_new_tokens=5"]
    program.execute(reading("task=generate", f"checkpoint={folder}", *prompt), tmp_path / "text")
    assert capsys.readouterr().out.startswith("line")
    long = reading("task=generate", f"checkpoint={folder}", "generation.prompt=line")
    program.execute(long, tmp_path / "long")
    assert "pass the model's window of 64" in " ".join(capsys.readouterr().err.split())
    program.execute(reading("task=analyze", f"checkpoint={folder}"), tmp_path / "attention")
    assert len(json.loads((tmp_path / "attention/attention.json").read_text())["layers"]) == 2


def test_distance_attention_trains_inside_and_comes_back(trained: Train, finished: Train) -> None:
    own, l1 = finished(), trained("attention=l1", "attention.learned_scale=true", folder="l1")
    losses = [json.loads((each / "summary.json").read_text())["val/loss"] for each in (own, l1)]
    assert losses[0] != losses[1]
    names = extract_weights(read_checkpoint(l1 / "checkpoints/last.ckpt")).keys()
    assert sum("distance_scale" in name for name in names) == 1
    again, export = open_trained(str(l1)), open_trained(str(l1 / "model"))
    ids = torch.arange(12)[None]
    torch.testing.assert_close(
        again.model(input_ids=ids).logits, export.model(input_ids=ids).logits, atol=1e-5, rtol=1e-5
    )
    assert "l1" in (l1 / "run.log").read_text()


def test_every_weight_can_train(trained: Train, gpt2_folder: Path) -> None:
    folder = trained("model.trainable=all", "optimizer.lr=0.001")
    assert not base_unchanged(folder, gpt2_folder)
    assert len(extract_weights(read_checkpoint(folder / "checkpoints/last.ckpt"))) == 29


def test_a_memory_alone_can_train(trained: Train, gpt2_folder: Path) -> None:
    memory = ("memory=integration", "model.memory.segment=8", "data.block_size=32")
    folder = trained("model.trainable=memory", *memory)
    state = extract_weights(read_checkpoint(folder / "checkpoints/last.ckpt"))
    assert all(name.startswith("memory.") for name in state)
    assert base_unchanged(folder, gpt2_folder, "causal_lm.")
    both = trained(*memory, "attention=l1", "attention.learned_scale=true", folder="both")
    again, export = open_trained(str(both)), open_trained(str(both / "model"))
    assert has_adapters(again.model)
    assert not has_adapters(export.model)
    ids = torch.arange(32)[None]
    torch.testing.assert_close(
        again.model(input_ids=ids).logits, export.model(input_ids=ids).logits, atol=1e-5, rtol=1e-5
    )


def test_a_new_run_starts_from_adapters(trained: Train, finished: Train) -> None:
    folder = finished()
    again = trained(f"checkpoint={folder}", "optimizer.lr=1e-12", folder="again")
    first, second = (json.loads((f / "summary.json").read_text()) for f in (folder, again))
    assert second["val/loss"] == pytest.approx(first["val/loss"], abs=1e-5)


@pytest.mark.parametrize(
    ("override", "tolerance"),
    [("model.gradient_checkpointing=true", 1e-5), ("model.dtype=bfloat16", 0.1)],
)
def test_memory_can_be_saved(
    trained: Train, finished: Train, override: str, tolerance: float
) -> None:
    usual = ("model.lora.dropout=0", "trainer.max_steps=3")
    folders = [finished(*usual), trained(*usual, override, folder="small")]
    losses = [json.loads((each / "summary.json").read_text())["val/loss"] for each in folders]
    assert losses[1] == pytest.approx(losses[0], abs=tolerance)


def test_base_gpt2_lora_runs_from_a_folder_without_the_hub(
    gpt2_folder: Path, docs_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    overrides = [
        "+experiment=base_gpt2_lora",
        f"model.path={gpt2_folder}",
        "data.block_size=32",
        "data.batch_size=4",
        "data.parts=topics",
        "data.max_bytes=150000",
        f"data.cache_dir={docs_cache}",
        "objective.calibration_windows=16",
        "trainer.max_steps=3",
        "trainer.validate_every=3",
        "trainer.accelerator=cpu",
        "trainer.threads=1",
        "trainer.progress_bar=false",
    ]
    program.execute(check(overrides, conf_dir()), tmp_path / "run")
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    assert summary["steps"] == 3
    assert 0 < summary["val/phi"] < 10
    assert (tmp_path / "run/model/model.safetensors").is_file()
    names = extract_weights(read_checkpoint(tmp_path / "run/checkpoints/best.ckpt"))
    assert all("lora_" in name for name in names)


def test_a_dry_run_estimates_it(
    configured: Callable[..., RunConf], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    program.execute(configured("dry_run=true"), tmp_path / "dry")
    printed = capsys.readouterr().out
    assert "estimated training" in printed
    assert "estimated validation" in printed
    assert not (tmp_path / "dry").exists()


@pytest.mark.parametrize(
    ("overrides", "metric", "tokenizer"),
    [
        (["model=gpt2"], "own", "openai-community/gpt2"),
        (["model=llama", "attention=l1"], "l1", "HuggingFaceTB/SmolLM2-135M"),
        (["+experiment=base_gpt2_lora"], "own", "openai-community/gpt2"),
        (["+experiment=base_gpt2_lora", "model.path=x/y"], "own", "x/y"),
        (["model=qwen", "tokenizer=char"], "own", None),
        (["model=distance_lm"], "dot", None),
    ],
)
def test_a_pretrained_model_brings_its_own(
    overrides: list[str], metric: str, tokenizer: str | None
) -> None:
    run = check(overrides, conf_dir())
    assert run.attention.metric == metric
    assert run.tokenizer.path == tokenizer
