"""Faults of a configuration that no single key shows, each with the override that mends it."""

from __future__ import annotations

from collections.abc import Iterable

from infinito import config
from infinito.config import RunConf
from infinito.config.limits import as_typed


def combination_faults(conf: RunConf) -> list[str]:
    """Faults that no single key shows, each with the override that mends it."""
    checks = (
        _metric_faults,
        _head_faults,
        _pretrained_faults,
        _length_faults,
        _objective_faults,
        _chunked_loss_faults,
        _data_faults,
        _pair_faults,
        _dpo_faults,
        _rl_faults,
        _schedule_faults,
        _task_faults,
    )
    return [fault for check in checks for fault in check(conf)]


def _metric_faults(conf: RunConf) -> Iterable[str]:
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


def _head_faults(conf: RunConf) -> Iterable[str]:
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


def _pretrained_faults(conf: RunConf) -> Iterable[str]:
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
                f"`attention.{key}`={as_typed(value)} has no meaning for "
                f"`attention.metric`={conf.attention.metric} in a pretrained model, which keeps "
                "its own: leave it out"
            )


def _length_faults(conf: RunConf) -> Iterable[str]:
    if not isinstance(conf.model, config.DistanceLMConf):
        return
    block, longest = conf.data.block_size, conf.model.max_positions
    if conf.task in {"train", "dpo", "rl_scheduler"} and block > longest:
        yield (
            f"`data.block_size`={block} is longer than `model.max_positions`={longest}. "
            f"Use `model.max_positions={block}` or `data.block_size={longest}`"
        )


def _objective_faults(conf: RunConf) -> Iterable[str]:
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
    if has_memory and conf.trainer.strategy != "auto":
        yield (
            f"`trainer.strategy`={conf.trainer.strategy} trains in several processes, of which "
            "each would write into a memory of its own and all but the first's be lost. "
            "Use `trainer.strategy=auto` or `memory=none`"
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


def _chunked_loss_faults(conf: RunConf) -> Iterable[str]:
    trainer = conf.trainer
    if trainer.chunked_loss and (trainer.compile or trainer.strategy == "fsdp"):
        yield (
            "`trainer.chunked_loss`=true reads the head's weight outside of the model, which "
            "`trainer.compile=true` and `trainer.strategy=fsdp` do not allow. "
            "Use `trainer.chunked_loss=false`"
        )


def _data_faults(conf: RunConf) -> Iterable[str]:
    if isinstance(conf.data, config.SplitTextConf):
        valid, test = conf.data.valid_fraction, conf.data.test_fraction
        if valid + test >= 1:
            yield (
                f"`data.valid_fraction`={valid:g} and `data.test_fraction`={test:g} leave no text "
                "to train on, e.g. `data.valid_fraction=0.1 data.test_fraction=0.1`"
            )
    if isinstance(conf.data, config.TextConf) and conf.data.path is None:
        yield "`data=text` reads your own text: name it, e.g. `data.path=notes/*.txt`"
    if conf.tokenizer.name == "bpe" and conf.tokenizer.vocab_size is None:
        yield "`tokenizer=bpe` needs `tokenizer.vocab_size`, e.g. `tokenizer.vocab_size=2048`"
    if conf.tokenizer.name == "bpe" and (conf.tokenizer.vocab_size or 257) < 257:
        yield (
            f"`tokenizer.vocab_size`={conf.tokenizer.vocab_size} does not hold the 256 bytes and "
            "the end of a document, e.g. `tokenizer.vocab_size=2048`"
        )
    is_own = isinstance(conf.model, config.PretrainedConf) and conf.model.path is None
    if conf.tokenizer.name == "pretrained" and conf.tokenizer.path is None and not is_own:
        yield "`tokenizer=pretrained` needs `tokenizer.path=<Hugging Face folder or id>`"


def _pair_faults(conf: RunConf) -> Iterable[str]:
    reads_pairs = conf.task in {"dpo", "check_data", "score_pairs"}
    if reads_pairs and not isinstance(conf.data, config.PairsConf):
        yield (
            f"`task={conf.task}` reads preference pairs, not `data={conf.data.name}`: "
            "use `data=pairs`"
        )
    if not isinstance(conf.data, config.PairsConf):
        return
    if conf.task in {"train", "evaluate", "analyze"}:
        yield f"`data=pairs` is for `task=dpo`, not `task={conf.task}`: e.g. `data=python_docs`"
    if conf.data.path is None and conf.data.held_out_path is not None:
        yield "`data.held_out_path` is set without `data.path`: name the training pairs too"
    if conf.data.workers:
        yield f"`data.workers`={conf.data.workers}: pairs are at hand already, `data.workers=0`"


def _dpo_faults(conf: RunConf) -> Iterable[str]:
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
        yield from _unread_by_dpo(conf)
        if dpo.reference == "precomputed" and conf.trainer.precision.endswith("-mixed"):
            yield (
                f"`trainer.precision`={conf.trainer.precision} gives the policy other rounding "
                "errors than `dpo.reference=precomputed` has. Use `dpo.reference=copy`"
            )


def _unread_by_dpo(conf: RunConf) -> Iterable[str]:
    trainer = conf.trainer
    yield from _unread(
        conf,
        ("compile=true", trainer.compile, "compile=false"),
        ("chunked_loss=true", trainer.chunked_loss, "chunked_loss=false"),
        (f"stop_bad={trainer.stop_bad}", trainer.stop_bad is not None, "stop_bad=null"),
        ("strategy=fsdp", trainer.strategy == "fsdp", "strategy=auto"),
    )


def _unread_by_schedules(conf: RunConf) -> Iterable[str]:
    """A schedule and its models train on one CPU, in float32."""
    trainer = conf.trainer
    other_device = trainer.accelerator not in {"auto", "cpu"}
    yield from _unread(
        conf,
        (f"accelerator={trainer.accelerator}", other_device, "accelerator=cpu"),
        (f"devices={trainer.devices}", trainer.devices != 1, "devices=1"),
        (f"strategy={trainer.strategy}", trainer.strategy != "auto", "strategy=auto"),
        (f"precision={trainer.precision}", trainer.precision != "32-true", "precision=32-true"),
        ("compile=true", trainer.compile, "compile=false"),
        ("chunked_loss=true", trainer.chunked_loss, "chunked_loss=false"),
        (f"stop_bad={trainer.stop_bad}", trainer.stop_bad is not None, "stop_bad=null"),
    )


def _unread(conf: RunConf, *settings: tuple[str, bool, str]) -> Iterable[str]:
    """A fault for each setting of the trainer, whether it was made, and its mend."""
    for key, is_set, mend in settings:
        if is_set:
            yield f"`trainer.{key}` is not for `task={conf.task}`. Use `trainer.{mend}`"


def _rl_faults(conf: RunConf) -> Iterable[str]:
    if conf.task == "rl_scheduler":
        yield from config.rl_faults(conf.rl, conf.data.batch_size)
        yield from _unread_by_schedules(conf)
        alone = isinstance(conf.model, config.PretrainedConf) or conf.model.memory.name != "none"
        if conf.rl.vectorised and alone:
            yield (
                "`rl.vectorised`=true trains several models in one pass, which a pretrained model "
                "and one with a memory do not allow. Use `rl.vectorised=false`"
            )
        if conf.checkpoint is not None:
            yield (
                f"`checkpoint`={conf.checkpoint} is not read by `task=rl_scheduler`. Name a "
                "language model to start from by `rl.base_checkpoint=<run>`"
            )
    if conf.agent is not None and conf.task != "generate":
        yield f"`agent`={conf.agent} steers `task=generate`, not `task={conf.task}`: leave it out"


def _schedule_faults(conf: RunConf) -> Iterable[str]:
    trainer, optimizer = conf.trainer, conf.optimizer
    if trainer.epochs is None and trainer.max_steps is None:
        yield "training has no end: set `trainer.epochs=10` or `trainer.max_steps=1000`"
    if trainer.max_steps is not None and optimizer.warmup_steps >= trainer.max_steps:
        yield (
            f"`optimizer.warmup_steps`={optimizer.warmup_steps} does not end before "
            f"`trainer.max_steps`={trainer.max_steps}, e.g. "
            f"`optimizer.warmup_steps={trainer.max_steps // 10}`"
        )


def _task_faults(conf: RunConf) -> Iterable[str]:
    needs_model = {"evaluate", "generate", "analyze", "calibrate_phi", "report"}
    if conf.task in needs_model and conf.checkpoint is None:
        yield (
            f"`task={conf.task}` needs `checkpoint=<run folder, .ckpt file or Hugging Face folder>`"
        )
    if conf.task == "score_pairs" and conf.checkpoint is None:
        yield "`task=score_pairs` needs `checkpoint=<run folder or Hugging Face folder>`"
    if conf.resume is not None and conf.task not in {"train", "dpo", "rl_scheduler"}:
        yield f"`resume`={conf.resume} goes on with training: leave out `task={conf.task}`"
    if conf.resume is not None and conf.checkpoint is not None:
        yield (
            "`resume` goes on with a run and `checkpoint` starts a new one from its weights: "
            "give one of them"
        )
    if conf.task == "compare" and len(conf.runs) < 2:
        yield "`task=compare` needs two run folders or more, e.g. `runs=[multirun/a,multirun/b]`"
    if conf.task == "search_report" and not conf.runs:
        yield "`task=search_report` needs the folders of sweeps, e.g. `runs=[multirun/a/sweep_b]`"
    if conf.generation.prompt is not None and conf.generation.prompts_file is not None:
        yield "`generation.prompt` and `generation.prompts_file` are both set: give one of them"
