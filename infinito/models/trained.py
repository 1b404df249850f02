"""Opens a trained language model from whatever `checkpoint=` names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)
from transformers.initialization import no_init_weights
from transformers.utils.logging import disable_progress_bar

from infinito.errors import CheckpointError
from infinito.hub import model_folder, names_a_folder
from infinito.models.checkpoint_file import read_checkpoint
from infinito.models.memory.model import MemoryLMForCausalLM
from infinito.models.pretrained.base_weights import (
    additions,
    base_record,
    check_same_base,
    rests_on_base,
)
from infinito.models.pretrained.foreign_code import check_config
from infinito.models.pretrained.lora import inside_memory
from infinito.models.pretrained.opening import (
    check_finite,
    first_line,
    open_base,
    open_weights,
    rebuild,
    use_saved_attention,
)
from infinito.run_folder.pins import KEY as RECORD
from infinito.run_folder.pins import Input

MODEL_PREFIX = "model."

disable_progress_bar()  # a bar for each file of a small model is noise


@dataclass(frozen=True)
class Trained:
    """A language model in evaluation mode with its tokenizer."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast
    source: Path
    """The file or folder the weights came from."""
    step: int | None = None
    """Optimizer steps of its training, where recorded."""
    record: dict[str, Any] | None = None
    """What the run that trained it was begun with (see `run_folder.pins`), where recorded."""

    def to(self, device: torch.device) -> Trained:
        """Move the model to a device and return self."""
        self.model.to(device)  # type: ignore[arg-type]
        return self


def open_trained(checkpoint: str) -> Trained:
    """Return the model in a run folder, a checkpoint file or a Hugging Face folder.

    Args:
        checkpoint: A run folder stands for its `checkpoints/best.ckpt`; that of a preference
            tuning for `last.ckpt`, which its report describes; that of `task=calibrate_phi` for
            `calibrated.ckpt`.

    Raises:
        CheckpointError: it is missing, damaged, of another class, its sizes do not fit, or weights
            are NaN or infinite.
    """
    trained = _open(checkpoint)
    check_finite(trained.model, trained.source)
    return trained


def _open(checkpoint: str) -> Trained:
    path = Path(checkpoint)
    if "://" in checkpoint or path.suffix == ".ckpt":
        return _from_file(checkpoint)
    if (path / "config.json").is_file():
        return _from_hugging_face(path)
    reports_last = (path / "training_report.json").is_file()
    for name in (*(("last", "best") if reports_last else ("best", "last")), "calibrated"):
        if (path / "checkpoints" / f"{name}.ckpt").is_file():
            return _from_file(path / "checkpoints" / f"{name}.ckpt")
    raise CheckpointError(
        f"`checkpoint`={checkpoint} holds no model: expected a run folder with "
        "checkpoints/best.ckpt, a .ckpt file, or a Hugging Face folder with config.json"
    )


def describe_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """Return the plain values by which a checkpoint opens without its run folder."""
    model.config.architectures = [type(model).__name__]  # transformers sets both when it saves,
    model.config.dtype = str(model.dtype).removeprefix("torch.")  # which not every run does
    template = tokenizer.chat_template
    return {
        "model_config": model.config.to_json_string(use_diff=False),
        "tokenizer": tokenizer.backend_tokenizer.to_str(),
        "special_tokens": {key: str(value) for key, value in tokenizer.special_tokens_map.items()},
        **({} if template is None else {"chat_template": template}),
    }


def start_weights(model: PreTrainedModel, trained: Trained) -> None:
    """Load trained weights into a model that training goes on with.

    A model that was trained without a memory gets a new one. A trained memory keeps its slots, and
    its noise starts again at its full level.

    Raises:
        CheckpointError: sizes differ, or adapters belong to another base model.
    """
    if rests_on_base(trained.model):
        check_same_base(model, trained.model.config.base_model)
    elif rests_on_base(model):
        raise CheckpointError(
            f"{trained.source} holds whole weights of a {type(trained.model).__name__}, and this "
            "run trains adapters. Start from them with `model.path=<its Hugging Face folder>` "
            "instead of `checkpoint`"
        )
    weights = additions(trained.model, trained.model.state_dict())
    had_memory = isinstance(trained.model, MemoryLMForCausalLM)
    load_weights(model if had_memory else inside_memory(model), weights, trained.source)
    if isinstance(model, MemoryLMForCausalLM):
        model.memory.steps.zero_()
    if calibration := getattr(trained.model.config, "phi_calibration", None):
        model.config.phi_calibration = calibration


def check_fits(model: PreTrainedModel, checkpoint: dict[str, Any]) -> None:
    """Check that a checkpoint of additions alone belongs to this model's base.

    Raises:
        CheckpointError: it belongs to another base model, or its adapters are others.
    """
    if not rests_on_base(model):
        return
    values = json.loads(checkpoint["infinito"].get("model_config", "{}"))
    check_same_base(model, base_record(values))
    expected = additions(model, model.state_dict())
    if expected.keys() != extract_weights(checkpoint).keys():
        raise CheckpointError(
            f"the checkpoint's adapters {values.get('lora')} are not those of this run, "
            f"{getattr(model.config, 'lora', None)}"
        )


def load_weights(model: PreTrainedModel, weights: dict[str, torch.Tensor], source: Path) -> None:
    """Load into a model every weight that it has beyond a frozen base, and no other.

    Raises:
        CheckpointError: names are missing or unknown, or shapes differ; each is listed.
    """
    own = model.state_dict()
    tied = set(getattr(model, "all_tied_weights_keys", None) or {})
    expected = additions(model, own).keys() - tied
    faults = [f"{name}: this model lacks it" for name in weights if name not in own]
    faults += [f"{name}: missing" for name in own if name in expected and name not in weights]
    faults += [
        f"{name}: {tuple(value.shape)} there, {tuple(own[name].shape)} here"
        for name, value in weights.items()
        if name in own and value.shape != own[name].shape
    ]
    if faults:
        listed = "\n".join(f"  {fault}" for fault in faults[:8])
        more = f"\n  … and {len(faults) - 8} more" if len(faults) > 8 else ""
        raise CheckpointError(
            f"{source} does not fit the configured model:\n{listed}{more}\n"
            "Set `model.*`, `attention.*` and `tokenizer.*` as its run had them "
            "(they stand in its config.yaml)."
        )
    model.load_state_dict(weights, strict=False)
    model.tie_weights()


def extract_weights(checkpoint: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Return the language model's weights in a checkpoint, by the model's own names."""
    return {
        name.removeprefix(MODEL_PREFIX): value
        for name, value in checkpoint["state_dict"].items()
        if name.startswith(MODEL_PREFIX)
    }


def base_inputs(model: PreTrainedModel) -> Iterator[Input]:
    """Yield the base whose weights the checkpoints of a run leave out, where it has one."""
    if not rests_on_base(model):
        return
    base = model.config.base_model
    place = base["path"]
    if "revision" in base:
        place += f", revision {base['revision']}"
    yield Input("base weights", place, base["weights_sha256"])


def own_tokenizer(checkpoint: dict[str, Any] | None) -> PreTrainedTokenizerFast | None:
    """Return the tokenizer of the run that a checkpoint belongs to; None for no checkpoint."""
    return None if checkpoint is None else rebuild_tokenizer(checkpoint["infinito"])


def rebuild_tokenizer(description: dict[str, Any]) -> PreTrainedTokenizerFast:
    """Return the tokenizer that a checkpoint describes."""
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(description["tokenizer"]),
        clean_up_tokenization_spaces=False,
        chat_template=description.get("chat_template"),
        **description["special_tokens"],
    )


def _from_file(path: str | Path) -> Trained:
    checkpoint = read_checkpoint(path, mapped=True)
    description = checkpoint["infinito"]
    if "model_config" not in description:
        raise CheckpointError(f"{path} is a checkpoint of infinito, but of no language model")
    values = json.loads(description["model_config"])
    check_config(values, path)
    model = _on_its_base(values) if base_record(values) else _whole(values)
    load_weights(model, extract_weights(checkpoint), Path(path))
    return Trained(
        model.eval(),
        rebuild_tokenizer(description),
        Path(path),
        int(checkpoint["global_step"]),
        checkpoint.get(RECORD),
    )


def _on_its_base(values: dict[str, Any]) -> PreTrainedModel:
    """Return the model that a checkpoint of additions alone describes, on its base."""
    base = base_record(values)
    assert base is not None
    name = None if names_a_folder(base["path"]) else base["path"]
    revision = base.get("revision")
    model = open_base(model_folder(base["path"], revision), base["dtype"], name, revision)
    return rebuild(model, values)


def _whole(values: dict[str, Any]) -> PreTrainedModel:
    """Return the model that a checkpoint of all weights describes; they are yet to be loaded."""
    try:
        config = AutoConfig.for_model(values.pop("model_type", ""), **values)
        with no_init_weights():
            model: PreTrainedModel = AutoModelForCausalLM.from_config(
                config, trust_remote_code=False
            )
    except (KeyError, TypeError, ValueError) as error:  # each class has its own ways to refuse
        raise CheckpointError(
            f"its config describes no causal LM: {first_line(error)[:200]}"
        ) from None
    model.tie_weights()
    use_saved_attention(model)
    return model


def _from_hugging_face(folder: Path) -> Trained:
    model = open_weights(folder)
    return Trained(model.eval(), open_tokenizer(folder), folder)


def open_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """Return the tokenizer of a Hugging Face folder.

    Raises:
        CheckpointError: it is missing, damaged or a slow one.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # tokenizers raises bare Exception for a damaged file
        raise CheckpointError(
            f"{folder} cannot be opened as a Hugging Face causal LM with its tokenizer: "
            f"{first_line(error)}"
        ) from None
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise CheckpointError(f"{folder} has a slow tokenizer: save a tokenizer.json beside it")
    return tokenizer
