"""Step by step the same losses as TRL 1.16's SFTTrainer with assistant_only_loss."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch

from infinito.config import AdamWConf
from infinito.data.conversations.conversation import TokenizedConversation
from infinito.data.conversations.layouts import LayoutName, arrange
from infinito.objectives.units import TextUnits
from infinito.training.module.batch_loss import ConversationLoss
from infinito.training.module.language_model import LanguageModelTask
from tests.preferences.pair_models import make

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

STEPS, BATCH = 8, 4


def conversations() -> list[TokenizedConversation]:
    draw = random.Random(0)
    found = []
    for row in range(STEPS * BATCH):
        ids = [draw.randrange(2, 30) for _ in range(draw.randint(6, 20))]
        learned = sorted(draw.sample(range(1, len(ids)), 4))
        found.append(TokenizedConversation(ids, learned, 4, row))
    return found


def own_losses(layout: LayoutName) -> list[float]:
    """The losses of steps of AdamW at 1e-3, clipped to norm 1."""
    settings = AdamWConf(lr=1e-3, betas=[0.9, 0.999], weight_decay=0.0, schedule="constant")
    loss = ConversationLoss("fused")
    task = LanguageModelTask(make("llama"), settings, STEPS, TextUnits(1.0), loss=loss)
    optimizer, _ = task.optimizer_and_schedule()
    losses, rows = [], conversations()
    for step in range(STEPS):
        batch = arrange(rows[step * BATCH : (step + 1) * BATCH], layout)
        found = task.training_step(batch, step)
        found.backward()
        torch.nn.utils.clip_grad_norm_(task.trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(found.detach()))
    return losses


def trl_losses(folder: Path) -> list[float]:
    from tests.trl_training import trl_on_conversations

    trainer = trl_on_conversations(
        make("llama"), conversations(), folder, batch_size=BATCH, steps=STEPS, learning_rate=1e-3
    )
    trainer.train()
    return trainer.losses


def test_losses_step_by_step(tmp_path: Path) -> None:
    theirs = trl_losses(tmp_path)
    for layout in ("packed", "padded", "masked"):
        own = own_losses(layout)
        assert own == pytest.approx(theirs, abs=1e-5), layout
    assert theirs[-1] != pytest.approx(theirs[0], abs=1e-3)
