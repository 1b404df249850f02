"""All faults of a configuration in one error, with key, value, expectation and override."""

from __future__ import annotations

from pathlib import Path

import pytest

from infinito.cli.composition import check
from infinito.config import DistanceLMConf, MarkovConf, TextConf
from infinito.errors import ConfigError
from infinito.paths import conf_dir
from infinito.wording import suggest


def faults(*overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        check(overrides, conf_dir())
    return caught.value.faults


def test_defaults_are_typed() -> None:
    run = check([], conf_dir())
    assert isinstance(run.model, DistanceLMConf)
    assert run.optimizer.betas == [0.9, 0.95]
    assert run.model.max_positions == run.data.block_size


def test_each_data_source_has_its_own_schema() -> None:
    assert isinstance(check(["data=text", "data.path=x"], conf_dir()).data, TextConf)
    assert isinstance(check(["data=markov"], conf_dir()).data, MarkovConf)
    assert "there is no such key" in faults("data=markov", "data.path=x")[0]


def test_a_key_of_an_experiment_for_data_that_is_not_taken_can_be_left_out() -> None:
    replaced = ["+experiment=debug", "data=text", "data.path=x"]
    (fault,) = faults(*replaced)
    assert "`data.parts` (conf/experiment/debug.yaml): there is no such key" in fault
    assert fault.endswith("take it out: `~data.parts`")
    assert isinstance(check([*replaced, "~data.parts"], conf_dir()).data, TextConf)


def test_all_faults_come_together() -> None:
    found = faults("optimizer.lrr=3", "modle.dim=3", "attention.heads=x", "attention=l3", "seed=[")
    assert len(found) == 5
    text = "\n".join(found)
    assert "did you mean `lr`?" in text
    assert "did you mean `model`?" in text
    assert "`attention.heads`=x (command line): expected an integer" in text
    assert "`attention` has no such option; did you mean" in text
    assert "cannot be read as an override" in text


@pytest.mark.parametrize(
    ("override", "part"),
    [
        ("attention.scale=0", "above 0, e.g. `attention.scale=1.0`"),
        ("attention.scale=-1", "above 0"),
        ("model.dim=1.5", "expected an integer"),
        ("model.tie_embeddings=3", "expected true or false"),
        ("optimizer.betas=0.9", "expected a list"),
        ("optimizer.betas=[0.9,1.0]", "below 1"),
        ("seed=-1", "at least 0"),
        ("name=../../x", "letters, digits and `._-`"),
        ("runs_dir=", "a folder, `.` for this one"),
        ("data.chat_template={{x}}", "Quote the value: 'data.chat_template=\"{{x}}\"'"),
        ("name=.hidden", "beginning with a letter or digit"),
        ("task=trian", "did you mean `trial` or `train`"),
        ("trainer.precision=64", "one of 32-true"),
        ("attention.heads=6", "`attention.heads`=6 does not divide `model.dim`=128"),
        ("attention.kv_heads=3", "`attention.kv_heads`=3 does not divide `attention.heads`=4"),
        ("model.dim=12", "turns pairs of features, but a head has 3"),
        ("attention=lp attention.p=null", "needs its exponent, e.g. `attention.p=1.5`"),
        ("attention.p=2", "has no meaning for `attention.metric`=dot"),
        ("model.max_positions=64", "is longer than `model.max_positions`=64"),
        ("data.valid_fraction=0.6 data.test_fraction=0.4", "leave no text to train on"),
        ("data=text", "name it, e.g. `data.path=notes/*.txt`"),
        ("tokenizer.vocab_size=100", "does not hold the 256 bytes"),
        ("tokenizer.vocab_size=null", "needs `tokenizer.vocab_size`"),
        ("tokenizer=pretrained", "needs `tokenizer.path="),
        ("trainer.epochs=null", "training has no end"),
        ("trainer.max_steps=5 optimizer.warmup_steps=9", "does not end before"),
        ("trainer.chunked_loss=true trainer.compile=true", "Use `trainer.chunked_loss=false`"),
        ("task=evaluate", "needs `checkpoint="),
        ("task=compare", "needs run folders or the folder of a sweep"),
        (
            "task=generate checkpoint=x generation.prompt=a generation.prompts_file=b",
            "give one of them",
        ),
        ("data.path=a,b data=text", "add -m to run them all"),
        ("model.dim=${nothing}", "nothing"),
    ],
)
def test_bad_values_are_explained(override: str, part: str) -> None:
    assert part in "\n".join(faults(*override.split()))


def test_a_fault_in_a_file_of_the_user_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    text = "# @package _global_\nmodel:\n  dmi: 3\noptimizer:\n  lr: fast\n"
    (tmp_path / "experiment/mine.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        check(["+experiment=mine"], conf_dir(), extra_dir=str(tmp_path))
    found = "\n".join(caught.value.faults)
    assert f"({tmp_path.name}/experiment/mine.yaml)" in found
    assert "`model.dmi`" in found
    assert "did you mean `dim`" in found
    assert "`optimizer.lr`=fast" in found


def test_no_near_word_lists_what_is_known() -> None:
    assert suggest("zzz", ["dot", "l1"]) == "known: dot, l1"
