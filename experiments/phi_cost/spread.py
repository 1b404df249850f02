"""How far the components of Φ vary over windows of real text, and how they order what is no text.

    python experiments/phi_cost/spread.py --checkpoint <run folder> [<run folder> …]

For each run: its best checkpoint, and the same model with weights just drawn. Writes spread.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel

from infinito.attention.watching import row_entropy
from infinito.cli.composition import check
from infinito.data.assembly import build_data_module
from infinito.models.observation.watching import observed
from infinito.models.trained import open_trained
from infinito.objectives.phi import PhiComponents, phi, phi_components, sampled_rows
from infinito.paths import conf_dir
from infinito.run_folder.folder import saved_values
from infinito.training.phi.assembly import spread_windows
from infinito.training.phi.term import measured_components

HERE = Path(__file__).parent
WINDOWS, BATCH = 256, 32


@torch.no_grad()
def main() -> None:
    """Measure all models and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--checkpoint", type=Path, nargs="+", required=True)
    torch.set_num_threads(1)
    names = [*PhiComponents._fields, "Φ"]
    lines = ["| model | states | " + " | ".join(names) + " |", "|" + "---|" * (len(names) + 2)]
    for folder in parser.parse_args().checkpoint:
        for label, model, batches in models(folder):
            for kind, found in measured(model, batches):
                values = [*found, phi(found)]
                cells = " | ".join(map(cell, values))
                lines.append(f"| {label} | {kind} | {cells} |")
                print(lines[-1], flush=True)
    (HERE / "spread.md").write_text("\n".join(lines) + "\n")


def models(folder: Path) -> Iterator[tuple[str, PreTrainedModel, list[Tensor]]]:
    """Return the trained model of a run and one with random weights, with windows of its text."""
    trained = open_trained(str(folder))
    data = saved_values(folder)["data"]
    own = [f"data.block_size={data['block_size']}", f"data.max_bytes={data['max_bytes']}"]
    run = check(own, conf_dir())
    module = build_data_module(run, trained.tokenizer)
    batches = list(spread_windows(module, WINDOWS, BATCH))
    torch.manual_seed(0)
    drawn = AutoModelForCausalLM.from_config(trained.model.config).eval()
    config = trained.model.config
    name = f"{config.metric}, {config.num_hidden_layers} × {config.hidden_size}"
    yield f"{name}, as drawn", drawn, batches
    yield f"{name}, trained", trained.model, batches


def measured(model: PreTrainedModel, batches: list[Tensor]) -> Iterator[tuple[str, PhiComponents]]:
    """Return the components of the model's own states, and of others in their place."""
    yield "real", measured_components(model, batches)
    with observed(model) as seen:
        model(input_ids=batches[0], use_cache=False)
    hidden = seen.hidden
    assert hidden is not None
    rows = row_entropy(seen.calls[0], sampled_rows(hidden.shape[1]))
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(hidden.shape[1], generator=generator)
    yield "shuffled in time", phi_components(hidden[:, order], rows)
    yield "white noise", phi_components(torch.randn(hidden.shape, generator=generator), rows)
    yield "constant", phi_components(hidden[:, :1].expand_as(hidden), rows)


def cell(values: Tensor) -> str:
    """Return the median and interquartile range."""
    low, middle, high = torch.quantile(values, torch.tensor([0.25, 0.5, 0.75])).tolist()
    return f"{middle:.3f} ({high - low:.3f})"


if __name__ == "__main__":
    main()
