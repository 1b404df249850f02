"""The stages of the check: each returns rows of plain values for its table."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from timing import Sizes, build_model, draw_tokens, measure_s, peak_mib
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from infinito.attention import distance_attention, reference_attention
from infinito.config import LanguagePhiConf
from infinito.models.observation.watching import observed
from infinito.objectives.language import cross_entropy
from infinito.objectives.phi import Calibration
from infinito.training.phi.term import PhiObjective

sys.path += [str(Path(__file__).parent.parent / each) for each in ("step_speed", "dpo_speed")]

Rows = list[dict[str, Any]]

FP32_LANES = {(7, 0): 64, (7, 5): 64, (8, 0): 64}
"""FP32 units of a multiprocessor by compute capability; 128 for every later one.

Source: CUDA C++ Programming Guide, table "Throughput of Native Arithmetic Instructions".
"""
L1_INSTRUCTIONS = 2
"""FP32 instructions for each coordinate of each pair: a difference, and a sum of its magnitude."""


def check_attention(sizes: Sizes, device: str) -> Rows:
    """Compare the distance kernels with the reference, and time them against SDPA."""
    rows = []
    backend = "triton" if device == "cuda" else "chunked"
    for shape in sizes.attention:
        tensors = [torch.randn(shape, device=device, requires_grad=True) for _ in range(3)]
        slope = torch.randn(shape, device=device)

        def sdpa(dtype: torch.dtype, tensors: Any = tensors, slope: Any = slope) -> None:
            cast = [each.detach().to(dtype).requires_grad_() for each in tensors]
            q, k, v = cast
            out = scaled_dot_product_attention(q, k, v, is_causal=True)
            torch.autograd.grad(out, cast, slope.to(dtype))

        base = {"shape": "×".join(map(str, shape))}
        for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
            taken = measure_s(lambda dtype=dtype: sdpa(dtype), sizes.rounds, device)
            rows.append({**base, "attention": f"SDPA dot, {name}", "both_ms": 1e3 * taken})
        for metric in ("l1", "l2"):

            def ours(metric: str = metric, tensors: Any = tensors, slope: Any = slope) -> None:
                out = distance_attention(*tensors, metric=metric, causal=True, backend=backend)
                torch.autograd.grad(out, tensors, slope)

            taken = measure_s(ours, sizes.rounds, device)
            forward = measure_s(
                lambda metric=metric, tensors=tensors: distance_attention(
                    *[each.detach() for each in tensors],
                    metric=metric, causal=True, backend=backend,
                ),
                sizes.rounds, device,
            )  # fmt: skip
            row = {
                **base, "attention": f"{backend} {metric}, float32",
                "forward_ms": 1e3 * forward, "both_ms": 1e3 * taken,
                "peak_mib": peak_mib(ours, device), **_errors(tensors, slope, metric, backend),
            }  # fmt: skip
            if metric == "l1" and device == "cuda":
                row["share_of_fp32_limit"] = fp32_limit_s(shape) / forward
            rows.append(row)
    return rows


def _errors(tensors: list[Tensor], slope: Tensor, metric: str, backend: str) -> dict[str, float]:
    """Return the largest errors on one head of one sequence, against float64."""
    parts = [each[:1, :1].detach().clone().requires_grad_() for each in tensors]
    out = distance_attention(*parts, metric=metric, causal=True, backend=backend)
    found = torch.autograd.grad(out, parts, slope[:1, :1])
    exact = [each.detach().double().requires_grad_() for each in parts]
    wanted = reference_attention(*exact, metric=metric, causal=True)[0]
    gradients = torch.autograd.grad(wanted, exact, slope[:1, :1].double())
    worst = max(
        float((mine - theirs).abs().max() / theirs.abs().max())
        for mine, theirs in zip(found, gradients, strict=True)
    )
    error = float((out - wanted).abs().max())
    return {"error": error, "gradient_error": worst, "right": error < 1e-4 and worst < 1e-3}


def fp32_limit_s(shape: tuple[int, int, int, int]) -> float:
    """Return the seconds in which the device can issue a causal L1 forward's FP32 instructions."""
    batch, heads, time, dim = shape
    found = torch.cuda.get_device_properties(0)
    lanes = FP32_LANES.get((found.major, found.minor), 128) * found.multi_processor_count
    instructions = L1_INSTRUCTIONS * batch * heads * dim * time * (time + 1) / 2
    return instructions / (lanes * read_clock_hz())


def read_clock_hz() -> float:
    """Return the highest clock of the multiprocessors, as the driver gives it."""
    import subprocess

    command = [
        "nvidia-smi",
        "--query-gpu=clocks.max.sm",
        "--format=csv,noheader,nounits",
        "-i",
        "0",
    ]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return 1e6 * float(output.split()[0])


def check_steps(sizes: Sizes, device: str) -> Rows:
    """Time a training step in bfloat16, compiled and not, against a nanoGPT-equal model."""
    from nanogpt import GPT, flash

    tokens = draw_tokens(sizes, device)
    gpt = GPT(sizes.vocab, sizes.dim, sizes.layers, sizes.heads, sizes.time, True, flash).to(device)
    kernel = "triton" if device == "cuda" else "auto"
    models: dict[str, tuple[Any, Callable[[Any], Tensor]]] = {
        "nanoGPT-equal": (gpt, lambda m: m(tokens[:, :-1], tokens[:, 1:].contiguous()))
    }
    for metric, backend in (("dot", "auto"), ("l1", kernel), ("l2", kernel)):
        models[f"infinito {metric}"] = (build_model(sizes, metric, backend, device), _loss(tokens))
    rows: Rows = []
    for name, (model, loss) in models.items():
        for compiled in (False, True):
            torch._dynamo.reset()
            compiler = "inductor" if device == "cuda" else "aot_eager"  # rehearsals are short
            shown = torch.compile(model, backend=compiler) if compiled else model
            step = _build_step(shown, loss, device)
            row: dict[str, Any] = {"step": f"{name}, bf16{', compile' if compiled else ''}"}
            try:
                taken = measure_s(step, sizes.rounds, device)
            except Exception as error:  # a compiler's fault is a result
                rows.append({**row, "fault": str(error).splitlines()[0][:200]})
                continue
            rate = sizes.batch * sizes.time / taken
            memory = peak_mib(step, device)
            rows.append({**row, "ms": 1e3 * taken, "tokens_per_s": rate, "peak_mib": memory})
    yardsticks = {", compile" in row["step"]: row.get("ms") for row in rows[:2]}
    for row in rows:
        yardstick = yardsticks[", compile" in row["step"]]
        if yardstick and "ms" in row:
            row["over_nanogpt"] = yardstick / row["ms"]
    return rows


def _loss(tokens: Tensor) -> Callable[[Any], Tensor]:
    return lambda model: cross_entropy(
        model(input_ids=tokens[:, :-1], use_cache=False).logits, tokens[:, 1:]
    )


def _build_step(model: Any, loss: Callable[[Any], Tensor], device: str) -> Callable[[], None]:
    weights = list(model.parameters())
    optimizer = torch.optim.AdamW(weights, lr=1e-4, fused=True)

    def step() -> None:
        with torch.autocast(device, torch.bfloat16):
            value = loss(model)
        optimizer.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()

    return step


def check_phi(sizes: Sizes, device: str) -> Rows:
    """Time what Φ adds to forward and backward pass."""
    tokens = draw_tokens(sizes, device)
    rows = []
    for metric, backend in (("dot", "auto"), ("l1", "triton" if device == "cuda" else "auto")):
        model = build_model(sizes, metric, backend, device)
        objective = PhiObjective(LanguagePhiConf(band=[11.0, 12.0]), Calibration())

        def step(phi: PhiObjective | None, model: Any = model) -> None:
            model.zero_grad(set_to_none=True)
            with torch.autocast(device, torch.bfloat16):
                with observed(model) as seen:
                    logits = model(input_ids=tokens[:, :-1], use_cache=False).logits
                loss = cross_entropy(logits, tokens[:, 1:])
                if phi is not None:
                    loss = phi.add_to(loss, model, seen)
            loss.backward()

        plain = measure_s(lambda step=step: step(None), sizes.rounds, device)
        with_phi = measure_s(lambda step=step, phi=objective: step(phi), sizes.rounds, device)
        rows.append(
            {
                "metric": metric, "plain_ms": 1e3 * plain, "with_phi_ms": 1e3 * with_phi,
                "added_percent": 100 * (with_phi / plain - 1),
            }
        )  # fmt: skip
    return rows


@torch.no_grad()
def check_generation(sizes: Sizes, device: str) -> Rows:
    """Time greedy generation with a cache, and compare its tokens with those without one."""
    rows = []
    for metric in ("dot", "l1"):
        model = build_model(sizes, metric, "auto", device).eval()
        prompt = draw_tokens(sizes, device, 0)[:1]
        settings: dict[str, Any] = {
            "do_sample": False, "pad_token_id": 0, "eos_token_id": None,
            "attention_mask": torch.ones_like(prompt),
        }  # fmt: skip
        few = min(32, sizes.new_tokens)
        output = [
            model.generate(prompt, use_cache=cached, max_new_tokens=few, **settings)
            for cached in (True, False)
        ]
        taken = measure_s(
            lambda model=model, prompt=prompt, settings=settings: model.generate(
                prompt, use_cache=True, max_new_tokens=sizes.new_tokens, **settings
            ),
            2,
            device,
        )
        same = int((output[0] == output[1]).sum()) - prompt.shape[1]
        rows.append(
            {
                "metric": metric, "tokens_per_s": sizes.new_tokens / taken,
                "equal_tokens_without_cache": f"{same} of {few}",
            }
        )  # fmt: skip
    return rows


def check_dpo(sizes: Sizes, device: str) -> Rows:
    """Time preference tuning against TRL on the same pairs."""
    from dataclasses import replace
    from importlib.util import find_spec

    from contestants import infinito_training, trl_training
    from recipes import RECIPES

    small = {"vocab": 64, "dim": 32, "layers": 2, "heads": 2}
    recipe = replace(
        RECIPES["dim 384"], steps=sizes.dpo_steps, **(small if device != "cuda" else {})
    )
    racers = {"infinito": infinito_training}
    if find_spec("trl"):
        racers["TRL"] = trl_training
    rows: Rows = []
    for name, build in racers.items():
        run = build(recipe, device=device)
        times: list[float] = []
        memory = peak_mib(lambda run=run, times=times: times.extend(run()), device)
        if memory is None:
            times = run()
        steps = [later - earlier for earlier, later in pairwise(times[1:])]
        taken = sum(steps) / max(1, len(steps)) if steps else times[-1] - times[0]
        rows.append({"by": name, "step_ms": 1e3 * taken, "peak_mib": memory})
    if len(rows) == 2:
        rows[0]["over_trl"] = rows[1]["step_ms"] / rows[0]["step_ms"]
    return rows


def check_rl(sizes: Sizes, device: str) -> Rows:
    """Time a step of many small models in one pass and one by one."""
    from infinito.rl.environment.stacked_models import InnerTraining, StackedModels

    rows: Rows = []
    small = Sizes(**{**vars(sizes), "dim": 64, "layers": 2, "heads": 2, "time": 32, "vocab": 256})
    windows = torch.randint(small.vocab, (sizes.copies, 4, small.time + 1), device=device)
    text, phi = torch.ones(sizes.copies, device=device), torch.zeros(sizes.copies, device=device)
    for vectorised in (True, False):
        model = build_model(small, "l1", "auto", device)
        models = StackedModels(model, sizes.copies, InnerTraining(0.01, vectorised=vectorised))
        taken = measure_s(
            lambda models=models: models.train(windows, text, phi), sizes.rounds, device
        )
        how = "vmap" if vectorised else "one by one"
        rows.append({"models": sizes.copies, "how": how, "step_ms": 1e3 * taken})
    rows[0]["over_one_by_one"] = rows[1]["step_ms"] / rows[0]["step_ms"]
    finite = math.isfinite(float(models.weights.detach().sum()))
    rows[0]["finite"] = finite
    return rows
