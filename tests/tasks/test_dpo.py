"""The whole pipeline: it runs offline, repeats itself, resumes, exports, and can say no."""

from __future__ import annotations

import json
import math
import runpy
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch
from rich.console import Console
from transformers import AutoModelForCausalLM, AutoTokenizer, Qwen2Config, Qwen2ForCausalLM

from infinito import run as program
from infinito.cli.composition import check
from infinito.config import RunConf
from infinito.data.tokenizers.bpe import BpeTokenizer
from infinito.errors import ConfigError, DataError, NonFiniteError
from infinito.models.pretrained.lora import LoraSettings, add_lora
from infinito.models.trained import open_trained
from infinito.paths import conf_dir
from infinito.preferences.assembly import Policy
from infinito.preferences.dpo_module import DpoPolicyTask
from infinito.preferences.objective.weighted_losses import PreferenceObjective
from infinito.preferences.preparation import Prepared
from infinito.preferences.reference.policies import CopyReference
from infinito.preferences.report.document import TIMING, load_schema
from infinito.preferences.report.screen import print_outcome
from infinito.preferences.scoring.layout_probe import Layout
from infinito.preferences.scoring.layouts import arrange
from infinito.preferences.training import score_reference
from infinito.tasks import dpo
from tests.conftest import ROOT, readable, row_of
from tests.equal_metrics import figures_of
from tests.preferences.pair_models import make, random_pairs

SMALL = (
    "+experiment=dpo",
    "data.block_size=200",
    "dpo.warmup_steps=4",
    "dpo.answers=2",
    "generation.max_new_tokens=4",
    "trainer.epochs=2",
    "trainer.accelerator=cpu",
    "trainer.threads=1",
    "trainer.progress_bar=false",
)
NEW = ("model.dim=16", "model.layers=1", "attention.heads=2", "tokenizer.vocab_size=300")
Tune = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all runs of this module keep what their references say."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def small(cache: Path) -> Callable[..., RunConf]:
    """Makes the configuration of a small preference tuning; later overrides win."""

    def make(*overrides: str) -> RunConf:
        sizes = () if "model=pretrained" in overrides else NEW
        usual = readable([*SMALL, *sizes], row_of([*SMALL, *overrides]))
        return check([*usual, f"data.cache_dir={cache}", *overrides], conf_dir())

    return make


@pytest.fixture
def tune(small: Callable[..., RunConf], tmp_path: Path) -> Tune:
    """Runs a small preference tuning and returns its report."""

    def run(*overrides: str, folder: str = "run") -> dict[str, Any]:
        program.execute(small(*overrides), tmp_path / folder)
        return report_in(tmp_path / folder)

    return run


@pytest.fixture(scope="module")
def usual(small: Callable[..., RunConf], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run without further overrides, made where every connection is an error."""

    def refuse(*arguments: object, **_: object) -> None:
        raise AssertionError(f"the network was touched: {arguments}")

    folder = tmp_path_factory.mktemp("usual") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", refuse)
        patch.setattr(socket, "getaddrinfo", refuse)
        program.execute(small(), folder)
    return folder


def report_in(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "training_report.json").read_text())


def without_timing(report: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in report.items() if key != TIMING}


def test_from_pairs_to_report_without_a_network(usual: Path) -> None:
    report = report_in(usual)
    jsonschema.validate(report, load_schema())
    assert report["status"] in ("ok", "no_improvement")
    assert (report["samples"], report["held_out_samples"], report["epochs"]) == (8, 8, 2)
    assert report["steps"] == 4
    assert report["initial_loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert report["held_out"]["before"]["ties"] == 8
    assert len(report["answers"]) == 2
    assert set(report["held_out"]["by_category"]) == {
        "helpfulness",
        "accuracy",
        "reasoning",
        "safety",
    }
    run = usual
    assert {path.stem for path in (run / "plots").iterdir()} == {
        "loss",
        "margins",
        "accuracies",
        "log_probabilities",
    }
    text = (run / "training_report.md").read_text()
    assert text.startswith(f"# Preference tuning: {report['status']}")
    summary = json.loads((run / "summary.json").read_text())
    assert summary["held_out/margin"] == report["held_out"]["after"]["margin"]["mean"]
    card = (run / "model/README.md").read_text()
    assert card.startswith("---\nlibrary_name: transformers")
    assert f"**{report['status']}**" in card
    assert list(run.glob("events.out.tfevents.*"))


def test_brackets_of_a_prompt_are_printed_as_they_stand(
    usual: Path, small: Callable[..., RunConf], capsys: pytest.CaptureFixture[str]
) -> None:
    report = report_in(usual)
    report["answers"][0]["prompt"] = "What does [/b] close, and [red]?"
    print_outcome(Console(), usual, report, small())
    assert "What does [/b] close, and [red]?" in capsys.readouterr().out


def test_equal_seeds_make_equal_reports_and_other_seeds_others(usual: Path, tune: Tune) -> None:
    first, second = report_in(usual), tune(folder="b")
    assert without_timing(first) == without_timing(second)
    assert first[TIMING] != second[TIMING]
    other = tune("seed=1", folder="c")
    assert other["history"] != first["history"]


def test_runs_with_the_same_start_share_the_reference(usual: Path, tune: Tune) -> None:
    """Other β, loss, rate, length and folder: 16 pairs computed once, then none."""
    assert report_in(usual)[TIMING]["reference_pairs_computed"] == 16
    others = ("dpo.beta=0.5", "dpo.loss=ipo", "optimizer.lr=1e-5", "trainer.epochs=1")
    assert tune(*others)[TIMING]["reference_pairs_computed"] == 0


@pytest.mark.parametrize("reference", ["copy", "free"])
def test_references_that_are_not_precomputed(usual: Path, tune: Tune, reference: str) -> None:
    """A copy trains as the precomputed one does; without a reference the margins are others."""
    report, precomputed = tune(f"dpo.reference={reference}"), report_in(usual)
    same = report["held_out"]["after"]["margin"] == pytest.approx(
        precomputed["held_out"]["after"]["margin"], abs=1e-6
    )
    assert same == (reference == "copy")
    assert any("displacement/kl_chosen" in each for each in report["history"]) == (
        reference == "copy"
    )
    moved = report["held_out"]["displacement"]["chosen_change_nats"]
    change = [report["held_out"][when]["logp_chosen"] for when in ("before", "after")]
    assert moved == pytest.approx(change[1] - change[0], abs=1e-4)


def test_a_resumed_run_ends_as_an_undisturbed_one(
    usual: Path, small: Callable[..., RunConf], tmp_path: Path
) -> None:
    """Stopped after the third of four batches, in the middle of the second epoch."""
    stopped = small("trainer.checkpoint_every=3")

    class Stop(Exception):
        pass

    step = DpoPolicyTask.training_step

    def stopping(self: DpoPolicyTask, batch: Any, batch_idx: int) -> Any:
        if batch_idx == 3:
            raise Stop
        return step(self, batch, batch_idx)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DpoPolicyTask, "training_step", stopping)
        with pytest.raises(Stop):
            program.execute(stopped, tmp_path / "halves")
    resumed = check([f"resume={tmp_path / 'halves'}"], conf_dir())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "infinito.preferences.assembly.warm_up_on", None
        )  # start/ is what it starts from
        patch.setattr("infinito.preferences.assembly.build_tokenizer", None)  # start/ has it, too
        program.execute(resumed, tmp_path / "halves")
    again = json.loads((tmp_path / "halves/training_report.json").read_text())
    assert without_timing(again) == without_timing(report_in(usual))
    assert figures_of(tmp_path / "halves") == figures_of(usual)
    html = (usual / "report.html").read_text(encoding="utf-8")
    assert "Answers to held-out prompts" in html
    assert f"{again['status']}: the held-out margin changed by" in html


def test_the_exported_policy_is_the_tuned_one(usual: Path, tmp_path: Path) -> None:
    """What score_pairs says of the exported folder is what the report says."""
    report, run = report_in(usual), usual
    scored = check(
        [
            "task=score_pairs",
            "data=pairs",
            "data.block_size=200",
            f"checkpoint={run / 'model'}",
            f"dpo.reference_checkpoint={run / 'start'}",
            "trainer.accelerator=cpu",
        ],
        conf_dir(),
    )
    accuracy = program.execute(scored, tmp_path / "scores")
    found = json.loads((tmp_path / "scores/pair_scores.json").read_text())
    after = report["held_out"]["after"]
    assert accuracy == after["accuracy"]["share"]
    assert found["overall"]["margin"]["mean"] == pytest.approx(after["margin"]["mean"], abs=1e-6)
    assert len(found["pairs"]) == 8
    exported, opened = (open_trained(str(path)).model.state_dict() for path in (run / "model", run))
    assert all(torch.equal(value, opened[name]) for name, value in exported.items())
    assert len(json.loads((run / "provenance.json").read_text())["data"]["held_out"]) == 3


def test_a_run_that_fails_says_so_in_its_report(
    tune: Tune, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PreferenceObjective, "__call__", lambda _, pairs: pairs.chosen * math.nan)
    with pytest.raises(NonFiniteError, match="the loss is nan on the pairs of rows"):
        tune()
    report = json.loads((tmp_path / "run/training_report.json").read_text())
    jsonschema.validate(report, load_schema())
    assert report["status"] == "failed"
    assert "the loss is nan" in report["reason"]
    assert report["held_out"] is None
    assert (tmp_path / "run/batch_not_finite_rank0.json").is_file()
    assert not (tmp_path / "run/model").exists()


def test_a_run_that_fails_is_in_the_table_of_its_sweep(
    tune: Tune, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PreferenceObjective, "__call__", lambda _, pairs: pairs.chosen * math.nan)
    with pytest.raises(NonFiniteError, match="the loss is nan"):
        tune(folder="sweep/0")
    line = (tmp_path / "sweep/comparison.md").read_text().splitlines()[2]
    assert line.startswith("| 0 | 0 | sigmoid | 0.1 |")
    assert line.endswith("| – | – | – | failed |")


def test_a_point_is_a_whole_optimizer_step(tune: Tune) -> None:
    """Two batches of two pairs make a step: 8 pairs in 2 epochs are 4 steps and 4 points."""
    report = tune("trainer.accumulate=2", "data.batch_size=2", "trainer.log_every=1")
    assert report["steps"] == 4
    assert [each["step"] for each in report["history"] if "train/loss" in each] == [1, 2, 3, 4]


def test_nothing_learned_is_no_improvement(tune: Tune) -> None:
    report = tune("optimizer.lr=1e-12")
    assert report["status"] == "no_improvement"


def test_dropped_rows_are_counted(tune: Tune, tmp_path: Path) -> None:
    rows = [{"prompt": f"Say {n}", "chosen": f"one {n}", "rejected": f"two {n}"} for n in range(6)]
    bad: list[dict[str, Any]] = [{**rows[0], "chosen": None}, {"prompt": "x"}]
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, *bad]))
    overrides = (f"data.path={path}", "data.held_out_fraction=0.4", "tokenizer=char")
    with pytest.raises(DataError, match="row 6: has null as `chosen`"):
        tune(*overrides)
    report = tune(*overrides, "data.on_bad_row=drop", folder="dropped")
    assert report["data"]["dropped_training"] == {"missing field": 1, "null field": 1}
    assert report["samples"] + report["held_out_samples"] == 6


def written(path: Path, *rows: tuple[str, str, str]) -> Path:
    """Pairs of text as JSON lines."""
    names = ("prompt", "chosen", "rejected")
    path.write_text("".join(json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in rows))
    return path


def saved(folder: Path, name: str, **changes: Any) -> Path:
    """A toy model of `tests.preferences.pair_models` that reads bytes."""
    make(name, vocab_size=257, **changes).save_pretrained(folder)
    BpeTokenizer(257).build([], separates_documents=True).save_pretrained(folder)
    return folder


def test_held_out_pairs_that_are_not_unseen_are_noted(
    small: Callable[..., RunConf], tmp_path: Path
) -> None:
    path = written(tmp_path / "a.jsonl", ("a", "b", "c"), ("d", "e", "f"))
    leaking = (
        f"data.path={path}",
        f"data.held_out_path={path}",
        "dpo.warmup_steps=0",
        "tokenizer=char",
    )
    notes = Prepared(small(*leaking, "trainer.patience=2"), Console(quiet=True)).list_notes()
    assert notes[:2] == [
        f"2 of 2 held-out {what} are trained on too" for what in ("pairs", "prompts")
    ]
    assert len(notes) == 4
    assert "`trainer.patience` used" in notes[2]
    (note,) = Prepared(small("dpo.warmup_steps=0"), Console(quiet=True)).list_notes()
    assert note.startswith("the policy began with random weights")


def test_a_file_of_bad_rows_alone_says_what_is_wrong(tune: Tune, tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text('{"prompt": "x", "chosen": null, "rejected": "b"}\n' * 2)
    with pytest.raises(DataError, match=r"2 of 2 rows cannot be used .*\n.*null as `chosen`"):
        tune(f"data.path={path}")
    with pytest.raises(DataError, match=r"all rows were dropped \(2 null field\)"):
        tune(f"data.path={path}", "data.on_bad_row=drop", folder="dropped")


def test_what_gguf_cannot_hold_is_refused_before_training(
    small: Callable[..., RunConf], tmp_path: Path
) -> None:
    folder = saved(tmp_path / "neox", "gpt_neox")
    run = small("model=pretrained", f"model.path={folder}", "dpo.export=gguf", "data.chat=false")
    with pytest.raises(ConfigError, match=r"not for gpt_neox|need the gguf package"):
        Prepared(run, Console(quiet=True))


def test_held_out_pairs_are_probed_too(small: Callable[..., RunConf], tmp_path: Path) -> None:
    """Training pairs fit in a window of 8 tokens, held-out ones do not."""
    run = small(
        "model=pretrained",
        f"model.path={saved(tmp_path / 'mistral', 'mistral_windowed')}",
        "model.trainable=all",
        "data.chat=false",
        f"data.path={written(tmp_path / 'a.jsonl', ('a', 'b', 'c'))}",
        f"data.held_out_path={written(tmp_path / 'b.jsonl', ('abcde', 'fghijkl', 'mnopqrs'))}",
    )
    assert Prepared(run, Console(quiet=True)).layout.name == "concat"


def test_adapters_trained_before_belong_to_the_reference(small: Callable[..., RunConf]) -> None:
    """A copy and the precomputed table say what the policy says; its base says something else."""
    model = make("llama")
    add_lora(model, LoraSettings())
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter)
    pairs = random_pairs(3)
    found = {}
    for reference in ("copy", "precomputed", "adapter_off"):
        run = small(
            "model=pretrained", "model.path=x", "checkpoint=y", f"dpo.reference={reference}"
        )
        policy = Policy(model, None, "y", is_new=False)  # type: ignore[arg-type]
        layout = Layout("shared", "fused")
        found[reference] = score_reference(run, policy, layout, pairs, pairs).held_out
    asked = CopyReference(model)(arrange(pairs, "shared")).view(2, -1).T
    for reference in ("copy", "precomputed"):
        torch.testing.assert_close(found[reference], asked, rtol=0, atol=1e-5)
    assert (found["adapter_off"] - asked).abs().max() > 0.1


def test_a_sweep_is_compared_in_a_table(tune: Tune, tmp_path: Path) -> None:
    for number, beta in enumerate((0.1, 0.5)):
        tune(f"dpo.beta={beta}", folder=f"sweep/{number}")
    lines = (tmp_path / "sweep/comparison.md").read_text().splitlines()
    assert lines[0].startswith("| run | seed | loss | beta | learning_rate |")
    assert sorted(line.split("|")[4].strip() for line in lines[2:]) == ["0.1", "0.5"]


def test_a_dry_run_writes_nothing(
    small: Callable[..., RunConf], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dpo.run(small("dry_run=true"), tmp_path / "none", []) is None
    assert not (tmp_path / "none").exists()
    assert "8 of the pairs that ship with infinito" in capsys.readouterr().out.replace("\n", " ")


def test_a_trained_language_model_can_be_tuned(finished: Callable[..., Path], tune: Tune) -> None:
    base = finished()
    end = "data.end_token='.'"  # one text has no token between documents
    report = tune(f"checkpoint={base}", "data.block_size=300", end, folder="tuned")
    assert report["model"]["origin"] == str(base)
    assert report["initial_loss"] == pytest.approx(math.log(2), abs=1e-6)
    learned = finished("model.position=learned", folder="learned")
    with pytest.raises(ConfigError, match="longer than the 16 positions"):
        tune(f"checkpoint={learned}", end, folder="refused")


def test_adapters_alone_merged_and_as_gguf(tune: Tune, shared_data: Path, tmp_path: Path) -> None:
    """A pretrained Llama with LoRA: three exports that say the same as each other."""
    pytest.importorskip("gguf", reason="the gguf extra is not installed")
    report = tune(
        "model=pretrained",
        f"model.path={shared_data / 'stories260k/hf'}",
        "model.lora.rank=4",
        "optimizer.lr=1e-3",
        "dpo.reference=adapter_off",
        "dpo.export=[model,adapter,gguf]",
        "data.block_size=256",
    )
    assert report["model"]["trained_parameters"] < report["model"]["parameters"]
    run = tmp_path / "run"
    merged = AutoModelForCausalLM.from_pretrained(run / "model")
    adapted = AutoModelForCausalLM.from_pretrained(run / "adapter")
    read_back = AutoModelForCausalLM.from_pretrained(run, gguf_file="model.gguf")
    base = AutoModelForCausalLM.from_pretrained(shared_data / "stories260k/hf")
    ids = torch.randint(3, 512, (2, 20), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected, *others, original = (
            each.double().eval()(ids).logits.log_softmax(-1)
            for each in (merged, adapted, read_back, base)
        )
    for other in others:
        torch.testing.assert_close(other, expected, rtol=0, atol=1e-5)
    assert (original - expected).abs().max() > 1e-4


CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture
def tiny_qwen(tmp_path: Path) -> Path:
    """A Qwen2 of toy size with a tokenizer that has ChatML and its special tokens."""
    tokenizer = BpeTokenizer(280).build(
        ["What is a way to remember the list? Say it aloud."] * 40, separates_documents=True
    )
    tokenizer.add_special_tokens(
        {"eos_token": "<|im_end|>", "additional_special_tokens": ["<|im_start|>"]}
    )
    tokenizer.chat_template = CHATML
    torch.manual_seed(0)
    model = Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=300,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            eos_token_id=tokenizer.eos_token_id,
            tie_word_embeddings=True,
        )
    )
    model.save_pretrained(tmp_path / "qwen")
    tokenizer.save_pretrained(tmp_path / "qwen")
    return tmp_path / "qwen"


def test_the_qwen_preset_on_a_small_qwen(tiny_qwen: Path, tmp_path: Path) -> None:
    overrides = ["+experiment=dpo_qwen_05b", f"model.path={tiny_qwen}", "trainer.accelerator=cpu"]
    overrides += ["generation.max_new_tokens=3", "trainer.threads=1", "trainer.progress_bar=false"]
    cache = f"data.cache_dir={tmp_path / 'cache'}"
    program.execute(check([*overrides, cache], conf_dir()), tmp_path / "run")
    report = json.loads((tmp_path / "run/training_report.json").read_text())
    assert (report["model"]["name"], report["model"]["type"]) == ("qwen", "qwen2")
    assert report["model"]["trained_parameters"] == report["model"]["parameters"]
    assert (report["steps"], report["epochs"]) == (6, 3)
    assert report["initial_loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert report["answers"][0]["prompt"] == "How can I keep cut tulips fresh for a week?"
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "run/model")
    assert tokenizer.chat_template == CHATML


@pytest.mark.slow
def test_a_preference_that_can_be_learnt_is_learnt(tune: Tune, tmp_path: Path) -> None:
    """Colour words over others of equal length: 128 pairs to train on, 32 unseen prompts."""
    colours = runpy.run_path(str(ROOT / "experiments/dpo_learning/colours.py"))
    training, held_out = colours["write"](tmp_path / "pairs")
    report = tune(
        f"data.path={training}",
        f"data.held_out_path={held_out}",
        *("data.chat=false", "data.batch_size=16", "data.block_size=64", "tokenizer=char"),
        *("model.dim=128", "model.layers=2", "attention.heads=4"),
        *("dpo.warmup_steps=150", "dpo.answers=0", "trainer.epochs=12"),
    )
    after = report["held_out"]["after"]
    assert report["held_out"]["before"]["raw_accuracy"]["share"] < 0.7
    assert after["accuracy"]["share"] >= 0.95
    assert after["raw_accuracy"]["share"] >= 0.9
    assert report["status"] == "ok"
    assert report["held_out"]["baselines"]["longer_wins"]["share"] == 0.5
