"""Combinations of data and tokenizer that cannot be."""

from __future__ import annotations

from collections.abc import Iterable

from infinito import config
from infinito.config import RunConf


def data_faults(conf: RunConf) -> Iterable[str]:
    if isinstance(conf.data, config.SplitTextConf):
        valid, test = conf.data.valid_fraction, conf.data.test_fraction
        if valid + test >= 1:
            yield (
                f"`data.valid_fraction`={valid:g} and `data.test_fraction`={test:g} leave no text "
                "to train on, e.g. `data.valid_fraction=0.1 data.test_fraction=0.1`"
            )
    if isinstance(conf.data, config.TextConf) and conf.data.path is None:
        yield "`data=text` reads your own text: name it, e.g. `data.path=notes/*.txt`"
    if isinstance(conf.data, config.HubConf) and conf.data.path is None:
        yield "`data=hub` reads a data set: name it, e.g. `data.path=roneneldan/TinyStories`"
    if isinstance(conf.data, config.MixtureConf):
        yield from mixture_faults(conf.data)
    if isinstance(conf.data, config.PythonDocsConf) and conf.data.packages is not None:
        if conf.data.parts not in {"packages", "all"}:
            yield (
                f"`data.packages` is not read by `data.parts`={conf.data.parts}: "
                "use `data.parts=packages` or `all`"
            )
        if not conf.data.packages:
            yield "`data.packages` is empty: name packages, or `data.packages=null` for all"
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


def mixture_faults(data: config.MixtureConf) -> Iterable[str]:
    paths, weights = data.paths or [], data.weights
    if len(paths) < 2:
        yield (
            "`data=mixture` mixes two texts or more: name them, e.g. "
            "`data.paths=[notes.txt,stories.parquet] data.weights=[1,3]`"
        )
    elif weights is not None and len(weights) != len(paths):
        example = ",".join("1" * len(paths))
        yield (
            f"`data.weights` has {len(weights)} numbers for {len(paths)} texts in `data.paths`: "
            f"give one for each, e.g. `data.weights=[{example}]`"
        )


READ_TEXT = {"trial", "reproducibility", "analyze", "calibrate_phi", "rl_scheduler"}
"""Tasks that read text, and no conversations; others that open a model leave its data alone."""


def chat_faults(conf: RunConf) -> Iterable[str]:
    if not isinstance(conf.data, config.ConversationsConf):
        return
    name = conf.data.name
    if isinstance(conf.data, config.SkillsConf) and not conf.data.skills:
        yield "`data.skills` is empty: name some, e.g. `data.skills=[spell,count]`"
    if conf.task in READ_TEXT:
        yield (
            f"`data={name}` is for `task=train` and `task=evaluate`, not `task={conf.task}`: e.g. "
            "`data=python_docs`"
        )
    if isinstance(conf.data, config.RowsConf):
        yield from held_out_faults(conf.data)
    if conf.task == "evaluate" and conf.split == "test":
        yield f"`split=test`: `data={name}` has the splits train and valid. Use `split=valid`"
    if conf.task != "train":
        return
    if isinstance(conf.objective, config.LanguagePhiConf):
        yield (
            f"`objective=language_phi` measures Φ of whole windows of text, and `data={name}` has "
            "conversations side by side, or padded. Use `objective=language`"
        )
    if conf.trainer.strategy == "fsdp":
        yield (
            f"`trainer.strategy`=fsdp is not for `data={name}`, which runs the head on learned "
            "tokens alone. Use `trainer=ddp`"
        )


def held_out_faults(data: config.RowsConf) -> Iterable[str]:
    if data.path is None and data.held_out_path is not None:
        yield "`data.held_out_path` is set without `data.path`: name the training rows too"


def pair_faults(conf: RunConf) -> Iterable[str]:
    checks_chat = conf.task == "check_data" and isinstance(conf.data, config.ChatDataConf)
    reads_pairs = conf.task in {"dpo", "check_data", "score_pairs"} and not checks_chat
    if reads_pairs and not isinstance(conf.data, config.PairsConf):
        yield (
            f"`task={conf.task}` reads preference pairs, not `data={conf.data.name}`: "
            "use `data=pairs`" + " or `data=chat`" * (conf.task == "check_data")
        )
    if not isinstance(conf.data, config.PairsConf):
        return
    if conf.task in {"train", "evaluate", "analyze"}:
        other = "" if conf.checkpoint is None else "; `task=score_pairs` measures a model on pairs"
        yield (
            f"`data=pairs` is for `task=dpo`, not `task={conf.task}`: e.g. "
            f"`data=python_docs`{other}"
        )
    yield from held_out_faults(conf.data)
    if conf.data.workers:
        yield f"`data.workers`={conf.data.workers}: pairs are at hand already, `data.workers=0`"
