"""Generation: settings reach the sampler, text is repeatable, bad prompts are explained."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LogitsProcessorList, RepetitionPenaltyLogitsProcessor

from infinito.config import GenerationConf, RunConf
from infinito.errors import ConfigError, DataError, NonFiniteError
from infinito.models.generation import continue_tokens, encode_prompt, sampling_settings
from infinito.models.trained import Trained, open_trained
from infinito.tasks import generate
from infinito.tasks.generate import read_prompts

Configured = Callable[..., RunConf]


@pytest.fixture
def model(finished: Callable[..., Path]) -> Trained:
    return open_trained(str(finished()))


def text(reading: Configured, capsys: pytest.CaptureFixture[str], *overrides: str) -> str:
    capsys.readouterr()
    generate.run(reading("task=generate", *overrides), Path("unused"), [])
    return capsys.readouterr().out


def test_same_seed_same_text_other_seed_other_text(
    finished: Callable[..., Path], reading: Configured, capsys: pytest.CaptureFixture[str]
) -> None:
    common = (f"checkpoint={finished()}", "generation.prompt=line 7", "generation.temperature=1.5")
    first = text(reading, capsys, *common)
    assert first.startswith("line 7")
    assert first == text(reading, capsys, *common)
    assert first != text(reading, capsys, *common, "seed=1")


def test_temperature_0_is_greedy(model: Trained) -> None:
    greedy = sampling_settings(GenerationConf(temperature=0, max_new_tokens=6), model)
    assert greedy["do_sample"] is False
    inputs = encode_prompt("line 7 has", model)
    language_model: Any = model.model
    ids = language_model.generate(input_ids=inputs, **greedy)
    expected = inputs
    for _ in range(6):
        logits = model.model(input_ids=expected).logits[:, -1]
        expected = torch.cat([expected, logits.argmax(-1, keepdim=True)], dim=1)
    assert torch.equal(ids, expected)


def test_settings_reach_the_sampler(model: Trained) -> None:
    settings = GenerationConf(temperature=0.7, top_k=5, top_p=0.9, repetition_penalty=1.3)
    passed = sampling_settings(settings, model)
    assert passed["do_sample"] is True
    assert (passed["temperature"], passed["top_k"], passed["top_p"]) == (0.7, 5, 0.9)
    assert passed["repetition_penalty"] == 1.3


def test_repetition_penalty_lowers_negative_logits_too() -> None:
    """Positive logits are divided and negative ones multiplied: both become less probable."""
    processors = LogitsProcessorList([RepetitionPenaltyLogitsProcessor(2.0)])
    logits = torch.tensor([[1.0, -1.0, 0.5]])
    ids: Any = torch.tensor([[0, 1]])
    assert processors(ids, logits).tolist() == [[0.5, -2.0, 0.5]]


def test_prompts_come_from_a_file_too(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("eins\n\nzwei é\n", encoding="utf-8")
    assert read_prompts(GenerationConf(prompts_file=str(tmp_path / "p.txt"))) == ["eins", "zwei é"]
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(DataError, match="holds no prompt"):
        read_prompts(GenerationConf(prompts_file=str(tmp_path / "empty.txt")))
    with pytest.raises(DataError, match="cannot be read"):
        read_prompts(GenerationConf(prompts_file=str(tmp_path / "absent.txt")))


def test_prompts_that_are_not_utf8_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marked = tmp_path / "marked.txt"
    marked.write_bytes(b"\xef\xbb\xbfeins\nzwei\n")
    assert read_prompts(GenerationConf(prompts_file=str(marked))) == ["eins", "zwei"]
    latin = b"eins\nzw\xe9i\n"
    (tmp_path / "latin.txt").write_bytes(latin)
    with pytest.raises(DataError, match=r"latin\.txt: line 2 is not UTF-8 at byte 3"):
        read_prompts(GenerationConf(prompts_file=str(tmp_path / "latin.txt")))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(latin)))
    with pytest.raises(DataError, match=r"standard input: line 2 is not UTF-8 at byte 3"):
        read_prompts(GenerationConf())
    with pytest.raises(ConfigError, match=r"`generation\.prompt` is not UTF-8 at character 3"):
        read_prompts(GenerationConf(prompt=b"zw\xe9i".decode("utf-8", "surrogateescape")))


def test_standard_input_without_a_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    with pytest.raises(DataError, match="standard input holds no prompt"):
        read_prompts(GenerationConf())


def test_a_terminal_is_no_prompt_and_is_refused_before_anything_is_opened(
    reading: Configured, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", terminal)
    with pytest.raises(ConfigError, match="there is no prompt"):
        reading("task=generate", "checkpoint=anything")
    with pytest.raises(ConfigError, match="there is no prompt"):
        read_prompts(GenerationConf())


def test_several_texts_are_told_apart(
    finished: Callable[..., Path],
    reading: Configured,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    (tmp_path / "p.txt").write_text("line 7\nline 8\n")
    common = (
        f"checkpoint={finished()}",
        f"generation.prompts_file={tmp_path / 'p.txt'}",
        "generation.max_new_tokens=4",
    )
    first, _, second = text(reading, capsys, *common).partition("\n\n--- 2 of 2 ---\n\n")
    assert first.startswith("line 7")
    assert second.startswith("line 8")
    rows = text(reading, capsys, *common, "generation.json=true").splitlines()
    assert [json.loads(row) for row in rows] == [
        {"prompt": "line 7", "text": first.rstrip("\n")},
        {"prompt": "line 8", "text": second.rstrip("\n")},
    ]


@pytest.mark.parametrize("position", ["learned", "rotary"])
def test_text_longer_than_the_window_is_written_from_its_end(
    finished: Callable[..., Path],
    reading: Configured,
    capsys: pytest.CaptureFixture[str],
    position: str,
) -> None:
    """What a window of 16 tokens holds is followed by what its last 8 are continued by."""
    run = finished(f"model.position={position}", "model.max_positions=16")
    model = open_trained(str(run))
    greedy = sampling_settings(GenerationConf(temperature=0), model)
    prompt = encode_prompt("line 7", model)
    whole = continue_tokens(model.model, prompt, **{**greedy, "max_new_tokens": 14})
    assert whole.shape == (1, 20)
    within = continue_tokens(model.model, prompt, **{**greedy, "max_new_tokens": 10})
    assert torch.equal(within, whole[:, :16])
    after = continue_tokens(model.model, within[:, 8:], **{**greedy, "max_new_tokens": 4})
    assert torch.equal(after[:, -4:], whole[:, 16:])

    options = (f"checkpoint={run}", "generation.prompt=line 7", "generation.temperature=0")
    capsys.readouterr()
    generate.run(reading("task=generate", *options, "generation.max_new_tokens=14"), Path(), [])
    shown = capsys.readouterr()
    assert shown.out == f"{model.tokenizer.decode(whole[0], skip_special_tokens=True)}\n"
    assert "pass the model's window of 16" in shown.err
    assert "friendly reminder" not in shown.err


def test_the_commands_settings_decide(
    gpt2_folder: Path, reading: Configured, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = tmp_path / "gpt2"
    shutil.copytree(gpt2_folder, folder)
    common = (f"checkpoint={folder}", "generation.prompt=line 7", "generation.max_new_tokens=9")
    plain = text(reading, capsys, *common)
    own = {"num_beams": 4, "num_return_sequences": 2, "suppress_tokens": [1], "min_p": 0.5}
    own |= {"no_repeat_ngram_size": 1, "stop_strings": ["a"], "penalty_alpha": 0.6, "top_k": 1}
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": 0, **own}))
    capsys.readouterr()
    generate.run(reading("task=generate", *common), Path(), [])
    shown = capsys.readouterr()
    assert shown.out == plain
    assert "not used of the model's own generation_config:" in shown.err
    for name, value in own.items():
        assert f"{name}={value}" in shown.err


def test_logits_that_are_not_finite_draw_no_token(model: Trained) -> None:
    model.model.lm_head.weight.data.fill_(3e38)
    options = sampling_settings(GenerationConf(), model)
    with pytest.raises(NonFiniteError, match="logits after 6 tokens are NaN or infinite"):
        continue_tokens(model.model, encode_prompt("line 7", model), **options)


def test_an_empty_prompt_starts_a_document(model: Trained) -> None:
    assert encode_prompt("", model).shape == (1, 1)
