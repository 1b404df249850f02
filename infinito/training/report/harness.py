"""Runs tasks of EleutherAI's lm-evaluation-harness on a model that is already open.

Imports the extra `eval`: import this module after `require_extra("eval")`.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from lm_eval import simple_evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from infinito.config import LmEvalConf
from infinito.errors import CheckpointError, ConfigError, DataError
from infinito.models.generation import find_window
from infinito.models.memory.model import MemoryLMForCausalLM
from infinito.models.trained import Trained
from infinito.wording import escape_controls
from infinito.yaml_limits import refuse_large_yaml

REPEATS = 1000
"""Bootstrap samples of standard errors that have no formula."""

CLOSEST = 5
"""Names that an unknown task is answered with at most."""


class Tasks(TaskManager):  # type: ignore[misc]
    """The harness's tasks and those of a folder; what cannot be loaded is a typed error."""

    def load(self, task_list: Any) -> Any:
        """Return tasks with their documents.

        Raises:
            DataError: a task file or its data set cannot be read.
        """
        try:
            return super().load(task_list)
        except Exception as error:  # whatever a task's file, its code or a library raises
            names = ", ".join(task_list)
            raise DataError(explain_loading(names, error)) from error


def explain_loading(names: str, error: BaseException) -> str:
    """Return what kept tasks from being loaded, and what mends it."""
    cause = escape_controls((str(error).strip() or type(error).__name__).splitlines()[0])
    kinds = {kind.__name__ for kind in type(error).__mro__}
    of_hub = {"ConnectionError", "OfflineModeIsEnabled", "HfHubHTTPError", "DatasetNotFoundError"}
    if kinds & {*of_hub, "LocalEntryNotFoundError"}:
        return (
            f"the data of `lm_eval.tasks`=[{names}] lies on the hub, which does not give it: "
            f"{cause}. Connect once to fetch it, or name local files in a task of your own "
            "(`dataset_path: json` with `dataset_kwargs: {data_files: …}`, "
            "`lm_eval.tasks_path=<folder>`)"
        )
    return f"`lm_eval.tasks`=[{names}] cannot be loaded: {type(error).__name__}: {cause}"


def open_tasks(conf: LmEvalConf) -> Tasks:
    """Return all tasks that can be named.

    Raises:
        ConfigError: the folder is missing, or there is no task of a name.
        DataError: a file in the folder is no YAML mapping.
    """
    folder = None if conf.tasks_path is None else Path(conf.tasks_path)
    if folder is not None:
        check_files(folder)
    found = Tasks(include_path=folder)
    unknown = [name for name in conf.tasks if name not in found.all_tasks]
    if unknown:
        close = difflib.get_close_matches(unknown[0], found.all_tasks, CLOSEST)
        hint = f" Close to it: {', '.join(close)}." if close else ""
        raise ConfigError(
            f"`lm_eval.tasks` names {', '.join(unknown)}, which the harness does not have.{hint} "
            "Tasks of your own come by `lm_eval.tasks_path=<folder of YAML files>`"
        )
    return found


def check_files(folder: Path) -> None:
    """Check that a folder has task files, each a YAML mapping: the harness passes over others.

    Raises:
        ConfigError: it is missing, or has none.
        DataError: a file is no YAML mapping.
    """
    paths = sorted(folder.rglob("*.yaml")) if folder.is_dir() else []
    if not paths:
        what = "has no *.yaml file" if folder.is_dir() else "is no folder"
        raise ConfigError(f"`lm_eval.tasks_path`={folder} {what}: expected a folder of task files")
    for path in paths:
        refuse_large_yaml(path)
        try:
            node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            cause = " ".join(str(error).split())
            raise DataError(f"{path} is no task file: it is not YAML ({cause})") from None
        if not isinstance(node, yaml.MappingNode):
            raise DataError(
                f"{path} is no task file: expected a mapping with `task`, `dataset_path`, "
                "`output_type` and `metric_list`"
            )


def run_tasks(
    conf: LmEvalConf, trained: Trained, seed: int, autocast: torch.dtype | None = None
) -> dict[str, Any]:
    """Return the harness's own report on a model, without documents.

    Args:
        conf: What to run.
        trained: The model, on its device.
        seed: Draws the examples of few-shot tasks.
        autocast: Lower precision to compute in, None for the model's own.

    Raises:
        CheckpointError: the tokenizer marks no end of text, or has no chat template.
        ConfigError: see `open_tasks`.
        DataError: see `open_tasks` and `Tasks.load`.
    """
    model, tokenizer = trained.model, trained.tokenizer
    if tokenizer.eos_token_id is None and tokenizer.bos_token_id is None:
        raise CheckpointError(
            f"{trained.source}: its tokenizer has neither a token for the beginning nor one for "
            "the end of a text, after which the harness predicts a text's first token"
        )
    if conf.chat and tokenizer.chat_template is None:
        raise CheckpointError(
            f"`lm_eval.chat`=true, and {trained.source} has no chat template: use "
            "`lm_eval.chat=false`, or a run of `+experiment=sft`"
        )
    tasks = open_tasks(conf)
    logging.getLogger("lm_eval").setLevel(logging.ERROR)  # it warns of an open model, and of seeds
    model.eval()
    harnessed = HFLM(
        pretrained=model,
        tokenizer=tokenizer,
        max_length=find_window(model),
        batch_size=1 if isinstance(model, MemoryLMForCausalLM) else conf.batch_size,
        mixed_precision_dtype=autocast,
    )
    found: dict[str, Any] = simple_evaluate(
        model=harnessed,
        tasks=list(conf.tasks),
        num_fewshot=conf.shots,
        limit=conf.limit,
        apply_chat_template=conf.chat,
        task_manager=tasks,
        bootstrap_iters=REPEATS,
        log_samples=False,
        **dict.fromkeys(
            ("random_seed", "numpy_random_seed", "torch_random_seed", "fewshot_random_seed"), seed
        ),
    )
    return found


def list_figures(results: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Return the figures of all tasks and groups by full names.

    The harness's "acc,none" of the task t is "lm_eval/t/acc" here, "acc,get-answer" is
    "lm_eval/t/acc@get-answer".
    """
    figures = {}
    for task, values in results.items():
        for key, value in values.items():
            metric, _, filtered = key.partition(",")
            if isinstance(value, int | float) and filtered:
                suffix = "" if filtered == "none" else f"@{filtered}"
                figures[f"lm_eval/{task}/{metric}{suffix}"] = float(value)
    return figures
