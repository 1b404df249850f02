"""Generation steered by an agent: pieces, modes, gates and the reported figures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from infinito import run as program
from infinito.cli.composition import check
from infinito.config import MemoryConf, RunConf
from infinito.errors import CheckpointError
from infinito.models.memory.model import with_memory
from infinito.objectives.phi import Calibration
from infinito.paths import conf_dir
from infinito.rl.environment.metrics import Metrics
from infinito.rl.environment.shared_parts import SharedParts
from infinito.rl.generation.guided_generation import (
    Clock,
    compute_distinct_n,
    compute_repetition,
    generate_guided,
    lift_gate,
    measure_text,
)

OPTIONS = {"do_sample": False, "max_new_tokens": 10, "pad_token_id": 0}


def test_greedy_text_equals_generate_for_pieces_of_any_length(shared: SharedParts) -> None:
    prompt = shared.windows.probe[:1, :9]
    expected = shared.model.generate(input_ids=prompt, **OPTIONS)  # type: ignore[operator]
    for every in (1, 4, 10):
        text = generate_guided(shared.model, prompt, lambda _: 2, Calibration(), OPTIONS, every, 12)
        assert torch.equal(text.ids, expected)
        assert len(text.actions) == -(-10 // every)
        assert text.report()["actions"] == {"TEXT": 0.0, "PHI": 0.0, "MIXED": 1.0}


def test_a_text_too_short_for_phi_takes_the_text_action(shared: SharedParts) -> None:
    prompt = shared.windows.probe[:1, :3]
    text = generate_guided(shared.model, prompt, lambda _: 1, Calibration(), OPTIONS, 3, 12)
    assert text.actions == [0, 0, 1, 1]
    assert len(text.phi) == 2


def test_the_end_of_the_document_on_the_last_place_of_a_piece_ends_the_text(
    shared: SharedParts,
) -> None:
    prompt = shared.windows.probe[:1, :9]
    plain = shared.model.generate(input_ids=prompt, **OPTIONS)  # type: ignore[operator]
    ids = plain[0, 9:].tolist()
    place = next(i for i in range(1, 9) if ids[i] not in ids[:i])
    for end in (ids[place], [ids[place]]):
        options = {**OPTIONS, "eos_token_id": end}
        text = generate_guided(
            shared.model, prompt, lambda _: 0, Calibration(), options, place + 1, 12
        )
        assert text.ids[0, 9:].tolist() == ids[: place + 1]


def test_the_clock_runs_as_that_of_an_episode() -> None:
    """C of .1, .1, .7, .1 with 5 decisions: 0 at the start, 1/5 later, 0 where it is high, 1/5."""
    clock, options = Clock(), {"max_new_tokens": 20}
    zero = np.zeros(1)
    seen = [
        clock.advance(Metrics(zero, np.array([10 * c]), zero, zero), options, every=4)[0]
        for c in (0.1, 0.1, 0.7, 0.1)
    ]
    assert seen == [0.0, 0.2, 0.0, 0.2]


def test_what_is_observed_is_the_models_loss(shared: SharedParts) -> None:
    ids = shared.windows.probe[:1]
    metrics = measure_text(shared.model.eval(), ids, Calibration())
    expected = shared.model(input_ids=ids, labels=ids).loss.detach()
    assert metrics.loss_text[0] == pytest.approx(float(expected), rel=1e-5)
    assert metrics.memory_use[0] == 0


def test_a_gate_is_lifted_for_the_block_only(shared: SharedParts) -> None:
    model = with_memory(shared.model, MemoryConf(name="integration"))
    gate = dict(model.named_parameters())["memory.gate_bias"]
    with lift_gate(model, 5.0):
        assert gate.sigmoid().item() == pytest.approx(0.5)
    assert gate.item() == -5.0


def test_distinct_and_repetition_by_hand() -> None:
    """abcab: pairs ab bc ca ab: 3 of 4 differ."""
    ids = [0, 1, 2, 0, 1]
    assert compute_distinct_n(ids, 2) == 0.75
    assert compute_repetition(ids, 2) == 0.25
    assert compute_distinct_n([7, 7, 7], 1) == pytest.approx(1 / 3)


@pytest.mark.filterwarnings("ignore:You have specified a mini-batch size")
def test_generating_with_an_agent(
    rl_configured: Callable[..., RunConf],
    finished: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Through the command; an agent that is no schedule's run is refused."""
    program.execute(rl_configured("rl.total_timesteps=15"), tmp_path / "rl")
    model = finished()
    overrides = ["task=generate", f"checkpoint={model}", "generation.prompt=line 7 has"]
    overrides += ["generation.max_new_tokens=24", "generation.json=true", "trainer.accelerator=cpu"]
    capsys.readouterr()
    program.execute(check([*overrides, f"agent={tmp_path / 'rl'}"], conf_dir()), tmp_path / "out")
    printed = json.loads(capsys.readouterr().out)
    assert printed["text"].startswith("line 7 has")
    assert sum(printed["actions"].values()) == pytest.approx(1)
    assert np.isfinite(printed["phi"]["mean"])
    with pytest.raises(CheckpointError, match="is no run of `task=rl_scheduler`"):
        program.execute(check([*overrides, f"agent={model}"], conf_dir()), tmp_path / "out")
