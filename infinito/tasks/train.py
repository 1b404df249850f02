"""`task=train`: trains the language model, or goes on with a training, and reports the results."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from logging import Logger
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text
from transformers import PreTrainedModel

from infinito.config import RunConf
from infinito.data.assembly import build_data_module
from infinito.data.datamodule import LanguageDataModule
from infinito.data.record import data_record
from infinito.errors import CheckpointError
from infinito.models.assembly import build_language_model
from infinito.models.checkpoint_file import read_checkpoint
from infinito.models.trained import export, open_trained, start_weights
from infinito.objectives.units import loss_report
from infinito.run_folder.records import flatten, provenance, score_of, write_json
from infinito.run_folder.tables import print_next, print_table
from infinito.training.assembly import (
    Training,
    build_language_module,
    build_training,
    count_text_units,
    plan_length,
)
from infinito.training.callbacks.interruption import Interruption
from infinito.training.callbacks.milestones import Milestones
from infinito.training.dry_run import estimate
from infinito.training.headline import attention_choice, describe_training, known_floor
from infinito.training.optimizer.assembly import describe_optimizer
from infinito.training.phi_assembly import build_phi_term
from infinito.training.recording import is_first_process, recorded, use_threads

UNLISTED = ("run", "prompt", "sample")
"""Entries of summary.json that the table of results leaves out."""


def run(conf: RunConf, folder: Path, overrides: Sequence[str]) -> float | None:
    """Trains in `folder` and returns the score.

    Raises:
        InfinitoError: anything that the user can mend; what was saved before stays.
    """
    console = Console(quiet=not is_first_process())
    use_threads(conf)
    if conf.dry_run:
        estimate(conf, console)
        return None
    with recorded(conf, folder, overrides) as log:
        return _train(conf, folder, console, log)


def _train(conf: RunConf, folder: Path, console: Console, log: Logger) -> float | None:
    last = read_checkpoint(folder / "checkpoints/last.ckpt") if conf.resume is not None else None
    with console.status("preparing text"):
        data = build_data_module(conf)
        tokenizer = data.tokenizer
        length = plan_length(conf, len(data.blocks("train")))
        units = count_text_units(conf, data, "valid")
    model = build_language_model(conf, data.vocab_size, tokenizer.eos_token_id)
    if conf.checkpoint is not None:
        start_from(model, tokenizer, conf.checkpoint)
    if last is not None:
        take_calibration(model, last)
    phi = build_phi_term(conf, model, data)
    if conf.trainer.compile:
        model.compile()
    task = build_language_module(conf, model, tokenizer, length, units, phi)
    log.info(attention_choice(conf, model))
    log.info(describe_optimizer(model, conf.optimizer))
    print_table(console, f"{conf.name}  →  {folder}", describe_training(conf, data, model, length))
    if conf.resume is None and is_first_process():
        write_json(folder / "provenance.json", provenance(data_record(data)))
    interruption = Interruption()
    done = (
        last["loops"]["fit_loop"]["epoch_loop.batch_progress"]["current"]["completed"]
        if last
        else 0
    )
    training = build_training(
        conf,
        folder,
        length,
        tokenizer,
        console,
        interruption,
        last["global_step"] if last else None,
    )
    data.total_batches, data.start_batch = length.batches, done
    with interruption.listening():
        training.trainer.fit(
            task,
            datamodule=data,
            ckpt_path=folder / "checkpoints/last.ckpt" if last else None,
            weights_only=True,
        )
    if not is_first_process():
        return None
    return _finish(conf, folder, console, data, training)


def _finish(
    conf: RunConf,
    folder: Path,
    console: Console,
    data: LanguageDataModule,
    training: Training,
) -> float:
    """Writes summary, hyper-parameters and the Hugging Face folder; prints the results."""
    summary = summarize(conf, folder, data, training)
    write_json(folder / "summary.json", summary)
    score = score_of(summary, conf.score)
    training.trainer.logger.log_hyperparams(  # type: ignore[union-attr]
        flatten(asdict(conf)), {f"final/{conf.score}": score}, step=training.trainer.global_step
    )
    training.trainer.logger.finalize("success")  # type: ignore[union-attr]
    export(open_trained(str(folder)), folder / "model")
    shown = {name: value for name, value in summary.items() if name not in UNLISTED}
    print_table(console, "\nresults (validation split, best checkpoint)", shown)
    if training.report.sample:
        console.print(
            "\n[bold]sample[/]: a validation document's beginning, and how the model goes on"
        )
        console.print(Text(str(training.report.prompt), "dim") + Text(training.report.sample))
    name = "python -m infinito.run"
    print_next(
        console,
        [
            (f'{name} task=generate checkpoint={folder} generation.prompt="The "', "write text"),
            (
                f"{name} task=evaluate checkpoint={folder} split=test",
                "the split that chose nothing",
            ),
            (f"{name} task=analyze checkpoint={folder}", "attention: entropy and heat maps"),
            (f"tensorboard --logdir {conf.runs_dir}", "curves, samples, heat maps"),
        ],
    )
    return score


def summarize(
    conf: RunConf,
    folder: Path,
    data: LanguageDataModule,
    training: Training,
) -> dict[str, Any]:
    """The results of a run: those of its best checkpoint, as they were when it was saved."""
    best, last = (read_checkpoint(folder / f"checkpoints/{name}.ckpt") for name in ("best", "last"))
    best_loss = best["callbacks"][Milestones.KEY]["best_score"]
    return {
        "run": str(folder),
        **loss_report(best_loss, count_text_units(conf, data, "valid"), "val"),
        **known_floor(data),
        **phi_report(best, last),
        "best_step": best["global_step"],
        "steps": last["global_step"],
        "parameters": sum(each.numel() for each in training.trainer.lightning_module.parameters()),
        "tokens_per_s": training.log.mean_tokens_per_s,
        "elapsed_s": training.log.elapsed_s,
        "stopped_early": training.trainer.should_stop,
        "prompt": training.report.prompt,
        "sample": training.report.sample,
    }


def phi_report(best: dict[str, Any], last: dict[str, Any]) -> dict[str, Any]:
    """Φ of the best checkpoint on the validation split, and of the steps of the whole training."""
    if "phi" not in last:
        return {}
    return {
        "val/phi": best["phi"]["validation"]["val/phi"],
        "val/phi_share_in_band": best["phi"]["validation"]["val/phi_share_in_band"],
        "train/phi_share_in_band": last["phi"]["steps_in_band"] / max(1, last["phi"]["steps"]),
        "phi_calibration": last["phi"]["calibration"],
    }


def start_from(model: Any, tokenizer: Any, checkpoint: str) -> None:
    """Gives a new run the weights of a trained model with the same tokenizer.

    Raises:
        CheckpointError: sizes or tokenizers differ.
    """
    trained = open_trained(checkpoint)
    if trained.tokenizer.get_vocab() != tokenizer.get_vocab():
        raise CheckpointError(
            f"`checkpoint`={checkpoint} was trained with another tokenizer "
            f"({len(trained.tokenizer)} tokens) than this run has ({len(tokenizer)}). "
            f"Use `tokenizer=pretrained tokenizer.path={Path(checkpoint) / 'model'}`."
        )
    start_weights(model, trained)


def take_calibration(model: PreTrainedModel, checkpoint: dict[str, Any]) -> None:
    """Gives a resumed model the calibration of Φ that its run began with."""
    config = json.loads(checkpoint["infinito"]["model_config"])
    if calibration := config.get("phi_calibration"):
        model.config.phi_calibration = calibration
