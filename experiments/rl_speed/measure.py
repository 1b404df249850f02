"""Time of an environment step against a bare loop of the same inner training, and PPO's share.

    python experiments/rl_speed/measure.py

The bare loop trains one model with torch's own SGD on the same text, weights and Φ, and measures
nothing after a step. Thread CPU time, the two interleaved, medians.
"""

from __future__ import annotations

import json
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch

from infinito.cli.composition import check
from infinito.config import RunConf
from infinito.data.assembly import build_data_module
from infinito.models.assembly import build_language_model
from infinito.models.observation.watching import observed
from infinito.objectives.language import cross_entropy
from infinito.objectives.phi import band_loss, phi
from infinito.paths import conf_dir
from infinito.rl.assembly import build_episodes, build_ppo
from infinito.rl.environment.shared_parts import SharedParts, load_shared_parts
from infinito.rl.environment.spaces import ACTIONS
from infinito.rl.ppo.stepping import SteppedPPO

HERE = Path(__file__).parent
ROUNDS = 7
SHORT = ("rl.base_steps=100", "rl.start_states=8", "rl.start_state_steps=40")
"""Shared parts that are built in seconds; it changes no cost of a step."""


def main() -> None:
    """Measure and write results.json."""
    torch.set_num_threads(1)
    run = check(["+experiment=rl_scheduler", *SHORT], conf_dir())
    with tempfile.TemporaryDirectory() as folder:
        shared = load_shared_parts(run, build_data_module(run), Path(folder))
    environment = build_environment_step(run, shared)
    bare = build_bare_step(run, shared)
    times: dict[str, list[float]] = {"environment": [], "bare": []}
    for _ in range(ROUNDS):
        times["environment"].append(measure_cpu_s(environment, 4) / run.rl.n_envs)
        times["bare"].append(measure_cpu_s(bare, 12))
    result = {name: 1e3 * median(each) for name, each in times.items()}
    rollout, ppo_share = measure_rollout(run, shared)
    report = {
        "environment_step_ms": result["environment"],
        "bare_loop_step_ms": result["bare"],
        "ratio": result["bare"] / result["environment"],
        "step_ms_with_ppo": 1e3 * rollout,
        "ppo_share": ppo_share,
        "minutes_for_30000_steps_of_one_thread": 30_000 * rollout / 60,
        "envs": run.rl.n_envs,
        "inner_steps": run.rl.inner_steps,
        "parameters": shared.model.num_parameters(),
        "machine": platform.processor() or platform.machine(),
        "torch": torch.__version__,
    }
    (HERE / "results.json").write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


def build_environment_step(conf: RunConf, shared: SharedParts) -> Callable[[], None]:
    """Return a step of all environments, a third of them with each action."""
    episodes = build_episodes(conf, shared, "train", conf.rl.n_envs, 0)
    episodes.restart(np.ones(conf.rl.n_envs, dtype=bool))
    actions = np.arange(conf.rl.n_envs) % len(ACTIONS)

    def step() -> None:
        episodes.step(actions)

    return step


def build_bare_step(conf: RunConf, shared: SharedParts) -> Callable[[], None]:
    """Return the optimizer steps of one environment step, actions in turn, in plain torch."""
    model = build_language_model(conf, shared.model.config.vocab_size, None)
    optimizer = torch.optim.SGD(model.parameters(), lr=conf.rl.inner_lr, momentum=0.9)
    count, calls = conf.rl.phi_sequences, [0]

    def step() -> None:
        action = list(ACTIONS.values())[calls[0] % len(ACTIONS)]
        calls[0] += 1
        inner, size = conf.rl.inner_steps, conf.data.batch_size
        for windows in shared.windows.sample([(calls[0],)], inner, size)[:, 0]:
            if action.phi:
                with observed(model) as seen:
                    logits = model(input_ids=windows[:, :-1], use_cache=False).logits
                value = shared.calibration(phi(seen.components())[:count].mean())
                loss = action.text * cross_entropy(logits, windows[:, 1:])
                loss = loss + action.phi * band_loss(value)
            else:
                logits = model(input_ids=windows[:, :-1], use_cache=False).logits
                loss = cross_entropy(logits, windows[:, 1:])
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()

    return step


def measure_rollout(conf: RunConf, shared: SharedParts) -> tuple[float, float]:
    """Return CPU seconds of an environment step, PPO included, and PPO's own share of them."""
    training = SteppedPPO(build_ppo(conf, shared), conf.rl.total_timesteps)
    training.begin()
    own, spent = training.ppo.train, [0.0]

    def train() -> None:
        began = time.thread_time()
        own()
        spent[0] += time.thread_time() - began

    training.ppo.train = train  # type: ignore[method-assign]
    whole = measure_cpu_s(training.run_rollout, 1)
    return whole / (conf.rl.n_envs * conf.rl.n_steps), spent[0] / 2 / whole


def measure_cpu_s(call: Callable[[], object], times: int) -> float:
    """Return the mean CPU seconds of a call, after one that is not measured."""
    call()
    began = time.thread_time()
    for _ in range(times):
        call()
    return (time.thread_time() - began) / times


if __name__ == "__main__":
    main()
