"""Time and extra peak memory of head and loss, whole and in chunks, on one thread of a CPU.

python experiments/step_speed/loss_memory.py [--tokens 4096] [--vocab 20000] [--dim 64]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from infinito.models.log_probs.token_log_probs import token_scores
from infinito.objectives.language import cross_entropy


def main() -> None:
    """Print a line for each form."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tokens", type=int, default=4096)
    parser.add_argument("--vocab", type=int, default=20000)
    parser.add_argument("--dim", type=int, default=64)
    sizes = parser.parse_args()
    torch.set_num_threads(1)
    hidden = torch.randn(sizes.tokens, sizes.dim, requires_grad=True)
    weight = torch.randn(sizes.vocab, sizes.dim, requires_grad=True)
    targets = torch.randint(sizes.vocab, (sizes.tokens,))

    def whole() -> Tensor:
        return cross_entropy((hidden @ weight.T)[None], targets[None])

    def chunked() -> Tensor:
        return -token_scores(hidden, weight, None, targets).log_probs.mean()

    for form in (chunked, whole):
        seconds, peak = cost(form, [hidden, weight])
        print(f"{form.__name__}: {seconds:.2f} s, {peak:.0f} MiB beyond states and weights")


def cost(loss: Callable[[], Tensor], weights: list[Tensor]) -> tuple[float, float]:
    """Return thread seconds and extra peak MiB of a loss with its gradients."""
    before = resident_mib("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts anew
    start = time.thread_time()
    torch.autograd.grad(loss(), weights)
    return time.thread_time() - start, resident_mib("VmHWM") - before


def resident_mib(field: str) -> float:
    """Return VmRSS (now) or VmHWM (at most) of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))


if __name__ == "__main__":
    main()
