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
"""Names of the losses (`infinito.preferences.objective.losses`)."""

SMOOTHED_LOSSES = ("cdpo", "robust", "exo_pair", "aot", "aot_unpaired")
"""Those that read `label_smoothing`."""


@dataclass
class DpoConf:
    """What `task=dpo` minimises, against which reference, and what it leaves behind."""

    loss: list[str] = limited(["sigmoid"], choices=LOSSES)
    """One loss, or several that are added."""
    loss_weights: list[float] | None = limited(None, above=0)
    """Weight of each loss; null for 1 each."""
    beta: float = limited(0.1, above=0)
    """Strength of the pull to the reference."""
    label_smoothing: float = limited(0.0, at_least=0, below=0.5)
    """Probability that a label is flipped; of cdpo, robust, exo_pair, aot and aot_unpaired."""
    nll_weight: float = limited(0.0, at_least=0)
    """Weight of the chosen answer's cross-entropy per token, added to the losses."""
    average_length: bool = False
    """Divide log-probabilities by the tokens of their answer before any loss."""
    discopop_tau: float = limited(0.05, above=0)
    """τ of `loss=discopop`."""
    simpo_gamma: float = 0.5
    """γ of `loss=simpo`: the margin it asks for."""
    reference: str = limited("precomputed", choices=("precomputed", "copy", "adapter_off", "free"))
    """What the policy says before training: computed once, or by a frozen copy; `adapter_off` asks
    its base, without adapters of a former training; `free` is none."""
    reference_checkpoint: str | None = None
    """Reference of `task=score_pairs`, as `checkpoint` names a model; null for none."""
    dropout: bool = False
    """Train with the model's dropout; without, policy and reference agree exactly at the start."""
    layout: str = limited("auto", choices=("auto", "shared", "concat", "full"))
    """How a pair becomes model input; `auto` takes the fastest that suits the model."""
    bucket: bool = True
    """Batch pairs of like length."""
    warmup_steps: int = limited(300, at_least=0)
    """Steps on the text of the pairs, both answers alike, by which a new model learns to write."""
    warmup_lr: float = limited(3e-3, above=0)
    """Learning rate of that."""
    answers: int | None = limited(8, at_least=0)
    """Held-out prompts that are answered before and after, the first ones; null for all."""
    export: list[str] = limited(["model"], choices=("model", "adapter", "gguf"))
    """What is written: a Hugging Face folder (adapters merged), adapters alone, a GGUF file."""


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
    "dataset_num_proc": "nothing: pairs are tokenised in one process, in a moment",
}
"""Arguments of TRL's DPO, past and present, and the key that does the same here."""
