"""Lets a policy answer prompts, before and after its preferences are tuned."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import torch

from infinito.config import GenerationConf
from infinito.models.generation import (
    continue_together,
    continue_tokens,
    find_window,
    sampling_settings,
)
from infinito.models.observation.attention_probe import evaluated_eagerly
from infinito.models.trained import Trained
from infinito.preferences.pairs.text_pair import TextPair
from infinito.preferences.pairs.tokenizing import PairTokenizer
from infinito.seeding import child_seed

BATCH = 16
"""Answers that are written together."""


def write_answers(
    trained: Trained,
    tokenizer: PairTokenizer,
    texts: Sequence[TextPair],
    settings: GenerationConf,
    seed: int,
) -> list[str]:
    """Return an answer to each pair's prompt, sampled as `settings` say; torch's state is kept."""
    with evaluated_eagerly(trained.model), torch.random.fork_rng(), torch.no_grad():
        return [
            write_answer(trained, tokenizer, text, settings, child_seed(seed, "answer", number))
            for number, text in enumerate(texts)
        ]


def write_likeliest_answers(
    trained: Trained,
    tokenizer: PairTokenizer,
    texts: Sequence[TextPair],
    settings: GenerationConf,
) -> list[str]:
    """Return the likeliest answer to each pair's prompt, several written in one batch.

    Prompts are padded on the left: a step reads all weights once for the whole batch. A text that
    the model's window does not hold is answered alone.

    Args:
        trained: A model that obeys padding masks, with its tokenizer.
        tokenizer: Encodes the prompts.
        texts: Pairs.
        settings: Those of temperature 0.
    """
    answers: dict[int, str] = {}
    kept = max(1, tokenizer.window - settings.max_new_tokens)
    prompts = [tokenizer.encode_prompt(text)[-kept:] for text in texts]
    window = find_window(trained.model)
    room = None if window is None else window - settings.max_new_tokens
    batches: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for number, (prompt, text) in enumerate(zip(prompts, texts, strict=True)):
        if room is not None and len(prompt) > room:
            answers[number] = write_answers(trained, tokenizer, [text], settings, 0)[0]
        else:
            batches[tuple(tokenizer.end_ids(text))].append(number)
    with evaluated_eagerly(trained.model), torch.no_grad():
        for ends, numbers in batches.items():
            for first in range(0, len(numbers), BATCH):
                chosen = numbers[first : first + BATCH]
                rows = continue_together(
                    trained.model,
                    [prompts[number] for number in chosen],
                    ends,
                    **sampling_settings(settings, trained),
                )
                texts_of_rows = trained.tokenizer.batch_decode(rows, skip_special_tokens=True)
                answers |= zip(chosen, texts_of_rows, strict=True)
    return [answers[number] for number in range(len(texts))]


def write_answer(
    trained: Trained, tokenizer: PairTokenizer, text: TextPair, settings: GenerationConf, seed: int
) -> str:
    """Return the answer to one prompt, of which the model reads as much as the window leaves."""
    torch.manual_seed(seed)
    kept = max(1, tokenizer.window - settings.max_new_tokens)
    ids = torch.tensor([tokenizer.encode_prompt(text)[-kept:]], device=trained.model.device)
    written = continue_tokens(
        trained.model,
        ids,
        eos_token_id=tokenizer.end_ids(text),
        **sampling_settings(settings, trained),
    )
    return str(trained.tokenizer.decode(written[0, ids.shape[1] :], skip_special_tokens=True))
