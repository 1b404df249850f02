"""Shared parts are built once, saved in a fixed format, and need a base model that fits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from infinito import run as program
from infinito.config import RunConf
from infinito.data.assembly import build_data_module
from infinito.errors import CheckpointError
from infinito.models.checkpoint_file import read_checkpoint
from infinito.rl.environment.shared_parts import SPLITS, load_shared_parts

Make = Callable[..., RunConf]


def test_a_second_load_reads_what_the_first_wrote(rl_configured: Make, tmp_path: Path) -> None:
    conf = rl_configured()
    data = build_data_module(conf)
    first = load_shared_parts(conf, data, tmp_path)
    written = (tmp_path / "start_states.ckpt").read_bytes()
    second = load_shared_parts(conf, data, tmp_path)
    assert (tmp_path / "start_states.ckpt").read_bytes() == written
    assert second.base_perplexity == first.base_perplexity
    for split in SPLITS:
        one, other = first.start_states[split], second.start_states[split]
        assert one.phi.tolist() == other.phi.tolist()
        for state, same in zip(one.states, other.states, strict=True):
            assert torch.equal(state["weights"], same["weights"])


def test_the_format_on_disk_is_that_of_earlier_versions(
    rl_configured: Make, tmp_path: Path
) -> None:
    conf = rl_configured()
    load_shared_parts(conf, build_data_module(conf), tmp_path)
    saved = read_checkpoint(tmp_path / "start_states.ckpt")
    assert set(saved) == {"infinito", "base", "base_perplexity", "calibration", "banks"}
    assert set(saved["banks"]) == {"train", "valid", "test"}
    assert set(saved["banks"]["test"]) == {"states", "phi"}
    assert len(saved["banks"]["test"]["states"]["weights"]) == 4


def test_a_base_model_with_another_tokenizer_is_refused(
    trained: Callable[..., Path], rl_configured: Make, tmp_path: Path
) -> None:
    base = trained("tokenizer=bpe", "tokenizer.vocab_size=260", "model.max_positions=16")
    conf = rl_configured(f"rl.base_checkpoint={base}")
    with pytest.raises(CheckpointError, match=r"another tokenizer.*`tokenizer=pretrained"):
        program.execute(conf, tmp_path / "schedule")
