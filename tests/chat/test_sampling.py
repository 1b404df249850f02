"""Tokens are drawn as transformers draws them, from the answer's own generator."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from infinito.chat.reading import Reader
from infinito.chat.sampling import Sampler
from infinito.config import GenerationConf
from infinito.errors import NonFiniteError
from infinito.models.generation import continue_tokens, sampling_settings
from infinito.models.trained import Trained

CPU = torch.device("cpu")


def drawn(trained: Trained, settings: GenerationConf, seed: int, prompt: list[int]) -> list[int]:
    sampler, reader, ids = Sampler(settings, seed, CPU), Reader(trained.model), list(prompt)
    for _ in range(settings.max_new_tokens):
        ids.append(sampler.draw(ids, reader.read(ids)))
    return ids


@pytest.mark.parametrize(
    "changes",
    [
        {"temperature": 0},
        {"temperature": 0, "repetition_penalty": 1.5},
        {"temperature": 0.7, "top_k": 5},
        {"temperature": 1.3, "top_p": 0.8, "repetition_penalty": 1.2},
    ],
)
def test_tokens_are_those_of_task_generate(
    talker: Callable[..., Trained], changes: dict[str, float]
) -> None:
    trained = talker("llama", eos_token_id=None, bos_token_id=None)
    settings = GenerationConf(max_new_tokens=12, **changes)  # type: ignore[arg-type]
    torch.manual_seed(5)
    options = sampling_settings(settings, trained)
    expected = continue_tokens(trained.model, torch.tensor([[3, 4, 5]]), **options)
    assert drawn(trained, settings, 5, [3, 4, 5]) == expected[0].tolist()


def test_other_draws_of_the_process_change_nothing(talker: Callable[..., Trained]) -> None:
    settings = GenerationConf(temperature=1.5, max_new_tokens=12)
    first = drawn(talker(), settings, 1, [3])
    torch.manual_seed(99)
    assert drawn(talker(), settings, 1, [3]) == first
    assert drawn(talker(), settings, 2, [3]) != first


def test_logits_that_are_not_finite_draw_nothing() -> None:
    with pytest.raises(NonFiniteError, match="logits after 2 tokens are NaN or infinite"):
        Sampler(GenerationConf(), 0, CPU).draw([1, 2], torch.tensor([[float("nan"), 0.0]]))
