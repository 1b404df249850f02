"""TensorBoard's files of a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from infinito.training.dashboards.tensorboard import TensorBoard


def test_pictures_texts_and_scores_are_in_the_events(tmp_path: Path) -> None:
    board = TensorBoard(tmp_path, None, {"seed": 3})
    board.show_picture("picture", np.zeros((4, 6, 3), np.uint8), 1)
    board.show_text("sample", "baa", 2)
    board.show_score({"seed": 3}, "val_score/val/loss", 0.5, 4)
    board.flush()
    board.close()
    events = EventAccumulator(str(tmp_path)).Reload()
    (picture,) = events.Images("picture")
    assert (picture.step, picture.width, picture.height) == (1, 6, 4)
    (sample,) = events.Tensors("sample/text_summary")
    assert sample.tensor_proto.string_val == [b"baa"]
    (score,) = events.Scalars("val_score/val/loss")
    assert (score.step, score.value) == (4, 0.5)
    assert (tmp_path / "hparams.yaml").read_text() == "seed: 3\n"
