"""A training that is stopped and resumed by Lightning sees the batches of the undisturbed one."""

from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from infinito.data.datamodule import LanguageDataModule
from infinito.data.sources import MarkovSource

# Lightning 2.6.6 uses a class that torch 2.13 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")

EPOCHS = 3
BATCHES = 7  # per epoch: no multiple of the 3 accumulated ones


class Recorder(LightningModule):
    """Keeps the batches it saw, and a weight that depends on their order."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))
        self.seen: list[tuple[int, ...]] = []

    def training_step(self, batch):
        self.seen.append(tuple(batch[:, :4].flatten().tolist()))
        return torch.sin(self.weight * batch.float().mean())

    def validation_step(self, batch):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Saver(Callback):
    """Saves after an event, at ends of optimizer steps, as `<batches seen>.ckpt`."""

    def __init__(self, event: str, folder: Path) -> None:
        self.event, self.folder = event, folder

    def save(self, event, trainer, model):
        if event == self.event and not trainer.fit_loop._should_accumulate():
            trainer.save_checkpoint(self.folder / f"{len(model.seen)}.ckpt")

    def on_train_batch_end(self, trainer, model, *_):
        self.save("batch", trainer, model)

    def on_validation_batch_end(self, trainer, model, *_):
        self.save("mid-validation", trainer, model)

    def on_validation_end(self, trainer, model):
        self.save("validation", trainer, model)

    def on_train_epoch_end(self, trainer, model):
        self.save("epoch", trainer, model)

    def on_exception(self, trainer, model, _):
        self.save("exception", trainer, model)


def fit(folder: Path, *callbacks: Callback, resume: Path | None = None, model=None, **options):
    source = MarkovSource(64, train_tokens=4 * 8 * BATCHES + 8, valid_tokens=20, seed=1)
    workers = options.pop("workers", 0)
    data = LanguageDataModule(
        source, None, block_size=8, batch_size=4, seed=3, workers=workers, cache_dir=folder
    )
    settings = {
        "accelerator": "cpu",
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "use_distributed_sampler": False,
        "num_sanity_val_steps": 0,
    }
    model = model or Recorder()
    trainer = Trainer(**settings | {"max_epochs": EPOCHS} | options, callbacks=list(callbacks))
    trainer.fit(model, datamodule=data, ckpt_path=resume, weights_only=True)
    return trainer, model


def steps_of(accumulate: int) -> int:
    return EPOCHS * -(-BATCHES // accumulate)


LIMITS = [{}, {"max_epochs": -1}, {"val_check_interval": 3}, {"limit_train_batches": 5}]


@pytest.mark.parametrize("event", ["batch", "mid-validation", "validation", "epoch"])
@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("limits", LIMITS, ids=str)
def test_resume_from_every_checkpoint(tmp_path, event, accumulate, limits):
    options = {"accumulate_grad_batches": accumulate, **limits}
    if "max_epochs" in limits:
        options["max_steps"] = steps_of(accumulate)
    _, whole = fit(tmp_path, Saver(event, tmp_path), **options)
    batches = limits.get("limit_train_batches", BATCHES)
    assert len(set(whole.seen)) == len(whole.seen) == EPOCHS * batches
    checkpoints = list(tmp_path.glob("*.ckpt"))
    assert len(checkpoints) >= EPOCHS
    for checkpoint in checkpoints:
        _, resumed = fit(tmp_path, resume=checkpoint, **options)
        assert resumed.seen == whole.seen[int(checkpoint.stem) :], checkpoint.name
        assert torch.equal(resumed.weight, whole.weight), checkpoint.name


@pytest.mark.parametrize("accumulate", [1, 3])
def test_resume_after_a_stop_by_max_steps(tmp_path, accumulate):
    """Lightning counts the epoch that `max_steps` cut short as finished; the data goes on in it."""
    options = {"accumulate_grad_batches": accumulate, "max_epochs": -1}
    steps = steps_of(accumulate)
    _, whole = fit(tmp_path, max_steps=steps, **options)
    for stop in range(1, steps):
        trainer, first = fit(tmp_path, max_steps=stop, **options)
        trainer.save_checkpoint(tmp_path / "stopped.ckpt")
        _, second = fit(tmp_path, resume=tmp_path / "stopped.ckpt", max_steps=steps, **options)
        assert first.seen + second.seen == whole.seen, stop
        assert torch.equal(second.weight, whole.weight), stop


class Fragile(Recorder):
    """Fails in the step of its 11th batch, as an interrupt would."""

    def training_step(self, batch):
        if len(self.seen) == 10:
            raise InterruptedError
        return super().training_step(batch)


def test_a_batch_whose_step_was_interrupted_comes_again(tmp_path):
    _, whole = fit(tmp_path)
    with pytest.raises(InterruptedError):
        fit(tmp_path, Saver("exception", tmp_path), model=Fragile())
    _, resumed = fit(tmp_path, resume=tmp_path / "10.ckpt")
    assert resumed.seen == whole.seen[10:]


def test_worker_processes_change_nothing(tmp_path):
    _, whole = fit(tmp_path)
    _, same = fit(tmp_path, Saver("batch", tmp_path), workers=1)
    assert same.seen == whole.seen
    _, resumed = fit(tmp_path, resume=tmp_path / "9.ckpt", workers=1)
    assert resumed.seen == whole.seen[9:]


def test_a_second_fit_of_one_datamodule_begins_at_the_beginning(tmp_path):
    trainer, first = fit(tmp_path)
    second = Recorder()
    again = Trainer(
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        accelerator="cpu",
    )
    again.fit(second, datamodule=trainer.datamodule)
    assert second.seen == first.seen[:BATCHES]
