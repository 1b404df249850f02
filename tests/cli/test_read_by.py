"""The table of what each task reads, held against what the tasks do read when they run."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from infinito import run as program
from infinito.cli.composition import check
from infinito.cli.read_by import ALL, READ_BY, TAKEN, keys
from infinito.cli.rules.scores import FIGURES, OPEN
from infinito.config import TASKS
from infinito.paths import conf_dir
from infinito.training.length import minutes
from tests.conftest import TINY, readable
from tests.recording import record_reads
from tests.rl.conftest import TINY_RL

ONLY_CHECKED = keys("trainer.devices", "trainer.strategy", "trainer.precision")
"""Read by every command that looks for its device, to refuse what the machine has not."""

BY_VARIANT = keys("data", "model", "tokenizer", "objective", "generation", "optimizer")
"""Keys that only some variants have: it is enough that one command of all reads them."""

FOLDER = keys("name", "runs_dir")
"""Read by Hydra, which names the folder by them."""

REPLACED = keys("generation.max_new_tokens")
"""Read of a copy, in which `trainer.sample_tokens` stands in its place."""

RECORDED = keys("dpo.warmup_steps", "dpo.warmup_lr", "rl.episodes", "rl.null_control")
"""Written down: into the report of a tuning, and for the evaluation of a schedule."""

WITH_A_ZIP = keys("rl.allow_pickle")
"""Read with `rl.policy_zip` only, which the tests of policy files do."""

WITH_A_HUB = keys("push_private")
"""Read with `push` only, which the tests of pushing do."""

WITH_A_PACKAGE = keys("logger") - keys("logger.name")
"""Read where the package of a dashboard is installed, which the tests of dashboards look for."""


class Records:
    """What was read, by the rows of the table."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.reads: dict[str, set[str]] = {}

    def run(self, row: str, *overrides: str) -> Path:
        """Run a command; return its folder."""
        reads = self.reads.setdefault(row, set())
        place = self.folder / f"{len(list(self.folder.iterdir()))}"
        program.execute(record_reads(check(overrides, conf_dir()), reads), place)
        return place


def write_task(folder: Path) -> Path:
    """Write a task of the evaluation harness; return the folder of its file."""
    data = folder / "texts.jsonl"
    data.write_text('{"text": "line"}')
    (folder / "harness").mkdir()
    (folder / "harness/texts.yaml").write_text(
        f"task: texts\ndataset_path: json\ndataset_kwargs: {{data_files: {{test: {data}}}}}\n"
        'test_split: test\noutput_type: loglikelihood_rolling\ndoc_to_text: ""\n'
        'doc_to_target: "{{text}}"\nmetric_list: [{metric: bits_per_byte}]\n'
    )
    return folder / "harness"


@pytest.fixture(scope="module")
def records(text_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Records:
    """Run every task, most of them in several variants."""
    root = tmp_path_factory.mktemp("read_by")
    (root / "runs").mkdir()
    found = Records(root / "runs")
    place = (f"runs_dir={root}", f"data.cache_dir={root / 'cache'}", "trainer.accelerator=cpu")
    cached = place[1]
    tiny = tuple(each for each in TINY if "accelerator" not in each)
    train = (*tiny, *place, f"data.path={text_file}")
    phi = ("objective=language_phi", "memory=integration", "model.memory.segment=8")
    run = found.run("train", *train, *phi)
    plain = found.run("train", *train, "trainer.patience=2", "optimizer.schedule=plateau")
    found.run("train", *train, "dry_run=true")
    with pytest.MonkeyPatch.context() as patch:  # however slow this machine is
        patch.setattr(minutes, "count_steps", lambda *_: 2)
        found.run("train", *train, "trainer.max_steps=null", "trainer.minutes=9")
    chat = ("data=chat", "model.dim=16", "attention=dot", "trainer.max_steps=2")
    quiet = ("trainer.progress_bar=false", "tokenizer.vocab_size=300", place[0], place[2])
    talks = found.run("train on conversations", *chat, *quiet, "optimizer.schedule=plateau")
    further = (*chat[:1], *chat[3:], *quiet[:1], *quiet[2:], f"checkpoint={talks}")
    found.run("train a checkpoint on conversations", *further, "trainer.patience=2")
    found.run("train a checkpoint on conversations", *further, "dry_run=true")
    found.run(
        "evaluate on conversations", "task=evaluate", "data=chat", f"checkpoint={talks}", place[2]
    )
    few = ("data=skills", "data.skills=[count]", "data.items=64", "data.held_out_items=4")
    text = ("data.text_rows=1", f"data.text_path={text_file}", cached)
    found.run("train on conversations", *chat[1:], *quiet, *few, *text)
    found.run("check_data of conversations", place[0], "task=check_data", "data=chat")
    trial = readable((*train, *phi, "trainer.patience=2", f"checkpoint={run}"), "trial")
    found.run("trial", *trial, "task=trial")
    reads = (f"checkpoint={plain}", *place)
    found.run("evaluate", *reads, "task=evaluate")
    found.run("evaluate", "task=evaluate", f"checkpoint={run}", *place)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("datasets.config.HF_DATASETS_CACHE", root / "datasets")
        bench = (f"lm_eval.tasks_path={write_task(root)}", "lm_eval.tasks=[texts]")
        pieces = ("tokenizer=bpe", "tokenizer.vocab_size=300")
        for kind in ((), phi):  # with a memory one text at a time is read
            ended = found.run("train", *train, *kind, *pieces)
            found.run("lm_eval", f"checkpoint={ended}", place[0], place[2], "task=lm_eval", *bench)
    found.run("analyze", *reads, "task=analyze")
    found.run("calibrate_phi", *reads, "task=calibrate_phi")
    found.run("calibrate_phi", *reads, "task=calibrate_phi", "objective=language_phi")
    write = (f"checkpoint={run}", place[0], place[2], "generation.max_new_tokens=3")
    found.run("generate", *write, "task=generate", "generation.prompt=line")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"line\n")))
        found.run("chat", *write, "task=chat", 'chat.template="{{ messages[0].content }}"')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("uvicorn.Server.run", lambda *_: None)  # a server that is stopped at once
        found.run("serve", *write, "task=serve", "chat.template=plain", "serve.port=0")
    pairs = (*place, "trainer.threads=1")
    quick = ("+experiment=dpo", "trainer.epochs=1", "dpo.warmup_steps=2", "dpo.answers=1")
    tuned = found.run("dpo", *pairs, *quick, "trainer.progress_bar=false")
    found.run("dpo from a checkpoint", *pairs, *quick[:2], f"checkpoint={tuned}")
    found.run("check_data", place[0], "task=check_data", "data=pairs", "tokenizer=char")
    score = (place[0], place[2], "task=score_pairs", "data=pairs", f"checkpoint={tuned}")
    found.run("score_pairs", *score)
    schedule = found.run("rl_scheduler", *readable((*train, *TINY_RL), "rl_scheduler"))
    opened = (place[0], cached, f"checkpoint={schedule}")
    found.run("evaluate a schedule", *opened, "task=evaluate", "rl.episodes=4")
    found.run("report on a schedule", *opened, "task=report")
    found.run("report", place[0], "task=report", f"checkpoint={plain}")
    found.run(
        "generate with an agent",
        *write,
        "task=generate",
        f"agent={schedule}",
        "generation.prompt=l",
    )
    found.run("compare", place[0], "task=compare", f"runs=[{run},{plain}]")
    found.run("doctor", place[0], cached, "task=doctor")
    found.run("list", place[0], "task=list")
    return found


def test_every_task_has_a_row() -> None:
    assert {row.split()[0] for row in READ_BY} == set(TASKS)


@pytest.mark.parametrize(
    "row", sorted(set(READ_BY) - {"reproducibility", "pipeline", "search_report", "export_sweep"})
)
def test_a_task_reads_what_the_table_says_and_no_more(records: Records, row: str) -> None:
    if row in ("dpo with adapters on a checkpoint", "train adapters on conversations"):
        pytest.skip("covered by the runs of pretrained models")
    read = records.reads[row] & ALL
    taken = keys(*TAKEN[row]) if row in TAKEN else frozenset()
    selectors = {key for key in read if key.endswith(".name")}
    assert read - READ_BY[row] - taken - ONLY_CHECKED - RECORDED - selectors - REPLACED == set(), (
        "read, not in the table"
    )
    unread = READ_BY[row] - read - FOLDER - BY_VARIANT - ONLY_CHECKED - WITH_A_ZIP - RECORDED
    unread -= WITH_A_PACKAGE | WITH_A_HUB
    assert unread == set(), "in the table, but the task does not read it"


@pytest.mark.parametrize("row", sorted(READ_BY))
def test_every_key_that_a_task_does_not_read_is_refused(row: str) -> None:
    from infinito.cli.rules.unread import unread_faults

    values = {"checkpoint": None}
    for key in sorted(ALL - READ_BY[row]):
        (fault,) = unread_faults(row, [key], values, None)
        assert key in fault
        assert "is not read by" in fault or "is fixed by" in fault
    assert unread_faults(row, sorted(READ_BY[row]), values, None) == []


def test_every_number_of_a_summary_can_be_the_score(records: Records) -> None:
    """`cli/rules/scores.py` lists them by hand, since a score is checked before anything runs."""
    tasks = set()
    for path in sorted(records.folder.glob("*/summary.json")):
        task = OmegaConf.load(path.with_name("config.yaml")).task
        summary = json.loads(path.read_text(encoding="utf-8"))
        numbers = {
            name
            for name, value in summary.items()
            if isinstance(value, int | float) and not isinstance(value, bool)
            if not name.startswith("lm_eval/")  # added later, by a task without a score
        }
        named = {name for name in numbers if not name.startswith(OPEN.get(task, "\n"))}
        assert named <= set(FIGURES[task]), task
        tasks.add(task)
    assert tasks == set(FIGURES)
