"""A validation between two batches changes nothing but what it measures."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from lightning import Callback, Trainer

from infinito.config import RunConf
from infinito.data.assembly import build_data_module
from infinito.training.assembly import build_language_training, fit
from infinito.training.callbacks.validation import Validations, count_validations, validate_now
from infinito.training.trainer import build_trainer

Configured = Callable[..., RunConf]


class Noted(Callback):
    """Validates after every batch, and notes the trainer's state on both sides of it."""

    def __init__(self) -> None:
        self.states: list[tuple[object, ...]] = []

    def on_train_batch_end(self, trainer: Trainer, *_: object) -> None:
        before = state_of(trainer)
        validate_now(trainer)
        self.states.append((before, state_of(trainer)))


def state_of(trainer: Trainer) -> tuple[object, ...]:
    """Return what Lightning's training loop reads after a batch."""
    loop = trainer.fit_loop.epoch_loop
    return (
        trainer.training,
        trainer.state.stage,
        trainer.global_step,
        trainer._logger_connector._first_loop_iter,
        loop.batch_progress.state_dict(),
        torch.is_grad_enabled(),
        trainer.lightning_module.training,
    )


def trained_weights(conf: RunConf, *callbacks: Callback) -> dict[str, torch.Tensor]:
    training = build_language_training(conf, build_data_module(conf))
    steps = training.length.steps
    trainer = build_trainer(conf.trainer, callbacks, steps=steps, deterministic=True)
    fit(training, trainer)
    return training.model.state_dict()


def test_training_goes_on_as_if_nothing_had_happened(configured: Configured) -> None:
    """Guards the private names of Lightning that `validate_now` uses."""
    conf = configured("model.dropout=0.1")
    noted = Noted()
    alone, watched = trained_weights(conf), trained_weights(conf, noted)
    assert all(torch.equal(alone[name], watched[name]) for name in alone)
    assert len(noted.states) == 6
    assert all(before == after for before, after in noted.states)


def test_validations_are_kept_and_the_last_batch_is_left_to_the_caller(
    configured: Configured,
) -> None:
    conf = configured("trainer.validate_every=2")
    training = build_language_training(conf, build_data_module(conf))
    kept = Validations(training.length, on_the_way=True)
    fit(training, build_trainer(conf.trainer, [kept], steps=6, deterministic=True))
    losses = [report["val/loss"] for report in kept.reports]
    assert len(losses) == 2
    assert losses[1] < losses[0]


@pytest.mark.parametrize(
    ("done", "every", "accumulate", "total", "expected"),
    [(4, 2, 1, 10, 2), (9, 5, 1, 12, 1), (12, 5, 1, 12, 3), (6, 2, 3, 7, 1), (7, 2, 3, 7, 2)],
)
def test_validations_are_counted_by_hand(
    done: int, every: int, accumulate: int, total: int, expected: int
) -> None:
    """Every 2 batches in steps of 3 batches: after 6, and after the last."""
    assert count_validations(done, every, accumulate, total) == expected
