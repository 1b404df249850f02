"""Generation: settings reach the sampler, text is repeatable, bad prompts are explained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import LogitsProcessorList, RepetitionPenaltyLogitsProcessor

from infinito.config import GenerationConf, RunConf
from infinito.errors import ConfigError, DataError
from infinito.models.generation import encode_prompt, sampling_settings
from infinito.models.trained import Trained, open_trained
from infinito.tasks import generate
from infinito.tasks.generate import prompts

Configured = Callable[..., RunConf]


@pytest.fixture
def model(trained: Callable[..., Path]) -> Trained:
    return open_trained(str(trained()))


def text(reading: Configured, capsys: pytest.CaptureFixture[str], *overrides: str) -> str:
    capsys.readouterr()
    generate.run(reading("task=generate", *overrides), Path("unused"), [])
    return capsys.readouterr().out


def test_same_seed_same_text_other_seed_other_text(
    trained: Callable[..., Path], reading: Configured, capsys: pytest.CaptureFixture[str]
) -> None:
    common = (f"checkpoint={trained()}", "generation.prompt=line 7", "generation.temperature=1.5")
    first = text(reading, capsys, *common)
    assert first.startswith("line 7")
    assert first == text(reading, capsys, *common)
    assert first != text(reading, capsys, *common, "seed=1")


def test_temperature_0_is_greedy(model: Trained) -> None:
    greedy = sampling_settings(GenerationConf(temperature=0, max_new_tokens=6), model)
    assert greedy["do_sample"] is False
    inputs = encode_prompt("line 7 has", model, GenerationConf(max_new_tokens=6))
    ids = model.model.generate(input_ids=inputs, **greedy)
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
    assert processors(torch.tensor([[0, 1]]), logits).tolist() == [[0.5, -2.0, 0.5]]


def test_prompts_come_from_a_file_too(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("eins\n\nzwei é\n", encoding="utf-8")
    assert prompts(GenerationConf(prompts_file=str(tmp_path / "p.txt"))) == ["eins", "zwei é"]
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(DataError, match="holds no prompt"):
        prompts(GenerationConf(prompts_file=str(tmp_path / "empty.txt")))
    with pytest.raises(DataError, match="cannot be read"):
        prompts(GenerationConf(prompts_file=str(tmp_path / "absent.txt")))


def test_too_long_for_learned_positions(trained: Callable[..., Path]) -> None:
    learned = open_trained(str(trained("model.position=learned")))
    with pytest.raises(ConfigError, match=r"use `generation.max_new_tokens=10`"):
        encode_prompt("line 7", learned, GenerationConf(max_new_tokens=20))


def test_an_empty_prompt_starts_a_document(model: Trained) -> None:
    assert encode_prompt("", model, GenerationConf()).shape == (1, 1)
