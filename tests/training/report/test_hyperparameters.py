"""HPARAMS shows what a run was given and read, not every key that there is."""

from __future__ import annotations

from infinito.cli.composition import check
from infinito.paths import conf_dir
from infinito.training.report.hyperparameters import list_hyperparameters, name_score


def test_only_what_the_task_reads_is_listed() -> None:
    found = list_hyperparameters(check(["optimizer.lr=0.5"], conf_dir()))
    assert found["optimizer.lr"] == 0.5
    assert found["attention.metric"] == "dot"
    sections = {key.partition(".")[0] for key in found}
    assert not {"dpo", "rl", "agent", "runs_dir", "checkpoint"} & sections
    assert "None" not in found.values()


def test_the_score_stands_below_the_curves() -> None:
    """TensorBoard sorts its charts by the part of their tags before the first slash."""
    tag = name_score(check(["task=rl_scheduler"], conf_dir()))
    assert tag == "val_score/val/cost"
    assert sorted(["train", "val", "val_attention", tag.partition("/")[0]])[:2] == ["train", "val"]
