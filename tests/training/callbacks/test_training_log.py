"""The throughput and the time of a training that was interrupted are those of all its parts."""

from __future__ import annotations

from infinito.training.callbacks.training_log import TrainingLog


def test_a_resumed_training_counts_the_time_before() -> None:
    log = TrainingLog(every=1)
    assert log.elapsed_s < 100
    assert log.throughput.mean_tokens_per_s is None
    log.load_state_dict({"elapsed_s": 1000.0, "tokens": 300, "training_s": 60.0})
    assert 1000 <= log.elapsed_s < 1100
    assert log.throughput.mean_tokens_per_s == 5.0
    assert log.state_dict()["tokens"] == 300
