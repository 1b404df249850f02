"""The schema of the `dpo` group: preference tuning."""

from __future__ import annotations

from dataclasses import dataclass

from infinito.config.limits import limited

LOSSES = (
    "sigmoid",
    "hinge",
    "ipo",
    "exo_pair",
    "nca_pair",
    "robust",
    "bco_pair",
    "sppo_hard",
    "aot",
    "aot_unpaired",
    "apo_zero",
    "apo_down",
    "discopop",
    "sft",
    "sigmoid_norm",
    "cdpo",
    "simpo",
    "orpo",
)
"""Names of the losses, which `infinito.preferences.objective.losses` computes."""

SMOOTHED_LOSSES = ("cdpo", "robust", "exo_pair", "aot", "aot_unpaired")
"""Losses that read `label_smoothing`."""


@dataclass
class DpoConf:
    """What `task=dpo` minimizes, against which reference, and which files it writes."""

    loss: list[str] = limited(["sigmoid"], choices=LOSSES)
    """One loss, or several, which are summed."""
    loss_weights: list[float] | None = limited(None, above=0)
    """Weight of each loss; null for 1 each."""
    beta: float = limited(0.1, above=0)
    """Strength of the pull to the reference."""
    label_smoothing: float = limited(0.0, at_least=0, below=0.5)
    """Probability that a label is flipped, for cdpo, robust, exo_pair, aot and aot_unpaired."""
    nll_weight: float = limited(0.0, at_least=0)
    """Weight of the chosen answer's cross-entropy per token, added to the losses."""
    average_length: bool = False
    """Divide log-probabilities by the tokens of their answer before any loss."""
    discopop_tau: float = limited(0.05, above=0)
    """τ of `loss=discopop`."""
    simpo_gamma: float = 0.5
    """γ of `loss=simpo`: the margin it aims at, in units of the reward."""
    reference: str = limited("precomputed", choices=("precomputed", "copy", "adapter_off", "free"))
    """The reference policy: the one before training, with log-probabilities `precomputed` or from a
    frozen `copy`; the base model under the adapters (`adapter_off`); or none (`free`)."""
    reference_checkpoint: str | None = None
    """Reference of `task=score_pairs`, as `checkpoint` names a model; null for none."""
    dropout: bool = False
    """Train with the model's dropout; without it policy and reference start exactly equal."""
    layout: str = limited("auto", choices=("auto", "shared", "concat", "full"))
    """How pairs become model input; `auto` takes the fastest layout that suits the model."""
    bucket: bool = True
    """Batch pairs of similar length."""
    warmup_steps: int = limited(300, at_least=0)
    """Steps of language modelling on all answers, by which a new model learns to write."""
    warmup_lr: float = limited(3e-3, above=0)
    """Learning rate of the warm-up."""
    answers: int | None = limited(8, at_least=0)
    """Number of held-out prompts answered before and after training; null for all."""
    export: list[str] = limited(["model"], choices=("model", "adapter", "gguf"))
    """Files to write: a Hugging Face folder (adapters merged), adapters alone, a GGUF file."""


def dpo_faults(dpo: DpoConf) -> list[str]:
    """Return what does not fit together in the group itself, a sentence each."""
    faults = []
    if not dpo.loss:
        faults.append("`dpo.loss` is empty: name at least one, e.g. `dpo.loss=sigmoid`")
    if twice := sorted({name for name in dpo.loss if dpo.loss.count(name) > 1}):
        faults.append(
            f"`dpo.loss` has {', '.join(twice)} twice: name each loss once, and weigh it with "
            "`dpo.loss_weights`"
        )
    if dpo.loss_weights is not None and len(dpo.loss_weights) != len(dpo.loss):
        faults.append(
            f"`dpo.loss_weights` has {len(dpo.loss_weights)} numbers for {len(dpo.loss)} losses: "
            "give one for each, or `dpo.loss_weights=null`"
        )
    if "exo_pair" in dpo.loss and not dpo.label_smoothing:
        faults.append(
            "`dpo.loss=exo_pair` is infinite without smoothing. Use e.g. "
            "`dpo.label_smoothing=0.001`, as its paper does"
        )
    if dpo.label_smoothing and dpo.loss and not set(SMOOTHED_LOSSES) & set(dpo.loss):
        faults.append(
            f"`dpo.label_smoothing`={dpo.label_smoothing:g} changes nothing: `dpo.loss`="
            f"{'+'.join(dpo.loss)} does not read it, only {', '.join(SMOOTHED_LOSSES)} do. "
            "Use `dpo.loss=cdpo` or `dpo.label_smoothing=0`"
        )
    return faults


TRL_NAMES = {
    "tokenizer": "`tokenizer=pretrained tokenizer.path=…`",
    "processing_class": "`tokenizer=pretrained tokenizer.path=…`",
    "max_prompt_length": "`data.block_size` with `data.truncate=prompt_start`",
    "max_completion_length": "`data.block_size` with `data.truncate=answer_end`",
    "max_length": "`data.block_size`",
    "truncation_mode": "`data.truncate`",
    "evaluation_strategy": "`trainer.validate_every`",
    "eval_strategy": "`trainer.validate_every`",
    "eval_steps": "`trainer.validate_every`",
    "no_cuda": "`trainer.accelerator=cpu`",
    "use_cpu": "`trainer.accelerator=cpu`",
    "fp16": "`trainer.precision=16-mixed`",
    "bf16": "`trainer.precision=bf16-mixed`",
    "learning_rate": "`optimizer.lr`",
    "num_train_epochs": "`trainer.epochs`",
    "per_device_train_batch_size": "`data.batch_size`",
    "per_device_eval_batch_size": "`data.eval_batch_size`",
    "gradient_accumulation_steps": "`trainer.accumulate`",
    "max_grad_norm": "`optimizer.clip_norm`",
    "logging_steps": "`trainer.log_every`",
    "save_steps": "`trainer.checkpoint_every`",
    "output_dir": "`runs_dir`",
    "loss_type": "`dpo.loss`",
    "rpo_alpha": "`dpo.nll_weight`",
    "ref_model": "`dpo.reference`",
    "reference_free": "`dpo.reference=free`",
    "precompute_ref_log_probs": "`dpo.reference=precomputed`",
    "model_name_or_path": "`model=pretrained model.path=…`",
    "dataset_num_proc": "nothing here: one process tokenizes the pairs",
}
"""Arguments of TRL's DPO, past and present, and the key of infinito that does the same."""
