"""The `dpo` group: its losses are those that there are, and its faults say what mends them."""

from __future__ import annotations

import pytest
import torch

from infinito.cli.composition import check
from infinito.config import LOSSES, SMOOTHED_LOSSES, TRL_NAMES, DpoConf
from infinito.errors import ConfigError
from infinito.paths import conf_dir
from infinito.preferences.objective import losses as preference


def test_losses_are_those_of_the_objective() -> None:
    assert set(LOSSES) == set(preference.LOSSES)


def test_one_loss_needs_no_brackets() -> None:
    assert check(["+experiment=dpo", "dpo.loss=ipo"], conf_dir()).dpo.loss == ["ipo"]
    assert check(["+experiment=dpo", "dpo.loss=[ipo,sft]"], conf_dir()).dpo.loss == ["ipo", "sft"]


@pytest.mark.parametrize("group", ["", "dpo.", "trainer."])
def test_names_of_trl_are_answered_with_the_key_of_today(group: str) -> None:
    names = [name for name in TRL_NAMES if group or name != "tokenizer"]  # that is a group
    with pytest.raises(ConfigError) as caught:
        check(["+experiment=dpo", *(f"{group}{name}=1" for name in names)], conf_dir())
    answered = {fault.partition("`")[2].partition("`")[0]: fault for fault in caught.value.faults}
    assert set(answered) == {f"{group}{name}" for name in names}
    for name in names:
        assert f"TRL's name for {TRL_NAMES[name]}" in answered[f"{group}{name}"]


def test_smoothing_is_of_the_losses_that_read_it() -> None:
    assert {name for name in LOSSES if reads_smoothing(name)} == set(SMOOTHED_LOSSES)


def reads_smoothing(name: str) -> bool:
    values = (torch.tensor([each], dtype=torch.float64) for each in (-3.0, -4, -3.5, -3, 5, 6))
    pairs = preference.PairLogProbs(*values)
    loss = preference.LOSSES[name]
    first, second = (loss(pairs, DpoConf(label_smoothing=each)) for each in (0.1, 0.2))
    return not torch.equal(first, second)


LEARNED = "model=pretrained model.path=x attention=l1 attention.learned_scale=true"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("dpo.loss=sigmod", "did you mean `sigmoid`"),
        ("dpo.beta=0", "expected a number above 0"),
        ("dpo.label_smoothing=0.5", "at least 0 and below 0.5"),
        ("dpo.loss=exo_pair", "dpo.label_smoothing=0.001"),
        ("dpo.loss=[]", "e.g. `dpo.loss=sigmoid`"),
        ("dpo.loss=[sigmoid,sigmoid] dpo.loss_weights=[1,2]", "sigmoid twice"),
        ("dpo.label_smoothing=0.2", "`dpo.loss=cdpo` or"),
        ("dpo.export=[gguf]", "new `model`=distance_lm"),
        (f"{LEARNED} dpo.reference=adapter_off", "`dpo.reference=precomputed`"),
        (f"{LEARNED} dpo.export=adapter", "no place for the λ"),
        ("trainer.precision=bf16-mixed", "`dpo.reference=copy`"),
        ("trainer.compile=true", "`trainer.compile` is not read by `task=dpo`"),
        ("trainer.chunked_loss=true", "`trainer.chunked_loss` is not read by `task=dpo`"),
        ("trainer.stop_bad=median", "`trainer.stop_bad` is not read by `task=dpo`"),
        ("trainer.strategy=fsdp", "`trainer.strategy=auto`"),
        ("dpo.loss_weights=[1,2]", "2 numbers for 1 losses"),
        ("dpo.reference=adapter_off", "model.trainable=lora"),
        ("dpo.export=adapter", "dpo.export=model"),
        ("data=python_docs", "`data=pairs`"),
        ("task=train", "is for `task=dpo`"),
        ("task=evaluate checkpoint=x", "`task=score_pairs` measures a model on pairs"),
        ("data.held_out_path=x", "without `data.path`"),
        ("data.workers=1", "`data.workers` is not read by"),
        ("task=score_pairs", "needs `checkpoint="),
        ("data.block_size=99 model.max_positions=9", "is longer than `model.max_positions`=9"),
    ],
)
def test_faults(override: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check(["+experiment=dpo", *override.split()], conf_dir())
    assert message in str(caught.value)
