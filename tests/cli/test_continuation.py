"""What a command may say when it builds on an older run, and what it takes from that run."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from infinito.cli.composition import check
from infinito.cli.continuation import resumable
from infinito.config import DistanceLMConf, RunConf
from infinito.errors import ConfigError, ResumeError
from infinito.paths import conf_dir
from infinito.run_folder.folder import record_config


@pytest.fixture
def run_folder(configured: Callable[..., RunConf], tmp_path: Path) -> Callable[..., Path]:
    """Make the folder of a run that was stopped, as far as a command looks into it."""

    def make(*overrides: str) -> Path:
        return record_run(tmp_path / "older", configured(*overrides), *overrides)

    return make


def record_run(folder: Path, conf: RunConf, *overrides: str) -> Path:
    record_config(folder, asdict(conf), overrides)
    (folder / "checkpoints").mkdir()
    for name in ("best", "last"):
        (folder / f"checkpoints/{name}.ckpt").touch()
    return folder


def parsed(*overrides: str) -> RunConf:
    return check(overrides, conf_dir())


def test_a_resume_takes_every_value_of_the_run(run_folder: Callable[..., Path]) -> None:
    folder = run_folder("seed=5", "model.dim=32")
    conf = parsed(f"resume={folder}")
    assert isinstance(conf.model, DistanceLMConf)
    assert (conf.seed, conf.model.dim) == (5, 32)


def test_a_resume_may_change_what_is_shown(run_folder: Callable[..., Path]) -> None:
    assert parsed(f"resume={run_folder()}", "trainer.log_every=7").trainer.log_every == 7


def test_last_is_the_newest_run_unless_a_name_is_typed(
    configured: Callable[..., RunConf], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("debug", "other"), 1):
        folder = Path(f"multirun/{name}/a")
        record_run(folder, configured(f"seed={seed}", f"name={name}"), f"seed={seed}")
        os.utime(folder / "checkpoints/last.ckpt", (seed, seed))
    assert parsed("resume=last").seed == 2
    assert parsed("resume=last", "name=debug").seed == 1
    with pytest.raises(ResumeError, match="no run under multirun/nobody has a checkpoint"):
        parsed("resume=last", "name=nobody")


def test_last_is_the_pipeline_whose_stage_is_newest(
    configured: Callable[..., RunConf], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pipeline = tmp_path / "multirun/chat/a"
    record_config(pipeline, {**asdict(configured()), "task": "pipeline"}, [])
    record_run(pipeline / "sft", configured())
    assert resumable("last", tmp_path / "multirun") == pipeline


@pytest.mark.parametrize("name", ["7", "nan"])
def test_a_folder_may_be_named_like_a_number(
    run_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    folder = run_folder("seed=5")
    folder.rename(folder.with_name(name))
    monkeypatch.chdir(folder.parent)
    assert parsed(f"resume={name}").seed == 5


def test_a_relative_path_of_the_same_file_is_no_difference(
    run_folder: Callable[..., Path], text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = run_folder()
    monkeypatch.chdir(text_file.parent)
    assert parsed(f"resume={folder}", f"data.path={text_file.name}").resume == str(folder)


@pytest.mark.parametrize(
    ("override", "difference"),
    [
        ("seed=6", "seed: the run has 0, the command asks for 6"),
        ("memory=integration", "model.memory.name: the run has none, the command asks for integr"),
        ("objective=language_phi", "objective.name: the run has language, the command asks"),
        ("optimizer.lr=0.5", "optimizer.lr: the run has"),
        ("attention=cosine", "attention.metric: the run has dot, the command asks for cosine"),
    ],
)
def test_a_resume_with_another_value_is_refused(
    run_folder: Callable[..., Path], override: str, difference: str
) -> None:
    with pytest.raises(ResumeError, match=difference):
        parsed(f"resume={run_folder()}", override)


@pytest.mark.parametrize("override", ["dpo.beta=2", "trainer.stop_bad=median", "rl.n_envs=3"])
def test_a_resume_refuses_what_the_run_never_read(
    run_folder: Callable[..., Path], override: str
) -> None:
    with pytest.raises(ConfigError, match="is not read by `task=train`: leave it out"):
        parsed(f"resume={run_folder()}", override)


def test_an_evaluation_takes_model_and_data_of_the_run(run_folder: Callable[..., Path]) -> None:
    folder = run_folder("model.dim=32", "data.valid_fraction=0.3")
    conf = parsed("task=evaluate", f"checkpoint={folder}", "split=test", "data.batch_size=2")
    assert isinstance(conf.model, DistanceLMConf)
    assert conf.model.dim == 32
    assert conf.data.valid_fraction == 0.3  # type: ignore[attr-defined]
    assert (conf.data.batch_size, conf.split) == (2, "test")


@pytest.mark.parametrize(
    ("task", "override", "fault"),
    [
        ("evaluate", "memory=integration", "`memory` is fixed by `checkpoint`"),
        ("evaluate", "model.memory.evaluation=frozen", "`model.memory.evaluation` is fixed by"),
        ("evaluate", "attention=cosine", "`attention` is fixed by"),
        ("evaluate", "tokenizer.vocab_size=400", "`tokenizer.vocab_size` is fixed by"),
        ("evaluate", "rl.episodes=3", "`rl.episodes` is not read by `task=evaluate`"),
        ("evaluate", "trainer=ddp", "`trainer` is not read by `task=evaluate`"),
        ("analyze", "trainer.precision=bf16-mixed", "`trainer.precision` is not read"),
        ("generate", "generation.agent_every=3", "`generation.agent_every` is not read"),
        ("generate", "split=test", "`split` is not read by `task=generate`"),
    ],
)
def test_what_a_reading_task_does_not_read_is_refused(
    run_folder: Callable[..., Path], task: str, override: str, fault: str
) -> None:
    with pytest.raises(ConfigError, match=fault):
        parsed(f"task={task}", f"checkpoint={run_folder()}", override)


@pytest.mark.parametrize("data", ["chat", "skills"])
@pytest.mark.parametrize(
    "words",
    [
        ("task=chat",),
        ("task=serve",),
        ("task=generate", "generation.prompt=a"),
        ("task=lm_eval", "lm_eval.tasks=[a]"),
        ("task=report",),
        ("task=analyze", "data=python_docs"),
    ],
)
def test_a_run_on_conversations_is_opened_by_every_task(
    data: str, words: tuple[str, ...], tmp_path: Path
) -> None:
    folder = record_run(tmp_path / "older", parsed(f"data={data}"))
    assert parsed(*words, f"checkpoint={folder}").checkpoint == str(folder)


def test_a_run_on_conversations_has_no_text_to_analyze(tmp_path: Path) -> None:
    folder = record_run(tmp_path / "older", parsed("data=chat"))
    with pytest.raises(ConfigError, match=r"not `task=analyze`: e\.g\. `data=python_docs`"):
        parsed("task=analyze", f"checkpoint={folder}")


def test_a_memory_of_the_run_may_be_evaluated_otherwise(run_folder: Callable[..., Path]) -> None:
    folder = run_folder("memory=integration", "model.memory.segment=8")
    conf = parsed("task=evaluate", f"checkpoint={folder}", "model.memory.evaluation=frozen")
    assert conf.model.memory.evaluation == "frozen"


@pytest.mark.parametrize(
    ("overrides", "fault"),
    [
        (["+experiment=dpo", "objective=language_phi"], "`objective` is not read by `task=dpo`"),
        (["+experiment=rl_quick", "objective=language_phi"], "not read by `task=rl_scheduler`"),
        (["+experiment=dpo", "dpo.reference_checkpoint=x"], r"is for `task=score_pairs`\)"),
        (["task=trial", "trainer.minutes=5"], "`trainer.minutes` is not read by `task=trial`"),
        (["trainer.stop_bad=median"], r"leave it out \(it is for `task=trial`\)"),
        (["task=trial", "trainer.sample_tokens=3"], "`trainer.sample_tokens` is not read by"),
        (["task=list", "model=pretrained"], "`model` is not read by `task=list`"),
        (["task=doctor", "seed=3"], "`seed` is not read by `task=doctor`"),
    ],
)
def test_a_key_of_another_task_is_refused(overrides: list[str], fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        parsed(*overrides)


def test_a_tuning_from_a_checkpoint_refuses_what_the_model_fixes(
    run_folder: Callable[..., Path],
) -> None:
    with pytest.raises(ConfigError) as raised:
        parsed("+experiment=dpo", f"checkpoint={run_folder()}", "model.dim=8", "dpo.warmup_steps=3")
    assert "`model.dim` is fixed by `checkpoint`" in str(raised.value)
    assert "`dpo.warmup_steps` is not read by `task=dpo` from a checkpoint" in str(raised.value)


def test_a_sweep_over_a_key_that_is_not_read_is_refused_before_it_starts() -> None:
    with pytest.raises(ConfigError, match=r"`generation.top_k` is not read by `task=trial`"):
        check(["task=trial", "generation.top_k=1,2"], conf_dir(), sweep=True)


@pytest.mark.parametrize("overrides", [["trainer.minutes=5", "seed=0,1"], ["trainer.minutes=5,10"]])
def test_a_sweep_of_runs_that_measure_their_length_is_refused(overrides: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"so that their lengths differ: use `trainer.max_steps`"):
        check(overrides, conf_dir(), sweep=True)


def test_minutes_take_the_place_of_a_length_that_nobody_typed() -> None:
    trainer = parsed("+experiment=debug", "trainer.minutes=5").trainer
    assert (trainer.minutes, trainer.epochs, trainer.max_steps) == (5, None, None)
    with pytest.raises(ConfigError, match=r"`trainer.epochs`=3 each say .*`trainer.epochs=null`"):
        parsed("trainer.minutes=5", "trainer.epochs=3")


def test_a_sweep_over_tasks_is_left_to_its_trials() -> None:
    check(["task=train,trial", "trainer.log_every=2"], conf_dir(), sweep=True)


def test_an_experiment_file_may_not_set_what_its_own_task_ignores(tmp_path: Path) -> None:
    file = tmp_path / "mine/experiment/x.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("# @package _global_\ntask: trial\ntrainer:\n  log_every: 3\n")
    with pytest.raises(ConfigError, match=r"`trainer.log_every` \(mine/experiment/x.yaml\) is not"):
        check(["+experiment=x"], conf_dir(), extra_dir=str(tmp_path / "mine"))


def test_every_experiment_that_ships_sets_only_what_its_task_reads() -> None:
    for file in sorted((conf_dir() / "experiment").glob("*.yaml")):
        needed = ["data.path=x"] if file.stem == "shakespeare_char" else []
        parsed(f"+experiment={file.stem}", *needed)
