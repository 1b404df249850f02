"""`task=lm_eval`: the harness's figures of a run, and what cannot be run."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from infinito import run as program
from infinito.cli.composition import check
from infinito.errors import ConfigError, InfinitoError, MissingExtraError
from infinito.extras import EXTRAS
from infinito.models.trained import Trained, open_trained
from infinito.pages.kinds.sections import format_number
from infinito.paths import conf_dir
from tests.conftest import TINY
from tests.pages.test_run_page import text_of

pytest.importorskip("lm_eval", reason="needs the extra eval")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

PIECES = ("tokenizer=bpe", "tokenizer.vocab_size=300")
"""A tokenizer that marks the end of a text."""

WINDOWS, BLOCK = 12, 16

PERPLEXITY = """
task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {file}}}}}
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{{{text}}}}"
metric_list:
  - metric: byte_perplexity
  - metric: bits_per_byte
"""

CHOICE = """
task: which_line
dataset_path: json
dataset_kwargs: {{data_files: {{test: {file}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: ["sheep", "zzzzz"]
doc_to_target: 0
metric_list:
  - metric: acc
"""


@pytest.fixture(autouse=True)
def cached_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the data sets that the harness converts out of the user's cache; reach no network."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "datasets")
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)


def write_task(folder: Path, text: str, name: str, rows: list[dict[str, str]]) -> Path:
    """Write a task file and its data; return the folder of task files."""
    tasks = folder / "tasks"
    tasks.mkdir(exist_ok=True)
    file = folder / f"{name}.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    (tasks / f"{name}.yaml").write_text(text.format(name=name, file=file))
    return tasks


def measure(run: Path, tasks: Path | None, names: str, *overrides: str, folder: Path) -> dict:
    place = () if tasks is None else (f"lm_eval.tasks_path={tasks}",)
    fixed = ("task=lm_eval", "trainer.accelerator=cpu", f"checkpoint={run}")
    given = [*fixed, *place, f"lm_eval.tasks=[{names}]", *overrides]
    program.execute(check(given, conf_dir()), folder)
    return json.loads((folder / "lm_eval.json").read_text())


def test_perplexity_of_a_local_text_equals_that_of_evaluate(
    text_file: Path, tmp_path: Path
) -> None:
    """The harness predicts a text from an end token on; so does `task=evaluate` behind a document.

    That document fills the first window with its end, which is measured alone and taken away; the
    text fills whole windows, as a remainder is left out.
    """
    whole = text_file.read_text()
    before, text = whole[:BLOCK], whole[BLOCK : (WINDOWS + 1) * BLOCK]
    tiny = [each for each in TINY if each != "data=text"]
    cache = f"data.cache_dir={tmp_path / 'cache'}"
    run, nats_of = tmp_path / "of_hub", {}
    for name, held_out in (("both", [before, text]), ("first", [before])):
        data = tmp_path / name
        data.mkdir()
        for split, rows in (("train", [whole]), ("validation", held_out)):
            lines = [json.dumps({"text": row}) for row in rows]
            (data / f"{split}.jsonl").write_text("\n".join(lines))
        hub = ("data=hub", f"data.path={data}", f"data.block_size={BLOCK}")
        if name == "both":
            program.execute(check([*tiny, *hub, cache, "data.test_fraction=0"], conf_dir()), run)
        given = ("task=evaluate", f"checkpoint={run}", "trainer.accelerator=cpu", cache)
        program.execute(check([*given, *hub[1:2]], conf_dir()), tmp_path / f"of_{name}")
        found = json.loads((tmp_path / f"of_{name}/evaluation.json").read_text())
        nats_of[name] = found["val/loss"] * found["tokens"]
    expected = math.exp((nats_of["both"] - nats_of["first"]) / (WINDOWS * BLOCK))

    tasks = write_task(tmp_path, PERPLEXITY, "own_text", [{"text": text}])
    found = measure(run, tasks, "own_text", folder=tmp_path / "found")
    nats = found["lm_eval/own_text/bits_per_byte"] * math.log(2) * len(text.encode())
    assert math.exp(nats / (WINDOWS * BLOCK)) == pytest.approx(expected, abs=1e-4)


def test_figures_reach_summary_metrics_and_tensorboard(
    finished: Callable[..., Path], tmp_path: Path
) -> None:
    run = finished(*PIECES)
    before = json.loads((run / "summary.json").read_text())
    rows = [{"question": f"line {n} has {n * n} "} for n in range(6)]
    tasks = write_task(tmp_path, CHOICE, "which_line", rows)
    found = measure(run, tasks, "which_line", "lm_eval.limit=4", folder=tmp_path / "out")
    name = "lm_eval/which_line/acc"
    assert found[name] in (0, 0.25, 0.5, 0.75, 1)
    assert found["documents"]["which_line"] == {"original": 6, "effective": 4}
    after = json.loads((run / "summary.json").read_text())
    assert after[name] == found[name]
    assert {key: value for key, value in after.items() if not key.startswith("lm_eval")} == before
    assert name in (tmp_path / "out/metrics.csv").read_text()
    events = EventAccumulator(str(tmp_path / "out")).Reload()
    assert events.Scalars(name)[0].value == pytest.approx(found[name])


def test_the_figures_have_a_page_and_the_run_links_to_it(
    finished: Callable[..., Path], tmp_path: Path
) -> None:
    run = finished(*PIECES)
    rows = [{"question": f"line {n} has {n * n} "} for n in range(6)]
    tasks = write_task(tmp_path, CHOICE, "which_line", rows)
    found = measure(run, tasks, "which_line", folder=run / "lm_eval")
    text = text_of(run / "lm_eval/report.html")
    assert "1 task of the evaluation harness: which_line." in text
    accuracy, error = (
        format_number(found[f"lm_eval/which_line/{each}"]) for each in ("acc", "acc_stderr")
    )
    assert f"which_line acc {accuracy} ± {error} 6 0" in text
    assert 'href="lm_eval/report.html"' in (run / "report.html").read_text(encoding="utf-8")


def perplexed(trained: Trained, text: str) -> float:
    """Return the bits per byte of a text that a model predicts from its end token on."""
    ids = torch.tensor([[trained.tokenizer.eos_token_id, *trained.tokenizer(text)["input_ids"]]])
    with torch.no_grad():
        logits = trained.model(input_ids=ids[:, :-1]).logits
    nats = torch.nn.functional.cross_entropy(logits[0], ids[0, 1:], reduction="sum")
    return float(nats) / math.log(2) / len(text.encode())


def test_adapters_are_measured_on_their_base(
    text_file: Path, gpt2_folder: Path, tmp_path: Path
) -> None:
    """A run that trains adapters has other figures than its base, and those of its own logits."""
    tiny = [each for each in TINY if not each.startswith(("model", "tokenizer", "attention"))]
    lora = ("model=pretrained", f"model.path={gpt2_folder}", "optimizer.lr=0.05")
    data = (f"data.path={text_file}", f"data.cache_dir={tmp_path / 'cache'}")
    program.execute(check([*tiny, *lora, *data], conf_dir()), tmp_path / "run")
    text = "line 1 has 1 sheep"
    tasks = write_task(tmp_path, PERPLEXITY, "texts", [{"text": text}])
    name, found = "lm_eval/texts/bits_per_byte", {}
    for each in (tmp_path / "run", gpt2_folder):
        figures = measure(each, tasks, "texts", folder=tmp_path / f"of_{each.name}")
        found[each] = figures[name]
        expected = perplexed(open_trained(str(each)), text)
        assert found[each] == pytest.approx(expected, abs=1e-5)
    adapted, base = found.values()
    assert adapted < base - 0.1


def test_figures_of_a_model_with_a_memory_are_those_of_its_logits(
    trained: Callable[..., Path], tmp_path: Path
) -> None:
    run = trained(*PIECES, "memory=integration", "model.memory.segment=8")
    texts = ["line 1 has 1 sheep"[:length] for length in (5, 9, 18)]
    tasks = write_task(tmp_path, PERPLEXITY, "texts", [{"text": each} for each in texts])
    found = measure(run, tasks, "texts", folder=tmp_path / "found")
    model = open_trained(str(run))
    bits = sum(perplexed(model, each) * len(each) for each in texts) / sum(map(len, texts))
    assert found["lm_eval/texts/bits_per_byte"] == pytest.approx(bits, abs=1e-5)


@pytest.mark.parametrize(
    ("overrides", "typed", "message"),
    [
        (
            ("memory=integration", "model.memory.segment=8"),
            "lm_eval.batch_size=4",
            r"`lm_eval.batch_size` is not read by `task=lm_eval`: the model has a memory, which "
            "reads one sequence at a time. Leave it out",
        ),
        ((), "model.memory.evaluation=frozen", "`model.memory.evaluation` is fixed by"),
    ],
)
def test_what_a_memory_decides_is_refused(
    overrides: tuple[str, ...], typed: str, message: str, finished: Callable[..., Path]
) -> None:
    run = finished(*PIECES, *overrides)
    with pytest.raises(ConfigError, match=message):
        check(["task=lm_eval", "lm_eval.tasks=[a]", f"checkpoint={run}", typed], conf_dir())


def test_padding_does_not_change_figures(trained: Callable[..., Path], tmp_path: Path) -> None:
    """Sequences of unlike lengths, together and alone."""
    run = trained(*PIECES)
    rows = [{"text": "line 1 has 1 sheep"[:length]} for length in (5, 9, 18)]
    tasks = write_task(tmp_path, PERPLEXITY, "texts", rows)
    one, many = (
        measure(run, tasks, "texts", f"lm_eval.batch_size={size}", folder=tmp_path / f"{size}")
        for size in (1, 8)
    )
    name = "lm_eval/texts/bits_per_byte"
    assert one[name] == pytest.approx(many[name], abs=1e-5)


@pytest.mark.parametrize(
    ("names", "files", "message"),
    [
        ("nothing_such", {}, "`lm_eval.tasks` names nothing_such, which the harness does not have"),
        ("hellaswg", {}, "Close to it: hellaswag"),
        ("mine", None, "tasks is no folder: expected a folder of task files"),
        ("mine", {"a.txt": "x"}, "tasks has no *.yaml file"),
        ("mine", {"a.yaml": "task: [1"}, "a.yaml is no task file: it is not YAML"),
        ("mine", {"a.yaml": "- 1"}, "a.yaml is no task file: expected a mapping"),
        (
            "mine",
            {"a.yaml": "task: mine\ndataset_path: nobody/nothing\noutput_type: multiple_choice\n"},
            "the data of `lm_eval.tasks`=[mine] lies on the hub, which does not give it",
        ),
        (
            "mine",
            {"a.yaml": "task: mine\ndataset_path: json\ndataset_kwargs: {data_files: a}\n"},
            "`lm_eval.tasks`=[mine] cannot be loaded: FileNotFoundError",
        ),
    ],
)
def test_what_cannot_be_run_is_explained(
    names: str,
    files: dict[str, str] | None,
    message: str,
    finished: Callable[..., Path],
    tmp_path: Path,
) -> None:
    tasks = None if files == {} else tmp_path / "tasks"
    if files:
        (tmp_path / "tasks").mkdir()
        for name, text in files.items():
            (tmp_path / "tasks" / name).write_text(text)
    with pytest.raises(InfinitoError, match=re.escape(message)):
        measure(finished(*PIECES), tasks, names, folder=tmp_path / "out")


def test_a_chat_template_is_needed_for_chat(finished: Callable[..., Path], tmp_path: Path) -> None:
    tasks = write_task(tmp_path, PERPLEXITY, "texts", [{"text": "a"}])
    with pytest.raises(InfinitoError, match="has no chat template"):
        measure(finished(*PIECES), tasks, "texts", "lm_eval.chat=true", folder=tmp_path / "out")


def test_a_tokenizer_without_ends_is_refused(finished: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(
        InfinitoError, match="neither a token for the beginning nor one for the end"
    ):
        measure(finished(), None, "hellaswag", folder=tmp_path / "out")


def test_no_task_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"`task=lm_eval` needs `lm_eval.tasks`"):
        check(["task=lm_eval", "checkpoint=x"], conf_dir())


def test_the_extra_is_named_where_it_is_missing(
    finished: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(EXTRAS, "eval", ("no_such_package",))
    with pytest.raises(MissingExtraError, match=r"pip install 'infinito\[eval\]'"):
        measure(finished(*PIECES), None, "hellaswag", folder=tmp_path / "out")
