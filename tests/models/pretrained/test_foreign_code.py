"""No file makes transformers run code: not a folder's, not a checkpoint's, not a kernel's."""

from __future__ import annotations

import ast
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import infinito
from infinito.errors import CheckpointError, InfinitoError
from infinito.models.checkpoint_file import read_checkpoint, write_checkpoint
from infinito.models.pretrained.foreign_code import check_config
from infinito.models.trained import open_trained

PACKAGE = Path(infinito.__file__).parent
OPENERS = {"from_pretrained", "from_config"}


def calls(path: Path) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", None) in OPENERS:
            yield node


def test_every_opening_refuses_remote_code() -> None:
    """Each call of `from_pretrained` and `from_config` says `trust_remote_code=False`."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        for call in calls(path):
            flags = {each.arg: ast.unparse(each.value) for each in call.keywords}
            place = f"{path.relative_to(PACKAGE)}:{ast.unparse(call.func)}"
            if place.endswith(":GenerationConfig.from_pretrained"):
                continue  # reads values and has no such argument
            found[place] = flags.get("trust_remote_code")
    assert set(found.values()) == {"False"}, found
    assert {place.partition(":")[0] for place in found} == {
        "data/tokenizers/pretrained.py",
        "models/memory/model.py",
        "models/pretrained/opening.py",
        "models/trained.py",
    }


def with_code(source: Path, folder: Path, **config: Any) -> Path:
    """Return a copy of a model folder whose code, if it were run, would leave a file behind."""
    shutil.copytree(source, folder)
    code = f"open({str(folder / 'ran')!r}, 'w').write('it ran')\n"
    for name in ("modeling_x.py", "configuration_x.py", "tokenization_x.py"):
        (folder / name).write_text(code)
    (folder / "custom_generate").mkdir()
    (folder / "custom_generate/generate.py").write_text(code)
    for name, more in (
        ("config.json", config),
        ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["tokenization_x.T", None]}}),
    ):
        values = json.loads((folder / name).read_text())
        if name == "tokenizer_config.json":
            values["tokenizer_class"] = "T"
        (folder / name).write_text(json.dumps({**values, **more}))
    return folder


AUTO_MAP = {"AutoConfig": "configuration_x.C", "AutoModelForCausalLM": "modeling_x.M"}


@pytest.mark.parametrize("model_type", ["gpt2", "unheard_of"])
def test_yes_on_standard_input_runs_no_code(
    gpt2_folder: Path,
    tmp_path: Path,
    command: Callable[..., Any],
    model_type: str,
) -> None:
    folder = with_code(gpt2_folder, tmp_path / "model", model_type=model_type, auto_map=AUTO_MAP)
    settings = ("generation.max_new_tokens=4", f"checkpoint={folder}")
    done = command("task=generate", *settings, stdin="y\ny\ny\n")
    assert not (folder / "ran").exists()
    assert "trust_remote_code" not in done.stdout
    if model_type == "unheard_of":
        assert done.returncode == 1
        assert "cannot be opened as a Hugging Face causal LM" in done.stderr


def test_a_config_stored_in_a_checkpoint_runs_no_code(
    finished: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    checkpoint = read_checkpoint(finished() / "checkpoints/best.ckpt")
    values = json.loads(checkpoint["infinito"]["model_config"])
    (tmp_path / "modeling_x.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').write('x')\n")
    values |= {"auto_map": AUTO_MAP, "_name_or_path": str(tmp_path)}
    checkpoint["infinito"]["model_config"] = json.dumps(values)
    write_checkpoint(checkpoint, tmp_path / "hostile.ckpt")
    open_trained(str(tmp_path / "hostile.ckpt"))  # the architecture is known: its own class opens
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "config",
    [
        {"attn_implementation": "someone/kernel"},
        {"_attn_implementation": "someone/kernel@v1:attend"},
        {"attn_implementation": "flash_attention_2"},
        {"text_config": {"_attn_implementation_internal": "someone/kernel"}},
        {"attn_implementation": {"": "sdpa", "vision": "someone/kernel"}},
        {"causal_lm": {"layers": [{"_experts_implementation": "paged|someone/kernel"}]}},
    ],
)
def test_a_kernel_of_the_hub_is_refused(config: dict[str, Any], gpt2_folder: Path) -> None:
    with pytest.raises(CheckpointError, match=r"which transformers could download and run\. Remo"):
        check_config({"model_type": "gpt2", **config}, gpt2_folder)


def test_known_attention_is_not() -> None:
    for name in ("eager", "sdpa", "flex_attention", "infinito_l1", None):
        check_config({"attn_implementation": name, "names": ["someone/kernel"]}, "config.json")


def test_folders_and_checkpoints_are_both_checked(
    gpt2_folder: Path, finished: Callable[..., Path], tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(gpt2_folder, folder)
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**values, "attn_implementation": "a/b"}))
    checkpoint = read_checkpoint(finished() / "checkpoints/best.ckpt")
    stored = json.loads(checkpoint["infinito"]["model_config"])
    stored["_attn_implementation"] = "a/b"
    checkpoint["infinito"]["model_config"] = json.dumps(stored)
    write_checkpoint(checkpoint, tmp_path / "hostile.ckpt")
    for path in (folder, tmp_path / "hostile.ckpt"):
        with pytest.raises(CheckpointError, match=r"names the attention .*'a/b'"):
            open_trained(str(path))


def test_an_adapter_beside_whole_weights_is_refused(gpt2_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(gpt2_folder, folder)
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    with pytest.raises(CheckpointError, match=r"whole weights and an adapter.*merge_and_unload"):
        open_trained(str(folder))


def test_a_config_that_is_not_json_is_refused(gpt2_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(gpt2_folder, folder)
    (folder / "config.json").write_bytes(b"{")
    with pytest.raises(InfinitoError, match=r"config\.json cannot be read"):
        open_trained(str(folder))
