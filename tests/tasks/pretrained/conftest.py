"""The configuration of a tiny fine-tuning."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from infinito.cli.composition import check
from infinito.config import RunConf
from infinito.paths import conf_dir

Train = Callable[..., Path]


@pytest.fixture
def configured(text_file: Path, gpt2_folder: Path, tmp_path: Path) -> Callable[..., RunConf]:
    """Makes the configuration of a tiny fine-tuning; later overrides win."""

    def make(*overrides: str) -> RunConf:
        fixed = [
            "model=gpt2",
            f"model.path={gpt2_folder}",
            "model.lora.rank=4",
            "data=text",
            f"data.path={text_file}",
            f"data.cache_dir={tmp_path / 'cache'}",
            "data.block_size=16",
            "data.batch_size=4",
            "optimizer.lr=0.01",
            "trainer.epochs=null",
            "trainer.max_steps=6",
            "trainer.validate_every=3",
            "trainer.log_every=1",
            "trainer.accelerator=cpu",
            "trainer.threads=1",
            "trainer.progress_bar=false",
            "trainer.sample_tokens=8",
            f"runs_dir={tmp_path / 'runs'}",
        ]
        return check([*fixed, *overrides], conf_dir())

    return make
