"""Plots of the columns of metrics.csv: which belong together, and what they are called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from infinito.pages.plots import Curve, Plot, make_curve
from infinito.run_folder.series.metrics_file import Columns

AXES = ("step", "epoch", "tokens", "seconds")
"""Columns to plot over, as far as a run has them."""


@dataclass(frozen=True)
class Group:
    """Columns that one plot shows.

    Attributes:
        title: Of the plot.
        unit: Of its vertical axis.
        names: Columns, or patterns of them; the first group that fits a column has it.
        note: What a reader must know.
        curves: Names in the legend, by column; the rest are called by the end of their column.
    """

    title: str
    unit: str
    names: Sequence[str]
    note: str = ""


LOSS = "Loss"
BITS = "Bits per byte"
PHI = "Φ"
RETURN = "Return"

LANGUAGE = (
    Group(LOSS, "nats per token", ("train/loss", "val/loss")),
    Group(BITS, "bits", ("val/bits_per_byte",), "on the validation split"),
    Group("Learning rate", "rate", ("train/learning_rate",)),
    Group("Gradient norm", "norm", ("train/gradient_norm",), "before clipping"),
    Group(PHI, "Φ", ("*phi/value", "val/phi"), "the loss is zero inside the band"),
    Group(
        "Components of Φ",
        "0 to 1",
        tuple(f"*phi/{name}" for name in ("temporal", "integration", "complexity", "attention")),
    ),
    Group("Share of steps in Φ's band", "share", ("*phi/share_in_band", "val/phi_share_*")),
    Group("Parts of the loss", "nats", ("train/language_loss", "*phi/loss")),
    Group("Evictions of the integration memory", "number", ("*memory/evictions",)),
    Group("Integration memory", "share", ("train/memory/*", "memory/*")),
    Group("Throughput", "tokens per second", ("train/tokens_per_s",)),
    Group("Memory in use", "MiB", ("memory_mib",)),
)

ATTENTION = tuple(
    Group(f"Attention: {title}", unit, (f"*attention/{name}/layer_*",), "a curve a layer")
    for name, title, unit in (
        ("entropy", "entropy", "0 to 1"),
        ("entropy_nats", "entropy in nats", "nats"),
        ("mean", "mean weight", "weight"),
        ("max", "largest weight", "weight"),
    )
)

PREFERENCES = (
    Group(LOSS, "nats", ("train/loss", "val/loss")),
    Group("Reward margin", "β · nats", ("train/rewards/margins", "val/rewards/margins")),
    Group("Reward accuracy", "share of pairs", ("train/rewards/acc*", "val/rewards/acc*")),
    Group("Log-probability of answers", "nats", ("*/logps/chosen", "*/logps/rejected")),
    Group("Rewards", "β · nats", ("*/rewards/chosen", "*/rewards/rejected")),
    Group("Displacement", "", ("*/displacement/*",)),
    Group("Learning rate", "rate", ("train/learning_rate",)),
    Group("Gradient norm", "norm", ("train/gradient_norm",), "before clipping"),
    Group("Throughput", "tokens per second", ("train/tokens_per_s",)),
    Group("Memory in use", "MiB", ("memory_mib",)),
)

SCHEDULE = (
    Group(RETURN, "return", ("rl/return_mean", "val/return")),
    Group("Actions", "share", ("rl/action/*",)),
    Group(PHI, "Φ", ("rl/phi", "val/phi"), "of the language models that the policy trains"),
    Group("Perplexity", "perplexity", ("rl/perplexity", "val/perplexity")),
    Group("Share of steps in Φ's band", "share", ("rl/in_band", "val/in_band")),
    Group("Terms of the reward", "mean", ("rl/reward/*",)),
    Group("Entropy of the policy", "nats", ("rl/entropy_nats",)),
    Group("Change of the policy", "nats", ("rl/kl_nats",), "Kullback–Leibler divergence an update"),
    Group("Losses of PPO", "", ("rl/policy_loss", "rl/value_loss")),
    Group("Explained variance", "share", ("rl/explained_variance",)),
    Group("Learning rate", "rate", ("rl/learning_rate",)),
    Group("Gap of training and held-out return", "return", ("val/gap",)),
    Group("Memory in use", "MiB", ("memory_mib",)),
)


def plot_groups(
    columns: Columns,
    groups: Sequence[Group],
    levels: Mapping[str, Mapping[str, float]] | None = None,
) -> tuple[list[Plot], list[Plot]]:
    """Return a plot for each group that has columns, and plots of the columns of no group.

    Args:
        columns: Figures of a run.
        groups: In the order of their plots.
        levels: Lines to compare with, by the title of their plot.
    """
    axes = find_axes(columns)
    left = [name for name in columns if name not in AXES]
    found = []
    for group in groups:
        names = [name for name in left if any(fnmatchcase(name, each) for each in group.names)]
        if names:
            left = [name for name in left if name not in names]
            curves = draw_columns(columns, axes, names)
            own = (levels or {}).get(group.title, {})
            found.append(Plot(group.title, group.unit, curves, group.note, levels=own))
    others = [Plot(name, "", draw_columns(columns, axes, [name])) for name in left]
    return found, others


def find_axes(columns: Columns) -> dict[str, list[float | None]]:
    """Return the columns that every row has and that figures can be plotted over."""
    return {name: columns[name] for name in AXES if name in columns and None not in columns[name]}


def draw_columns(
    columns: Columns, axes: Mapping[str, list[float | None]], names: Sequence[str]
) -> list[Curve]:
    """Return a curve for each column, those of validations thick."""
    return [
        make_curve(
            name_curve(name, names),
            axes,
            columns[name],
            style="thick" if name.startswith("val") else "line",
        )
        for name in names
    ]


def name_curve(name: str, beside: Sequence[str]) -> str:
    """Return what a column is called in a legend, beside other columns of its plot."""
    split, _, rest = name.partition("/")
    word = {"train": "training", "val": "validation", "rl": "training"}.get(split, "")
    ends = {each.rpartition("/")[2] for each in beside}
    splits = {each.partition("/")[0] for each in beside}
    end = name.rpartition("/")[2].replace("_", " ")
    if not word or not rest or (len(splits) == 1 and len(ends) == len(beside)):
        return end
    return word if len(beside) == len(splits) else f"{end}, {word}"
