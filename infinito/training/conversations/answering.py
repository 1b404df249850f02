"""Lets a model answer many questions at once, with its key/value cache."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import torch
from transformers import PreTrainedModel

from infinito.data.conversations.rendering.messages import Messages
from infinito.data.conversations.rendering.tokenizing import ConversationTokenizer
from infinito.models.generation import find_window, reset_generation_config
from infinito.models.observation.attention_probe import evaluated_eagerly

BATCH = 64
"""Questions that are answered together."""


def answer_questions(
    model: PreTrainedModel,
    encode: ConversationTokenizer,
    questions: Sequence[Messages],
    max_new_tokens: int,
) -> list[str]:
    """Return the most likely answer to each question, without special tokens and outer spaces.

    Questions of equal length are answered together: no padding, so that each answer is the one
    that the model gives alone.

    Args:
        model: Any causal language model; its mode and torch's generator are kept.
        encode: Turns questions into token ids, as the model was trained.
        questions: Messages up to where an answer begins.
        max_new_tokens: Longest answer; less where the model's window leaves less.
    """
    found = _answer(model, encode, questions, max_new_tokens, do_sample=False)
    return [answers[0] for answers in found]


def sample_answers(
    model: PreTrainedModel,
    encode: ConversationTokenizer,
    questions: Sequence[Messages],
    max_new_tokens: int,
    count: int,
    seed: int,
) -> list[list[str]]:
    """Return `count` answers to each question, drawn at temperature 1.

    Args:
        model: As for `answer_questions`.
        encode: As for `answer_questions`.
        questions: As for `answer_questions`.
        max_new_tokens: As for `answer_questions`.
        count: Answers to each.
        seed: Of the draws.
    """
    options = {"do_sample": True, "temperature": 1.0, "top_k": 0, "num_return_sequences": count}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return _answer(model, encode, questions, max_new_tokens, **options)


@torch.no_grad()
def _answer(
    model: PreTrainedModel,
    encode: ConversationTokenizer,
    questions: Sequence[Messages],
    max_new_tokens: int,
    **options: Any,
) -> list[list[str]]:
    prompts = [encode.encode_prompt(each) for each in questions]
    by_length: dict[int, list[int]] = defaultdict(list)
    for number, prompt in enumerate(prompts):
        by_length[len(prompt)].append(number)
    window = find_window(model)
    count = options.get("num_return_sequences", 1)
    answers = [[""] * count for _ in prompts]
    with evaluated_eagerly(model), reset_generation_config(model):
        for length, numbers in sorted(by_length.items()):
            new = max_new_tokens if window is None else min(max_new_tokens, window - length)
            for first in range(0, len(numbers) if new > 0 else 0, BATCH):
                chosen = numbers[first : first + BATCH]
                ids = torch.tensor([prompts[number] for number in chosen], device=model.device)
                written = model.generate(  # type: ignore[operator]
                    input_ids=ids,
                    attention_mask=torch.ones_like(ids),
                    max_new_tokens=new,
                    eos_token_id=encode.end_ids,
                    pad_token_id=encode.tokenizer.eos_token_id,
                    **options,
                )
                new_ids = written[:, length:]
                texts = encode.tokenizer.batch_decode(new_ids, skip_special_tokens=True)
                for place, number in enumerate(chosen):
                    drawn = texts[place * count : (place + 1) * count]
                    answers[number] = [each.strip() for each in drawn]
    return answers
