"""`task=train data=chat`: what a person types, end to end."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from infinito import run as program
from infinito.cli.composition import check
from infinito.config import RunConf
from infinito.errors import ConfigError, DataError, InfinitoError
from infinito.models.checkpoint_file import read_checkpoint
from infinito.models.trained import open_trained
from infinito.paths import conf_dir
from infinito.training.callbacks.milestones import Milestones
from tests.ranks import Ranks

SHORT = (
    "data=chat",
    "model.dim=16",
    "model.layers=1",
    "attention=dot",
    "attention.heads=2",
    "tokenizer.vocab_size=300",
    "trainer.epochs=null",
    "trainer.max_steps=6",
    "trainer.validate_every=3",
    "trainer.accelerator=cpu",
    "trainer.threads=1",
    "trainer.progress_bar=false",
    "trainer.sample_tokens=4",
    "optimizer.warmup_steps=0",
)


SMALL = "tokenizer.vocab_size=260"


@pytest.fixture
def chat(tmp_path: Path) -> Callable[..., RunConf]:
    def make(*overrides: str) -> RunConf:
        return check([*SHORT, f"runs_dir={tmp_path}", *overrides], conf_dir())

    return make


def weights(folder: Path, name: str = "last") -> dict[str, torch.Tensor]:
    return read_checkpoint(folder / f"checkpoints/{name}.ckpt")["state_dict"]


def stop_after(step: int, monkeypatch: pytest.MonkeyPatch, train: Callable[[], object]) -> None:
    """Train until Ctrl+C comes after a step."""
    save = Milestones.on_train_batch_end

    def stop(self: Milestones, trainer: Any, *rest: Any) -> None:
        save(self, trainer, *rest)
        if trainer.global_step == step:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Milestones, "on_train_batch_end", stop)
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            train()


def test_a_training_learns_reports_and_carries_its_template(
    chat: Callable[..., RunConf], tmp_path: Path
) -> None:
    conf = chat("trainer.max_steps=20", "optimizer.lr=0.01", "trainer.validate_every=10")
    score = program.execute(conf, tmp_path / "run")
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    assert score == summary["val/loss"] < summary["baselines"]["untrained"]["val/loss"] - 0.5
    assert summary["prompt"] == "Human: What is a context window?\nAssistant:"
    for place in (str(tmp_path / "run"), str(tmp_path / "run/model")):
        tokenizer = open_trained(place).tokenizer
        turns = [{"role": "user", "content": "Hi"}]
        text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        assert text == "Human: Hi\nAssistant:"


def test_evaluating_a_run_gives_its_own_loss(chat: Callable[..., RunConf], tmp_path: Path) -> None:
    score = program.execute(chat(), tmp_path / "run")
    conf = check(["task=evaluate", f"checkpoint={tmp_path / 'run'}"], conf_dir())
    assert program.execute(conf, tmp_path / "found") == pytest.approx(score, abs=1e-5)


def test_every_layout_trains_alike(chat: Callable[..., RunConf], tmp_path: Path) -> None:
    """Packing changes how a batch is computed, not what is learned."""
    scores = [
        program.execute(chat(f"data.layout={name}", "trainer.precision=64-true"), tmp_path / name)
        for name in ("packed", "padded", "masked")
    ]
    assert scores == pytest.approx([scores[0]] * 3, abs=1e-9)


@pytest.mark.parametrize("extra", [(), ("data.bucket=true", "trainer.accumulate=2")])
def test_a_resumed_training_ends_bit_equal(
    extra: tuple[str, ...],
    chat: Callable[..., RunConf],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    overrides = ("model.dropout=0.1", "trainer.checkpoint_every=1", *extra)
    program.execute(chat(*overrides), tmp_path / "whole")
    stop_after(4, monkeypatch, lambda: program.execute(chat(*overrides), tmp_path / "stopped"))
    assert not (tmp_path / "stopped/summary.json").exists()
    program.execute(check([f"resume={tmp_path / 'stopped'}"], conf_dir()), tmp_path / "stopped")
    whole, resumed = weights(tmp_path / "whole"), weights(tmp_path / "stopped")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_a_checkpoint_is_tuned_with_its_own_tokenizer(
    trained: Callable[..., Path], tmp_path: Path
) -> None:
    base = trained("model.max_positions=256", "tokenizer=bpe", "tokenizer.vocab_size=300")
    kept = ("data=", "trainer", "optimizer")
    short = [each for each in SHORT if each.startswith(kept)]
    conf = check([*short, f"checkpoint={base}", f"runs_dir={tmp_path}"], conf_dir())
    program.execute(conf, tmp_path / "tuned")
    before, after = open_trained(str(base)), open_trained(str(tmp_path / "tuned"))
    assert before.tokenizer.get_vocab() == after.tokenizer.get_vocab()
    assert before.model.config.max_position_embeddings == 256
    with pytest.raises(ConfigError, match=r"`model.dim` is fixed by `checkpoint`"):
        check([*short, f"checkpoint={base}", "model.dim=8"], conf_dir())


def test_text_beside_conversations_keeps_the_text_and_goes_on_bit_equal(
    trained: Callable[..., Path], text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = trained("model.max_positions=256", "tokenizer=bpe", "tokenizer.vocab_size=300")
    kept = ("data=", "trainer", "optimizer")
    short = [each for each in SHORT if each.startswith(kept)]
    common = (f"checkpoint={base}", f"runs_dir={tmp_path}", "trainer.checkpoint_every=1")
    place = ("data.block_size=225", f"data.cache_dir={tmp_path / 'cache'}")
    text = (*short, *common, *place, "data.text_rows=2", "trainer.max_steps=8")
    program.execute(check(text, conf_dir()), tmp_path / "whole")
    record = read_checkpoint(tmp_path / "whole/checkpoints/last.ckpt")["run"]["inputs"]
    assert "token ids of the running text" in record
    stop_after(4, monkeypatch, lambda: program.execute(check(text, conf_dir()), tmp_path / "half"))
    program.execute(check([f"resume={tmp_path / 'half'}"], conf_dir()), tmp_path / "half")
    whole, resumed = weights(tmp_path / "whole"), weights(tmp_path / "half")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    read = (f"data.path={text_file}", "task=evaluate", "data=text", place[1])
    program.execute(check([*text[:-1], "data.text_rows=0"], conf_dir()), tmp_path / "without")
    losses = [
        program.execute(
            check([*read, f"checkpoint={tmp_path / name}"], conf_dir()), tmp_path / f"{name}_loss"
        )
        for name in ("whole", "without")
    ]
    assert losses[0] < losses[1]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ((), "`checkpoint`=None is no run folder. Name the text: `data.text_path="),
        (("checkpoint=tuned",), "was trained on `data=chat`. Name the text"),
        (("data.text_path=absent.txt",), "absent.txt"),
    ],
)
def test_text_that_cannot_be_found_is_explained(
    overrides: tuple[str, ...],
    message: str,
    chat: Callable[..., RunConf],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    if "checkpoint=tuned" in overrides:
        program.execute(chat("trainer.max_steps=1", "trainer.validate_every=1"), Path("tuned"))
    kept = ("data=", "trainer", "optimizer")
    begun = "checkpoint=tuned" in overrides
    short = [each for each in SHORT if not begun or each.startswith(kept)]
    with pytest.raises(InfinitoError, match=re.escape(message)):
        program.execute(check([*short, *overrides, "data.text_rows=1"], conf_dir()), Path("run"))


def test_adapters_of_a_pretrained_model_are_tuned(gpt2_folder: Path, tmp_path: Path) -> None:
    short = [each for each in SHORT if each.startswith(("data=", "trainer", "optimizer"))]
    rows = [{"prompt": f"{n}?", "completion": f"line {n}"} for n in range(20)]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    place = (f"data.path={path}", "data.block_size=64", f"runs_dir={tmp_path}")
    model = ("model=pretrained", f"model.path={gpt2_folder}")
    program.execute(check([*short, *place, *model], conf_dir()), tmp_path / "run")
    assert all("lora" in name for name in weights(tmp_path / "run"))


def test_changed_conversations_do_not_go_on(chat: Callable[..., RunConf], tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = [{"prompt": f"{n}?", "completion": "yes"} for n in range(20)]
    path.write_text("\n".join(map(json.dumps, rows)))
    program.execute(chat(f"data.path={path}", SMALL), tmp_path / "run")
    path.write_text(path.read_text().replace("yes", "no"))
    with pytest.raises(Exception, match="token ids of the training conversations"):
        program.execute(check([f"resume={tmp_path / 'run'}"], conf_dir()), tmp_path / "run")


def test_bad_rows_are_named_or_dropped(chat: Callable[..., RunConf], tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows: list[Any] = [
        {"prompt": f"{n}?", "completion": "yes" * (1 + 999 * (n == 3))} for n in range(20)
    ]
    rows[5] = {"messages": [{"role": "user", "content": "Hi"}]}
    path.write_text("\n".join(map(json.dumps, rows)))
    paths = (f"data.path={path}", f"data.held_out_path={path}")
    with pytest.raises(DataError, match=r"row 3: has \d+ tokens.*\n.*row 5: has no turn of the"):
        program.execute(chat(*paths, SMALL), tmp_path / "run")
    shutil.rmtree(tmp_path / "run", ignore_errors=True)
    program.execute(chat(*paths, SMALL, "data.on_bad_row=drop"), tmp_path / "run")
    record = json.loads((tmp_path / "run/provenance.json").read_text())
    assert record["data"]["training"]["count"] == record["data"]["held_out"]["count"] == 18


def test_check_data_says_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = [{"prompt": f"{n % 10}?", "completion": "yes"} for n in range(20)]
    rows[4] = {"prompt": "Hi", "completion": "no " * 100}
    path.write_text("\n".join(map(json.dumps, rows)))
    place = (f"data.path={path}", f"runs_dir={tmp_path}", "tokenizer=char")
    conf = check(["task=check_data", "data=chat", *place], conf_dir())
    program.execute(conf, tmp_path / "found")
    report = json.loads((tmp_path / "found/data_report.json").read_text())
    sets = report["training"], report["held_out"]
    assert sum(each["duplicates"]["count"] for each in sets) == 9
    assert sum(each["bad_rows"]["by_kind"].get("too long", 0) for each in sets) == 1
    assert report["overlap"]["prompts"]["count"] == 0
    assert report["notes"] == ["`data.block_size=323` holds every row"]


def test_a_small_text_costs_only_the_findings_in_tokens(tmp_path: Path) -> None:
    conf = check(["task=check_data", "data=chat", f"runs_dir={tmp_path}"], conf_dir())
    program.execute(conf, tmp_path / "found")
    report = json.loads((tmp_path / "found/data_report.json").read_text())
    assert (report["training"]["conversations"], report["tokens"]) == (52, None)
    assert report["notes"][0].startswith("nothing was counted in tokens: `tokenizer.vocab_size`")


@pytest.mark.parametrize(
    ("overrides", "fault"),
    [
        (["objective=language_phi"], "`objective=language_phi` measures Φ of whole windows"),
        (["trainer=fsdp"], "`trainer.strategy`=fsdp is not for `data=chat`"),
        (["trainer.chunked_loss=true"], "`trainer.chunked_loss` is not read by `task=train`"),
        (["trainer.minutes=5"], "`trainer.minutes` is not read by `task=train`"),
        (["task=trial"], "`data=chat` is for `task=train` and `task=evaluate`"),
        (["data.held_out_path=x"], "`data.held_out_path` is set without `data.path`"),
        (["task=evaluate", "checkpoint=x", "split=test"], "has the splits train and valid"),
    ],
)
def test_what_cannot_be_is_refused_by_name(overrides: list[str], fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        check(["data=chat", *overrides], conf_dir())


@pytest.mark.slow
def test_two_processes_train_as_one(chat: Callable[..., RunConf], tmp_path: Path) -> None:
    """Each learned token of a global batch counts once, whichever process has it."""
    exact = ("trainer.precision=64-true", "trainer.accumulate=2")
    program.execute(chat("data.batch_size=8", *exact), tmp_path / "one")
    both = chat("data.batch_size=4", "trainer=ddp", "trainer.devices=2", *exact)
    assert Ranks(both, tmp_path / "two").join() == [0, 0]
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-9, atol=1e-10)
