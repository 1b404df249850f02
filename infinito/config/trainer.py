"""The schema of the `trainer` group."""

from __future__ import annotations

from dataclasses import dataclass

from infinito.config.limits import limited


@dataclass
class TrainerConf:
    """How long, where and in what precision to train."""

    epochs: int | None = limited(None, at_least=1)
    """Passes over the training split; null when `max_steps` decides."""
    max_steps: int | None = limited(None, at_least=1)
    """Optimizer steps; null when `epochs` decides."""
    minutes: float | None = limited(None, above=0)
    """Minutes of wall clock that training may take, in place of `epochs` and `max_steps`: the steps
    that fit are measured at the start and written into the run's configuration as `max_steps`."""
    accumulate: int = limited(1, at_least=1)
    """Batches whose gradients make one step."""
    patience: int | None = limited(None, at_least=1)
    """Validations without improvement before training stops; null to go on."""
    validate_every: int | None = limited(None, at_least=1)
    """Batches between validations; null for once an epoch."""
    validation_batches: int | None = limited(None, at_least=1)
    """Batches of a validation; null for the whole split."""
    stop_bad: str | None = limited(None, choices=("median", "halving"))
    """Stop a trial of a sweep that does worse at a validation than others did (`task=trial`)."""
    pause_at: float | None = limited(None, above=0, below=1)
    """Share of the training after which a trial pauses, to go on when it is launched again
    (`task=trial`; `hydra.sweeper.fidelity` sets it)."""
    paused_in: str | None = None
    """Folder in which a trial that pauses leaves its state, and from which it goes on."""
    checkpoint_every: int | None = limited(None, at_least=1)
    """Steps between checkpoints besides the one at each validation; null for none."""
    accelerator: str = limited("auto", choices=("auto", "cpu", "cuda", "mps"))
    devices: int = limited(1, at_least=1)
    """Devices of each node, a process each."""
    nodes: int = limited(1, at_least=1)
    """Machines that train together; each starts its processes by torchrun, srun or this command."""
    strategy: str = limited("auto", choices=("auto", "ddp", "fsdp"))
    precision: str = limited("32-true", choices=("32-true", "bf16-mixed", "16-mixed", "64-true"))
    matmul_precision: str = limited("highest", choices=("highest", "high", "medium"))
    """Matrix products of float32: `medium` multiplies in bfloat16 and adds in float32 where the CPU
    or GPU can (AMX, AVX512-BF16), `high` in TF32 on a GPU; weights stay float32 in any case."""
    compile: bool = False
    """Compile the model with torch.compile."""
    chunked_loss: bool = False
    """Head and loss together, chunk by chunk: saves the memory of the logits, at some speed."""
    threads: int | None = limited(None, at_least=1)
    """CPU threads of torch; null for torch's own choice."""
    log_every: int = limited(10, at_least=1)
    """Steps between logged training values."""
    progress_bar: bool = True
    """Show the step, the loss and the time left on a terminal."""
    sample_tokens: int = limited(64, at_least=0)
    """Tokens of sample text written at each validation; 0 for none."""

    @property
    def processes(self) -> int:
        """Processes that train together, each on batches of its own of `data.batch_size`."""
        return self.devices * self.nodes
