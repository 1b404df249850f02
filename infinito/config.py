"""The typed schema of every configuration group; values only, nothing heavy is imported.

`conf/<group>/<name>.yaml` holds the values of a `<Name>Conf` here. A group with several kinds of
member (data) names the kind in its `name` key.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

TASKS = (
    "train",
    "evaluate",
    "generate",
    "analyze",
    "compare",
    "reproducibility",
    "doctor",
    "list",
)
METRICS = ("dot", "l1", "l2", "sq_l2", "cosine", "linf", "lp")


def limited(
    default: Any,
    *,
    above: float | None = None,
    at_least: float | None = None,
    below: float | None = None,
    at_most: float | None = None,
    choices: Sequence[str] | None = None,
    pattern: str | None = None,
) -> Any:
    """A field whose value must lie in the given limits, be one of `choices` or match `pattern`."""
    limits = {
        "above": above,
        "at_least": at_least,
        "below": below,
        "at_most": at_most,
        "choices": choices,
        "pattern": pattern,
    }
    metadata = {name: limit for name, limit in limits.items() if limit is not None}
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass
class DistanceLMConf:
    """A causal language model with distance attention (`infinito.models.distance_lm`)."""

    name: str = "distance_lm"
    dim: int = limited(128, at_least=1)
    """Width of the hidden states."""
    layers: int = limited(4, at_least=1)
    """Blocks."""
    mlp_ratio: float = limited(4.0, above=0)
    """Width of the feed-forward layer over `dim`."""
    position: str = limited("rotary", choices=("rotary", "learned"))
    """How a token knows its place."""
    max_positions: int = limited(128, at_least=1)
    """Longest sequence the model is made for."""
    dropout: float = limited(0.0, at_least=0, below=1)
    """Dropout on embeddings and residual branches."""
    tie_embeddings: bool = True
    """The head shares the embedding's weights."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, more time."""


@dataclass
class AttentionConf:
    """The attention mechanism (`infinito.attention`): `weights = softmax(score)`."""

    metric: str = limited("l1", choices=METRICS)
    """The score: a similarity (dot, cosine) or a negated distance."""
    heads: int = limited(4, at_least=1)
    """Query heads; must divide `model.dim`."""
    kv_heads: int | None = limited(None, at_least=1)
    """Key/value heads, null for `heads`; must divide `heads`."""
    scale: float = limited(1.0, above=0)
    """λ, the inverse temperature; its starting value where it is learned."""
    scale_per: str = limited("model", choices=("model", "head"))
    """One λ for all, or one for each head of each layer."""
    learned_scale: bool = False
    """Train λ (kept positive by softplus)."""
    p: float | None = limited(None, at_least=1)
    """The exponent of `metric=lp`, null otherwise."""
    dropout: float = limited(0.0, at_least=0, below=1)
    """Dropout on the attention weights."""
    backend: str = "auto"
    """`auto`, or the name of a backend that must serve."""


@dataclass
class DataConf:
    """What every data source has."""

    name: str = ""
    block_size: int = limited(128, at_least=1)
    """Tokens a training window predicts."""
    batch_size: int = limited(16, at_least=1)
    """Windows in a training batch."""
    eval_batch_size: int | None = limited(None, at_least=1)
    """Windows in an evaluation batch, null for `batch_size`."""
    workers: int = limited(0, at_least=0)
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

    parts: str = limited("both", choices=("topics", "docstrings", "both"))
    """The language reference, the library's docstrings, or both."""


@dataclass
class TextConf(SplitTextConf):
    """UTF-8 text of the user's own (`data=text data.path=…`)."""

    path: str | None = None
    """File, folder or glob."""


@dataclass
class WikiText2Conf(WrittenTextConf):
    """WikiText-2 (`data=wikitext2`)."""

    path: str | None = None
    """Folder of train.txt, valid.txt and test.txt, or a hub id; null for `Salesforce/wikitext`."""


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
    valid_tokens: int = limited(100_000, at_least=2)
    test_tokens: int = limited(100_000, at_least=2)
    source_seed: int = limited(0, at_least=0)
    """Draws the chain and its paths; independent of `seed`."""


@dataclass
class TokenizerConf:
    """How text becomes token ids (`infinito.data.tokenizer`)."""

    name: str = limited("bpe", choices=("char", "bpe", "word", "pretrained"))
    vocab_size: int | None = limited(None, at_least=2)
    """Tokens of a bpe or word vocabulary; null for every word of the training split."""
    unknown: bool = True
    """Give `char` an `<unk>` for characters that the training split lacks."""
    path: str | None = None
    """Hugging Face folder or id of a pretrained tokenizer."""


@dataclass
class AdamWConf:
    """AdamW and its learning-rate schedule."""

    name: str = limited("adamw", choices=("adamw",))
    lr: float = limited(1e-3, above=0)
    """Peak learning rate."""
    betas: list[float] = limited([0.9, 0.95], at_least=0, below=1)
    """Decay of the running mean of the gradient and of its square."""
    eps: float = limited(1e-8, above=0)
    weight_decay: float = limited(0.1, at_least=0)
    """Decoupled decay of matrices; vectors are not decayed."""
    clip_norm: float | None = limited(1.0, above=0)
    """Largest gradient norm, null for no clipping."""
    schedule: str = limited("cosine", choices=("constant", "cosine", "plateau"))
    warmup_steps: int = limited(0, at_least=0)
    """Steps of linear warm-up."""
    min_lr_ratio: float = limited(0.1, at_least=0, at_most=1)
    """Where the cosine ends, over `lr`."""
    plateau_factor: float = limited(0.5, above=0, below=1)
    """What the rate is multiplied by when validation stalls (`schedule=plateau`)."""
    plateau_patience: int = limited(2, at_least=0)
    """Validations without improvement before that."""


@dataclass
class TrainerConf:
    """How long, where and in what precision to train."""

    epochs: int | None = limited(None, at_least=1)
    """Passes over the training split; null when `max_steps` decides."""
    max_steps: int | None = limited(None, at_least=1)
    """Optimizer steps; null when `epochs` decides."""
    accumulate: int = limited(1, at_least=1)
    """Batches whose gradients make one step."""
    patience: int | None = limited(None, at_least=1)
    """Validations without improvement before training stops; null to go on."""
    validate_every: int | None = limited(None, at_least=1)
    """Batches between validations; null for once an epoch."""
    checkpoint_every: int | None = limited(None, at_least=1)
    """Steps between checkpoints besides the one at each validation; null for none."""
    accelerator: str = limited("auto", choices=("auto", "cpu", "cuda", "mps"))
    devices: int = limited(1, at_least=1)
    strategy: str = limited("auto", choices=("auto", "ddp", "ddp_spawn", "fsdp"))
    precision: str = limited("32-true", choices=("32-true", "bf16-mixed", "16-mixed", "64-true"))
    compile: bool = False
    """Compile the model with torch.compile."""
    threads: int | None = limited(None, at_least=1)
    """CPU threads of torch; null for torch's own choice."""
    log_every: int = limited(10, at_least=1)
    """Steps between logged training values."""
    progress_bar: bool = True
    sample_tokens: int = limited(64, at_least=0)
    """Tokens of sample text written at each validation; 0 for none."""


@dataclass
class GenerationConf:
    """How text is drawn (`task=generate`)."""

    prompt: str | None = None
    """What to continue; null to read `prompts_file` or standard input."""
    prompts_file: str | None = None
    """A file with one prompt a line."""
    max_new_tokens: int = limited(200, at_least=1)
    temperature: float = limited(0.8, at_least=0)
    """0 is greedy."""
    top_k: int | None = limited(None, at_least=1)
    """Draw from the k most probable tokens; null for all."""
    top_p: float | None = limited(None, above=0, at_most=1)
    """Draw from the smallest set with this probability; null for all."""
    repetition_penalty: float = limited(1.0, above=0)
    """Above 1, tokens already there become less probable."""


@dataclass
class RunConf:
    """A whole run."""

    model: DistanceLMConf
    attention: AttentionConf
    data: DataConf
    tokenizer: TokenizerConf
    optimizer: AdamWConf
    trainer: TrainerConf
    generation: GenerationConf
    task: str = limited("train", choices=TASKS)
    name: str = limited("base", pattern=r"[^\W_][\w.-]*")
    """Names the run's folder."""
    seed: int = limited(0, at_least=0, at_most=2**32 - 1)
    deterministic: bool = True
    """Same seed, same bits."""
    score: str = "val/loss"
    """The figure of summary.json that a sweep is told."""
    runs_dir: str = "multirun"
    """Where run folders are made."""
    checkpoint: str | None = None
    """Run folder, checkpoint file or Hugging Face folder to start from."""
    resume: str | None = None
    """Run folder to go on with, exactly where it stopped."""
    split: str = limited("valid", choices=("train", "valid", "test"))
    """What `task=evaluate` and `task=analyze` read."""
    runs: list[str] = field(default_factory=list)
    """Run folders that `task=compare` compares."""
    dry_run: bool = False
    """Build everything, run one batch, estimate memory and time, write nothing."""


VARIANTS: dict[str, dict[str, type]] = {
    "data": {
        "python_docs": PythonDocsConf,
        "text": TextConf,
        "wikitext2": WikiText2Conf,
        "markov": MarkovConf,
    },
}
"""Groups whose schema depends on their `name`."""
