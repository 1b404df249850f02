"""Combinations of preference tuning that cannot be."""

from __future__ import annotations

from collections.abc import Iterable

from infinito import config
from infinito.config import RunConf


def dpo_faults(conf: RunConf) -> Iterable[str]:
    dpo = conf.dpo
    if dpo.loss_weights is not None and len(dpo.loss_weights) != len(dpo.loss):
        yield (
            f"`dpo.loss_weights` has {len(dpo.loss_weights)} numbers for {len(dpo.loss)} losses: "
            "give one for each, or `dpo.loss_weights=null`"
        )
    if not dpo.loss:
        yield "`dpo.loss` is empty: name one at least, e.g. `dpo.loss=sigmoid`"
    if twice := sorted({name for name in dpo.loss if dpo.loss.count(name) > 1}):
        yield (
            f"`dpo.loss` has {', '.join(twice)} twice: name each loss once, and weigh it with "
            "`dpo.loss_weights`"
        )
    if "exo_pair" in dpo.loss and not dpo.label_smoothing:
        yield "`dpo.loss=exo_pair` needs smoothing, e.g. `dpo.label_smoothing=0.001`"
    if dpo.label_smoothing and dpo.loss and not set(config.SMOOTHED_LOSSES) & set(dpo.loss):
        yield (
            f"`dpo.label_smoothing`={dpo.label_smoothing:g} means nothing to `dpo.loss`="
            f"{'+'.join(dpo.loss)}; it is of {', '.join(config.SMOOTHED_LOSSES)}. "
            "Use `dpo.loss=cdpo` or `dpo.label_smoothing=0`"
        )
    has_adapters = isinstance(conf.model, config.PretrainedConf) and conf.model.trainable == "lora"
    if dpo.reference == "adapter_off" and not has_adapters:
        yield (
            "`dpo.reference=adapter_off` switches adapters off, and this model has none. "
            "Use `dpo.reference=precomputed`, or `model=pretrained model.trainable=lora`"
        )
    if "adapter" in dpo.export and not has_adapters:
        yield "`dpo.export` asks for an adapter, and this model has none: `dpo.export=model`"
    if conf.attention.learned_scale and has_adapters:  # λ trains beside them and is in neither
        if dpo.reference == "adapter_off":
            yield (
                "`dpo.reference=adapter_off` leaves a λ that `attention.learned_scale=true` "
                "trains as it is then. Use `dpo.reference=precomputed`"
            )
        if "adapter" in dpo.export:
            yield (
                "an adapter alone has no place for the λ of `attention.learned_scale=true`. "
                "Use `dpo.export=model`"
            )
    is_new = conf.checkpoint is None and not isinstance(conf.model, config.PretrainedConf)
    if "gguf" in dpo.export and is_new:
        yield (
            "`dpo.export` asks for GGUF, which is written for Llama, Qwen2 and GPT-2, not for a "
            f"new `model`={conf.model.name}: `dpo.export=model`"
        )
    if conf.task == "dpo":
        if conf.trainer.strategy == "fsdp":
            yield "`trainer.strategy`=fsdp is not for `task=dpo`. Use `trainer.strategy=auto`"
        if dpo.reference == "precomputed" and conf.trainer.precision.endswith("-mixed"):
            yield (
                f"`trainer.precision`={conf.trainer.precision} gives the policy other rounding "
                "errors than `dpo.reference=precomputed` has. Use `dpo.reference=copy`"
            )
