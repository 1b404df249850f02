"""How far 60 steps of LoRA bring a model of children's stories on Shakespeare.

    python experiments/lora_stories/study.py --model <stories260K folder> --text <input.txt>

Resumable: an (arm, seed) that stands in results.csv is not run again. Writes exact.json,
results.csv, table.md and plot.png beside this file.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from transformers import AutoTokenizer, PreTrainedModel

from infinito.data.sources.text_files import TextFiles
from infinito.models.pretrained.base_weights import additions
from infinito.models.pretrained.lora import LoraSettings, add_lora
from infinito.models.pretrained.opening import open_base, open_weights
from infinito.models.pretrained.replaced_attention import AttentionSettings, use_distance_attention
from infinito.models.trained import open_trained
from infinito.objectives.language import cross_entropy
from infinito.statistics import mean_interval

HERE = Path(__file__).parent
TARGETS = ("q_proj", "v_proj", "up_proj", "down_proj")
ARMS: dict[str, list[str]] = {
    "LoRA, own attention": [],
    "LoRA, dot through the interface": ["attention=dot"],
    "LoRA, l1": ["attention=l1"],
    "LoRA, l1, learned λ per head": [
        "attention=l1", "attention.learned_scale=true", "attention.scale_per=head",
    ],
    "every weight": ["model.trainable=all"],
}  # fmt: skip
FIELDS = ("arm", "seed", "loss", "loss_with_bos", "trained", "base_unchanged", "export_difference")
BLOCK, BATCH, STEPS, LR = 128, 8, 60, 5e-3


def main() -> None:
    """Check what is exact, run what is missing, a seed of every arm after the other, report."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--expected", type=Path, help="greedy text of 200 tokens after BOS")
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    windows = validation_windows(arguments.model, arguments.text)
    if not (HERE / "exact.json").exists():
        exact = before_training(arguments.model, windows)
        if arguments.expected is not None:
            exact["greedy text equals the published one"] = greedy(arguments.model) == (
                arguments.expected.read_text(encoding="utf-8").strip()
            )
        (HERE / "exact.json").write_text(json.dumps(exact, indent=2) + "\n")
        print(exact, flush=True)
    for seed in range(arguments.seeds):
        for arm in ARMS:
            if not any(r["arm"] == arm and r["seed"] == str(seed) for r in results()):
                record(arm, seed, arguments.model, arguments.text, windows)
    report()


def validation_windows(model: Path, text: Path) -> torch.Tensor:
    """Return the last tenth of the text as token ids (windows, BLOCK + 1), as the runs cut it."""
    source = TextFiles(str(text), valid_fraction=0.1, test_fraction=0.0)
    tokenizer = AutoTokenizer.from_pretrained(model)
    pieces = [piece for document in source.documents("valid") for piece in document]
    ids = [i for piece in pieces for i in tokenizer(piece, add_special_tokens=False)["input_ids"]]
    count = (len(ids) - 1) // BLOCK
    return torch.tensor(ids).unfold(0, BLOCK + 1, BLOCK)[:count]


@torch.no_grad()
def measure_loss(model: PreTrainedModel, windows: torch.Tensor, bos: bool) -> float:
    """Return the mean loss, nats per token; with `bos`, each window begins a document."""
    if bos:
        start = torch.full((len(windows), 1), model.config.bos_token_id)
        windows = torch.cat([start, windows], 1)
    losses = [
        cross_entropy(model(input_ids=batch[:, :-1]).logits, batch[:, 1:]) * len(batch)
        for batch in windows.split(32)
    ]
    return float(sum(losses) / len(windows))


def before_training(folder: Path, windows: torch.Tensor) -> dict[str, float | bool]:
    """Return the loss of the base, as it is and with its attention replaced."""
    own, l1 = open_weights(folder).eval(), open_weights(folder).eval()
    use_distance_attention(l1, AttentionSettings("l1"))
    return {
        "loss": measure_loss(own, windows, bos=False),
        "loss with BOS": measure_loss(own, windows, bos=True),
        "loss with l1": measure_loss(l1, windows, bos=False),
    }


def greedy(folder: Path) -> str:
    """Return 200 tokens after BOS by the base with adapters attached, untrained."""
    model = open_base(folder)
    add_lora(model, LoraSettings(8, 16.0, 0.0, TARGETS))
    ids = model.eval().generate(
        torch.tensor([[model.config.bos_token_id]]),
        max_new_tokens=200,
        do_sample=False,
        pad_token_id=0,
        eos_token_id=None,
    )
    tokenizer = AutoTokenizer.from_pretrained(folder)
    return str(tokenizer.decode(ids[0], skip_special_tokens=True)).strip()


def results() -> list[dict[str, str]]:
    """Return the finished runs."""
    path = HERE / "results.csv"
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def record(arm: str, seed: int, model: Path, text: Path, windows: torch.Tensor) -> None:
    """Run one training and append its result."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command = [
            sys.executable, "-m", "infinito.run", "model=llama", f"model.path={model}",
            "model.lora.dropout=0", "data=text", f"data.path={text}", "data.test_fraction=0",
            f"data.block_size={BLOCK}", f"data.batch_size={BATCH}", f"optimizer.lr={LR}",
            "trainer.epochs=null", f"trainer.max_steps={STEPS}", "trainer.accelerator=cpu",
            "trainer.threads=1", "trainer.progress_bar=false", "trainer.sample_tokens=0",
            f"seed={seed}", f"hydra.run.dir={folder}", *ARMS[arm],
        ]  # fmt: skip
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        summary = json.loads((folder / "summary.json").read_text())
        export = open_weights(folder / "model").eval()
        adapted = open_trained(str(folder)).model
        row = {
            "arm": arm,
            "seed": seed,
            "loss": round(summary["val/loss"], 5),
            "loss_with_bos": round(measure_loss(export, windows, bos=True), 5),
            "trained": sum(each.numel() for each in adapted.parameters() if each.requires_grad),
            "base_unchanged": base_unchanged(adapted, model),
            "export_difference": f"{difference(export, adapted, windows[:4, :-1]):.1e}",
        }
    new = not (HERE / "results.csv").exists()
    with (HERE / "results.csv").open("a", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        if new:
            writer.writeheader()
        writer.writerow(row)
    print(row, flush=True)


def base_unchanged(adapted: PreTrainedModel, folder: Path) -> bool:
    """Return whether what is not an addition equals the base bit by bit."""
    base = open_weights(folder).state_dict()
    state = adapted.state_dict()
    added = additions(adapted, state)
    kept = {name.replace(".base_layer", ""): t for name, t in state.items() if name not in added}
    return bool(kept) and all(torch.equal(tensor, base[name]) for name, tensor in kept.items())


@torch.no_grad()
def difference(export: PreTrainedModel, adapted: PreTrainedModel, ids: torch.Tensor) -> float:
    """Return the largest difference of logits between the merged export and the adapted model."""
    return float((export(input_ids=ids).logits - adapted(input_ids=ids).logits).abs().max())


def report() -> None:
    """Write table.md and plot.png: means, and paired differences to the first arm."""
    first = next(iter(ARMS))
    losses = {
        arm: {r["seed"]: float(r["loss"]) for r in results() if r["arm"] == arm} for arm in ARMS
    }
    lines = [
        "| arm | weights trained | loss after 60 steps, nats/token | with BOS | by seed | "
        "minus the first, 95 % interval |",
        "|---|---|---|---|---|---|",
    ]
    for arm, by_seed in losses.items():
        rows = [r for r in results() if r["arm"] == arm]
        values = [by_seed[seed] for seed in sorted(by_seed)]
        gaps = np.array([by_seed[seed] - losses[first][seed] for seed in sorted(by_seed)])
        half = mean_interval(gaps).half_width
        paired = "" if arm == first else f"{gaps.mean():+.4f} ± {half:.4f}"
        bos = np.mean([float(r["loss_with_bos"]) for r in rows])
        lines.append(
            f"| {arm} | {int(rows[0]['trained']):,} | {np.mean(values):.4f} | {bos:.4f} | "
            f"{', '.join(f'{value:.4f}' for value in values)} | {paired} |"
        )
    (HERE / "table.md").write_text("\n".join(lines) + "\n")
    figure = Figure(figsize=(7, 2.8), layout="constrained")
    axis = figure.subplots()
    for place, by_seed in enumerate(losses.values()):
        axis.plot(list(by_seed.values()), [place] * len(by_seed), "o", alpha=0.7)
    axis.set_yticks(range(len(losses)), list(losses))
    axis.invert_yaxis()
    axis.set_xlabel("validation loss after 60 steps, nats/token")
    figure.savefig(HERE / "plot.png", dpi=130)


if __name__ == "__main__":
    main()
