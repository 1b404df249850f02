"""Builds the text, its tokenizer and its windows."""

from __future__ import annotations

from pathlib import Path

from transformers import PreTrainedTokenizerFast

from infinito import config
from infinito.config import RunConf
from infinito.data.datamodule import LanguageDataModule
from infinito.data.sources.data_files import holds_rows
from infinito.data.sources.hub_text import HubText
from infinito.data.sources.markov import MarkovSource
from infinito.data.sources.mixed_text import MixedText
from infinito.data.sources.python_docs import PythonDocs
from infinito.data.sources.source import TextSource
from infinito.data.sources.text_files import TextFiles
from infinito.data.sources.wikitext2 import WikiText2
from infinito.data.tokenizers.bpe import BpeTokenizer
from infinito.data.tokenizers.char import CharTokenizer
from infinito.data.tokenizers.given import GivenTokenizer
from infinito.data.tokenizers.pretrained import PretrainedTokenizer
from infinito.data.tokenizers.spec import TokenizerSpec
from infinito.data.tokenizers.word import WordTokenizer
from infinito.errors import ConfigError
from infinito.hub import model_folder
from infinito.paths import cache_dir
from infinito.run_folder.progress import Show
from infinito.seeding import child_seed


def build_source(conf: RunConf) -> TextSource | MarkovSource:
    """Return the text that `data` names."""
    data = conf.data
    match data:
        case config.PythonDocsConf():
            return PythonDocs(
                data.parts,  # type: ignore[arg-type]
                valid_fraction=data.valid_fraction,
                test_fraction=data.test_fraction,
                max_bytes=data.max_bytes,
                cache_dir=cache_dir(data.cache_dir),
                packages=data.packages,
            )
        case config.TextConf():
            return TextFiles(
                str(data.path),
                valid_fraction=data.valid_fraction,
                test_fraction=data.test_fraction,
                max_bytes=data.max_bytes,
            )
        case config.HubConf():
            return HubText(
                str(data.path),
                column=data.column,
                split=data.split,
                subset=data.subset,
                revision=data.revision,
                valid_fraction=data.valid_fraction,
                test_fraction=data.test_fraction,
                max_bytes=data.max_bytes,
            )
        case config.MixtureConf():
            texts = [build_mixed_text(path, data) for path in data.paths or ()]
            return MixedText(texts, data.weights)
        case config.WikiText2Conf():
            return WikiText2(data.path, revision=data.revision, max_bytes=data.max_bytes)
        case config.MarkovConf():
            return MarkovSource(
                data.vocab_size,
                order=data.order,
                concentration=data.concentration,
                train_tokens=data.train_tokens,
                valid_tokens=data.valid_tokens,
                test_tokens=data.test_tokens,
                seed=data.source_seed,
            )
    raise ConfigError(f"`data.name`={data.name} has no source")


def build_mixed_text(path: str, data: config.MixtureConf) -> TextSource:
    """Return a text of a mixture: rows of files that have columns, else plain text."""
    if holds_rows(Path(path).expanduser()):
        return HubText(
            path,
            column=data.column,
            valid_fraction=data.valid_fraction,
            test_fraction=data.test_fraction,
            max_bytes=data.max_bytes,
        )
    return TextFiles(
        path,
        valid_fraction=data.valid_fraction,
        test_fraction=data.test_fraction,
        max_bytes=data.max_bytes,
    )


def build_tokenizer_spec(conf: RunConf) -> TokenizerSpec:
    """Return the tokenizer recipe that `tokenizer` names."""
    tokenizer = conf.tokenizer
    match tokenizer.name:
        case "char":
            return CharTokenizer(unknown=tokenizer.unknown)
        case "bpe":
            return BpeTokenizer(tokenizer.vocab_size or 0)
        case "word":
            return WordTokenizer(tokenizer.vocab_size)
        case _:
            path, model = str(tokenizer.path), conf.model
            if isinstance(model, config.PretrainedConf) and is_own(tokenizer, model):
                return PretrainedTokenizer(str(model_folder(path, model.revision)))
            return PretrainedTokenizer(path, tokenizer.revision)


def is_own(tokenizer: config.TokenizerConf, model: config.PretrainedConf) -> bool:
    """Return whether a tokenizer is that of a pretrained model, whose files bring it."""
    return tokenizer.path == model.path and tokenizer.revision in {None, model.revision}


def build_data_module(
    conf: RunConf, tokenizer: PreTrainedTokenizerFast | None = None, show: Show | None = None
) -> LanguageDataModule:
    """Return windows of tokens of the configured text.

    Args:
        conf: The configuration.
        tokenizer: Taken instead of the configured one.
        show: Receives the progress of reading and tokenising.
    """
    text = build_source(conf)
    spec = build_tokenizer_spec(conf) if tokenizer is None else GivenTokenizer(tokenizer)
    return LanguageDataModule(
        text,
        None if isinstance(text, MarkovSource) else spec,
        block_size=conf.data.block_size,
        batch_size=conf.data.batch_size,
        eval_batch_size=conf.data.eval_batch_size,
        seed=child_seed(conf.seed, "batches"),
        workers=conf.data.workers,
        cache_dir=cache_dir(conf.data.cache_dir),
        show=show,
    )
