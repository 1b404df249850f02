"""Figures that a run can be scored by: a misspelt `score` is found before the first training."""

from __future__ import annotations

from collections.abc import Iterable

from omegaconf import OmegaConf

from infinito.config import RunConf, SkillsConf
from infinito.wording import suggest

_TEXT = ("val/loss", "val/perplexity", "val/bits_per_byte", "val/word_perplexity")
_PHI = ("val/phi", "val/phi_share_in_band", "train/phi_share_in_band")
_COMPOSITE = ("composite", "composite/loss", "composite/entropy", "composite/speed")

FIGURES = {
    "train": (*_TEXT, *_PHI, "best_step", "steps", "parameters", "tokens_per_s", "elapsed_s"),
    "trial": (
        *(*_TEXT, *_PHI, *_COMPOSITE, "train/loss", "attention/entropy"),
        *("step_s", "steps", "parameters", "elapsed_s"),
    ),
    "dpo": (
        *("val/loss", "held_out/margin", "held_out/margin_low", "held_out/margin_high"),
        *("held_out/accuracy", "held_out/raw_accuracy"),
        *("train/loss", "steps", "elapsed_s"),
    ),
    "rl_scheduler": ("val/cost", "val/return", "best_timesteps", "timesteps"),
}
"""The numbers in the summary.json of each task that has a score; the first is its default."""

OPEN = {"rl_scheduler": "rl/", "train": "skills/"}
"""Beginnings of figures that a task names by its settings, such as `rl/action/TEXT`."""


def own_score(task: str) -> str:
    """Return the default score of a task; the smaller, the better."""
    return FIGURES.get(task, _TEXT)[0]


OmegaConf.register_new_resolver("own_score", own_score, replace=True)


def score_faults(conf: RunConf) -> Iterable[str]:
    """Yield a fault for each figure of `score` that the task's summary will not have."""
    if conf.task not in FIGURES:
        return
    # only a trial returns several scores
    names = conf.score.split(",") if conf.task == "trial" else [conf.score]
    for name in (each.strip() for each in names):
        is_open = conf.task in OPEN and name.startswith(OPEN[conf.task])
        if conf.task == "train":  # only these teach skills
            is_open = is_open and isinstance(conf.data, SkillsConf)
        if name not in FIGURES[conf.task] and not is_open:
            hint = suggest(name, FIGURES[conf.task])
            yield f"`score`={name}: `task={conf.task}` has no such figure; {hint}"
