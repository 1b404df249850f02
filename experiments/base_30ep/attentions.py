"""The main job with dot and with l1, over paired seeds, each at three rates.

    python experiments/base_30ep/attentions.py [--seeds 0 1 2] [--rates]

Resumable: a run whose folder holds study.json is not repeated. Whatever is finished goes into
attentions.csv and attentions.md beside this file; `--report` does only that. `--rates` then trains
at half and twice the shipped rates on a seed that the comparison does not use.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from paired_runs import finished, run_once, table, write_csv  # noqa: E402

from infinito import run as program  # noqa: E402
from infinito.cli.composition import check  # noqa: E402
from infinito.paths import conf_dir  # noqa: E402

ATTENTIONS = ("dot", "l1")
CONTROL = "l1"
RATE, MATRIX_RATE = 3e-3, 0.02
"""Those of the experiment."""
FACTORS = (0.5, 1.0, 2.0)
RATE_SEED = 100
METRICS = {"bits_per_byte": 4, "test_bits_per_byte": 4}


def main() -> None:
    """Run what is missing, a seed of both attentions after the other, and report after each."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--rates", action="store_true")
    parser.add_argument("--runs", type=Path, default=Path("multirun/main_job_attentions"))
    parser.add_argument("--report", action="store_true")
    arguments = parser.parse_args()
    wanted = [(seed, attention, 1.0) for seed in arguments.seeds for attention in ATTENTIONS]
    if arguments.rates:
        wanted += [(RATE_SEED, each, factor) for factor in FACTORS for each in ATTENTIONS]
    for seed, attention, factor in () if arguments.report else wanted:
        train(arguments.runs, seed, attention, factor)
        report(arguments.runs)
    report(arguments.runs)


def train(runs: Path, seed: int, attention: str, factor: float) -> None:
    """Train once, and measure the model that its run kept on the test split too."""
    folder = runs / f"{attention}_x{factor:g}_seed{seed}"
    overrides = ["+experiment=base_30ep", f"attention={attention}", f"seed={seed}"]
    overrides += [f"optimizer.lr={RATE * factor}", f"optimizer.matrix_lr={MATRIX_RATE * factor}"]
    arm = attention if factor == 1.0 else f"{attention}, {factor:g} × the rates"
    run_once(folder, overrides, {"arm": arm, "seed": seed})
    result = json.loads((folder / "study.json").read_text())
    if "test_bits_per_byte" not in result:
        result["test_bits_per_byte"] = measure_test(folder)
        (folder / "study.json").write_text(json.dumps(result, indent=1) + "\n")


def measure_test(run: Path) -> float:
    """Return the bits per byte of a run's kept model on the test documents."""
    folder = run / "test"
    folder.mkdir(exist_ok=True)
    words = ["task=evaluate", f"checkpoint={run.resolve()}", "split=test", "trainer.threads=1"]
    program.execute(check(words, conf_dir()), folder)
    found: float = json.loads((folder / "evaluation.json").read_text())["test/bits_per_byte"]
    return found


def report(runs: Path) -> None:
    """Write results and tables of all finished runs."""
    rows = [row for row in finished(runs) if "test_bits_per_byte" in row]
    if not rows:
        return
    write_csv(HERE / "attentions.csv", rows)
    compared = [row for row in rows if row["seed"] != RATE_SEED]
    text = table(compared, ATTENTIONS, CONTROL, METRICS)
    tried = [row for row in rows if row["seed"] == RATE_SEED]
    (HERE / "attentions.md").write_text(text + ("\n" + rates(tried) if tried else ""))


def rates(rows: Sequence[dict[str, Any]]) -> str:
    """Return a Markdown table of the validation losses at other rates."""
    lines = ["| arm | validation, bits/byte |", "|---|---|"]
    lines += [f"| {row['arm']} | {row['bits_per_byte']:.4f} |" for row in rows]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
