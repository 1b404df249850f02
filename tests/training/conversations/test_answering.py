"""Questions asked together are answered as each is alone."""

from __future__ import annotations

from typing import Any

import torch

from infinito.data.conversations.rendering.messages import to_messages
from infinito.data.conversations.rendering.tokenizing import ConversationTokenizer
from infinito.data.tokenizers.bpe import BpeTokenizer
from infinito.models.distance_lm.config import DistanceLMConfig
from infinito.models.distance_lm.model import DistanceLMForCausalLM
from infinito.training.conversations.answering import answer_questions, sample_answers

TOKENIZER = BpeTokenizer(257).build([], separates_documents=True)
ENCODE = ConversationTokenizer(TOKENIZER, window=99, chat_template="plain")
QUESTIONS = [to_messages(text, "user") for text in ("a", "bc", "d", "e f g", "hi")]


def model() -> DistanceLMForCausalLM:
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 1, "intermediate_size": 32}
    return DistanceLMForCausalLM(
        DistanceLMConfig(
            vocab_size=257, num_attention_heads=2, max_position_embeddings=64, metric="dot",
            eos_token_id=0, **sizes,
        )
    )  # fmt: skip


def test_together_is_alone() -> None:
    asked = model()
    together = answer_questions(asked, ENCODE, QUESTIONS, 8)
    alone = [answer_questions(asked, ENCODE, [each], 8)[0] for each in QUESTIONS]
    assert together == alone
    assert any(together)


def test_draws_follow_their_seed_and_leave_the_generator_alone() -> None:
    asked = model()
    before = torch.random.get_rng_state()
    first, second, other = (sample_answers(asked, ENCODE, QUESTIONS, 8, 3, s) for s in (0, 0, 1))
    assert first == second != other
    assert [len(each) for each in first] == [3] * 5
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_question_that_fills_the_window_has_no_answer() -> None:
    assert answer_questions(model(), ENCODE, [to_messages("x" * 80, "user")], 8) == [""]
