"""What a task needs, and what it does not go with."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from infinito.config import ConversationsConf, MuonConf, RunConf
from infinito.errors import MissingExtraError
from infinito.extras import EXTRAS, require_extra

STAGES = ("pretrain", "sft", "dpo")
"""The stages of `task=pipeline`."""


def schedule_faults(conf: RunConf) -> Iterable[str]:
    trainer, optimizer = conf.trainer, conf.optimizer
    lengths = {"trainer.epochs": trainer.epochs, "trainer.max_steps": trainer.max_steps}
    given = [f"`{key}`={value}" for key, value in lengths.items() if value is not None]
    counts = conf.task in {"trial", "reproducibility", "dpo"}  # these do not read the minutes
    counts = counts or isinstance(conf.data, ConversationsConf)
    if not given and (trainer.minutes is None or counts):
        yield (
            "training has no end: set `trainer.epochs=10`, `trainer.max_steps=1000` or, for "
            "`task=train`, `trainer.minutes=5`"
        )
    if given and trainer.minutes is not None:
        others = " ".join(f"{key}=null" for key, value in lengths.items() if value is not None)
        yield (
            f"`trainer.minutes`={trainer.minutes:g} and {' and '.join(given)} each say how long to "
            f"train: use `trainer.minutes=null` or `{others}`"
        )
    if trainer.max_steps is not None and optimizer.warmup_steps >= trainer.max_steps:
        yield (
            f"`optimizer.warmup_steps`={optimizer.warmup_steps} does not end before "
            f"`trainer.max_steps`={trainer.max_steps}, e.g. "
            f"`optimizer.warmup_steps={trainer.max_steps // 10}`"
        )


def pause_faults(conf: RunConf) -> Iterable[str]:
    trainer = conf.trainer
    if trainer.pause_at is not None and trainer.paused_in is None:
        yield (
            f"`trainer.pause_at`={trainer.pause_at:g} needs a folder for the trial's state, e.g. "
            "`trainer.paused_in=paused/0`"
        )
    if trainer.paused_in is None:
        return
    judges = [
        f"`{key}={value}`"
        for key, value, judged in (
            ("trainer.patience", trainer.patience, trainer.patience is not None),
            ("trainer.stop_bad", trainer.stop_bad, trainer.stop_bad is not None),
            ("optimizer.schedule", "plateau", conf.optimizer.schedule == "plateau"),
        )
        if judged
    ]
    if judges:
        yield (
            f"a trial that pauses (`trainer.paused_in`) is validated there, which "
            f"{' and '.join(judges)} would judge. Leave it out, or train without a pause"
        )


def process_faults(conf: RunConf) -> Iterable[str]:
    trainer = conf.trainer
    if trainer.strategy == "fsdp" and getattr(conf.model, "trainable", "all") == "lora":
        yield (
            "`trainer.strategy`=fsdp spreads whole models, and `model.trainable=lora` saves its "
            "adapters alone. Use `trainer=ddp`"
        )
    if conf.task == "trial" and trainer.processes > 1:
        yield (
            f"`task=trial` takes one process, and `trainer.devices`={trainer.devices}, "
            f"`trainer.nodes`={trainer.nodes} ask for {trainer.processes}. Use `trainer=default`, "
            "or train it by `task=train`"
        )


def lean_optimizer_faults(conf: RunConf) -> Iterable[str]:
    optimizer, trainer = conf.optimizer, conf.trainer
    lean = {"in_backward=true": optimizer.in_backward, "moments=bfloat16": optimizer.moments}
    asked = [f"`optimizer.{key}`" for key, value in lean.items() if value not in (False, "float32")]
    if not asked or conf.task == "rl_scheduler":
        return
    if isinstance(optimizer, MuonConf):
        yield f"{asked[0]} is AdamW's alone, and this is `optimizer=muon`. Use `optimizer=adamw`"
    if trainer.processes > 1 or trainer.strategy != "auto":
        yield (
            f"{asked[0]} updates weights in one process, and `trainer.strategy`={trainer.strategy} "
            f"has {trainer.processes} with gradients to average. Use `trainer=default`"
        )
    if not optimizer.in_backward:
        return
    if optimizer.clip_norm is not None:
        yield (
            f"`optimizer.clip_norm`={optimizer.clip_norm:g} needs the norm of all gradients before "
            "the first update, and `optimizer.in_backward=true` frees each gradient after its own. "
            "Use `optimizer.clip_norm=null`, or `optimizer.in_backward=false`"
        )
    if trainer.accumulate > 1:
        pairs = conf.data.batch_size * trainer.accumulate
        yield (
            f"`trainer.accumulate`={trainer.accumulate} keeps the gradients of a batch for the "
            "next, and `optimizer.in_backward=true` frees them. The same step in one batch: "
            f"`trainer.accumulate=1 data.batch_size={pairs}`"
        )
    if trainer.precision == "16-mixed":
        yield (
            "`trainer.precision`=16-mixed checks and rescales all gradients before the step, and "
            "`optimizer.in_backward=true` frees them. Use `trainer.precision=bf16-mixed`"
        )


def optimizer_faults(conf: RunConf) -> Iterable[str]:
    if not isinstance(conf.optimizer, MuonConf):
        return
    if conf.trainer.strategy == "fsdp":
        yield (
            "`optimizer`=muon works on whole matrices, and `trainer.strategy`=fsdp splits them "
            "over devices. Use `optimizer=adamw` or `trainer=ddp`"
        )
    if conf.task == "rl_scheduler":
        yield (
            f"`optimizer`=muon is not for `task={conf.task}`, which trains by "
            f"`rl.inner_optimizer`={conf.rl.inner_optimizer}. Use `optimizer=adamw`"
        )


def logger_faults(conf: RunConf) -> Iterable[str]:
    if conf.logger.name not in EXTRAS:
        return
    try:
        require_extra(conf.logger.name)
    except MissingExtraError as error:
        yield f"`logger`={conf.logger.name}: {error}, or use `logger=tensorboard`"


def pipeline_faults(conf: RunConf) -> Iterable[str]:
    for each in conf.stage_overrides:
        stage, colon, override = each.partition(":")
        if stage not in STAGES or not colon or "=" not in override:
            yield (
                f"`stage_overrides` has {each!r}: expected an override after the name of a stage "
                f"({', '.join(STAGES)}), e.g. `'stage_overrides=[\"sft:trainer.max_steps=5000\"]'`"
            )


def task_faults(conf: RunConf) -> Iterable[str]:
    needs_model = {"evaluate", "generate", "chat", "serve", "analyze", "calibrate_phi", "report"}
    needs_model |= {"lm_eval"}
    if conf.task == "lm_eval" and not conf.lm_eval.tasks:
        yield "`task=lm_eval` needs `lm_eval.tasks`, e.g. `lm_eval.tasks=[arc_easy,hellaswag]`"
    if conf.task in needs_model and conf.checkpoint is None:
        yield (
            f"`task={conf.task}` needs `checkpoint=<run folder, .ckpt file or Hugging Face folder>`"
        )
    if conf.task == "score_pairs" and conf.checkpoint is None:
        yield "`task=score_pairs` needs `checkpoint=<run folder or Hugging Face folder>`"
    if conf.resume is not None and conf.task not in {"train", "dpo", "rl_scheduler", "pipeline"}:
        yield f"`resume`={conf.resume} goes on with training: leave out `task={conf.task}`"
    if conf.task == "compare" and not conf.runs:
        yield (
            "`task=compare` needs run folders or the folder of a sweep, e.g. "
            "`runs=[multirun/a,multirun/b]`"
        )
    if conf.task in {"search_report", "export_sweep"} and not conf.runs:
        yield f"`task={conf.task}` needs the folders of sweeps, e.g. `runs=[multirun/a/sweep_b]`"
    settings = conf.generation
    no_prompt = settings.prompt is None and settings.prompts_file is None
    if conf.task == "generate" and no_prompt and (sys.stdin is None or sys.stdin.isatty()):
        yield (
            'there is no prompt: give `generation.prompt="The "`, '
            "`generation.prompts_file=<file>`, or lines on standard input"
        )
    if conf.generation.prompt is not None and conf.generation.prompts_file is not None:
        yield "`generation.prompt` and `generation.prompts_file` are both set: give one of them"
