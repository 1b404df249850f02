"""`task=train`: trains the language model, or goes on with a training, and reports the results."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from logging import Logger
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from transformers import PreTrainedConfig, PreTrainedModel

from infinito.attention import explain
from infinito.config import OWN, AttentionConf, LanguagePhiConf, RunConf
from infinito.data.assembly import build_data_module, count_text_units
from infinito.data.datamodule import LanguageDataModule
from infinito.data.sources.markov import MarkovSource
from infinito.device import choose_autocast_dtype, choose_device
from infinito.errors import CheckpointError
from infinito.models.assembly import build_language_model
from infinito.models.checkpoint_file import read_checkpoint
from infinito.models.distance_lm.config import DistanceLMConfig
from infinito.models.pretrained.lora import inside_memory
from infinito.models.pretrained.replaced_attention import requests_of
from infinito.models.trained import export, open_trained, start_weights
from infinito.run_folder.records import print_next, print_table, provenance, score_of, write_json
from infinito.training.assembly import (
    Length,
    Training,
    build_language_module,
    build_training,
    plan_length,
)
from infinito.training.callbacks.interruption import Interruption
from infinito.training.callbacks.milestones import Milestones
from infinito.training.dry_run import estimate
from infinito.training.language_model import loss_report
from infinito.training.phi_assembly import build_phi_term
from infinito.training.recording import is_first_process, recorded, use_threads


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
    print_table(console, f"{conf.name}  →  {folder}", headline(conf, data, model, length))
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
        flat(asdict(conf)), {f"final/{conf.score}": score}, step=training.trainer.global_step
    )
    training.trainer.logger.finalize("success")  # type: ignore[union-attr]
    export(open_trained(str(folder)), folder / "model")
    shown = {name: value for name, value in summary.items() if name not in ("run", "sample")}
    print_table(console, "\nresults (validation split, best checkpoint)", shown)
    if training.report.sample:
        console.print("\n[bold]sample[/]")
        console.print(training.report.sample, markup=False, highlight=False)
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


def headline(conf: RunConf, data: LanguageDataModule, model: Any, length: Length) -> dict[str, Any]:
    """What a run is, for the top of its output."""
    train, valid = data.split_meta("train"), data.split_meta("valid")
    counts = f"{train.tokens:,} to train, {valid.tokens:,} to validate"
    return {
        "model": shape_of(model),
        "attention": attention_of(conf.attention, model.config),
        "text": data.source.description,
        "tokens": f"{counts}, {data.vocab_size:,} kinds",
        **objective_of(conf, model),
        "training": (
            f"{length.steps:,} steps of {conf.data.batch_size * conf.trainer.accumulate} × "
            f"{conf.data.block_size} tokens, {length.batches / length.batches_per_epoch:.3g} epochs"
        ),
        "seed": conf.seed,
        **known_floor(data),
    }


def objective_of(conf: RunConf, model: PreTrainedModel) -> dict[str, str]:
    """What is added to the language loss, where something is."""
    if not isinstance(conf.objective, LanguagePhiConf):
        return {}
    scale, offset = model.config.phi_calibration
    low, high = conf.objective.band
    phi = f"{scale:.4g} · raw {offset:+.4g}, band {low:g} to {high:g}"
    return {"objective": f"language + {conf.objective.lambda_phi:g} · Φ, Φ = {phi}"}


def shape_of(model: PreTrainedModel) -> str:
    """How large a model is, and how much of it is trained."""
    config, total = model.config.get_text_config(), model.num_parameters()
    trained = model.num_parameters(only_trainable=True)
    of_them = f", {trained:,} of them trained" if trained < total else ""
    sizes = f"{config.num_hidden_layers} layers of {config.hidden_size}"
    return f"{total:,} parameters{of_them}: {sizes}"


def attention_of(asked: AttentionConf, config: PreTrainedConfig) -> str:
    """Which attention a model has."""
    heads = config.get_text_config().num_attention_heads
    if asked.metric == OWN:
        return f"the model's own, {heads} heads"
    return f"{asked.metric}, {heads} heads, λ {asked.scale:g}{' learned' * asked.learned_scale}"


def attention_choice(conf: RunConf, model: PreTrainedModel) -> str:
    """Which attention backend serves a training step, and why."""
    model = inside_memory(model)
    device = choose_device(conf).type
    double = conf.trainer.precision == "64-true"
    dtype = torch.float64 if double else choose_autocast_dtype(conf) or model.dtype
    sizes = (conf.data.batch_size, conf.data.block_size, device, dtype)
    if isinstance(model.config, DistanceLMConfig):
        return explain(model.config.attention_request(*sizes), conf.attention.backend)
    requests = requests_of(model, *sizes)
    if not requests:
        return f"the model's own attention ({model.config._attn_implementation})"
    return " ".join(explain(request, conf.attention.backend) for request in requests)


def known_floor(data: LanguageDataModule) -> dict[str, float]:
    """The entropy that no model can beat, in nats per token, where the source knows it."""
    if not isinstance(data.source, MarkovSource):
        return {}
    return {"entropy rate": data.source.entropy_rate_nats}


def data_record(data: LanguageDataModule) -> dict[str, Any]:
    """Hashes and sizes of the splits that training reads."""
    return {
        "source": data.source.description,
        "vocab_size": data.vocab_size,
        **{
            split: {"fingerprint": data.fingerprint(split), **asdict(data.split_meta(split))}
            for split in ("train", "valid")
        },
    }


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values by dotted keys, as TensorBoard's hparams wants them."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = (
                value if isinstance(value, bool | int | float | str) else str(value)
            )
    return found
