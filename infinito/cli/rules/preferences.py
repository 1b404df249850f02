"""Combinations of preference tuning that cannot be."""

from __future__ import annotations

from collections.abc import Iterable

from infinito import config
from infinito.config import RunConf


def preference_faults(conf: RunConf) -> Iterable[str]:
    yield from config.dpo_faults(conf.dpo)
    yield from _adapter_faults(conf)
    is_new = conf.checkpoint is None and not isinstance(conf.model, config.PretrainedConf)
    if "gguf" in conf.dpo.export and is_new:
        yield (
            "`dpo.export=gguf` writes Llama, Qwen2 and GPT-2 models, and not a new "
            f"`model`={conf.model.name}: `dpo.export=model`"
        )
    if conf.task == "dpo":
        if conf.trainer.strategy == "fsdp":
            yield "`trainer.strategy`=fsdp is not for `task=dpo`. Use `trainer.strategy=auto`"
        if conf.dpo.reference == "precomputed" and conf.trainer.precision.endswith("-mixed"):
            yield (
                f"`trainer.precision`={conf.trainer.precision} gives the policy other rounding "
                "errors than `dpo.reference=precomputed` has. Use `dpo.reference=copy`, or "
                "`trainer.matmul_precision=medium` in place of it"
            )


def _adapter_faults(conf: RunConf) -> Iterable[str]:
    dpo = conf.dpo
    has_adapters = isinstance(conf.model, config.PretrainedConf) and conf.model.trainable == "lora"
    if dpo.reference == "adapter_off" and not has_adapters:
        yield (
            "`dpo.reference=adapter_off` switches adapters off, and this model has none. "
            "Use `dpo.reference=precomputed`, or `model=pretrained model.trainable=lora`"
        )
    if "adapter" in dpo.export and not has_adapters:
        yield "`dpo.export=adapter` writes adapters, and this model has none: `dpo.export=model`"
    if not (conf.attention.learned_scale and has_adapters):
        return
    # λ is trained beside the adapters: switching them off leaves it, and their files lack it.
    if dpo.reference == "adapter_off":
        yield (
            "`dpo.reference=adapter_off` would keep the λ that `attention.learned_scale=true` "
            "trains in the reference. Use `dpo.reference=precomputed`"
        )
    if "adapter" in dpo.export:
        yield (
            "`dpo.export=adapter` has no place for the λ that `attention.learned_scale=true` "
            "trains. Use `dpo.export=model`"
        )
