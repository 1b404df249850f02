"""Combinations of model, attention and objective that cannot be."""

from __future__ import annotations

from collections.abc import Iterable

from infinito import config
from infinito.config import RunConf
from infinito.wording import format_override_value


def metric_faults(conf: RunConf) -> Iterable[str]:
    attention, own = conf.attention, conf.attention.metric == config.OWN
    if attention.metric == "lp" and attention.p is None:
        yield "`attention.metric`=lp needs its exponent, e.g. `attention.p=1.5`"
    if attention.metric != "lp" and not own and attention.p is not None:
        yield (
            f"`attention.p`={attention.p:g} has no meaning for "
            f"`attention.metric`={attention.metric}. Use `attention=lp` or `attention.p=null`"
        )
    if own and not isinstance(conf.model, config.PretrainedConf):
        yield (
            "`attention=own` is the attention of a pretrained model, and "
            f"`model`={conf.model.name} has none: choose one, e.g. `attention=l1`"
        )


def head_faults(conf: RunConf) -> Iterable[str]:
    if not isinstance(conf.model, config.DistanceLMConf):
        return
    dim, heads, kv_heads = conf.model.dim, conf.attention.heads, conf.attention.kv_heads
    if dim % heads:
        divisors = [count for count in range(1, dim + 1) if dim % count == 0 and count <= 64]
        nearest = min(divisors, key=lambda count: abs(count - heads))
        yield (
            f"`attention.heads`={heads} does not divide `model.dim`={dim}. "
            f"Choose {', '.join(map(str, divisors))}, e.g. `attention.heads={nearest}`"
        )
    elif conf.model.position == "rotary" and (dim // heads) % 2:
        yield (
            f"`model.position`=rotary turns pairs of features, but a head has {dim // heads} "
            f"(`model.dim`={dim} / `attention.heads`={heads}). "
            "Make it even, or use `model.position=learned`"
        )
    if kv_heads is not None and heads % kv_heads:
        yield (
            f"`attention.kv_heads`={kv_heads} does not divide `attention.heads`={heads}, "
            f"e.g. `attention.kv_heads={heads}`"
        )


def pretrained_faults(conf: RunConf) -> Iterable[str]:
    if not isinstance(conf.model, config.PretrainedConf):
        return
    if conf.model.path is None:
        yield "`model=pretrained` needs `model.path=<Hugging Face folder or id>`"
    plain = config.AttentionConf(metric=conf.attention.metric)
    kept = ["heads", "kv_heads", "dropout"]
    if conf.attention.metric == config.OWN:
        kept += ["scale", "scale_per", "learned_scale", "p", "backend"]
    for key in kept:
        if (value := getattr(conf.attention, key)) != getattr(plain, key):
            yield (
                f"`attention.{key}`={format_override_value(value)} has no meaning for "
                f"`attention.metric`={conf.attention.metric} in a pretrained model, which keeps "
                "its own: leave it out"
            )


def length_faults(conf: RunConf) -> Iterable[str]:
    if not isinstance(conf.model, config.DistanceLMConf):
        return
    block, longest = conf.data.block_size, conf.model.max_positions
    if conf.task in {"train", "dpo", "rl_scheduler"} and block > longest:
        yield (
            f"`data.block_size`={block} is longer than `model.max_positions`={longest}. "
            f"Use `model.max_positions={block}` or `data.block_size={longest}`"
        )


def objective_faults(conf: RunConf) -> Iterable[str]:
    memory, block = conf.model.memory, conf.data.block_size
    has_memory = memory.name != "none"
    if has_memory:
        yield from config.memory_faults(memory)
    if has_memory and conf.task in {"train", "trial"} and block <= memory.segment:
        yield (
            f"`data.block_size`={block} holds no more than one segment of `model.memory.segment`="
            f"{memory.segment} tokens, so no token would read an earlier one. "
            f"Use `data.block_size={4 * memory.segment}`"
        )
    if has_memory and (conf.trainer.strategy != "auto" or conf.trainer.processes > 1):
        yield (
            f"`trainer.strategy`={conf.trainer.strategy} with {conf.trainer.processes} processes: "
            "each would write into a memory of its own, and all but the first's be lost. "
            "Use `trainer=default` or `memory=none`"
        )
    yield from config.objective_faults(conf.objective, memory)
    watches = has_memory or isinstance(conf.objective, config.LanguagePhiConf)
    if watches and conf.trainer.compile:
        yield (
            "`trainer.compile`=true hides the attention that `memory=integration` and "
            "`objective=language_phi` watch. Use `trainer.compile=false`"
        )
    if isinstance(conf.objective, config.LanguagePhiConf) and block < 8:
        yield (
            f"`data.block_size`={block} is shorter than Φ needs: "
            "use `data.block_size=8` or more, or `objective=language`"
        )


def chunked_loss_faults(conf: RunConf) -> Iterable[str]:
    trainer = conf.trainer
    if trainer.chunked_loss and (trainer.compile or trainer.strategy == "fsdp"):
        yield (
            "`trainer.chunked_loss`=true reads the head's weight outside of the model, which "
            "`trainer.compile=true` and `trainer.strategy=fsdp` do not allow. "
            "Use `trainer.chunked_loss=false`"
        )
