"""`task=pipeline` trains in three stages, measures each, and goes on where it was stopped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from infinito import run as program
from infinito.cli.composition import check
from infinito.errors import InfinitoError
from infinito.models.checkpoint_file import read_checkpoint
from infinito.paths import conf_dir

TINY = (
    *("pretrain:trainer.max_steps=4", "pretrain:trainer.validate_every=2"),
    *("pretrain:model.dim=32", "pretrain:model.layers=1", "pretrain:data.max_bytes=30000"),
    *("pretrain:optimizer.warmup_steps=0", "sft:optimizer.warmup_steps=0"),
    *("sft:data.skills=[count]", "sft:data.items=100", "sft:data.held_out_items=20"),
    *("sft:trainer.max_steps=80", "sft:trainer.validate_every=40", "dpo:trainer.max_steps=3"),
)


def run(folder: Path, *overrides: str) -> None:
    given = f"stage_overrides={[*TINY, *overrides]}"
    settings = ("trainer.progress_bar=false", "trainer.threads=1", "trainer.accelerator=cpu")
    cache = f"data.cache_dir={folder.parent / 'cache'}"
    conf = check(["+experiment=chat_from_scratch", *settings, cache, given], conf_dir())
    program.execute(conf, folder)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {}
    for stage in ("pretrain", "sft", "dpo"):
        state = read_checkpoint(folder / stage / "checkpoints/last.ckpt")["state_dict"]
        found |= {f"{stage}/{name}": value for name, value in state.items()}
    return found


@pytest.mark.slow
def test_stages_are_measured_and_a_stopped_pipeline_goes_on_bit_equal(tmp_path: Path) -> None:
    run(tmp_path / "whole")
    report = json.loads((tmp_path / "whole/report.json").read_text())
    assert list(report["stages"]) == ["pretrain", "sft", "dpo"]
    for stage in report["stages"].values():
        assert 0 <= stage["skills"]["count"]["accuracy"] <= 1
        assert 0 <= stage["preference_accuracy"] <= 1
        assert stage["minutes"] > 0
        assert len(stage["samples"]) == 10
    assert (tmp_path / "whole/report.html").is_file()

    with pytest.raises(InfinitoError, match="the stage dpo stopped"):
        run(tmp_path / "stopped", "dpo:dpo.beta=-1")
    values = (tmp_path / "stopped/config.yaml").read_text().replace("- dpo:dpo.beta=-1\n", "")
    (tmp_path / "stopped/config.yaml").write_text(values)
    program.execute(check([f"resume={tmp_path / 'stopped'}"], conf_dir()), tmp_path / "stopped")
    whole, resumed = weights(tmp_path / "whole"), weights(tmp_path / "stopped")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
