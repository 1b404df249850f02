"""Model folders: they open as their README says, pad a batch, and serve other trainers."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, pipeline

from infinito.models.model_folder import export
from infinito.models.pretrained.replaced_attention import AttentionSettings, use_distance_attention
from infinito.models.trained import open_trained


@pytest.fixture
def folder(trained: Callable[..., Path]) -> Path:
    """The folder of a tiny DistanceLM whose tokenizer has an end of text."""
    run = trained("tokenizer=bpe", "tokenizer.vocab_size=300", "model.max_positions=64")
    return run / "model"


@pytest.mark.parametrize("memory", ["none", "integration"])
def test_the_readme_opens_it(trained: Callable[..., Path], memory: str) -> None:
    folder = trained(f"memory={memory}", "model.memory.segment=8") / "model"
    code = (folder / "README.md").read_text().split("```python\n")[1].split("```")[0]
    code = code.replace("<this folder>", str(folder)) + "print(type(model).__name__)\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == [
        "DistanceLMForCausalLM" if memory == "none" else "MemoryLMForCausalLM"
    ]


def test_the_readme_of_replaced_attention_says_what_opens_it(
    gpt2_folder: Path, tmp_path: Path
) -> None:
    trained = open_trained(str(gpt2_folder))
    use_distance_attention(trained.model, AttentionSettings("l1"))
    export(trained, tmp_path / "l1")
    assert (
        "`infinito.models.pretrained.opening.open_weights`"
        in (tmp_path / "l1/README.md").read_text()
    )
    assert "import infinito" not in (tmp_path / "l1/README.md").read_text()


def test_a_batch_of_prompts_is_padded(folder: Path) -> None:
    """Each continuation is that of its prompt alone."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert (tokenizer.pad_token, tokenizer.padding_side) == (tokenizer.eos_token, "left")
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert model.config.pad_token_id is None
    write = pipeline("text-generation", model=model, tokenizer=tokenizer)
    prompts = ["line 7 has", "line"]
    options = {"max_new_tokens": 6, "do_sample": False}
    together = write(prompts, batch_size=2, **options)
    assert together == [write([prompt], **options)[0] for prompt in prompts]


def test_a_pad_token_changes_no_token_of_a_text(folder: Path) -> None:
    own = open_trained(str(folder.parent)).tokenizer
    text = "line 7 has 49 sheep.\n"
    assert AutoTokenizer.from_pretrained(folder)(text)["input_ids"] == own(text)["input_ids"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # other programs' own
def test_transformers_trainer(folder: Path, tmp_path: Path) -> None:
    """It trains, evaluates, predicts, and goes on from its checkpoint to the same weights."""
    from transformers import DataCollatorForLanguageModeling, Trainer, TrainingArguments

    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = [tokenizer(f"line {n} has {n * n} sheep.") for n in range(24)]
    rows = [{"input_ids": row["input_ids"]} for row in rows]

    def trainer(place: str, steps: int) -> Any:
        arguments = TrainingArguments(
            str(tmp_path / place),
            max_steps=steps,
            save_steps=2,
            per_device_train_batch_size=4,
            per_device_eval_batch_size=4,
            learning_rate=1e-3,
            lr_scheduler_type="constant",
            report_to=[],
            use_cpu=True,
            disable_tqdm=True,
        )
        model = AutoModelForCausalLM.from_pretrained(folder)
        collator = DataCollatorForLanguageModeling(tokenizer, mlm=False)
        return Trainer(model, arguments, collator, train_dataset=rows, eval_dataset=rows[:8])

    whole = trainer("whole", 4)
    before = whole.evaluate()["eval_loss"]
    whole.train()
    assert whole.evaluate()["eval_loss"] < before
    predicted = whole.predict(rows[:4])
    assert predicted.predictions.shape[::2] == (4, 300)
    trainer("parts", 2).train()
    parts = trainer("parts", 4)
    parts.train(resume_from_checkpoint=True)
    for name, weight in whole.model.state_dict().items():
        assert torch.equal(weight, parts.model.state_dict()[name]), name


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # other programs' own
@pytest.mark.parametrize("kind", ["SFT", "DPO"])
def test_trl_trainers(folder: Path, tmp_path: Path, kind: str) -> None:
    datasets = pytest.importorskip("datasets")
    trl = pytest.importorskip("trl")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    rows = [
        {"prompt": f"line {n} has", "chosen": f" {n * n} sheep", "rejected": " no sheep"}
        if kind == "DPO"
        else {"text": f"line {n} has {n * n} sheep"}
        for n in range(16)
    ]
    settings = getattr(trl, f"{kind}Config")(
        str(tmp_path / kind),
        max_steps=3,
        per_device_train_batch_size=4,
        learning_rate=1e-2,
        report_to=[],
        use_cpu=True,
        bf16=False,
        disable_tqdm=True,
        logging_steps=1,
    )
    trainer = getattr(trl, f"{kind}Trainer")(
        model,
        args=settings,
        train_dataset=datasets.Dataset.from_list(rows),
        processing_class=tokenizer,
    )
    trainer.train()
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    assert losses[-1] < losses[0]


def test_a_base_whose_generation_config_cannot_be_saved_is_exported_without_it(
    gpt2_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Many folders of the hub set a temperature beside `do_sample=false`."""
    base = write_generation_config(gpt2_folder, tmp_path, do_sample=False, temperature=0.6)
    export(open_trained(str(base)), tmp_path / "out")
    saved = json.loads((tmp_path / "out/generation_config.json").read_text())
    assert saved["eos_token_id"] == 0
    assert "temperature" not in saved
    assert "only its special tokens are taken" in caplog.text
    assert "`temperature`: `do_sample` is not set" in caplog.text
    fine = write_generation_config(gpt2_folder, tmp_path, do_sample=True, temperature=0.6)
    export(open_trained(str(fine)), tmp_path / "fine")
    assert json.loads((tmp_path / "fine/generation_config.json").read_text())["temperature"] == 0.6


@pytest.mark.parametrize(
    "setting",
    [
        {"num_return_sequences": 3},
        {"cache_implementation": "nonsense"},
        {"temperature": "hot", "max_new_tokens": "many"},
    ],
    ids=["contradiction", "unknown", "type"],
)
def test_a_generation_config_that_transformers_refuses_decides_nothing(
    gpt2_folder: Path, tmp_path: Path, setting: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    base = write_generation_config(gpt2_folder, tmp_path, eos_token_id=[0, 7], **setting)
    model = open_trained(str(base)).model
    assert model.generation_config.eos_token_id == [0, 7]
    assert f"{base}/generation_config.json: only its special tokens are taken" in caplog.text


def write_generation_config(folder: Path, parent: Path, **settings: Any) -> Path:
    """Return a copy of a folder, with these settings of generation and an end of text."""
    copy = parent / f"copy{len(list(parent.iterdir()))}"
    shutil.copytree(folder, copy)
    (copy / "generation_config.json").write_text(json.dumps({"eos_token_id": 0, **settings}))
    return copy
