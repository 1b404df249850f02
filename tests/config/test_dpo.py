"""The `dpo` group: its losses are those that there are, and its faults say what mends them."""

from __future__ import annotations

import pytest

from infinito.composition import check
from infinito.config import LOSSES, TRL_NAMES
from infinito.errors import ConfigError
from infinito.objectives import preference
from infinito.paths import conf_dir


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
        assert f"called so is {TRL_NAMES[name]} here" in answered[f"{group}{name}"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("dpo.loss=sigmod", "did you mean `sigmoid`"),
        ("dpo.beta=0", "expected a number above 0"),
        ("dpo.label_smoothing=0.5", "at least 0 and below 0.5"),
        ("dpo.loss=exo_pair", "dpo.label_smoothing=0.001"),
        ("dpo.loss_weights=[1,2]", "2 numbers for 1 losses"),
        ("dpo.reference=adapter_off", "model.trainable=lora"),
        ("dpo.export=adapter", "dpo.export=model"),
        ("data=python_docs", "`data=pairs`"),
        ("task=train", "is for `task=dpo`"),
        ("data.held_out_path=x", "without `data.path`"),
        ("data.workers=1", "`data.workers=0`"),
        ("task=score_pairs", "needs `checkpoint="),
        ("data.block_size=99 model.max_positions=9", "is longer than `model.max_positions`=9"),
    ],
)
def test_faults(override: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check(["+experiment=dpo", *override.split()], conf_dir())
    assert message in str(caught.value)
