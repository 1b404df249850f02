"""The schemas of the `data` group: one for each kind of source, named by its `name`."""

from __future__ import annotations

from dataclasses import dataclass

from infinito.config.limits import limited


@dataclass
class DataConf:
    """What every data source has."""

    name: str = ""
    """The source of the text, set by `data=…`."""
    block_size: int = limited(128, at_least=1)
    """Tokens a training window predicts."""
    batch_size: int = limited(16, at_least=1)
    """Windows in a training batch of each process."""
    eval_batch_size: int | None = limited(None, at_least=1)
    """Windows in an evaluation batch, null for `batch_size`."""
    workers: int = limited(0, at_least=0, at_most=64)
    """Loader processes; 0 is fastest for memory-mapped tokens."""
    cache_dir: str | None = None
    """Folder of tokenised text, null for the user's cache folder."""


@dataclass
class WrittenTextConf(DataConf):
    """What every source of written text has."""

    max_bytes: int | None = limited(None, at_least=1)
    """Use about this much text at most, cut at document ends; null for all."""


@dataclass
class SplitTextConf(WrittenTextConf):
    """What every text without published splits has."""

    valid_fraction: float = limited(0.1, above=0, below=1)
    """Share of the text that validates."""
    test_fraction: float = limited(0.1, at_least=0, below=1)
    """Share of the text that only `task=evaluate` reads."""


@dataclass
class PythonDocsConf(SplitTextConf):
    """English reference text and docstrings of the running Python (`data=python_docs`)."""

    parts: str = limited("both", choices=("topics", "docstrings", "both", "packages", "all"))
    """The language reference, the library's docstrings, or both; docstrings of installed packages,
    or all of these."""
    packages: list[str] | None = None
    """Import names for `parts=packages`; null for numpy, torch and others that are here."""


@dataclass
class TextConf(SplitTextConf):
    """UTF-8 text of the user's own (`data=text data.path=…`)."""

    path: str | None = None
    """File, folder or glob."""


@dataclass
class HubConf(SplitTextConf):
    """A column of text of any data set (`data=hub data.path=…`)."""

    path: str | None = None
    """JSON lines, CSV, Parquet or Arrow file, folder of them, or hub id (`owner/name`)."""
    column: str = "text"
    """The column of text; each row is a document."""
    split: str = "train"
    """The data set's split that trains."""
    subset: str | None = None
    """Part of a hub data set that has several, such as a language."""
    revision: str | None = None
    """Branch, tag or commit of a hub data set; null for its main branch. Runs record the commit."""


@dataclass
class MixtureConf(SplitTextConf):
    """Several texts of the user's own, each with its share (`data=mixture data.paths=[…]`)."""

    paths: list[str] | None = None
    """Texts as `data=text` reads them, and .jsonl, .csv, .parquet and .arrow files and folders of
    them as `data=hub` does."""
    weights: list[float] | None = limited(None, above=0)
    """The share of each in the training text, in any unit; null for as much as each holds."""
    column: str = "text"
    """The column of text in files that have columns."""


WIKITEXT2_ID = "Salesforce/wikitext"


@dataclass
class WikiText2Conf(WrittenTextConf):
    """WikiText-2 (`data=wikitext2`)."""

    path: str | None = None
    """Folder of train.txt, valid.txt and test.txt, or a hub id; null for `Salesforce/wikitext`."""
    revision: str | None = None
    """Branch, tag or commit of a hub id; null for its main branch. Runs record the commit."""


@dataclass
class RowsConf(DataConf):
    """What every file of conversations or of pairs has."""

    path: str | None = None
    """File, dataset folder or hub id; null for the rows that ship with infinito."""
    revision: str | None = None
    """Branch, tag or commit of a hub id; null for its main branch. Runs record the commit."""
    subset: str = "train"
    """Part of a dataset that has several."""
    held_out_path: str | None = None
    """Held-out rows; null to hold out a share of `path`."""
    held_out_revision: str | None = None
    """Branch, tag or commit of `held_out_path`, likewise."""
    held_out_subset: str = "test"
    """Part of `held_out_path` where that has several."""
    held_out_fraction: float = limited(0.2, above=0, below=1)
    """Share of the prompts held out where `held_out_path` is null."""
    max_rows: int | None = limited(None, at_least=2)
    """Read this many rows of each file at most; null for all."""
    on_bad_row: str = limited("error", choices=("error", "drop"))
    """Refuse files with unusable rows, or leave those rows out and count them."""
    chat: bool = True
    """Put text through the chat template, as messages always are."""
    chat_template: str | None = None
    """Jinja text, or `plain`; null for the tokenizer's own."""


@dataclass
class PairsConf(RowsConf):
    """Preference pairs (`data=pairs`), for `task=dpo`, `check_data` and `score_pairs`.

    `block_size` is the most tokens of a prompt with an answer; `batch_size` counts pairs.
    """

    truncate: str = limited("never", choices=("never", "prompt_start", "answer_end"))
    """What may be cut of pairs longer than `block_size`."""
    end_token: str | None = None
    """What ends an answer; null for the tokenizer's end-of-text token."""


SKILLS = (
    *("spell", "count", "reverse", "sort", "add", "subtract"),
    *("compare", "copy", "look_up", "refuse"),
)
"""Names of the skills that `data=skills` generates."""


@dataclass
class ConversationsConf(DataConf):
    """What every set of conversations has.

    `block_size` is the most tokens of a conversation; `batch_size` counts conversations.
    """

    layout: str = limited("auto", choices=("auto", "packed", "padded", "masked"))
    """Several conversations in a row, which do not see each other; one a row; one a row with a
    padding mask. `auto` takes the first that leaves the model's predictions as they are."""
    bucket: bool = False
    """Batch conversations of similar length, which saves padding where rows are not packed."""
    text_rows: int = limited(0, at_least=0)
    """Windows of running text, `block_size` tokens each, beside the conversations of a training
    batch: what keeps a tuned model from losing the text that it was trained on."""
    text_path: str | None = None
    """File, folder or glob of that text; null for the training text of the run in `checkpoint`."""


@dataclass
class ChatDataConf(RowsConf, ConversationsConf):
    """Conversations whose answers are learned (`data=chat`), for `task=train` and `check_data`."""


@dataclass
class SkillsConf(ConversationsConf):
    """Generated questions whose answers are exact (`data=skills`), for `task=train`.

    Held-out questions are put to the model after training; a hash keeps them out of every training.
    """

    chat_template: str | None = None
    """Jinja text, or `plain`; null for the tokenizer's own."""
    skills: list[str] = limited(list(SKILLS), choices=SKILLS)
    """Which skills."""
    items: int = limited(500, at_least=1)
    """Training questions of each skill."""
    held_out_items: int = limited(100, at_least=1)
    """Held-out questions of each skill."""
    item_seed: int = limited(0, at_least=0, at_most=2**32 - 1)
    """Draws the questions; independent of `seed`."""
    with_bundled: bool = False
    """Train on the conversations that ship with infinito as well."""


@dataclass
class MarkovConf(DataConf):
    """A synthetic chain whose entropy is known exactly (`data=markov`)."""

    vocab_size: int = limited(32, at_least=2, at_most=256)
    """Symbols of the chain."""
    order: int = limited(1, at_least=0)
    """Symbols that the next one depends on; 0 for independent uniform symbols, the null case."""
    concentration: float = limited(0.2, above=0)
    """Of the Dirichlet distribution of each row; smaller is more predictable."""
    train_tokens: int = limited(1_000_000, at_least=2)
    """Symbols to train on."""
    valid_tokens: int = limited(100_000, at_least=2)
    """Symbols to validate on."""
    test_tokens: int = limited(100_000, at_least=2)
    """Symbols of the test split."""
    source_seed: int = limited(0, at_least=0)
    """Draws the chain and its paths; independent of `seed`."""
