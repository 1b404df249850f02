"""Lets a policy answer prompts, before and after its preferences are tuned."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from infinito.config import GenerationConf
from infinito.models.generation import continue_tokens, sampling_settings
from infinito.models.observation.attention_probe import evaluated_eagerly
from infinito.models.trained import Trained
from infinito.preferences.pairs.text_pair import TextPair
from infinito.preferences.pairs.tokenizing import PairTokenizer
from infinito.seeding import child_seed


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
