"""The log of a preference tuning goes on in a resumed run."""

from __future__ import annotations

from infinito.preferences.log import PreferenceLog


def test_a_resumed_run_continues_the_history() -> None:
    log, again = PreferenceLog(2), PreferenceLog(2)
    log.history.append({"step": 1, "train/loss": 0.5})
    log.throughput.count(12)
    again.load_state_dict(log.state_dict())
    assert again.history == [{"step": 1, "train/loss": 0.5}]
    assert again.throughput.state_dict()["window_tokens"] == 12


def test_a_checkpoint_without_a_clock_is_read() -> None:
    """Earlier versions kept no throughput."""
    log = PreferenceLog(1)
    log.load_state_dict({"history": [{"step": 3}], "warned": True})
    assert log.history == [{"step": 3}]
    assert log.state_dict()["warned"]


def test_its_state_has_a_name_that_arguments_do_not_change() -> None:
    assert PreferenceLog(1).state_key == PreferenceLog(9).state_key == "PreferenceLog"
